/**
 * The protocol: local writes, messages and ticks go in, records to make durable and messages to send
 * come out. Pure and synchronous; the driver brings bytes, time and randomness.
 *
 * PROTOCOL.md describes what it does and why it is sound.
 */

import type { RefusalReason } from "../core/admission.ts";
import type { CoreState } from "../core/core-state.ts";
import { VersionVector } from "../core/version-vector.ts";
import { present, unreachable } from "../invariant.ts";
import { PEERS_CROWDED, PROBE_MS } from "../limits.ts";
import {
  type Entry,
  type Epoch,
  epochOf,
  type Millis,
  type NodeId,
  nodeIdOf,
  type Origin,
  type Seq,
  type Stamp,
} from "../types.ts";
import { Acks } from "./acks.ts";
import { Announcements } from "./announcements.ts";
import { Collector } from "./collector.ts";
import type { Outgoing, Ready, SessionEvent, SessionId } from "./committed.ts";
import { type Conflict, Conflicts } from "./conflicts.ts";
import { type Durable, DurableState } from "./durable.ts";
import { EphemeralExchange } from "./ephemeral-exchange.ts";
import type { EphemeralOptions, EphemeralSets } from "./ephemeral-sets.ts";
import { FLOW_LIMITS, type FlowLimits } from "./flow.ts";
import type { Objection } from "./handshake.ts";
import { FEATURE_EPHEMERAL, FEATURE_SUPPLY, type Hello, type Message, type Page, type Probe } from "./messages.ts";
import { Peer } from "./peer.ts";
import { Receiver } from "./receiver.ts";
import { type Leaver, Seats, type SeatsOptions } from "./seats.ts";
import { Sender } from "./sender.ts";
import type { Session } from "./session.ts";
import { Sessions } from "./sessions.ts";
import { Settler } from "./settler.ts";
import { type LocalWrite, StateWriter, type StateWriterOptions } from "./state-writer.ts";
import { Suppliers } from "./suppliers.ts";

/** The driver calls `tick` this often. All waiting is counted in ticks, so that a clock that jumps does no harm. */
export const TICK_MS = 50;
const SILENT_TICKS = 15_000 / TICK_MS;
/** A connection that has not said hello by then is nobody's. */
const HELLO_TICKS = 5000 / TICK_MS;
const RETRY_REFUSED_TICKS = 1000 / TICK_MS;
/** A crowded replica lets go of one peer each time. */
const THIN_TICKS = 1000 / TICK_MS;

export interface ReplicatorOptions extends StateWriterOptions, SeatsOptions {
  /** An epoch that sorts above `epoch`. */
  readonly nextEpoch: (epoch: Epoch) => Epoch;
  /** Everybody whose coverage tombstones wait for, this replica included. Absent: none is ever collected. */
  readonly members?: () => readonly NodeId[];
  /** A member that is not heard of for so long is reported as overdue. Default: never. */
  readonly memberLeaseMs?: Millis | undefined;
  /** Whether quiet replicas whose digests differ compare what they hold. Default: true; tests of all else switch it off. */
  readonly repairs?: boolean;
  /** How often a connection on which nothing happens compares digests. Default: PROBE_MS. */
  readonly probeMs?: Millis | undefined;
  /** For tests. Default: ROUND_MS. */
  readonly roundMs?: Millis | undefined;
  /** For tests. Default: FLOW_LIMITS. */
  readonly flow?: FlowLimits;
  /** Whether a call waits for acks of peers: they are asked for them at once. Default: none ever does. */
  readonly isAwaited?: () => boolean;
  /** Absent: takes no part in ephemeral entries, as versions that do not know them. */
  readonly ephemeral?: EphemeralOptions;
}

export class Replicator {
  readonly #options: ReplicatorOptions;
  readonly #state: CoreState;
  readonly #durable: DurableState;
  readonly #writer: StateWriter;
  readonly #sessions: Sessions;
  readonly #seats: Seats;
  readonly #announcements: Announcements;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #acks: Acks;
  readonly #suppliers: Suppliers<Session>;
  readonly #settler: Settler;
  readonly #collector: Collector;
  readonly #conflicts: Conflicts;
  readonly #ephemeral: EphemeralExchange<Session> | undefined;
  readonly #probeTicks: number;

