/**
 * The protocol: local writes, messages and ticks go in, records to make durable and messages to send
 * come out. Pure and synchronous; the driver brings bytes, time and randomness.
 *
 * PROTOCOL.md describes what it does and why it is sound.
 */

import type { RefusalReason } from "../core/admission.ts";
import type { CoreState } from "../core/core-state.ts";
import { type VectorPairs, VersionVector } from "../core/version-vector.ts";
import { assert, present, unreachable } from "../invariant.ts";
import { HANDSHAKES_MAX, isMemberKey, PEERS_CROWDED, PROBE_MS } from "../limits.ts";
import {
  type Entry,
  type Epoch,
  epochOf,
  type Lsn,
  type Millis,
  makeOrigin,
  type NodeId,
  nodeIdOf,
  type Origin,
  type Seq,
  type Stamp,
} from "../types.ts";
import { Acks } from "./acks.ts";
import type { Durable } from "./claims.ts";
import { Collector } from "./collector.ts";
import type { Outgoing, Ready, SessionEvent, SessionId } from "./committed.ts";
import { type Conflict, Conflicts } from "./conflicts.ts";
import { EphemeralExchange } from "./ephemeral-exchange.ts";
import type { EphemeralOptions, EphemeralSets } from "./ephemeral-sets.ts";
import { FLOW_LIMITS, type FlowLimits } from "./flow.ts";
import { isPlausible } from "./handshake.ts";
import { Inbound } from "./inbound.ts";
import {
  type ByeCode,
  FEATURE_ACK_NOW,
  FEATURE_EPHEMERAL,
  FEATURE_SUPPLY,
  type Hello,
  type Message,
  type Page,
  PROTOCOL_VERSION_MAX,
  PROTOCOL_VERSION_MIN,
  type Supply,
} from "./messages.ts";
import { Outbound } from "./outbound.ts";
import { Pace } from "./pace.ts";
import { type Leaver, Seats, type SeatsOptions } from "./seats.ts";
import { type Peer, Session } from "./session.ts";
import { Settler } from "./settler.ts";
import { type LocalWrite, StateWriter, type StateWriterOptions } from "./state-writer.ts";
import { Arrivals, Suppliers } from "./suppliers.ts";

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
  readonly #flow: FlowLimits;
  readonly #pace: Pace;
  readonly #state: CoreState;
  readonly #writer: StateWriter;
  readonly #sessions = new Map<SessionId, Session>();
  readonly #seats: Seats;
  /** Rejects of the sessions that have ended. */
  readonly #rejectsBefore = new Map<string, number>();
  readonly #durable: { lsn: Lsn; readonly coverage: VersionVector };
  #addresses: readonly string[] = [];
  #outgoing: Outgoing[] = [];
  #events: SessionEvent[] = [];
  readonly #acks: Acks;
  #tick = 0;
  /** Taken by the driver and not yet durable. */
  #recordsInFlight = 0;
  #memberWrite: LocalWrite | undefined;
  readonly #settler: Settler;
  readonly #conflicts: Conflicts;
  readonly #collector: Collector;
  /** Of the process that was sent it: how far a catch-up had come when its session broke. */
  readonly #unfinished = new Map<NodeId, { readonly incarnation: string; readonly cursor: Lsn }>();
  #frontierTold: number;
  readonly #probeTicks: number;
  readonly #ephemeral: EphemeralExchange<Session> | undefined;
  readonly #suppliers: Suppliers<Session>;

  constructor(options: ReplicatorOptions) {
    const { state } = options;
    this.#options = options;
    this.#state = state;
    this.#writer = new StateWriter(options);
    this.#seats = new Seats(options);
    this.#conflicts = new Conflicts(state);
    this.#durable = { lsn: state.lsn, coverage: state.covered.clone() };
    this.#frontierTold = this.#writer.frontierVersion;
    this.#probeTicks = Math.ceil((options.probeMs ?? PROBE_MS) / TICK_MS);
    const send = (session: Session, message: Message): number => this.#send(session, message);
    this.#flow = options.flow ?? FLOW_LIMITS;
    this.#pace = new Pace(this.#flow.turnBytes);
    this.#acks = new Acks(send, () => this.#isSettled);
    this.#suppliers = new Suppliers(send);
    this.#settler = new Settler({
      state,
      durable: this.#durable,
      flow: this.#flow,
      send,
      acknowledge: (session) => this.#acks.tellDue(session),
      drop: (dead, now) => this.#drop(dead, now),
      raiseFrontier: (pairs) => this.#writer.raiseFrontier(pairs),
      adopt: (session, peer, now) => this.#adopt(session, peer, now),
      emit: (event) => this.#events.push(event),
    });
    const { members, memberLeaseMs, roundMs, limits, ephemeral, incarnation } = options;
    if (ephemeral !== undefined) {
      const own = { nodeId: nodeIdOf(state.origin), incarnation };
      this.#ephemeral = new EphemeralExchange(own, { ...ephemeral, tickMs: TICK_MS }, send);
    }
    const { maxDriftMs } = limits;
    this.#collector = new Collector(
      { state, durable: this.#durable, members, memberLeaseMs, roundMs, maxDriftMs, tickMs: TICK_MS },
      {
        sessions: () => this.#sessions.values(),
        send,
        collect: (tombstones) => this.#writer.collect(tombstones),
        overdue: (nodeId) => this.#events.push({ type: "overdue", nodeId }),
      },
    );
  }

  // ---- reading -------------------------------------------------------------------------------

  get sessions(): IterableIterator<Session> {
    return this.#sessions.values();
  }

  get durable(): Durable {
    return this.#durable;
  }

  /** How many replicas hold a write durably, as far as we know: this one included. */
  holders(origin: Origin, seq: Seq): number {
    let count = this.#durable.coverage.covers(origin, seq) ? 1 : 0;
    for (const nodeId of this.#knownPeers()) if (this.ackedBy(nodeId).covers(origin, seq)) count += 1;
    return count;
  }

  /** Why entries and frames of peers were refused, and how often, in all sessions since the start. */
  rejects(): Record<string, number> {
    const rejects = Object.fromEntries(this.#rejectsBefore);
    for (const session of this.#sessions.values()) {
      for (const [reason, count] of Object.entries(session.rejects)) rejects[reason] = (rejects[reason] ?? 0) + count;
    }
    return rejects;
  }

  /** What a peer covers durably, as it has told us last. */
  ackedBy(nodeId: NodeId): VersionVector {
    const session = this.#seats.of(nodeId);
    return session?.peer?.outbound.acked ?? this.#state.acked.get(nodeId) ?? new VersionVector();
  }

  /** Members that tombstones wait for. */
  get pinnedBy(): readonly NodeId[] {
    return this.#collector.pinnedBy;
  }

  get #nodeId(): NodeId {
    return nodeIdOf(this.#state.origin);
  }

  #knownPeers(): Set<NodeId> {
    return new Set([...this.#seats.nodeIds, ...this.#state.acked.keys()]);
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
    this.#recordsInFlight += 1;
    // A record may not have had room for everything; then what came is not dealt with by this one.
    if (!this.#writer.hasReady) for (const session of this.#sessions.values()) this.#acks.taken(session);
    return ready;
  }

  get hasReady(): boolean {
    return this.#writer.hasReady;
  }

  /** Messages to send now, in this order. */
  takeOutgoing(): Outgoing[] {
    const taken = this.#outgoing;
    if (taken.length > 0) this.#outgoing = [];
    return taken;
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
    const taken = this.#events;
    if (taken.length > 0) this.#events = [];
    return taken;
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
    this.#addresses = addresses;
    this.#memberWrite = { ...record, expiresAt: 0 };
    if (this.#memberWrite !== undefined) this.#writer.keep(this.#memberWrite, now);
  }

  /** Sets an ephemeral key of this process, or removes it. @param value  encoded; `null`: removes it */
  changeEphemeral(key: string, value: Uint8Array | null): void {
    this.#ephemeral?.change(key, value, this.#tick);
  }

  // ---- in: durability ------------------------------------------------------------------------

  /** The record is durable: passes it on to peers and acknowledges it. */
  persisted(ready: Ready): void {
    assert(ready.lsn === this.#durable.lsn, "records become durable in order");
    this.#recordsInFlight -= 1;
    this.#durable.lsn = ready.end;
    // Since it was made, our own origin may have been given up.
    const coverage = ready.coverage.filter(([origin, seq]) => this.#state.covered.covers(origin, seq));
    for (const [origin, seq] of coverage) this.#durable.coverage.raise(origin, seq);
    // What we cover by the word of a peer that has collected tombstones, we do not hold. Who is told that we
    // cover it has to know first that what it holds itself may be dead.
    this.#tellFrontier();
    // Of our own origin, marks and runs tell.
    const ofOthers = coverage.filter(([origin]) => origin !== this.#state.origin);
    for (const session of this.#seats.sessions) {
      this.#acks.covered(session, ofOthers);
      session.peer?.outbound.covered(coverage);
      this.#showOwn(session);
      session.peer?.outbound.forward(ready, this.#durable, this.#tick);
      this.#acks.persisted(session);
    }
  }

  /**
   * We cover writes of the peer by the word of others: it hears that before anything else, and then has them as far as we
   * know, for nothing of its own leaves a replica before it is durable there. One whose disk was set back does not know
   * them; it ends the session before it sees a mark for which these very writes were left out.
   */
  #showOwn(session: Session): void {
    const { peer } = session;
    if (peer === undefined) return;
    if (peer.outbound.hasOwn(this.#durable)) this.#acks.tell(session);
  }

  // ---- in: connections -----------------------------------------------------------------------

  /** @param proved  the nodeId that the other end has proved to have; a hello of another one is refused */
  connect(id: SessionId, dialed: boolean, now: Millis, proved?: string): void {
    const session = new Session(id, dialed, this.#tick, now, this.#durable.coverage.clone(), proved);
    this.#sessions.set(id, session);
    this.#makeRoom();
    this.#send(session, {
      type: "hello",
      versionMin: PROTOCOL_VERSION_MIN,
      versionMax: PROTOCOL_VERSION_MAX,
      clusterId: this.#options.clusterId,
      nodeId: this.#nodeId,
      epoch: epochOf(this.#state.origin),
      incarnation: this.#options.incarnation,
      vector: [...session.told],
      addresses: this.#addresses,
      links: this.#seats.nodeIds,
      wallClock: now,
      frontier: [...this.#state.frontier],
      features: FEATURE_SUPPLY | FEATURE_ACK_NOW | (this.#ephemeral === undefined ? 0 : FEATURE_EPHEMERAL),
    });
  }

  /** Compares what we hold with what every peer holds, now. Finds nothing where nothing is broken. */
  repair(): void {
    for (const session of this.#seats.sessions) {
      if (session.peer !== undefined) this.#settler.repair(session, session.peer);
    }
  }

  /** Connections that say nothing must not keep out those that would: of too many, the oldest has to go. */
  #makeRoom(): void {
    const nameless = [...this.#sessions.values()].filter(({ peer, dialed }) => peer === undefined && !dialed);
    const [oldest] = nameless;
    if (oldest !== undefined && nameless.length > HANDSHAKES_MAX) {
      this.#end(oldest, "too-many-peers", `more than ${HANDSHAKES_MAX} connections that have not said hello`);
    }
  }

  /** The channel has closed. */
  disconnect(id: SessionId, reason: string): void {
    const session = this.#sessions.get(id);
    if (session !== undefined) this.#finish(session, "lost", reason);
  }

  /** A call waits for acks of what was sent earlier: asks those for them who owe some. */
  askForAcks(): void {
    for (const session of this.#seats.sessions) session.peer?.outbound.askForAck();
  }

  /** Says goodbye to everybody, and what is durable here. */
  closeSessions(): void {
    for (const session of [...this.#sessions.values()]) {
      this.#acks.tellDue(session);
      this.#end(session, "closing", "the replica closes");
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
    this.#end(session, code, reason);
  }

  /** A message of a kind that this version does not know: counted, and otherwise as if it had not come. */
  receiveUnknown(id: SessionId, frame: number, now: Millis): void {
    const session = this.#sessions.get(id);
    if (session !== undefined && this.#isNext(session, frame, now)) session.reject("unknown-message");
  }

  receive(id: SessionId, frame: number, message: Message, now: Millis): void {
    const session = this.#sessions.get(id);
    if (session === undefined || !this.#isNext(session, frame, now)) return;
    if (message.type === "bye") {
      const { peer } = session;
      if (message.code === "closing" && peer !== undefined) {
        this.#ephemeral?.farewell(peer.nodeId, peer.incarnation, this.#tick);
      }
      this.#finish(session, message.code, `the peer says: ${message.detail}`);
    } else if (message.type === "hello") {
      this.#hello(session, message, now);
    } else if (session.peer === undefined) {
      this.#end(session, "bad-frame", `${message.type} before hello`);
    } else {
      this.#peerMessage(session, message, now);
    }
  }

  // ---- in: time ------------------------------------------------------------------------------

  /** Whether there is more to do than this turn of the event loop is to take: `turn` is to be called in another one. */
  get wantsTurn(): boolean {
    return this.#pace.isBehind || this.#isUpkeepBehind;
  }

  /** Goes on with what `wantsTurn` is about. */
  turn(now: Millis): void {
    if (this.#pace.isBehind) {
      this.#pace.nextTurn();
      for (const { peer } of this.#seats.sessions) peer?.outbound.pump(this.#durable);
    }
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
    this.#tick += 1;
    this.#pace.nextTurn();
    this.#writer.hurry();
    // Else it goes on in turns.
    if (!this.#writer.hasExpired) this.#writer.expire(now);
    if (this.#seats.size > PEERS_CROWDED && this.#tick % THIN_TICKS === 0) this.#letGo(this.#seats.spare());
    this.#collector.tick(this.#tick, now);
    this.#settler.tick(this.#sessions.values(), this.#tick);
    this.#tellFrontier();
    this.#ephemeral?.tick(this.#tick);
    for (const session of [...this.#sessions.values()]) {
      const patienceTicks = session.peer === undefined ? HELLO_TICKS : SILENT_TICKS;
      if (this.#tick - session.lastReceivedTick > patienceTicks) {
        this.#end(session, "silent", `nothing received for ${(patienceTicks * TICK_MS) / 1000} s`);
        continue;
      }
      const { peer } = session;
      if (peer === undefined) continue;
      peer.outbound.tick(this.#tick, this.#durable);
      if (this.#tick % RETRY_REFUSED_TICKS === 0) this.#retryRefused(session, peer, now);
      this.#acks.tick(session);
      if (peer.outbound.isCaughtUp) session.caughtUpAt = now;
      // A digest is worth most when nothing is on its way, but a sign of life is due in any case.
      const sinceTick = this.#isSettled ? session.lastProbeTick : session.lastSentTick;
      if (this.#tick - sinceTick >= this.#probeTicks) {
        session.lastProbeTick = this.#tick;
        this.#send(session, { type: "probe", digest: this.#state.table.digestRoot(), wallClock: now });
      }
    }
  }

  // ---- sessions ------------------------------------------------------------------------------

  /** Frames are numbered: anything but the next one ends the session, and a new one starts afresh. */
  #isNext(session: Session, frame: number, now: Millis): boolean {
    if (frame !== session.framesReceived + 1) {
      session.reject("frame-order");
      this.#end(session, "bad-frame", `frame ${frame} came where ${session.framesReceived + 1} was due`);
      return false;
    }
    session.framesReceived = frame;
    session.lastReceivedTick = this.#tick;
    session.lastReceivedAt = now;
    return true;
  }

  #hello(session: Session, hello: Hello, now: Millis): void {
    session.nodeId = hello.nodeId;
    const admission = this.#seats.admit(session, hello);
    if (admission.type === "rotate") return this.#rotate(admission.detail, now);
    if (admission.type === "refused") return this.#end(session, admission.code, admission.detail);
    this.#letGo(admission.leaver);
    const origin = makeOrigin(hello.nodeId, hello.epoch);
    const asksForAcks = (hello.features & FEATURE_ACK_NOW) !== 0;
    const send = (page: Page): number => {
      session.entriesOut += page.entries.length;
      return this.#send(session, asksForAcks ? page : { ...page, ackNow: false });
    };
    const isAwaited = (): boolean => this.#options.isAwaited?.() === true;
    const outside = { pace: this.#pace, send, isAwaited };
    const outbound = new Outbound(this.#state, session.id, origin, hello.vector, this.#durable, this.#flow, outside);
    session.peer = {
      nodeId: hello.nodeId,
      epoch: hello.epoch,
      origin,
      incarnation: hello.incarnation,
      addresses: hello.addresses,
      outbound,
      inbound: new Inbound(this.#flow),
      asksForAcks,
      clockOffsetMs: hello.wallClock - now,
      frontier: new VersionVector(),
      settling: undefined,
      waiting: undefined,
      mismatches: 0,
      fruitless: 0,
      repairTick: 0,
    };
    const unfinished = this.#unfinished.get(hello.nodeId);
    if (unfinished?.incarnation === hello.incarnation) outbound.resume(unfinished.cursor);
    this.#unfinished.delete(hello.nodeId);
    session.exposedBefore = this.#seats.size > 0 ? this.#durable.lsn : this.#conflicts.exposedLsn;
    session.helloVector = new VersionVector(hello.vector);
    this.#seats.take(hello.nodeId, session);
    for (const [origin, seq] of outbound.acked.above(this.#state.covered)) {
      session.entriesDue += seq - this.#state.covered.get(origin);
    }
    this.#writer.recordAcks(hello.nodeId, outbound.acked);
    // Between our hello and now more may have become durable than it said.
    this.#acks.covered(session, this.#durable.coverage.above(session.told));
    this.#events.push({ type: "up", session: session.id, nodeId: hello.nodeId });
    outbound.hold();
    outbound.connectedTo(new Set(hello.links), this.#tick, this.#durable);
    // It may have grown since our hello left.
    if (this.#state.frontier.size > 0) this.#send(session, { type: "frontier", vector: [...this.#state.frontier] });
    this.#showOwn(session);
    this.#settler.begin(session, session.peer, hello.frontier);
    if ((hello.features & FEATURE_EPHEMERAL) !== 0) this.#ephemeral?.join(session);
    if ((hello.features & FEATURE_SUPPLY) !== 0) this.#suppliers.join(session);
    this.#tellLinks();
  }

  #peerMessage(session: Session, message: Exclude<Message, { type: "hello" | "bye" }>, now: Millis): void {
    const peer = present(session.peer, "a session past hello knows its peer");
    switch (message.type) {
      case "page":
        this.#page(session, peer, message, now);
        return;
      case "ack":
        if (!this.#checkCoverage(session, message.vector)) return;
        peer.outbound.kept(message.kept);
        peer.outbound.acknowledged(message.vector, message.frames, this.#durable);
        return;
      case "digests":
        this.#settler.question(session, peer, message, this.#tick);
        return;
      case "listing":
        this.#settler.answer(session, peer, message, now);
        return;
      case "round":
        if (!this.#collector.receive(session.id, message)) session.reject("absurd-round");
        return;
      case "frontier":
        this.#settler.frontier(session, peer, message.vector);
        return;
      case "links":
        peer.outbound.connectedTo(new Set(message.links), this.#tick, this.#durable);
        this.#ephemeral?.linked(session.id, this.#tick);
        return;
      case "ephemeral":
        if (this.#ephemeral === undefined) session.reject("unknown-message");
        else this.#ephemeral.receive(session, message, this.#tick);
        return;
      case "supply":
        this.#supply(session, peer, message);
        return;
      case "probe":
        peer.clockOffsetMs = message.wallClock - now;
        if (this.#options.repairs !== false) {
          this.#settler.probe(session, peer, message.digest, this.#isQuiet(peer), this.#tick);
        }
        return;
      default:
        unreachable(message);
    }
  }

  #page(session: Session, peer: Peer, page: Page, now: Millis): void {
    const { inbound, outbound } = peer;
    session.entriesIn += page.entries.length;
    this.#acks.came(session, page.ackNow || !peer.asksForAcks);
    const claims: VectorPairs = [...(page.mark ?? []), ...(page.runTo > 0 ? [[peer.origin, page.runTo] as const] : [])];
    if (!this.#checkCoverage(session, claims)) return;
    // What the peer claims to have sent, it has.
    if (claims.length > 0) outbound.acknowledged(claims, 0, this.#durable);
    const wasLive = inbound.live;
    if (!wasLive) this.#reportProgress(session, peer);
    const transfer = inbound.stage(page);
    if (transfer !== undefined) {
      const arrivals = new Arrivals((author) => this.#seats.of(author) !== undefined || author === this.#nodeId);
      this.#apply(session, peer, transfer.entries, transfer.complete, now, wasLive ? arrivals : undefined);
      if (arrivals.byAuthor.size > 0) this.#suppliers.came(session.id, arrivals, this.#tick);
      // What is staged of a page is not applied.
      if (inbound.stagedPages <= 1) session.framesApplied = session.framesReceived - inbound.stagedPages;
    }
    if (this.#sessions.get(session.id) !== session) return;
    if (!wasLive && inbound.live) {
      this.#events.push({ type: "live", session: session.id, nodeId: peer.nodeId });
      // Whoever waits for its turn need not wait for the tick as well.
      this.#settler.tick(this.#sessions.values(), this.#tick);
    }
    this.#acks.dealtWith(session);
  }

  /** Of itself nobody is asked to be silent, and our own writes we know to send. */
  #supply(session: Session, peer: Peer, { prune, graft }: Supply): void {
    if (prune.includes(this.#nodeId) || prune.includes(peer.nodeId)) session.reject("absurd-supply");
    else peer.outbound.supply(prune, graft, this.#tick, this.#durable);
  }

  #reportProgress({ id, entriesIn, entriesDue }: Session, { nodeId }: Peer): void {
    const entriesTotal = Math.max(entriesIn, entriesDue);
    this.#events.push({ type: "progress", session: id, nodeId, entries: entriesIn, entriesTotal });
  }

  #checkCoverage(session: Session, pairs: VectorPairs): boolean {
    if (isPlausible(pairs, this.#state.origin, this.#state.nextSeq)) return true;
    session.reject("absurd-coverage");
    this.#end(session, "bad-frame", "it claims coverage that cannot be");
    return false;
  }

  #apply(
    session: Session,
    peer: Peer,
    entries: readonly Entry[],
    complete: boolean,
    now: Millis,
    arrivals?: Arrivals,
  ): void {
    const { origin: own, nextSeq } = this.#state;
    if (entries.some(({ origin, seq }) => origin === own && seq >= nextSeq)) {
      return this.#rotate(`"${peer.nodeId}" has writes of ours that we have not made`, now);
    }
    const { inbound } = peer;
    const meets = (entry: Entry, wins: boolean): void => {
      this.#conflicts.meet(entry, wins, session, this.#durable.lsn, this.#writer.now(now));
    };
    // That a member announces itself says nothing about the ways of what it will write.
    const brings = ({ key, origin }: Entry, isNew: boolean): void => {
      if (!isMemberKey(key)) arrivals?.note(origin, isNew);
    };
    const outcome = {
      peer: peer.nodeId,
      meets: this.#conflicts.isListening ? meets : undefined,
      refused: (entry: Entry, reason: RefusalReason): void => {
        session.reject(reason);
        inbound.refuse(entry);
      },
      accepted: (entry: Entry): void => inbound.accept(entry),
      brings: arrivals === undefined ? undefined : brings,
    };
    const claims = (): VectorPairs => (complete ? inbound.takeClaims(peer.origin, this.#state.covered) : []);
    this.#writer.apply(entries, session.id, now, outcome, claims);
    if (this.#memberWrite !== undefined) this.#writer.keep(this.#memberWrite, now);
  }

  #drop(dead: readonly Entry[], now: Millis): void {
    this.#writer.drop(dead, now);
    // An evicted replica that comes back has lost its record: it announces itself again.
    if (this.#memberWrite !== undefined) this.#writer.keep(this.#memberWrite, now);
  }

  #adopt(session: Session, peer: Peer, now: Millis): void {
    if (!peer.inbound.isStaging) this.#apply(session, peer, [], true, now);
  }

  /** Neither has anything for the other, as far as we know. */
  #isQuiet({ inbound, outbound }: Peer): boolean {
    const isLive = inbound.live && outbound.phase === "live";
    const isIdle = this.#isSettled && !inbound.isStaging && !inbound.isRefusing && outbound.waits === 0;
    return isLive && isIdle && outbound.isCaughtUp && !outbound.isAhead(this.#durable);
  }

  /** Nothing is on its way to the disk: what came was dealt with. */
  get #isSettled(): boolean {
    return this.#recordsInFlight === 0 && !this.#writer.hasReady;
  }

  /** Tries refused entries again: a stamp comes due, room is made. */
  #retryRefused(session: Session, peer: Peer, now: Millis): void {
    if (peer.inbound.refusedCount === 0 || peer.inbound.isStaging) return;
    this.#apply(session, peer, [...peer.inbound.refused], true, now);
  }

  /** Takes a new epoch because sequence numbers of the old one are in doubt. Every session starts again. */
  #rotate(why: string, now: Millis): void {
    const { origin } = this.#state;
    this.#writer.rotate(this.#options.nextEpoch(epochOf(origin)), now);
    this.#durable.coverage.replace(origin, this.#state.covered.get(origin));
    this.#events.push({ type: "rotated", detail: `${why}: "${nodeIdOf(origin)}" goes on under a new epoch` });
    for (const session of [...this.#sessions.values()]) this.#end(session, "new-epoch", why);
    this.#unfinished.clear();
    // What was authored again under its old stamps has been seen before.
    this.#conflicts.expose(this.#state.lsn);
  }

  // ---- small sends ---------------------------------------------------------------------------

  #tellFrontier(): void {
    if (this.#frontierTold === this.#writer.frontierVersion) return;
    this.#frontierTold = this.#writer.frontierVersion;
    const vector = [...this.#state.frontier];
    for (const session of this.#seats.sessions) this.#send(session, { type: "frontier", vector });
  }

  #tellLinks(): void {
    const links = this.#seats.nodeIds;
    for (const session of this.#seats.sessions) this.#send(session, { type: "links", links });
  }

  #send(session: Session, message: Message): number {
    session.framesSent += 1;
    session.lastSentTick = this.#tick;
    this.#outgoing.push({ session: session.id, frame: session.framesSent, message });
    return session.framesSent;
  }

  #letGo(leaver: Leaver | undefined): void {
    if (leaver !== undefined) this.#end(leaver.session, leaver.code, leaver.detail);
  }

  #end(session: Session, code: ByeCode, detail: string): void {
    this.#send(session, { type: "bye", code, detail });
    this.#finish(session, code, detail);
  }

  #finish(session: Session, code: string, detail: string): void {
    const wasUp = session.peer !== undefined;
    const named = session.nodeId === undefined ? {} : { nodeId: session.nodeId };
    this.#events.push({ type: "end", session: session.id, code, detail, wasUp, ...named });
    this.#forget(session);
  }

  /** Drops a session. What the peer has acknowledged is kept in the state, for when it comes back. */
  #forget(session: Session): void {
    this.#sessions.delete(session.id);
    for (const [reason, count] of Object.entries(session.rejects)) {
      this.#rejectsBefore.set(reason, (this.#rejectsBefore.get(reason) ?? 0) + count);
    }
    this.#acks.forget(session.id);
    this.#settler.forget(session.id);
    this.#collector.forget(session.id);
    this.#ephemeral?.leave(session.id);
    this.#suppliers.leave(session.id);
    const { peer } = session;
    if (peer === undefined || !this.#seats.leave(peer.nodeId, session)) return;
    this.#conflicts.expose(this.#durable.lsn);
    const { resumableCursor: cursor } = peer.outbound;
    if (cursor > 0) this.#unfinished.set(peer.nodeId, { incarnation: peer.incarnation, cursor });
    this.#writer.recordAcks(peer.nodeId, peer.outbound.acked);
    this.#tellLinks();
  }
}
