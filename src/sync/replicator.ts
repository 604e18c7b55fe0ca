/**
 * The protocol: local writes, messages and ticks go in, records to make durable and messages to send
 * come out. Pure and synchronous; the driver brings bytes, time and randomness.
 *
 * PROTOCOL.md describes what it does and why it is sound.
 */
import { refusal, type AdmissionLimits, type RefusalReason } from "../core/admission.ts";
import type { CoreState } from "../core/core-state.ts";
import type { StateOp } from "../core/ops.ts";
import { NO_SLOT } from "../core/table.ts";
import { VersionVector, type VectorPairs } from "../core/version-vector.ts";
import { HybridLogicalClock, stampAt } from "../hybrid-logical-clock.ts";
import { assert, present, unreachable } from "../invariant.ts";
import { LEASE_MS, LEASE_SEQS, ORIGINS_MAX, PEERS_MAX } from "../limits.ts";
import {
  epochOf,
  makeOrigin,
  nodeIdOf,
  type Entry,
  type Epoch,
  type Lsn,
  type Millis,
  type NodeId,
  type Stamp,
} from "../types.ts";
import type { Change, Outgoing, Ready, SessionEvent, SessionId } from "./committed.ts";
import { FLOW_LIMITS, type FlowLimits } from "./flow.ts";
import { Inbound } from "./inbound.ts";
import {
  PROTOCOL_VERSION_MAX,
  PROTOCOL_VERSION_MIN,
  type ByeCode,
  type Hello,
  type Message,
  type Page,
} from "./messages.ts";
import { Outbound, type Durable } from "./outbound.ts";
import { Pending } from "./pending.ts";
import { Session } from "./session.ts";

/** The driver calls `tick` this often. All waiting is counted in ticks, so that a clock that jumps does no harm. */
export const TICK_MS = 50;
const PROBE_TICKS = 5000 / TICK_MS;
const SILENT_TICKS = 15_000 / TICK_MS;
const RETRY_REFUSED_TICKS = 1000 / TICK_MS;
/** A sequence number that no replica reaches by writing: whoever claims it is broken. */
const SEQ_ABSURD = 2 ** 50;

export interface ReplicatorOptions {
  readonly state: CoreState;
  readonly clusterId: string;
  /** 16 hex digits, new for each process. */
  readonly incarnation: string;
  /** The last process may have issued up to its lease what the log does not show. */
  readonly unclean: boolean;
  readonly limits: AdmissionLimits;
  /** Whether the key and the value of a peer's entry can be decoded. */
  readonly isReadable: (entry: Entry) => boolean;
  /** For tests. Default: FLOW_LIMITS. */
  readonly flow?: FlowLimits;
  /** An epoch that sorts above `epoch`. */
  readonly nextEpoch: (epoch: Epoch) => Epoch;
}

/** One write of a local batch. */
export interface LocalWrite {
  readonly key: Uint8Array;
  /** `null` deletes. */
  readonly value: Uint8Array | null;
  /** 0: never. */
  readonly expiresAt: Millis;
}

export class Replicator {
  readonly #options: ReplicatorOptions;
  readonly #state: CoreState;
  readonly #clock: HybridLogicalClock;
  readonly #pending: Pending;
  readonly #sessions = new Map<SessionId, Session>();
  /** The session in use for each peer. */
  readonly #sessionByPeer = new Map<NodeId, Session>();
  readonly #durable: { lsn: Lsn; readonly coverage: VersionVector };
  readonly #openedLsn: Lsn;
  #addresses: readonly string[] = [];
  #outgoing: Outgoing[] = [];
  #events: SessionEvent[] = [];
  /** Coverage that became durable and was not yet told, by session. */
  readonly #untold = new Map<SessionId, VersionVector>();
  #tick = 0;
  #memberWrite: LocalWrite | undefined;

  constructor(options: ReplicatorOptions) {
    const { state } = options;
    this.#options = options;
    this.#state = state;
    this.#clock = new HybridLogicalClock(Math.max(state.lease.stamp, state.highestStamp));
    this.#pending = new Pending(state);
    this.#durable = { lsn: state.lsn, coverage: state.covered.clone() };
    this.#openedLsn = state.lsn;
    if (options.unclean) this.#skipLease();
  }

  // ---- reading -------------------------------------------------------------------------------

  get sessions(): IterableIterator<Session> {
    return this.#sessions.values();
  }

  get durable(): Durable {
    return this.#durable;
  }

