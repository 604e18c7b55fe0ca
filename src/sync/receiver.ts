/**
 * What a peer brings: its transfers, each applied in one step, and its claims, adopted behind what they rest on. Refused
 * entries are tried again. PROTOCOL.md, "Receiving claims" and "Receiving entries".
 *
 * Changes the state, by the writer, and what the session knows of the peer; ends no session, but says what there is to
 * object to. Then nothing of the message counts.
 */
import type { RefusalReason } from "../core/admission.ts";
import type { CoreState } from "../core/core-state.ts";
import type { VectorPairs } from "../core/version-vector.ts";
import { isMemberKey } from "../limits.ts";
import { type Entry, type Millis, nodeIdOf } from "../types.ts";
import type { SessionEvent } from "./committed.ts";
import type { Conflicts } from "./conflicts.ts";
import type { Durable } from "./durable.ts";
import type { FlowLimits } from "./flow.ts";
import { isPlausible, type Objection } from "./handshake.ts";
import { Inbound } from "./inbound.ts";
import type { Ack, Page } from "./messages.ts";
import type { Peer } from "./peer.ts";
import type { Seats } from "./seats.ts";
import type { Session } from "./session.ts";
import type { StateWriter } from "./state-writer.ts";
import { Arrivals, type Suppliers } from "./suppliers.ts";

export interface ReceiverOptions {
  readonly state: CoreState;
  readonly durable: Durable;
  readonly flow: FlowLimits;
  readonly writer: StateWriter;
  readonly seats: Seats;
  readonly conflicts: Conflicts;
  readonly suppliers: Suppliers<Session>;
  readonly emit: (event: SessionEvent) => void;
}

export class Receiver {
  readonly #options: ReceiverOptions;

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  /** A hello was accepted: the peer's direction of the session. */
  open(): Inbound {
    return new Inbound(this.#options.flow);
  }

  /** Stages a page and applies what is whole with it. Says how a catch-up goes on, and when it has ended. */
  page(session: Session, peer: Peer, page: Page, now: Millis, tick: number): Objection | undefined {
    const { state, durable, suppliers, emit } = this.#options;
    const { inbound, outbound } = peer;
    session.entriesIn += page.entries.length;
    const claims: VectorPairs = [...(page.mark ?? []), ...(page.runTo > 0 ? [[peer.origin, page.runTo] as const] : [])];
    const absurdity = this.#absurdity(session, claims);
    if (absurdity !== undefined) return absurdity;
    // What the peer claims to have sent, it has.
    if (claims.length > 0) outbound.acknowledged(claims, 0, durable);
    const wasLive = inbound.live;
    if (!wasLive) emit(progressOf(session, peer));
    const transfer = inbound.stage(page);
    if (transfer !== undefined) {
      const { entries, complete } = transfer;
      const { origin: own, nextSeq } = state;
      if (entries.some(({ origin, seq }) => origin === own && seq >= nextSeq)) {
        return { type: "rotate", detail: `"${peer.nodeId}" has writes of ours that we have not made` };
      }
      const arrivals = wasLive ? this.#arrivals() : undefined;
      this.#apply(session, peer, entries, complete, now, arrivals);
      if (arrivals !== undefined && arrivals.byAuthor.size > 0) suppliers.came(session.id, arrivals, tick);
      // What is staged of a page is not applied.
      if (inbound.stagedPages <= 1) session.framesApplied = session.framesReceived - inbound.stagedPages;
    }
    if (!wasLive && inbound.live) emit({ type: "live", session: session.id, nodeId: peer.nodeId });
    return undefined;
  }

  /** What the peer covers durably, and up to where it has dealt with what we sent. */
  ack(session: Session, { outbound }: Peer, { vector, frames, kept }: Ack): Objection | undefined {
    const absurdity = this.#absurdity(session, vector);
    if (absurdity !== undefined) return absurdity;
    outbound.kept(kept);
    outbound.acknowledged(vector, frames, this.#options.durable);
    return undefined;
  }

  /** Tries refused entries again: a stamp comes due, room is made. */
  retryRefused(session: Session, peer: Peer, now: Millis): void {
    const { inbound } = peer;
    if (inbound.refusedCount > 0 && !inbound.isStaging) this.#apply(session, peer, [...inbound.refused], true, now);
  }

  /** Adopts the claims that were kept until we had settled. */
  adopt(session: Session, peer: Peer, now: Millis): void {
    if (!peer.inbound.isStaging) this.#apply(session, peer, [], true, now);
  }

  /** @param arrivals  is told what comes, if that says anything about the ways of its authors' writes */
  #apply(
    session: Session,
    { nodeId, origin, inbound }: Peer,
    entries: readonly Entry[],
    complete: boolean,
    now: Millis,
    arrivals?: Arrivals,
  ): void {
    const { state, durable, writer, conflicts } = this.#options;
    const meets = (entry: Entry, wins: boolean): void => {
      conflicts.meet(entry, wins, session, durable.lsn, writer.now(now));
    };
    // That a member announces itself says nothing about the ways of what it will write.
    const brings = (entry: Entry, isNew: boolean): void => {
      if (!isMemberKey(entry.key)) arrivals?.note(entry.origin, isNew);
    };
    const outcome = {
      peer: nodeId,
      meets: conflicts.isListening ? meets : undefined,
      refused: (entry: Entry, reason: RefusalReason): void => {
        session.reject(reason);
        inbound.refuse(entry);
      },
      accepted: (entry: Entry): void => inbound.accept(entry),
      brings: arrivals === undefined ? undefined : brings,
    };
    const claims = (): VectorPairs => (complete ? inbound.takeClaims(origin, state.covered) : []);
    writer.apply(entries, session.id, now, outcome, claims);
  }

  #arrivals(): Arrivals {
    const { state, seats } = this.#options;
    return new Arrivals((author) => seats.of(author) !== undefined || author === nodeIdOf(state.origin));
  }

  /** What there is to object to in what a peer claims to cover. */
  #absurdity(session: Session, pairs: VectorPairs): Objection | undefined {
    const { state } = this.#options;
    if (isPlausible(pairs, state.origin, state.nextSeq)) return undefined;
    session.reject("absurd-coverage");
    return { type: "refused", code: "bad-frame", detail: "it claims coverage that cannot be" };
  }
}

function progressOf({ id, entriesIn, entriesDue }: Session, { nodeId }: Peer): SessionEvent {
  return { type: "progress", session: id, nodeId, entries: entriesIn, entriesTotal: Math.max(entriesIn, entriesDue) };
}
