/**
 * Decides which tombstones every member has seen, so that they can be collected. PROTOCOL.md, "Collection",
 * says why two rounds make it safe.
 *
 * A round gathers what the members cover durably, from neighbour to neighbour: each one that hears of it adds
 * itself once. What has been gathered can be joined in any order and as often as one likes: the members are
 * united, of the lower vectors the meet is taken, of the higher ones the join. So a round needs no leader, no
 * particular connections, and ends at each replica by itself.
 */
import { VersionVector } from "../core/version-vector.ts";
import type { NodeId } from "../types.ts";
import type { SessionId } from "./committed.ts";
import type { Round } from "./messages.ts";

/** Beyond it a number cannot be that of a round, however long a cluster has lived. */
const ROUNDS_MAX = 2 ** 40;

export class Collection {
  readonly #own: NodeId;
  readonly #coverage: VersionVector;
  #number = 0;
  #beganTick = 0;
  #members = new Set<NodeId>();
  #low = new VersionVector();
  #high = new VersionVector();
  #complete = true;
  /** The round before, once complete: its tombstones may go when everybody covers all that was known then. */
  #before: { readonly low: VersionVector; readonly high: VersionVector } | undefined;
  /** By session: how many members of the present round it was told of. */
  readonly #told = new Map<SessionId, { readonly number: number; readonly members: number }>();

  /** @param coverage  what we cover durably, as it is at any time */
  constructor(own: NodeId, coverage: VersionVector) {
    this.#own = own;
    this.#coverage = coverage;
  }

  /** Whether the present round is still gathering. */
  get isGathering(): boolean {
    return !this.#complete;
  }

  /** Since when the present round goes on, or when it began. */
  get beganTick(): number {
    return this.#beganTick;
  }

  /** Members that the present round has not heard of. */
  missing(members: Iterable<NodeId>): NodeId[] {
    if (this.#complete) return [];
    return [...members].filter((nodeId) => !this.#members.has(nodeId));
  }

  /** Begins a round. */
  begin(tick: number): void {
    this.#enter(this.#number + 1, tick);
  }

  /** Takes what a peer has gathered. Returns whether it can be true. */
  receive(session: SessionId, round: Round, tick: number): boolean {
    const { number, members, low, high } = round;
    if (number === 0 || number > ROUNDS_MAX) return false;
    if (number > this.#number) this.#enter(number, tick);
    // A peer that is behind hears of the present round at the next tick.
    if (number < this.#number) {
      this.#told.delete(session);
      return true;
    }
    if (members.some((nodeId) => !this.#members.has(nodeId))) {
      for (const nodeId of members) this.#members.add(nodeId);
      this.#low = this.#low.meet(new VersionVector(low));
      this.#high.join(high);
    }
    // What it told us need not be told to it.
    if (members.length === this.#members.size) this.#told.set(session, { number, members: members.length });
    return true;
  }

  /**
   * Ends the round if it has heard of all members.
   * @returns the coverage whose tombstones may go, as of now and for ever, if that is news
   */
  finish(members: Iterable<NodeId>): VersionVector | undefined {
    if (this.#complete || this.missing(members).length > 0) return undefined;
    this.#complete = true;
    const before = this.#before;
    this.#before = { low: this.#low, high: this.#high.clone() };
    return before !== undefined && this.#low.dominates(before.high) ? before.low : undefined;
  }

  /** What a session is to be told of the present round; `undefined`: nothing that it does not know. */
  tell(session: SessionId): Round | undefined {
    const told = this.#told.get(session);
    if (this.#number === 0) return undefined;
    if (told?.number === this.#number && told.members >= this.#members.size) return undefined;
    this.#told.set(session, { number: this.#number, members: this.#members.size });
    const members = [...this.#members];
    return { type: "round", number: this.#number, members, low: [...this.#low], high: [...this.#high] };
  }

  forget(session: SessionId): void {
    this.#told.delete(session);
  }

  #enter(number: number, tick: number): void {
    this.#number = number;
    this.#beganTick = tick;
    this.#members = new Set([this.#own]);
    this.#low = this.#coverage.clone();
    this.#high = this.#coverage.clone();
    this.#complete = false;
    this.#told.clear();
  }
}
