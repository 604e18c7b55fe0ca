/**
 * When replicas compare what they hold: before a stale replica is let in, before much is sent, and when
 * two quiet replicas turn out to differ. Settling has the questions and answers themselves.
 */
import type { CoreState } from "../core/core-state.ts";
import type { Slot } from "../core/table.ts";
import type { VectorPairs } from "../core/version-vector.ts";
import type { Entry, Millis } from "../types.ts";
import type { SessionEvent, SessionId } from "./committed.ts";
import type { Durable } from "./durable.ts";
import type { FlowLimits } from "./flow.ts";
import type { Digests, Listing, Message } from "./messages.ts";
import type { Peer } from "./peer.ts";
import type { Session } from "./session.ts";
import { answer, type SettleGoal, Settling } from "./settling.ts";

/** What the replicator does for us. */
export interface SettlerHost {
  readonly state: CoreState;
  readonly durable: Durable;
  readonly flow: FlowLimits;
  send(session: Session, message: Message): void;
  /** Acknowledges now what it would at the next tick. */
  acknowledge(session: Session): void;
  /** Drops values that turned out to be dead. */
  drop(dead: readonly Entry[], now: Millis): void;
  raiseFrontier(pairs: VectorPairs): void;
  /** Adopts the claims that were kept. */
  adopt(session: Session, peer: Peer, now: Millis): void;
  emit(event: SessionEvent): void;
}

/** Differing digests in a row, of quiet replicas, before they are compared. */
const MISMATCHES = 2;
/** A question waits so long for its turn at most: 30 s. */
const TURN_TICKS = 600;
/** Before the next comparison if the last one found nothing: 10 s at first, twice as long each time up to 10 min. */
const FRUITLESS_TICKS = 200;
const FRUITLESS_TICKS_MAX = 12_000;

export class Settler {
  readonly #host: SettlerHost;
  /** Whose bulk we receive now. */
  #turn: { readonly session: Session; readonly peer: Peer } | undefined;

  constructor(host: SettlerHost) {
    this.#host = host;
  }

  /** A hello was accepted: finds out what has to come before the catch-up, and begins that or the catch-up. */
  begin(session: Session, peer: Peer, frontier: VectorPairs): void {
    peer.outbound.hold();
    this.frontier(session, peer, frontier);
    if (peer.settling === undefined) this.#catchUp(session, peer);
  }

  /** The peer has collected tombstones up to `pairs`. */
  frontier(session: Session, peer: Peer, pairs: VectorPairs): void {
    peer.frontier.join(pairs);
    if (this.#host.durable.coverage.dominates(peer.frontier)) {
      this.#host.raiseFrontier(pairs);
    } else if (!peer.inbound.isStale) {
      peer.inbound.isStale = true;
      // One question at a time: else it comes next.
      if (peer.settling === undefined) this.#start("stale", session, peer);
    }
  }

  /** The peer asks. */
  question(session: Session, peer: Peer, question: Digests, tick: number): void {
    if (question.bulk && this.#turn !== undefined && this.#turn.session !== session) {
      peer.waiting = { question, sinceTick: tick };
    } else {
      this.#answer(session, peer, question);
    }
  }

  /** The peer answers. */
  answer(session: Session, peer: Peer, listing: Listing, now: Millis): void {
    const { settling } = peer;
    if (settling === undefined) return;
    const { dead, lacking, next } = settling.receive(listing, peer.outbound.acked, (count) =>
      peer.outbound.isBacklogAbove(count),
    );
    if (dead.length > 0) this.#host.drop(dead, now);
    if (settling.goal === "repair") this.#resend(peer, lacking);
    if (next === undefined) this.#finish(session, peer, settling, now);
    else this.#host.send(session, next);
  }

  /**
   * The peer tells the digest of all it holds.
   * @param isQuiet  nothing is on its way, neither to the disk nor to the peer nor from it
   */
  probe(session: Session, peer: Peer, digest: string, isQuiet: boolean, tick: number): void {
    const differs = digest !== this.#host.state.table.digestRoot();
    peer.mismatches = isQuiet && differs ? peer.mismatches + 1 : 0;
    if (isQuiet && !differs) peer.fruitless = 0;
    if (peer.mismatches >= MISMATCHES && tick >= peer.repairTick && peer.settling === undefined) {
      peer.mismatches = 0;
      peer.repairTick = tick + Math.min(FRUITLESS_TICKS * 2 ** peer.fruitless, FRUITLESS_TICKS_MAX);
      this.#start("repair", session, peer);
    }
  }

  /** Compares now, whatever is known. */
  repair(session: Session, peer: Peer): void {
    if (peer.settling === undefined) this.#start("repair", session, peer);
  }

  tick(sessions: Iterable<Session>, tick: number): void {
    // A turn ends with the mark that ends the catch-up.
    if (this.#turn?.peer.inbound.live === true) this.#turn = undefined;
    for (const session of sessions) {
      const { peer } = session;
      if (peer?.waiting === undefined) continue;
      if (this.#turn !== undefined && tick - peer.waiting.sinceTick < TURN_TICKS) continue;
      this.#answer(session, peer, peer.waiting.question);
    }
  }

  forget(session: SessionId): void {
    if (this.#turn?.session.id === session) this.#turn = undefined;
  }

  #answer(session: Session, peer: Peer, question: Digests): void {
    const { state, durable, flow } = this.#host;
    peer.waiting = undefined;
    if (question.bulk && !peer.inbound.live) this.#turn = { session, peer };
    // What is missing from the answer because it is dead, we cover: without knowing that, the peer would take it for new.
    this.#host.acknowledge(session);
    this.#host.send(session, answer(state, durable, question, flow.listingBytes));
  }

  #start(goal: SettleGoal, session: Session, peer: Peer): void {
    peer.settling = new Settling(goal, this.#host.state, this.#host.flow);
    this.#host.send(session, peer.settling.begin());
  }

  #finish(session: Session, peer: Peer, settling: Settling, now: Millis): void {
    const { goal, differences } = settling;
    peer.settling = undefined;
    if (goal === "bulk") peer.outbound.release(this.#host.durable, settling);
    if (goal === "repair") {
      peer.fruitless = differences === 0 ? peer.fruitless + 1 : 0;
      this.#host.emit({ type: "repaired", nodeId: peer.nodeId, differences });
    }
    if (goal !== "stale") {
      if (peer.inbound.isStale) this.#start("stale", session, peer);
      return;
    }
    peer.inbound.isStale = false;
    this.#host.raiseFrontier([...peer.frontier]);
    this.#host.adopt(session, peer, now);
    this.#catchUp(session, peer);
  }

  #catchUp(session: Session, peer: Peer): void {
    if (peer.outbound.isHeld && peer.outbound.isBacklogAbove(this.#host.flow.bulkEntries))
      this.#start("bulk", session, peer);
    else peer.outbound.release(this.#host.durable);
  }

  /** A window full at most: what is left still differs, and the next repair finds it. */
  #resend(peer: Peer, lacking: readonly Slot[]): void {
    const { state, durable, flow } = this.#host;
    const entries: Entry[] = [];
    let bytes = 0;
    for (const slot of lacking) {
      if (bytes >= flow.windowBytes) break;
      if (state.table.lsnAt(slot) > durable.lsn) continue;
      const entry = state.entryAt(slot);
      bytes += entry.key.length + (entry.value?.length ?? 0);
      entries.push(entry);
    }
    peer.outbound.resend(entries);
  }
}
