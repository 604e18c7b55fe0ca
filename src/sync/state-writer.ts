/**
 * Everything that changes the state: local batches, what peers bring, coverage, expiry, leases, a new
 * epoch. Each step executes its ops at once and hands them over as one unit of the next record.
 */
import { type AdmissionLimits, type RefusalReason, refusal } from "../core/admission.ts";
import type { CoreState } from "../core/core-state.ts";
import type { StateOp } from "../core/ops.ts";
import { NO_SLOT, type Slot } from "../core/table.ts";
import { type VectorPairs, VersionVector } from "../core/version-vector.ts";
import { HybridLogicalClock, stampAt } from "../hybrid-logical-clock.ts";
import { assert } from "../invariant.ts";
import { EXPIRE_ENTRIES_MAX, isReserved, LEASE_MS, ORIGINS_MAX } from "../limits.ts";
import {
  type Entry,
  type Epoch,
  type Lsn,
  type Millis,
  makeOrigin,
  type NodeId,
  nodeIdOf,
  type Origin,
  type Seq,
  type Stamp,
} from "../types.ts";
import type { Change, Ready, SessionId } from "./committed.ts";
import { Pending } from "./pending.ts";

/** One write of a local batch. */
export interface LocalWrite {
  readonly key: Uint8Array;
  /** `null` deletes. */
  readonly value: Uint8Array | null;
  /** 0: never. */
  readonly expiresAt: Millis;
}

export interface StateWriterOptions {
  readonly state: CoreState;
  readonly limits: AdmissionLimits;
  /** Whether the key and the value of a peer's entry can be decoded. */
  readonly isReadable: (entry: Entry) => boolean;
  /**
   * Asked last about every write of a user, local ones (`peer` is undefined) and those of peers; `false` refuses it.
   * Must not change anything.
   */
  readonly admit?: ((entry: Entry, peer: NodeId | undefined) => boolean) | undefined;
  /** Whether anybody looks at changes now; if not, only those of reserved keys are kept. Default: always. */
  readonly isWatched?: () => boolean;
  /** Keys that are parts of what readers see as one entry. Default: there are none. */
  readonly wholes?: Wholes | undefined;
}

/** Entries that are put together from others when they are read (merge kinds). */
export interface Wholes {
  /** The key that readers see, of which the entry with this key is a part; `undefined` if it is none. */
  wholeOf(key: Uint8Array): Uint8Array | undefined;
  /** It as it is now, with the order of its newest part; its value is `null` if readers see none. `undefined`: no parts. */
  entry(whole: Uint8Array): Entry | undefined;
  /** What readers would see of these entries if they were set: the wholes of parts, the others as they are. Changes nothing. */
  seen(entries: readonly Entry[]): readonly Entry[];
}

/** What becomes of the entries of a transfer that are not simply applied. */
export interface TransferOutcome {
  /** Who has sent it. */
  readonly peer: NodeId;
  refused(entry: Entry, reason: RefusalReason): void;
  /** It meets what its key holds, which it will replace or not. Nothing has changed yet. */
  readonly meets?: ((entry: Entry, wins: boolean) => void) | undefined;
  /** The key now holds `entry` or what dominates it. */
  accepted(entry: Entry): void;
  /** It replaces what its key holds; or (`isNew` is false) it was covered, or is what its key holds. */
  readonly brings?: ((entry: Entry, isNew: boolean) => void) | undefined;
}

export class StateWriter {
  readonly #state: CoreState;
  readonly #limits: AdmissionLimits;
  readonly #isReadable: (entry: Entry) => boolean;
  readonly #isWatched: () => boolean;
  readonly #admit: StateWriterOptions["admit"];
  readonly #wholes: Wholes | undefined;
  readonly #clock: HybridLogicalClock;
  readonly #pending: Pending;
  /** What there was when the directory was opened. */
  readonly #opened: { readonly origin: Origin; readonly seq: Seq; readonly lsn: Lsn };
  /** The latest time by which somebody may have seen an entry expired that still has its value. */
  #expiredAt: Millis = 0;
  #changeNumber = 0;
  /** See `keep`. */
  #kept: LocalWrite | undefined;
  #hasExpired = false;

