/**
 * The session in use for each peer, and who gets one: judges a hello by what it says, by whom there is already, and by
 * how many there may be. Decides; sessions are ended by the replicator.
 */
import type { CoreState } from "../core/core-state.ts";
import { PEERS_MAX } from "../limits.ts";
import { epochOf, makeOrigin, type NodeId, nodeIdOf, type Origin, type Seq } from "../types.ts";
import { judge, type Objection, replaces } from "./handshake.ts";
import type { ByeCode, Hello } from "./messages.ts";
import { type Seated, whoIsSpare, whoMakesRoom } from "./room.ts";
import type { Session } from "./session.ts";

export interface SeatsOptions {
  readonly state: CoreState;
  readonly clusterId: string;
  /** 16 hex digits, new for each process. */
  readonly incarnation: string;
  /** Replicas to be connected to at one time. Default: PEERS_MAX. */
  readonly maxPeers?: number;
}

/** A session that has to end for the sake of others. */
export interface Leaver {
  readonly session: Session;
  readonly code: ByeCode;
  readonly detail: string;
}

export type Admission =
  | Objection
  /** Once `leaver`, if there is one, has left. */
  | { readonly type: "welcome"; readonly leaver: Leaver | undefined };

export class Seats {
  readonly #options: SeatsOptions;
  readonly #sessions = new Map<NodeId, Session>();
  /** The process that the last session of each peer took over from. */
  readonly #replacedIncarnations = new Map<NodeId, string>();
  /** The first write of ours that nobody can have, as it was when there was a session last. */
  #unsent: { readonly origin: Origin; readonly seq: Seq };

  constructor(options: SeatsOptions) {
    this.#options = options;
    this.#unsent = this.#nextWrite;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Whom we are connected to. */
  get nodeIds(): NodeId[] {
    return [...this.#sessions.keys()];
  }

  get sessions(): IterableIterator<Session> {
    return this.#sessions.values();
  }

  of(nodeId: NodeId): Session | undefined {
    return this.#sessions.get(nodeId);
  }

  take(nodeId: NodeId, session: Session): void {
    this.#sessions.set(nodeId, session);
  }

  /** Returns whether the session had the seat. */
  leave(nodeId: NodeId, session: Session): boolean {
    if (this.#sessions.get(nodeId) !== session) return false;
    this.#unsent = this.#nextWrite;
    return this.#sessions.delete(nodeId);
  }

  /** Judges a hello and, if there is a session with the same peer, which of the two is kept. Gives no seat yet. */
  admit(session: Session, hello: Hello): Admission {
    if (session.peer !== undefined) return { type: "refused", code: "bad-frame", detail: "a second hello" };
    if (session.proved !== undefined && session.proved !== hello.nodeId) {
      const detail = `it calls itself "${hello.nodeId}" and has proved to be "${session.proved}"`;
      return { type: "refused", code: "unauthenticated", detail };
    }
    const { state, clusterId, incarnation } = this.#options;
    const nodeId = nodeIdOf(state.origin);
    const identity = { nodeId, epoch: epochOf(state.origin), clusterId, incarnation, unsentSeq: this.#unsentSeq };
    const verdict = judge(hello, identity);
    if (verdict.type !== "welcome") return verdict;
    const used = this.#sessions.get(hello.nodeId);
    if (used?.peer === undefined) return this.#findSeat(hello);
    const detail = "another connection to the same replica is used";
    const fresh = { dialed: session.dialed, incarnation: hello.incarnation };
    const inUse = { dialed: used.dialed, incarnation: used.peer.incarnation };
    if (!replaces(fresh, inUse, nodeId, hello.nodeId)) return { type: "refused", code: "duplicate", detail };
    if (fresh.incarnation !== inUse.incarnation && this.#isTwin(hello.nodeId, hello.incarnation, inUse.incarnation)) {
      const clash = `two live replicas are named "${hello.nodeId}": give one of them another nodeId`;
      return { type: "refused", code: "identity-clash", detail: clash };
    }
    return { type: "welcome", leaver: { session: used, code: "duplicate", detail } };
  }

  get #nextWrite(): { readonly origin: Origin; readonly seq: Seq } {
    const { origin, nextSeq } = this.#options.state;
    return { origin, seq: nextSeq };
  }

  /**
   * No peer can cover this write of ours or a later one. What was written while nobody was there does not count: a
   * replica that was rolled back and has written since is to notice that a peer has other writes of the same numbers.
   */
  get #unsentSeq(): Seq {
    const next = this.#nextWrite;
    return this.size > 0 || this.#unsent.origin !== next.origin ? next.seq : this.#unsent.seq;
  }

  /** Of a crowded replica, a peer that will not be missed. */
  spare(): Leaver | undefined {
    const spare = whoIsSpare(nodeIdOf(this.#options.state.origin), this.#seated());
    return spare === undefined ? undefined : this.#leaver(spare, "others connect the two of us");
  }

  /** Welcomes a peer for which there is a seat, or another one leaves. */
  #findSeat({ nodeId, epoch, links }: Hello): Admission {
    const { state, maxPeers = PEERS_MAX } = this.#options;
    if (this.size < maxPeers) return { type: "welcome", leaver: undefined };
    const isKnown = state.covered.get(makeOrigin(nodeId, epoch)) > 0;
    const newcomer = { nodeId, links: new Set(links), isKnown };
    const leaves = whoMakesRoom(nodeIdOf(state.origin), newcomer, this.#seated());
    if (leaves === undefined) {
      return { type: "refused", code: "too-many-peers", detail: `connected to ${maxPeers} replicas already` };
    }
    return { type: "welcome", leaver: this.#leaver(leaves, `its place is for "${nodeId}"`) };
  }

  #seated(): Seated[] {
    return [...this.#sessions].flatMap(([nodeId, { peer }]) =>
      peer === undefined ? [] : [{ nodeId, links: peer.outbound.links }],
    );
  }

  #leaver(nodeId: NodeId, detail: string): Leaver | undefined {
    const session = this.#sessions.get(nodeId);
    return session === undefined ? undefined : { session, code: "too-many-peers", detail };
  }

  /**
   * Whether a process that was replaced by another one of its name has come back: a restart never does
   * that, so both are alive.
   */
  #isTwin(nodeId: NodeId, incarnation: string, replaced: string): boolean {
    if (this.#replacedIncarnations.get(nodeId) === incarnation) return true;
    if (this.#replacedIncarnations.size >= PEERS_MAX) this.#replacedIncarnations.clear();
    this.#replacedIncarnations.set(nodeId, replaced);
    return false;
  }
}