  constructor(options: ReplicatorOptions) {
    const { state, clusterId, incarnation, limits, flow = FLOW_LIMITS, ephemeral } = options;
    const durable = new DurableState(state);
    const writer = new StateWriter(options);
    const seats = new Seats(options);
    const conflicts = new Conflicts(state);
    const sessions = new Sessions((session) => this.#forget(session));
    const send = (session: Session, message: Message): number => sessions.send(session, message);
    const emit = (event: SessionEvent): void => sessions.emit(event);
    const isAwaited = (): boolean => options.isAwaited?.() === true;
    const acks = new Acks(send, () => this.#isSettled);
    const suppliers = new Suppliers(send);
    const receiver = new Receiver({ state, durable, flow, writer, seats, conflicts, suppliers, emit });
    this.#options = options;
    this.#state = state;
    this.#durable = durable;
    this.#writer = writer;
    this.#seats = seats;
    this.#conflicts = conflicts;
    this.#sessions = sessions;
    this.#acks = acks;
    this.#suppliers = suppliers;
    this.#receiver = receiver;
    this.#sender = new Sender({ state, durable, flow, seats, acks, isAwaited, send });
    const hasEphemeral = ephemeral !== undefined;
    this.#announcements = new Announcements({ state, clusterId, incarnation, hasEphemeral, seats, send });
    this.#settler = new Settler({
      state,
      durable,
      flow,
      send,
      acknowledge: (session) => acks.tellDue(session),
      drop: (dead, now) => writer.drop(dead, now),
      raiseFrontier: (pairs) => writer.raiseFrontier(pairs),
      adopt: (session, peer, now) => receiver.adopt(session, peer, now),
      emit,
    });
    if (ephemeral !== undefined) {
      const own = { nodeId: nodeIdOf(state.origin), incarnation };
      this.#ephemeral = new EphemeralExchange(own, { ...ephemeral, tickMs: TICK_MS }, send);
    }
    const { members, memberLeaseMs, roundMs } = options;
    this.#collector = new Collector(
      { state, durable, members, memberLeaseMs, roundMs, maxDriftMs: limits.maxDriftMs, tickMs: TICK_MS },
      {
        sessions: () => sessions,
        send,
        collect: (tombstones) => writer.collect(tombstones),
        overdue: (nodeId) => emit({ type: "overdue", nodeId }),
      },
    );
    this.#probeTicks = Math.ceil((options.probeMs ?? PROBE_MS) / TICK_MS);
  }

  // ---- reading -------------------------------------------------------------------------------

  get sessions(): IterableIterator<Session> {
    return this.#sessions[Symbol.iterator]();
  }

  get durable(): Durable {
    return this.#durable;
  }

  /** How many replicas hold a write durably, as far as we know: this one included. */
  holders(origin: Origin, seq: Seq): number {
    return this.#sender.holders(origin, seq);
  }

  /** Why entries and frames of peers were refused, and how often, in all sessions since the start. */
  rejects(): Record<string, number> {
    return this.#sessions.rejects();
  }

  /** What a peer covers durably, as it has told us last. */
  ackedBy(nodeId: NodeId): VersionVector {
    return this.#sender.ackedBy(nodeId);
  }

  /** Members that tombstones wait for. */
  get pinnedBy(): readonly NodeId[] {
    return this.#collector.pinnedBy;
  }

  /** The time by which entries expire: what has been seen expired stays so. */
  now(wallClock: Millis): Millis {
    return this.#writer.now(wallClock);
  }

  /** The number of the last change that memory has made, see `Change`. */
  get changeNumber(): number {
    return this.#writer.changeNumber;
  }

  /** The highest stamp seen or issued. */
  get lastStamp(): Stamp {
    return this.#writer.lastStamp;
  }

  /** Entries of living processes, in memory only. */
  get ephemerals(): EphemeralSets | undefined {
    return this.#ephemeral?.sets;
  }

  // ---- out -----------------------------------------------------------------------------------

  /** The next record to make durable. */
  takeReady(): Ready | undefined {
    const ready = this.#writer.takeReady();
    if (ready === undefined) return undefined;
    this.#durable.taken();
    // A record may not have had room for everything; then what came is not dealt with by this one.
    if (!this.#writer.hasReady) for (const session of this.#sessions) this.#acks.taken(session);
    return ready;
  }

  get hasReady(): boolean {
    return this.#writer.hasReady;
  }

  /** Messages to send now, in this order. */
  takeOutgoing(): Outgoing[] {
    return this.#sessions.takeOutgoing();
  }

  /** From now on `takeConflicts` has something to say. */
  listenForConflicts(): void {
    this.#conflicts.listen(this.#writer.lastStamp);
  }

  /** Conflicts that were found since the last call. Memory may be ahead of the disk. */
  takeConflicts(): readonly Conflict[] {
    return this.#conflicts.take();
  }

  takeEvents(): SessionEvent[] {
    return this.#sessions.takeEvents();
  }

  // ---- in: local -----------------------------------------------------------------------------

  /** Why a local batch may not be written, or `undefined`. Changes nothing. */
  writeRefusal(writes: readonly LocalWrite[], now: Millis): RefusalReason | undefined {
    return this.#writer.writeRefusal(writes, now);
  }

  /** Writes a batch, see StateWriter. */
  write(writes: readonly LocalWrite[], now: Millis): readonly Entry[] {
    return this.#writer.write(writes, now);
  }

  /**
   * Announces where this replica can be dialed, in hello and in its member record, which it writes
   * when it differs from the present one, also when somebody else has overwritten it.
   */
  announce(addresses: readonly string[], record: { key: Uint8Array; value: Uint8Array }, now: Millis): void {
    this.#announcements.addresses = addresses;
    this.#writer.keep({ ...record, expiresAt: 0 }, now);
  }

  /** Sets an ephemeral key of this process, or removes it. @param value  encoded; `null`: removes it */
  changeEphemeral(key: string, value: Uint8Array | null): void {
    this.#ephemeral?.change(key, value, this.#sessions.tick);
  }

  // ---- in: durability ------------------------------------------------------------------------

  /** The record is durable: passes it on to peers and acknowledges it. */
  persisted(ready: Ready): void {
    const coverage = this.#durable.persisted(ready);
    // What we cover by the word of a peer that has collected tombstones, we do not hold. Who is told that we
    // cover it has to know first that what it holds itself may be dead.
    this.#announcements.grownFrontier();
    this.#sender.persisted(ready, coverage, this.#sessions.tick);
  }

  // ---- in: connections -----------------------------------------------------------------------

  /** @param proved  the nodeId that the other end has proved to have; a hello of another one is refused */
  connect(id: SessionId, dialed: boolean, now: Millis, proved?: string): void {
    const session = this.#sessions.open(id, dialed, now, this.#durable.coverage.clone(), proved);
    this.#announcements.hello(session, now);
  }

  /** Compares what we hold with what every peer holds, now. Finds nothing where nothing is broken. */
  repair(): void {
    for (const session of this.#seats.sessions) {
      if (session.peer !== undefined) this.#settler.repair(session, session.peer);
    }
  }

  /** The channel has closed. */
  disconnect(id: SessionId, reason: string): void {
    const session = this.#sessions.get(id);
    if (session !== undefined) this.#sessions.ended(session, "lost", reason);
  }

  /** A call waits for acks of what was sent earlier: asks those for them who owe some. */
  askForAcks(): void {
    this.#sender.askForAcks();
  }

  /** Says goodbye to everybody, and what is durable here. */
  closeSessions(): void {
    for (const session of [...this.#sessions]) {
      this.#acks.tellDue(session);
      this.#sessions.end(session, "closing", "the replica closes");
    }
    this.#writer.hurry();
  }

  /** Whether the peer's hello was accepted. */
  isGreeted(id: SessionId): boolean {
    return this.#sessions.get(id)?.peer !== undefined;
  }

  /** A frame could not be decoded. */
  receiveBad(id: SessionId, reason: string, code: "bad-frame" | "unauthenticated" = "bad-frame"): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    session.reject(code);
    this.#sessions.end(session, code, reason);
  }

  /** A message of a kind that this version does not know: counted, and otherwise as if it had not come. */
  receiveUnknown(id: SessionId, frame: number, now: Millis): void {
    this.#sessions.received(id, frame, now)?.reject("unknown-message");
  }

  receive(id: SessionId, frame: number, message: Message, now: Millis): void {
    const session = this.#sessions.received(id, frame, now);
    if (session === undefined) return;
    if (message.type === "bye") {
      const { peer } = session;
      if (message.code === "closing" && peer !== undefined) {
        this.#ephemeral?.farewell(peer.nodeId, peer.incarnation, this.#sessions.tick);
      }
      this.#sessions.ended(session, message.code, `the peer says: ${message.detail}`);
    } else if (message.type === "hello") {
      this.#hello(session, message, now);
    } else if (session.peer === undefined) {
      this.#sessions.end(session, "bad-frame", `${message.type} before hello`);
    } else {
      this.#peerMessage(session, message, now);
    }
  }

  // ---- in: time ------------------------------------------------------------------------------

  /** Whether there is more to do than this turn of the event loop is to take: `turn` is to be called in another one. */
  get wantsTurn(): boolean {
    return this.#sender.isBehind || this.#isUpkeepBehind;
  }

  /** Goes on with what `wantsTurn` is about. */
  turn(now: Millis): void {
    if (this.#sender.isBehind) this.#sender.goOn();
    if (!this.#isUpkeepBehind) return;
    this.#writer.expire(now);
    this.#collector.sweep(now);
  }

  /** It may take its time: no faster than the disk. */
  get #isUpkeepBehind(): boolean {
    return (this.#writer.hasExpired || this.#collector.isBehind) && !this.#writer.isBehind;
  }

  /** Called every TICK_MS: ends waits, expires entries, tells acks, probes silent peers and drops dead ones. */
  tick(now: Millis): void {
    this.#sessions.nextTick();
    const { tick } = this.#sessions;
    this.#sender.nextTurn();
    this.#writer.hurry();
    // Else it goes on in turns.
    if (!this.#writer.hasExpired) this.#writer.expire(now);
    if (this.#seats.size > PEERS_CROWDED && tick % THIN_TICKS === 0) this.#letGo(this.#seats.spare());
    this.#collector.tick(tick, now);
    this.#settler.tick(this.#sessions, tick);
    this.#announcements.grownFrontier();
    this.#ephemeral?.tick(tick);
    for (const session of [...this.#sessions]) {
      const patienceTicks = session.peer === undefined ? HELLO_TICKS : SILENT_TICKS;
      if (tick - session.lastReceivedTick > patienceTicks) {
        this.#sessions.end(session, "silent", `nothing received for ${(patienceTicks * TICK_MS) / 1000} s`);
        continue;
      }
      const { peer } = session;
      if (peer === undefined) continue;
      peer.outbound.tick(tick, this.#durable);
      if (tick % RETRY_REFUSED_TICKS === 0) this.#receiver.retryRefused(session, peer, now);
      this.#acks.tick(session);
      if (peer.outbound.isCaughtUp) session.caughtUpAt = now;
      // A digest is worth most when nothing is on its way, but a sign of life is due in any case.
      const sinceTick = this.#isSettled ? session.lastProbeTick : session.lastSentTick;
      if (tick - sinceTick >= this.#probeTicks) {
        session.lastProbeTick = tick;
        this.#sessions.send(session, { type: "probe", digest: this.#state.table.digestRoot(), wallClock: now });
      }
    }
  }

  // ---- sessions ------------------------------------------------------------------------------

  #hello(session: Session, hello: Hello, now: Millis): void {
    session.nodeId = hello.nodeId;
    const admission = this.#seats.admit(session, hello);
    if (admission.type !== "welcome") return this.#object(session, admission, now);
    this.#letGo(admission.leaver);
    this.#welcome(session, hello, now);
  }

  #welcome(session: Session, hello: Hello, now: Millis): void {
    const { covered } = this.#state;
    const { tick } = this.#sessions;
    const outbound = this.#sender.open(session, hello);
    const peer = new Peer(hello, outbound, this.#receiver.open(), now);
    session.peer = peer;
    session.exposedBefore = this.#seats.size > 0 ? this.#durable.lsn : this.#conflicts.exposedLsn;
    session.helloVector = new VersionVector(hello.vector);
    this.#seats.take(peer.nodeId, session);
    for (const [origin, seq] of outbound.acked.above(covered)) session.entriesDue += seq - covered.get(origin);
    this.#writer.recordAcks(peer.nodeId, outbound.acked);
    // Between our hello and now more may have become durable than it said.
    this.#acks.covered(session, this.#durable.coverage.above(session.told));
    this.#sessions.emit({ type: "up", session: session.id, nodeId: peer.nodeId });
    outbound.hold();
    outbound.connectedTo(new Set(hello.links), tick, this.#durable);
    this.#announcements.frontier(session);
    this.#sender.showOwn(session);
    this.#settler.begin(session, peer, hello.frontier);
    if ((hello.features & FEATURE_EPHEMERAL) !== 0) this.#ephemeral?.join(session);
    if ((hello.features & FEATURE_SUPPLY) !== 0) this.#suppliers.join(session);
    this.#announcements.links();
  }

  #peerMessage(session: Session, message: Exclude<Message, { type: "hello" | "bye" }>, now: Millis): void {
    const peer = present(session.peer, "a session past hello knows its peer");
    const { tick } = this.#sessions;
    switch (message.type) {
      case "page":
        return this.#page(session, peer, message, now);
      case "ack":
        return this.#object(session, this.#receiver.ack(session, peer, message), now);
      case "digests":
        return this.#settler.question(session, peer, message, tick);
      case "listing":
        return this.#settler.answer(session, peer, message, now);
      case "round":
        if (!this.#collector.receive(session.id, message)) session.reject("absurd-round");
        return;
      case "frontier":
        return this.#settler.frontier(session, peer, message.vector);
      case "links":
        peer.outbound.connectedTo(new Set(message.links), tick, this.#durable);
        this.#ephemeral?.linked(session.id, tick);
        return;
      case "ephemeral":
        if (this.#ephemeral === undefined) session.reject("unknown-message");
        else this.#ephemeral.receive(session, message, tick);
        return;
      case "supply":
        return this.#sender.supply(session, peer, message, tick);
      case "probe":
        return this.#probe(session, peer, message, now);
      default:
        return unreachable(message);
    }
  }

  #page(session: Session, peer: Peer, page: Page, now: Millis): void {
    this.#acks.came(session, page.ackNow || !peer.asksForAcks);
    const wasLive = peer.inbound.live;
    const objection = this.#receiver.page(session, peer, page, now, this.#sessions.tick);
    if (objection !== undefined) return this.#object(session, objection, now);
    // Whoever waits for its turn need not wait for the tick as well.
    if (!wasLive && peer.inbound.live) this.#settler.tick(this.#sessions, this.#sessions.tick);
    this.#acks.dealtWith(session);
  }

  #probe(session: Session, peer: Peer, { digest, wallClock }: Probe, now: Millis): void {
    peer.clockOffsetMs = wallClock - now;
    if (this.#options.repairs === false) return;
    const isQuiet = this.#isSettled && peer.isQuiet(this.#durable);
    this.#settler.probe(session, peer, digest, isQuiet, this.#sessions.tick);
  }

  /** Nothing is on its way to the disk: what came was dealt with. */
  get #isSettled(): boolean {
    return !this.#durable.isBehind && !this.#writer.hasReady;
  }

  #object(session: Session, objection: Objection | undefined, now: Millis): void {
    if (objection?.type === "rotate") this.#rotate(objection.detail, now);
    else if (objection?.type === "refused") this.#sessions.end(session, objection.code, objection.detail);
  }

  /** Takes a new epoch because sequence numbers of the old one are in doubt. Every session starts again. */
  #rotate(why: string, now: Millis): void {
    const { origin } = this.#state;
    this.#writer.rotate(this.#options.nextEpoch(epochOf(origin)), now);
    this.#durable.giveUp(origin);
    this.#sessions.emit({ type: "rotated", detail: `${why}: "${nodeIdOf(origin)}" goes on under a new epoch` });
    for (const session of [...this.#sessions]) this.#sessions.end(session, "new-epoch", why);
    this.#sender.restart();
    // What was authored again under its old stamps has been seen before.
    this.#conflicts.expose(this.#state.lsn);
  }

  #letGo(leaver: Leaver | undefined): void {
    if (leaver !== undefined) this.#sessions.end(leaver.session, leaver.code, leaver.detail);
  }

  /** A session has ended. What the peer has acknowledged is kept in the state, for when it comes back. */
  #forget(session: Session): void {
    this.#acks.forget(session.id);
    this.#settler.forget(session.id);
    this.#collector.forget(session.id);
    this.#ephemeral?.leave(session.id);
    this.#suppliers.leave(session.id);
    const { peer } = session;
    if (peer === undefined || !this.#seats.leave(peer.nodeId, session)) return;
    this.#conflicts.expose(this.#durable.lsn);
    this.#sender.close(peer);
    this.#writer.recordAcks(peer.nodeId, peer.outbound.acked);
    this.#announcements.links();
  }
}