  constructor({ state, limits, isReadable, isWatched = () => true, admit, wholes }: StateWriterOptions) {
    this.#state = state;
    this.#limits = limits;
    this.#isReadable = isReadable;
    this.#isWatched = isWatched;
    this.#admit = admit;
    this.#wholes = wholes;
    this.#clock = new HybridLogicalClock(Math.max(state.lease, state.highestStamp));
    this.#pending = new Pending(state);
    this.#opened = { origin: state.origin, seq: state.nextSeq - 1, lsn: state.lsn };
  }

  /** More has expired than one step of `expire` takes. */
  get hasExpired(): boolean {
    return this.#hasExpired;
  }

  /** A whole record waits for the one that is on its way to the disk. */
  get isBehind(): boolean {
    return this.#pending.isLong;
  }

  get hasReady(): boolean {
    return this.#pending.isDue;
  }

  /** Makes a record of what has waited for another one to go with. */
  hurry(): void {
    this.#pending.hurry();
  }

  /** The highest stamp seen or issued. */
  get lastStamp(): Stamp {
    return this.#clock.last;
  }

  /** The number of the last change, see `Change`. */
  get changeNumber(): number {
    return this.#changeNumber;
  }

  /**
   * The time by which entries expire: never before a stamp that was seen here, and it follows the wall clock back only
   * once `expire` has made a tombstone of all that anybody may have seen expired. So nothing that has expired shows again.
   */
  now(wallClock: Millis): Millis {
    this.#expiredAt = Math.max(this.#expiredAt, this.#clock.now(wallClock));
    return this.#expiredAt;
  }

  takeReady(): Ready | undefined {
    return this.#pending.take();
  }

  /** Why a local batch may not be written, or `undefined`. Changes nothing. */
  writeRefusal(writes: readonly LocalWrite[], now: Millis): RefusalReason | undefined {
    const { table, origin } = this.#state;
    let keys = table.size;
    let bytes = table.bytes;
    const toAdmit: Entry[] | undefined = this.#admit === undefined ? undefined : [];
    // Far from the limit it does not matter which keys are new.
    const isRoomy = keys + writes.length <= this.#limits.maxKeys;
    for (const { key, value, expiresAt } of writes) {
      const isPresent = isRoomy || table.find(key) !== NO_SLOT;
      const entry: Entry = { key, value, stamp: stampAt(now), origin, seq: 1, expiresAt };
      const reason = refusal(entry, this.#limits, { keys, bytes, present: isPresent }, now);
      if (reason !== undefined) return reason;
      toAdmit?.push(entry);
      if (!isPresent) keys += 1;
      bytes += key.length + (value?.length ?? 0);
    }
    return toAdmit === undefined ? undefined : this.#admission(toAdmit, undefined);
  }

  /**
   * Writes a batch: one stamp, consecutive sequence numbers, one record. Keys are distinct, and
   * deletes of what is absent have been left out by the caller.
   */
  write(writes: readonly LocalWrite[], now: Millis): readonly Entry[] {
    const first = writes[0];
    assert(first !== undefined, "a batch holds a write");
    const stamp = this.#clock.tick(now);
    const { origin, nextSeq } = this.#state;
    // Most batches hold one write, which is worth no closure.
    const entries =
      writes.length === 1 ? [authored(first, stamp, origin, nextSeq)] : allAuthored(writes, stamp, origin, nextSeq);
    this.#author(entries, now);
    return entries;
  }

  /** From now on the key holds just this, written by us: also when a peer has overwritten it, or it was dropped. */
  keep(write: LocalWrite, now: Millis): void {
    this.#kept = write;
    this.#keepOn(now);
  }

  #keepOn(now: Millis): void {
    const write = this.#kept;
    if (write === undefined) return;
    const { table, origin } = this.#state;
    const slot = table.find(write.key);
    const held = slot === NO_SLOT ? null : table.valueAt(slot);
    const isOurs = slot !== NO_SLOT && table.originAt(slot) === origin;
    if (isOurs && held !== null && write.value !== null && Buffer.compare(held, write.value) === 0) return;
    this.write([write], now);
  }