  sessionOf(nodeId: NodeId): Session | undefined {
    return this.#sessionByPeer.get(nodeId);
  }

  /** The time by which entries expire. Never goes back. */
  now(wallClock: Millis): Millis {
    return this.#clock.now(wallClock);
  }

  /** The highest stamp seen or issued. */
  get lastStamp(): Stamp {
    return this.#clock.last;
  }

  // ---- out -----------------------------------------------------------------------------------

  /** The next record to make durable. */
  takeReady(): Ready | undefined {
    return this.#pending.take();
  }

  get hasReady(): boolean {
    return !this.#pending.isEmpty;
  }

  /** Messages to send now, in this order. */
  takeOutgoing(): Outgoing[] {
    const taken = this.#outgoing;
    if (taken.length > 0) this.#outgoing = [];
    return taken;
  }

  takeEvents(): SessionEvent[] {
    const taken = this.#events;
    if (taken.length > 0) this.#events = [];
    return taken;
  }

  // ---- in: local -----------------------------------------------------------------------------

  /** Why a local batch may not be written, or `undefined`. Changes nothing. */
  writeRefusal(writes: readonly LocalWrite[], now: Millis): RefusalReason | undefined {
    const { table, origin } = this.#state;
    let keys = table.size;
    let bytes = table.bytes;
    for (const { key, value, expiresAt } of writes) {
      const isPresent = table.find(key) !== NO_SLOT;
      const entry: Entry = { key, value, stamp: stampAt(now), origin, seq: 1, expiresAt };
      const reason = refusal(entry, this.#options.limits, { keys, bytes, present: isPresent }, now);
      if (reason !== undefined) return reason;
      if (!isPresent) keys += 1;
      bytes += key.length + (value?.length ?? 0);
    }
    return undefined;
  }

  /**
   * Writes a batch: one stamp, consecutive sequence numbers, one record. Keys are distinct, and
   * deletes of what is absent have been left out by the caller.
   */
  write(writes: readonly LocalWrite[], now: Millis): readonly Entry[] {
    assert(writes.length > 0, "a batch holds a write");
    const stamp = this.#clock.tick(now);
    const { origin } = this.#state;
    let seq = this.#state.nextSeq;
    const entries = writes.map(({ key, value, expiresAt }) => ({ key, value, stamp, origin, seq: seq++, expiresAt }));
    this.#commit(entries, now);
    return entries;
  }

  /**
   * Announces where this replica can be dialed, in hello and in its member record, which it writes
   * when it differs from the present one, also when somebody else has overwritten it.
   */
  announce(addresses: readonly string[], record: { key: Uint8Array; value: Uint8Array }, now: Millis): void {
    this.#addresses = addresses;
    this.#memberWrite = { ...record, expiresAt: 0 };
    this.#keepMemberRecord(now);
  }

  // ---- in: durability ------------------------------------------------------------------------

  /** The record is durable: passes it on to peers and acknowledges it. */
  persisted(ready: Ready): void {
    assert(ready.lsn === this.#durable.lsn, "records become durable in order");
    this.#durable.lsn = ready.end;
    for (const [origin, seq] of ready.coverage) this.#durable.coverage.raise(origin, seq);
    for (const session of this.#sessionByPeer.values()) {
      // Of our own origin, marks and runs tell.
      for (const [origin, seq] of ready.coverage) {
        if (origin !== this.#state.origin) this.#untoldTo(session).raise(origin, seq);
      }
      session.peer?.outbound.forward(ready, this.#durable, this.#tick);
      if (session.owesAck) this.#ack(session);
    }
  }

  // ---- in: connections -----------------------------------------------------------------------

  connect(id: SessionId, dialed: boolean, now: Millis): void {
    const session = new Session(id, dialed, this.#tick, now, this.#durable.coverage.clone());
    this.#sessions.set(id, session);
    if (this.#sessions.size > PEERS_MAX) {
      this.#end(session, "too-many-peers", `more than ${PEERS_MAX} connections`);
      return;
    }
    this.#send(session, {
      type: "hello",
      versionMin: PROTOCOL_VERSION_MIN,
      versionMax: PROTOCOL_VERSION_MAX,
      clusterId: this.#options.clusterId,
      nodeId: nodeIdOf(this.#state.origin),
      epoch: epochOf(this.#state.origin),
      incarnation: this.#options.incarnation,
      vector: [...session.told],
      addresses: this.#addresses,
      links: [...this.#sessionByPeer.keys()],
      wallClock: now,
    });
  }

  /** The channel has closed. */
  disconnect(id: SessionId): void {
    const session = this.#sessions.get(id);
    if (session !== undefined) this.#forget(session);
  }

  /** Says goodbye to everybody. */
  closeSessions(): void {
    for (const session of [...this.#sessions.values()]) this.#end(session, "closing", "the replica closes");
  }

  nodeIdOf(id: SessionId): NodeId | undefined {
    return this.#sessions.get(id)?.peer?.nodeId;
  }

  /** A frame could not be decoded. */
  receiveBad(id: SessionId, reason: string): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    session.reject("bad-frame");
    this.#end(session, "bad-frame", reason);
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

  /** Called every TICK_MS: ends waits, expires entries, tells acks, probes silent peers and drops dead ones. */
  tick(now: Millis): void {
    this.#tick += 1;
    this.#expire(now);
    for (const session of [...this.#sessions.values()]) {
      if (this.#tick - session.lastReceivedTick > SILENT_TICKS) {
        this.#end(session, "silent", `nothing received for ${(SILENT_TICKS * TICK_MS) / 1000} s`);
        continue;
      }
      const { peer } = session;
      if (peer === undefined) continue;
      peer.outbound.tick(this.#tick, this.#durable);
      if (this.#tick % RETRY_REFUSED_TICKS === 0 && peer.inbound.refusedCount > 0) this.#retryRefused(session, now);
      if (session.owesAck || this.#untold.has(session.id)) this.#ack(session);
      if (peer.outbound.acked.dominates(this.#durable.coverage)) session.caughtUpAt = now;
      if (this.#tick - session.lastSentTick >= PROBE_TICKS) {
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
    const refused = this.#helloRefusal(session, hello, now);
    if (refused !== undefined) {
      this.#end(session, refused.code, refused.detail);
      return;
    }
    const origin = makeOrigin(hello.nodeId, hello.epoch);
    const flow = this.#options.flow ?? FLOW_LIMITS;
    const send = (page: Page): number => this.#send(session, page);
    const outbound = new Outbound(this.#state, session.id, origin, hello.vector, flow, send);
    session.peer = {
      nodeId: hello.nodeId,
      epoch: hello.epoch,
      origin,
      incarnation: hello.incarnation,
      addresses: hello.addresses,
      outbound,
      inbound: new Inbound(flow),
      links: new Set(hello.links),
      clockOffsetMs: hello.wallClock - now,
    };
    this.#sessionByPeer.set(hello.nodeId, session);
    // Between our hello and now more may have become durable than it said.
    const untold = this.#durable.coverage.above(session.told);
    if (untold.length > 0) this.#untold.set(session.id, new VersionVector(untold));
    this.#events.push({ type: "up", session: session.id, nodeId: hello.nodeId });
    outbound.connectedTo(this.#authorsFor(session), this.#tick, this.#durable);
    outbound.pump(this.#durable);
    this.#tellLinks();
  }

  #helloRefusal(session: Session, hello: Hello, now: Millis): { code: ByeCode; detail: string } | undefined {
    const own = this.#state.origin;
    if (session.peer !== undefined) return { code: "bad-frame", detail: "a second hello" };
    if (hello.versionMin > PROTOCOL_VERSION_MAX || hello.versionMax < PROTOCOL_VERSION_MIN) {
      const theirs = `${hello.versionMin} to ${hello.versionMax}`;
      const ours = `${PROTOCOL_VERSION_MIN} to ${PROTOCOL_VERSION_MAX}`;
      return {
        code: "protocol-version",
        detail: `"${hello.nodeId}" speaks protocol ${theirs}, "${nodeIdOf(own)}" speaks ${ours}: upgrade the older one`,
      };
    }
    if (hello.clusterId !== this.#options.clusterId) {
      const detail = `"${hello.nodeId}" is of cluster "${hello.clusterId}", "${nodeIdOf(own)}" of "${this.#options.clusterId}"`;
      return { code: "cluster-mismatch", detail };
    }
    if (hello.nodeId === nodeIdOf(own)) {
      if (hello.incarnation === this.#options.incarnation)
        return { code: "self", detail: "this is the replica itself" };
      if (hello.epoch === epochOf(own)) this.#rotate("another live replica has the same origin", now);
      return {
        code: "identity-clash",
        detail: `two replicas are named "${hello.nodeId}": give one of them another nodeId`,
      };
    }
    if (hello.vector.some(([origin, seq]) => origin === own && seq >= this.#state.nextSeq)) {
      // A rolled back disk: peers hold writes of ours that we do not remember.
      this.#rotate(`"${hello.nodeId}" covers more of our writes than we have made`, now);
      return { code: "identity-clash", detail: "this replica was rolled back and takes a new epoch" };
    }
    const other = this.#sessionByPeer.get(hello.nodeId);
    if (other === undefined) return undefined;
    if (this.#survives(session, hello, other)) {
      this.#end(other, "duplicate", "another connection to the same replica is used");
      return undefined;
    }
    return { code: "duplicate", detail: "another connection to the same replica is used" };
  }

  /** Which of two connections to one peer is kept: both ends must decide alike. */
  #survives(session: Session, hello: Hello, other: Session): boolean {
    if (present(other.peer, "a session in use knows its peer").incarnation !== hello.incarnation) return true;
    if (session.dialed === other.dialed) return true;
    const dialer = session.dialed ? nodeIdOf(this.#state.origin) : hello.nodeId;
    const acceptor = session.dialed ? hello.nodeId : nodeIdOf(this.#state.origin);
    return dialer < acceptor;
  }

  #peerMessage(session: Session, message: Exclude<Message, { type: "hello" | "bye" }>, now: Millis): void {
    const peer = present(session.peer, "a session past hello knows its peer");
    switch (message.type) {
      case "page":
        this.#page(session, message, now);
        return;
      case "ack":
        if (!this.#plausible(session, message.vector)) return;
        peer.outbound.acknowledged(message.vector, message.frames, this.#durable);
        return;
      case "links":
        peer.links = new Set(message.links);
        peer.outbound.connectedTo(this.#authorsFor(session), this.#tick, this.#durable);
        return;
      case "probe":
        peer.clockOffsetMs = message.wallClock - now;
        return;
      default:
        unreachable(message);
    }
  }

  #page(session: Session, page: Page, now: Millis): void {
    const peer = present(session.peer, "a session past hello knows its peer");
    session.owesAck = true;
    if (page.mark !== null && !this.#plausible(session, page.mark)) return;
    if (!this.#plausible(session, [[peer.origin, page.runTo]])) return;
    // What the peer claims to have sent, it has.
    if (page.mark !== null) peer.outbound.acknowledged(page.mark, 0, this.#durable);
    if (page.runTo > 0) peer.outbound.acknowledged([[peer.origin, page.runTo]], 0, this.#durable);
    const wasLive = peer.inbound.live;
    const transfer = peer.inbound.stage(page);
    if (transfer !== undefined) this.#apply(session, transfer.entries, transfer.complete, now);
    if (this.#sessions.get(session.id) !== session) return;
    if (!wasLive && peer.inbound.live) this.#events.push({ type: "live", session: session.id, nodeId: peer.nodeId });
    if (!this.hasReady) this.#ack(session);
  }

  /** Claims about our own future, or beyond what anybody can have written, are not coverage: the session ends. */
  #plausible(session: Session, pairs: VectorPairs): boolean {
    for (const [origin, seq] of pairs) {
      const ahead = origin === this.#state.origin && seq >= this.#state.nextSeq;
      if (!ahead && seq < SEQ_ABSURD) continue;
      session.reject("absurd-coverage");
      this.#end(session, "bad-frame", `coverage ${seq} of ${origin} cannot be`);
      return false;
    }
    return true;
  }

  /** Applies a transfer in one step, then adopts what it claims. */
  #apply(session: Session, entries: readonly Entry[], complete: boolean, now: Millis): void {
    const { peer } = session;
    assert(peer !== undefined, "a session past hello knows its peer");
    if (entries.some(({ origin, seq }) => origin === this.#state.origin && seq >= this.#state.nextSeq)) {
      this.#rotate(`"${peer.nodeId}" has writes of ours that we have not made`, now);
      return;
    }
    const unit = new UnitBuilder();
    const expiryNow = this.#clock.now(now);
    for (const entry of entries) {
      if (!this.#state.covered.covers(entry.origin, entry.seq)) {
        const reason = this.#refusal(entry, now);
        if (reason !== undefined) {
          session.reject(reason);
          peer.inbound.refuse(entry);
          continue;
        }
        this.#clock.observe(entry.stamp);
        if (this.#state.isWinner(entry)) this.#set(entry, false, expiryNow, unit);
      }
      peer.inbound.accept(entry);
    }
    if (complete) {
      for (const [origin, seq] of peer.inbound.takeClaims(peer.origin, this.#state.covered)) {
        if (!this.#state.covered.covers(origin, seq)) this.#execute({ type: "cover", origin, seq }, unit);
      }
    }
    this.#finishUnit(unit, session.id, 0);
    this.#keepMemberRecord(now);
  }

  #refusal(entry: Entry, now: Millis): RefusalReason | undefined {
    const { table, covered } = this.#state;
    if (!this.#options.isReadable(entry)) return "unreadable";
    if (covered.size >= ORIGINS_MAX && covered.get(entry.origin) === 0) return "store-full";
    const size = { keys: table.size, bytes: table.bytes, present: table.find(entry.key) !== NO_SLOT };
    return refusal(entry, this.#options.limits, size, now);
  }

  #retryRefused(session: Session, now: Millis): void {
    const { inbound } = present(session.peer, "a session past hello knows its peer");
    if (!inbound.isStaging) this.#apply(session, [...inbound.refused], true, now);
  }

  #commit(entries: readonly Entry[], now: Millis): void {
    const unit = new UnitBuilder();
    const expiryNow = this.#clock.now(now);
    // Ahead of the sets: what they use of it is never durable without it.
    this.#takeLease(entries.length, unit);
    for (const entry of entries) this.#set(entry, true, expiryNow, unit);
    this.#finishUnit(unit, undefined, 0);
  }

  #set(entry: Entry, local: boolean, expiryNow: Millis, unit: UnitBuilder): void {
    const previous = this.#visible(entry.key, expiryNow);
    this.#execute({ type: "set", entry }, unit);
    unit.entries.push(entry);
    const kind = entry.value === null ? "delete" : "put";
    unit.changes.push({ kind, entry, previous, local, lsn: this.#state.lsn });
  }

  #execute(op: StateOp, unit: UnitBuilder): void {
    this.#state.execute(op);
    unit.ops.push(op);
  }

  #finishUnit(unit: UnitBuilder, via: SessionId | undefined, writes: number): void {
    this.#takeLease(writes, unit);
    if (unit.ops.length === 0) return;
    const { ops, entries, changes } = unit;
    this.#pending.add({ ops, batch: { entries, via }, changes });
  }

  /** The value that a reader sees, copied; `null` if none. */
  #visible(key: Uint8Array, now: Millis): Uint8Array | null {
    const { table } = this.#state;
    const slot = table.find(key);
    if (slot === NO_SLOT) return null;
    const expiresAt = table.expiresAt(slot);
    if (expiresAt > 0 && expiresAt <= now) return null;
    return table.valueAt(slot)?.slice() ?? null;
  }

  /** Raises the lease in the record of the first write that needs it, so that nothing is issued beyond a durable one. */
  #takeLease(writes: number, unit: UnitBuilder): void {
    const { lease, nextSeq } = this.#state;
    if (nextSeq + writes <= lease.seq && this.#clock.last <= lease.stamp) return;
    const stamp = Math.max(lease.stamp, this.#clock.last + stampAt(LEASE_MS));
    this.#execute({ type: "lease", seq: nextSeq + writes + LEASE_SEQS, stamp }, unit);
  }

  /**
   * Leaves out the sequence numbers that the last process may have used for writes that did not become
   * durable. Nobody saw those writes, so that to cover them claims nothing.
   */
  #skipLease(): void {
    const { origin, lease, nextSeq } = this.#state;
    if (lease.seq <= nextSeq) return;
    const unit = new UnitBuilder();
    this.#execute({ type: "cover", origin, seq: lease.seq - 1 }, unit);
    this.#finishUnit(unit, undefined, 0);
  }

  #keepMemberRecord(now: Millis): void {
    const write = this.#memberWrite;
    if (write === undefined) return;
    const { table, origin } = this.#state;
    const slot = table.find(write.key);
    const held = slot === NO_SLOT ? null : table.valueAt(slot);
    const ours = slot !== NO_SLOT && table.originAt(slot) === origin;
    if (held !== null && write.value !== null && Buffer.compare(held, write.value) === 0 && ours) return;
    this.write([write], now);
  }

  #expire(now: Millis): void {
    const { table } = this.#state;
    const ops: StateOp[] = [];
    const changes: Change[] = [];
    for (const slot of table.expired(this.#clock.now(now), 1000)) {
      const entry = this.#state.entryAt(slot);
      const op: StateOp = { type: "expire", key: entry.key, origin: entry.origin, seq: entry.seq };
      ops.push(op);
      changes.push({
        kind: "expire",
        entry: { ...entry, value: null },
        previous: entry.value,
        local: entry.origin === this.#state.origin,
        lsn: table.lsnAt(slot),
      });
    }
    if (ops.length === 0) return;
    for (const op of ops) this.#state.execute(op);
    this.#pending.add({ ops, changes });
  }

  /**
   * Takes a new epoch, because sequence numbers of the old one are in doubt. What was written since the
   * directory was opened is authored again with its own stamps; older writes may be dead elsewhere and
   * are left alone. Every session starts again under the new identity.
   */
  #rotate(why: string, now: Millis): void {
    const old = this.#state.origin;
    const epoch = this.#options.nextEpoch(epochOf(old));
    const again: Entry[] = [];
    for (let slot = this.#state.table.nextChange(this.#openedLsn); slot !== NO_SLOT; ) {
      const entry = this.#state.entryAt(slot);
      if (entry.origin === old) again.push(entry);
      slot = this.#state.table.nextChange(this.#state.table.lsnAt(slot));
    }
    const rotate: StateOp = { type: "rotate", epoch };
    this.#state.execute(rotate);
    this.#pending.add({ ops: [rotate] });
    let seq = this.#state.nextSeq;
    const { origin } = this.#state;
    if (again.length > 0)
      this.#commit(
        again.map((entry) => ({ ...entry, origin, seq: seq++ })),
        now,
      );
    this.#events.push({ type: "rotated", detail: `${why}: "${nodeIdOf(old)}" goes on under a new epoch` });
    for (const session of [...this.#sessions.values()]) this.#end(session, "identity-clash", why);
  }

  // ---- small sends ---------------------------------------------------------------------------

  #ack(session: Session): void {
    const vector = this.#untold.get(session.id);
    this.#untold.delete(session.id);
    session.owesAck = false;
    this.#send(session, {
      type: "ack",
      frames: session.framesReceived,
      vector: vector === undefined ? [] : [...vector],
    });
  }

  #untoldTo(session: Session): VersionVector {
    let vector = this.#untold.get(session.id);
    if (vector === undefined) {
      vector = new VersionVector();
      this.#untold.set(session.id, vector);
    }
    return vector;
  }

  /** The replicas whose writes the peer gets from themselves, ours aside. */
  #authorsFor(session: Session): ReadonlySet<NodeId> {
    return session.peer?.links ?? new Set();
  }

  #tellLinks(): void {
    const links = [...this.#sessionByPeer.keys()];
    for (const session of this.#sessionByPeer.values()) this.#send(session, { type: "links", links });
  }

  #send(session: Session, message: Message): number {
    session.framesSent += 1;
    session.lastSentTick = this.#tick;
    this.#outgoing.push({ session: session.id, frame: session.framesSent, message });
    return session.framesSent;
  }

  #end(session: Session, code: ByeCode, detail: string): void {
    this.#send(session, { type: "bye", code, detail });
    this.#finish(session, code, detail);
  }

  #finish(session: Session, code: string, detail: string): void {
    const nodeId = session.peer?.nodeId;
    this.#events.push({ type: "end", session: session.id, code, detail, ...(nodeId === undefined ? {} : { nodeId }) });
    this.#forget(session);
  }

  /** Drops a session. What the peer has acknowledged is kept in the state, for when it comes back. */
  #forget(session: Session): void {
    this.#sessions.delete(session.id);
    this.#untold.delete(session.id);
    const { peer } = session;
    if (peer === undefined || this.#sessionByPeer.get(peer.nodeId) !== session) return;
    this.#sessionByPeer.delete(peer.nodeId);
    const unit = new UnitBuilder();
    for (const [origin, seq] of peer.outbound.acked.above(this.#state.acked.get(peer.nodeId) ?? new VersionVector())) {
      this.#execute({ type: "ack", peer: peer.nodeId, origin, seq }, unit);
    }
    this.#finishUnit(unit, undefined, 0);
    this.#tellLinks();
  }
}

/** What one step executes, on its way to becoming a unit of a record. */
class UnitBuilder {
  readonly ops: StateOp[] = [];
  readonly entries: Entry[] = [];
  readonly changes: Change[] = [];
}
