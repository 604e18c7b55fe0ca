/**
 * What goes to peers: their catch-ups, all together in turns of bounded length, and every record as it becomes durable.
 * Outbound is our direction of one session; here is what all of them share, and what of them outlives a session.
 */
import type { CoreState } from "../core/core-state.ts";
import { type VectorPairs, VersionVector } from "../core/version-vector.ts";
import { type Lsn, makeOrigin, type NodeId, nodeIdOf, type Origin, type Seq } from "../types.ts";
import type { Acks } from "./acks.ts";
import type { Ready } from "./committed.ts";
import type { Durable } from "./durable.ts";
import type { FlowLimits } from "./flow.ts";
import { FEATURE_ACK_NOW, type Hello, type Page, type Supply } from "./messages.ts";
import { Outbound } from "./outbound.ts";
import { Pace } from "./pace.ts";
import type { Peer } from "./peer.ts";
import type { Seats } from "./seats.ts";
import type { Session } from "./session.ts";

export interface SenderOptions {
  readonly state: CoreState;
  readonly durable: Durable;
  readonly flow: FlowLimits;
  readonly seats: Seats;
  readonly acks: Acks;
  /** Whether a call waits for what peers acknowledge. */
  readonly isAwaited: () => boolean;
  /** @returns the number of the frame */
  readonly send: (session: Session, page: Page) => number;
}

export class Sender {
  readonly #options: SenderOptions;
  readonly #pace: Pace;
  /**
   * How far a catch-up had come when its session broke, of the process that was sent it, and of its origin: under another
   * one it may cover less than it did, and what was left out as covered lies before the cursor.
   */
  readonly #unfinished = new Map<
    NodeId,
    { readonly incarnation: string; readonly origin: Origin; readonly cursor: Lsn }
  >();

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#pace = new Pace(options.flow.turnBytes);
  }

  /** What a peer covers durably, as it has told us last. */
  ackedBy(nodeId: NodeId): VersionVector {
    const { seats, state } = this.#options;
    return seats.of(nodeId)?.peer?.outbound.acked ?? state.acked.get(nodeId) ?? new VersionVector();
  }

  /** How many replicas hold a write durably, as far as we know: this one included. */
  holders(origin: Origin, seq: Seq): number {
    const { durable, seats, state } = this.#options;
    let count = durable.coverage.covers(origin, seq) ? 1 : 0;
    for (const nodeId of new Set([...seats.nodeIds, ...state.acked.keys()])) {
      if (this.ackedBy(nodeId).covers(origin, seq)) count += 1;
    }
    return count;
  }

  /** A hello was accepted. The catch-up goes on where that of the last session broke off, if the same process has come back. */
  open(session: Session, { nodeId, epoch, incarnation, features, vector }: Hello): Outbound {
    const { state, durable, flow, isAwaited } = this.#options;
    const asksForAcks = (features & FEATURE_ACK_NOW) !== 0;
    const send = (page: Page): number => {
      session.entriesOut += page.entries.length;
      return this.#options.send(session, asksForAcks ? page : { ...page, ackNow: false });
    };
    const outside = { pace: this.#pace, send, isAwaited };
    const origin = makeOrigin(nodeId, epoch);
    const outbound = new Outbound(state, session.id, origin, vector, durable, flow, outside);
    const unfinished = this.#unfinished.get(nodeId);
    if (unfinished?.incarnation === incarnation && unfinished.origin === origin) outbound.resume(unfinished.cursor);
    this.#unfinished.delete(nodeId);
    return outbound;
  }

  /** The session of a peer has ended. */
  close({ nodeId, incarnation, origin, outbound }: Peer): void {
    const { resumableCursor: cursor } = outbound;
    if (cursor > 0) this.#unfinished.set(nodeId, { incarnation, origin, cursor });
  }

  /** Every catch-up begins anew. */
  restart(): void {
    this.#unfinished.clear();
  }

  /**
   * The record is durable: passes it on to peers and acknowledges it.
   *
   * @param coverage  by what our durable coverage has grown with it
   */
  persisted(ready: Ready, coverage: VectorPairs, tick: number): void {
    const { state, durable, seats, acks } = this.#options;
    // Of our own origin, marks and runs tell.
    const ofOthers = coverage.filter(([origin]) => origin !== state.origin);
    for (const session of seats.sessions) {
      acks.covered(session, ofOthers);
      session.peer?.outbound.covered(coverage);
      this.showOwn(session);
      session.peer?.outbound.forward(ready, durable, tick);
      acks.persisted(session);
    }
  }

  /**
   * We cover writes of the peer by the word of others: it hears that before anything else, and then has them as far as we
   * know, for nothing of its own leaves a replica before it is durable there. One whose disk was set back does not know
   * them; it ends the session before it sees a mark for which these very writes were left out.
   */
  showOwn(session: Session): void {
    const { durable, acks } = this.#options;
    if (session.peer?.outbound.hasOwn(durable) === true) acks.tell(session);
  }

  /**
   * Whose writes the peer wants at once, and whose not. Of itself nobody is asked to be silent, and our own writes we know
   * to send.
   */
  supply(session: Session, { nodeId, outbound }: Peer, { prune, graft }: Supply, tick: number): void {
    const { state, durable } = this.#options;
    if (prune.includes(nodeIdOf(state.origin)) || prune.includes(nodeId)) session.reject("absurd-supply");
    else outbound.supply(prune, graft, tick, durable);
  }

  /** A call waits for acks of what was sent earlier: asks those for them who owe some. */
  askForAcks(): void {
    for (const { peer } of this.#options.seats.sessions) peer?.outbound.askForAck();
  }

  /** Whether there is more to send than a turn of the event loop takes: `goOn` is to be called in another one. */
  get isBehind(): boolean {
    return this.#pace.isBehind;
  }

  goOn(): void {
    this.#pace.nextTurn();
    for (const { peer } of this.#options.seats.sessions) peer?.outbound.pump(this.#options.durable);
  }

  /** Others have had their turn. What is behind goes on with the tick. */
  nextTurn(): void {
    this.#pace.nextTurn();
  }
}