  /**
   * Applies what a peer has sent, in one step, and then the coverage that goes with it.
   *
   * @param claims  asked for once the entries are applied: what of the peer's claims may be adopted
   */
  apply(
    entries: readonly Entry[],
    via: SessionId,
    now: Millis,
    outcome: TransferOutcome,
    claims: () => VectorPairs,
  ): void {
    const winners: Entry[] = [];
    const unit = new UnitBuilder(winners);
    const expiryNow = this.now(now);
    for (const entry of entries) {
      // Covered means dominated (I2): it is this rule, not the tombstone, that keeps the dead dead.
      const isCovered = this.#state.covered.covers(entry.origin, entry.seq);
      if (!isCovered && this.#state.isWinner(entry)) {
        const reason = this.#refusal(entry, outcome.peer, now);
        if (reason !== undefined) {
          outcome.refused(entry, reason);
          continue;
        }
        this.#clock.observe(entry.stamp);
        outcome.meets?.(entry, true);
        winners.push(entry);
        this.#set(entry, false, expiryNow, unit);
        outcome.brings?.(entry, true);
      } else if (!isCovered) {
        // A loser need not be admitted: what dominates it is here already.
        outcome.meets?.(entry, false);
        if (outcome.brings !== undefined && this.#isHeld(entry)) outcome.brings(entry, false);
      } else outcome.brings?.(entry, false);
      outcome.accepted(entry);
    }
    const { covered } = this.#state;
    for (const [origin, seq] of claims()) {
      const hasRoom = covered.size < ORIGINS_MAX || covered.get(origin) > 0;
      if (hasRoom && !covered.covers(origin, seq)) this.#execute({ type: "cover", origin, seq }, unit);
    }
    this.#takeLease(unit);
    this.#finish(unit, via);
    this.#keepOn(now);
  }

  /**
   * Keeps what a peer covers, for when it is away. Replaces what was known: a peer may have lost what it had. Nobody waits
   * for that, and it waits for a record to go with: a catch-up begins with it, and would end with two syncs, one after the other.
   */
  recordAcks(peer: NodeId, acked: VersionVector): void {
    const unit = new UnitBuilder();
    const known = this.#state.acked.get(peer) ?? new VersionVector();
    for (const [origin, seq] of acked.above(known)) this.#execute({ type: "ack", peer, origin, seq }, unit);
    for (const [origin] of known.above(acked)) {
      this.#execute({ type: "ack", peer, origin, seq: acked.get(origin) }, unit);
    }
    this.#finish(unit, undefined, true);
  }

  /** Forgets tombstones that every member covers. */
  collect(slots: readonly Slot[]): void {
    const { table } = this.#state;
    const unit = new UnitBuilder();
    const frontier = new VersionVector();
    for (const slot of slots) frontier.raise(table.originAt(slot), table.seqAt(slot));
    this.#raiseFrontier(frontier, unit);
    for (const slot of slots) {
      const { key, origin, seq } = this.#state.entryAt(slot);
      this.#execute({ type: "collect", key, origin, seq }, unit);
    }
    this.#finish(unit, undefined);
  }

  /** Drops values that are dead elsewhere, unless they have been replaced meanwhile. */
  drop(dead: readonly Entry[], now: Millis): void {
    const { table } = this.#state;
    const unit = new UnitBuilder();
    const expiryNow = this.now(now);
    for (const { key, origin, seq } of dead) {
      const slot = table.find(key);
      if (slot === NO_SLOT || table.originAt(slot) !== origin || table.seqAt(slot) !== seq) continue;
      const entry = this.#state.entryAt(slot);
      const existed = entry.value !== null && (entry.expiresAt === 0 || entry.expiresAt > expiryNow);
      const isPart = this.#touch(key, undefined, false, unit);
      this.#execute({ type: "collect", key, origin, seq }, unit);
      if (!existed || isPart) continue;
      const gone = { ...entry, value: null };
      const number = ++this.#changeNumber;
      unit.changes.push({
        kind: "delete",
        entry: gone,
        existed,
        previous: entry.value,
        local: false,
        number,
        dropped: true,
      });
    }
    this.#finish(unit, undefined);
    // An evicted replica that comes back has lost its record: it announces itself again.
    this.#keepOn(now);
  }

  /** Demands from now on that who syncs with us covers `pairs`, or settles. */
  raiseFrontier(pairs: VectorPairs): void {
    const unit = new UnitBuilder();
    this.#raiseFrontier(pairs, unit);
    this.#finish(unit, undefined);
  }

  /** Turns what has expired into tombstones, a bounded number at a time. */
  expire(now: Millis): void {
    const { table } = this.#state;
    const unit = new UnitBuilder();
    const slots = table.expired(this.now(now), EXPIRE_ENTRIES_MAX);
    for (const slot of slots) {
      const change = this.#expiryOf(slot);
      const { key, origin, seq } = change.entry;
      this.#execute({ type: "expire", key, origin, seq }, unit);
      unit.changes.push(change);
    }
    // All that anybody has seen expired is a tombstone: a wall clock that was far ahead for a while has no say any more.
    this.#hasExpired = slots.length === EXPIRE_ENTRIES_MAX;
    if (!this.#hasExpired) this.#expiredAt = 0;
    this.#finish(unit, undefined);
  }

  /**
   * Goes on under a new epoch. What was written since the directory was opened is authored again with
   * its own stamps; older writes may be dead elsewhere and are left alone. Peers may have other writes under the numbers
   * that were used since: those we do not cover.
   *
   * @param epoch  sorts above the present one, so that the new versions beat the old ones
   */
  rotate(epoch: Epoch, now: Millis): void {
    const { table, origin: old } = this.#state;
    const again: Entry[] = [];
    for (let slot = table.nextChange(this.#opened.lsn); slot !== NO_SLOT; slot = table.nextChange(table.lsnAt(slot))) {
      if (table.originAt(slot) === old) again.push(this.#state.entryAt(slot));
    }
    const origin = makeOrigin(nodeIdOf(old), epoch);
    const entries = again.map((entry, index) => ({ ...entry, origin, seq: index + 1 }));
    // All in one record: of a crash in between, writes would be left under numbers that are taken for others.
    const unit = new UnitBuilder(entries);
    this.#execute({ type: "uncover", origin: old, seq: old === this.#opened.origin ? this.#opened.seq : 0 }, unit);
    this.#execute({ type: "rotate", epoch }, unit);
    this.#author(entries, now, unit);
  }

  /** Whether its key holds this very write. */
  #isHeld({ key, origin, seq }: Entry): boolean {
    const { table } = this.#state;
    const slot = table.find(key);
    return slot !== NO_SLOT && table.seqAt(slot) === seq && table.originAt(slot) === origin;
  }

  #raiseFrontier(pairs: Iterable<readonly [Origin, Seq]>, unit: UnitBuilder): void {
    for (const [origin, seq] of pairs) {
      if (!this.#state.frontier.covers(origin, seq)) this.#execute({ type: "frontier", origin, seq }, unit);
    }
  }

  #author(entries: readonly Entry[], now: Millis, unit = new UnitBuilder(entries)): void {
    const expiryNow = this.now(now);
    this.#takeLease(unit);
    for (const entry of entries) this.#set(entry, true, expiryNow, unit);
    this.#finish(unit, undefined);
  }

  #refusal(entry: Entry, peer: NodeId, now: Millis): RefusalReason | undefined {
    const { table, covered } = this.#state;
    if (!this.#isReadable(entry)) return "unreadable";
    if (covered.size >= ORIGINS_MAX && covered.get(entry.origin) === 0) return "store-full";
    // Far from the limit it does not matter which keys are new.
    const present = table.size < this.#limits.maxKeys || table.find(entry.key) !== NO_SLOT;
    const size = { keys: table.size, bytes: table.bytes, present };
    return refusal(entry, this.#limits, size, now) ?? this.#admission([entry], peer);
  }

  /** Whether `admit` takes all of them, which are set in one step. */
  #admission(entries: readonly Entry[], peer: NodeId | undefined): RefusalReason | undefined {
    const admit = this.#admit;
    if (admit === undefined) return undefined;
    const seen = this.#wholes?.seen(entries) ?? entries;
    return seen.every((entry) => isReserved(entry.key) || admit(entry, peer)) ? undefined : "admit";
  }

  #set(entry: Entry, local: boolean, expiryNow: Millis, unit: UnitBuilder): void {
    const isPart = this.#touch(entry.key, entry, local, unit);
    if (isPart || (!this.#isWatched() && !isReserved(entry.key))) {
      this.#execute({ type: "set", entry }, unit);
      return;
    }
    const { table } = this.#state;
    const slot = table.find(entry.key);
    const hadValue = slot !== NO_SLOT && !table.isTombstone(slot);
    const expiresAt = hadValue ? table.expiresAt(slot) : 0;
    const existed = hadValue && (expiresAt === 0 || expiresAt > expiryNow);
    // Its time was over, and now no tick will find it: whoever watches is to hear of it all the same.
    if (hadValue && !existed) unit.changes.push(this.#expiryOf(slot));
    const previous = existed ? (table.valueAt(slot)?.slice() ?? null) : null;
    this.#execute({ type: "set", entry }, unit);
    const kind = entry.value === null ? "delete" : "put";
    unit.changes.push({ kind, entry, existed, previous, local, number: ++this.#changeNumber });
  }

  /** The change that readers saw when the time of an entry was over. */
  #expiryOf(slot: Slot): Change {
    const entry = this.#state.entryAt(slot);
    return {
      kind: "expire",
      entry: { ...entry, value: null },
      existed: true,
      previous: entry.value,
      local: entry.origin === this.#state.origin,
      number: ++this.#changeNumber,
    };
  }

  /** Raises the lease in the record of the first write that needs it: no stamp is issued beyond a durable one. */
  #takeLease(unit: UnitBuilder): void {
    if (this.#clock.last <= this.#state.lease) return;
    this.#execute({ type: "lease", stamp: this.#clock.last + stampAt(LEASE_MS) }, unit);
  }

  #execute(op: StateOp, unit: UnitBuilder): void {
    this.#state.execute(op);
    unit.add(op);
  }

  /**
   * Before a part changes: keeps what readers see of the whole, once for each step.
   * @param part  what is about to be set; `undefined` if it is dropped
   * @returns whether it is a part
   */
  #touch(key: Uint8Array, part: Entry | undefined, local: boolean, unit: UnitBuilder): boolean {
    const whole = this.#wholes?.wholeOf(key);
    if (this.#wholes === undefined || whole === undefined) return false;
    if (!this.#isWatched()) return true;
    const name = Buffer.from(whole).toString("latin1");
    unit.touched ??= new Map();
    const before = unit.touched.has(name) ? unit.touched.get(name)?.before : this.#wholes.entry(whole);
    unit.touched.set(name, { whole: whole.slice(), before, part, local });
    return true;
  }

  /** The change that readers see of a whole, behind all changes of its parts. */
  #addWhole({ whole, before, part, local }: Touched, unit: UnitBuilder): void {
    const after = this.#wholes?.entry(whole);
    const value = after?.value ?? null;
    const previous = before?.value ?? null;
    if (value === null && previous === null) return;
    if (value !== null && previous !== null && Buffer.compare(value, previous) === 0) return;
    // Without parts, what has taken the last one tells when.
    const order = after ?? part ?? before;
    if (order === undefined) return;
    const entry = { ...order, key: whole, value, expiresAt: 0 };
    const kind = value === null ? "delete" : "put";
    const number = ++this.#changeNumber;
    const change: Change = { kind, entry, existed: previous !== null, previous, local, number };
    unit.changes.push(after === undefined && part === undefined ? { ...change, dropped: true } : change);
  }

  #finish(unit: UnitBuilder, via: SessionId | undefined, isPatient = false): void {
    const { ops, entries, changes, touched } = unit;
    if (touched !== undefined) for (const one of touched.values()) this.#addWhole(one, unit);
    if (ops.length > 0) this.#pending.add({ ops, batch: { entries, via }, changes }, isPatient);
  }
}

function authored({ key, value, expiresAt }: LocalWrite, stamp: Stamp, origin: Origin, seq: Seq): Entry {
  return { key, value, stamp, origin, seq, expiresAt };
}

function allAuthored(writes: readonly LocalWrite[], stamp: Stamp, origin: Origin, firstSeq: Seq): Entry[] {
  return writes.map((write, index) => authored(write, stamp, origin, firstSeq + index));
}

/** A whole whose parts have changed in a step, as it was before. */
interface Touched {
  readonly whole: Uint8Array;
  readonly before: Entry | undefined;
  /** The part that was set last; `undefined` if it was dropped. */
  readonly part: Entry | undefined;
  readonly local: boolean;
}

const NO_ENTRIES: readonly Entry[] = [];
/** Never added to. */
const NO_OPS: StateOp[] = [];

/** What one step executes, on its way to becoming a unit of a record. */
class UnitBuilder {
  ops: StateOp[] = NO_OPS;
  /** That it sets. */
  readonly entries: readonly Entry[];
  readonly changes: Change[] = [];
  /** Wholes by name, once a part of one is about to change. */
  touched: Map<string, Touched> | undefined;

  constructor(entries: readonly Entry[] = NO_ENTRIES) {
    this.entries = entries;
  }

  /** Most steps have one op: an array that grows for it would take room for seventeen. */
  add(op: StateOp): void {
    if (this.ops.length === 0) this.ops = [op];
    else this.ops.push(op);
  }
}
