/**
 * The replicated state of one store: the entries, what is covered of every origin, what every peer has
 * acknowledged, and what may be issued next. `execute` is its only mutator (`load` fills it from a
 * snapshot before it is used).
 */
import { assert, unreachable } from "../invariant.ts";
import {
  type Entry,
  type Lsn,
  makeOrigin,
  type NodeId,
  nodeIdOf,
  type Origin,
  type Seq,
  type Stamp,
} from "../types.ts";
import type { EntryRun } from "./entry-run.ts";
import { compareOrders } from "./lww.ts";
import type { StateOp } from "./ops.ts";
import { EntryTable, NO_SLOT, type Slot } from "./table.ts";
import { VersionVector } from "./version-vector.ts";

export class CoreState {
  readonly table = new EntryTable();
  /** Invariant I2: whatever this covers is dominated by what `table` holds, or was collected. */
  readonly covered = new VersionVector();
  /** What each peer told us that it covers durably, as of its last visit. */
  readonly acked = new Map<NodeId, VersionVector>();
  /**
   * Tombstones up to here may have been collected. A replica that does not cover all of it may hold what
   * one of them had deleted: it has to settle before it takes our word that it is up to date.
   */
  readonly frontier = new VersionVector();
  #origin: Origin;
  #lsn: Lsn = 0;
  /** What happened before it was loaded a snapshot does not tell. */
  #loadedLsn: Lsn = 0;
  #lease: Stamp = 0;
  #highestStamp: Stamp = 0;
  #violations = 0;
  /** The entry that `isWinner` has said yes to last, what its key holds, and for which state that is so: it is mostly set next. */
  #winner: Entry | undefined;
  #winnerSlot: Slot = NO_SLOT;
  #winnerRevision = 0;

  constructor(origin: Origin) {
    this.#origin = origin;
  }

  /** Under which we author writes. */
  get origin(): Origin {
    return this.#origin;
  }

  /** How many sets were executed since the store was made: the end of the change log. */
  get lsn(): Lsn {
    return this.#lsn;
  }

  /**
   * Behind this lsn the change log tells of every key that has changed since. Before it some may have expired, or have
   * been collected, without a trace.
   */
  get untracedLsn(): Lsn {
    return Math.max(this.#loadedLsn, this.table.untracedLsn);
  }

  /** Stamps up to this one may be issued without another record. */
  get lease(): Stamp {
    return this.#lease;
  }

  /** The next sequence number to issue. Never used before: coverage of our own origin is what we have issued. */
  get nextSeq(): Seq {
    return this.covered.get(this.#origin) + 1;
  }

  /** The highest stamp of any entry that ever entered. */
  get highestStamp(): Stamp {
    return this.#highestStamp;
  }

  /** How many times one (origin, seq) came with two contents. More than 0 says that some replica is broken. */
  get violations(): number {
    return this.#violations;
  }

  /** Whether a set of `entry` would change what its key holds. */
  isWinner(entry: Entry): boolean {
    // Above everything that is held: no need to look for it.
    if (entry.stamp > this.#highestStamp) return true;
    const slot = this.table.find(entry.key);
    if (slot !== NO_SLOT && !this.#beatsHeld(entry, slot)) return false;
    this.#winner = entry;
    this.#winnerSlot = slot;
    this.#winnerRevision = this.table.revision;
    return true;
  }

  /** An entry, as a copy that stays valid. */
  entryAt(slot: Slot): Entry {
    return this.table.copyAt(slot);
  }

  /**
   * Executes one op. Safe to repeat in order: a set is compared again, acks replace, uncover lowers, the others raise.
   * Our own sets raise our own coverage, since nobody else authors under our origin.
   */
  execute(op: StateOp): void {
    switch (op.type) {
      case "set":
        this.#set(op.entry);
        return;
      case "cover":
        this.covered.raise(op.origin, op.seq);
        return;
      case "uncover":
        if (this.covered.get(op.origin) > op.seq) this.covered.replace(op.origin, op.seq);
        return;
      case "ack":
        this.#ackedBy(op.peer).replace(op.origin, op.seq);
        return;
      case "lease":
        this.#lease = Math.max(this.#lease, op.stamp);
        return;
      case "expire":
        this.#expire(op.key, op.origin, op.seq);
        return;
      case "collect":
        this.#collect(op.key, op.origin, op.seq);
        return;
      case "frontier":
        this.frontier.raise(op.origin, op.seq);
        return;
      case "rotate":
        this.#origin = makeOrigin(nodeIdOf(this.#origin), op.epoch);
        return;
      default:
        unreachable(op);
    }
  }

  /**
   * Executes a record of the log.
   * @param lsn  the lsn before the record; sets at or below our own lsn are in the snapshot and left out
   */
  replay(ops: readonly StateOp[], lsn: Lsn): void {
    let at = lsn;
    for (const op of ops) {
      if (op.type !== "set") {
        this.execute(op);
        continue;
      }
      at += 1;
      if (at <= this.#lsn) continue;
      // A gap is what a fuzzy snapshot leaves where it was cut; numbering goes on as it was.
      this.#lsn = at - 1;
      this.execute(op);
    }
  }

  /** Takes an entry of a snapshot at its old place in the change log. Entries come in ascending `lsn`. */
  load(entry: Entry, lsn: Lsn): void {
    assert(lsn > this.#lsn, "entries of a snapshot ascend");
    this.#lsn = lsn;
    if (entry.stamp > this.#highestStamp) this.#highestStamp = entry.stamp;
    this.table.set(entry, lsn);
  }

  /** As `load`, of one entry at least, into a state that has seen nothing else. To be followed as `EntryTable.load` says. */
  loadRun(run: EntryRun): void {
    assert(run.lsns[0]! > this.#lsn, "entries of a snapshot ascend");
    this.#lsn = run.lsns[run.count - 1]!;
    const { stamps, count } = run;
    let highest = this.#highestStamp;
    for (let index = 0; index < count; index += 1) if (stamps[index]! > highest) highest = stamps[index]!;
    this.#highestStamp = highest;
    this.table.load(run);
  }

  /** Ends loading: the snapshot was cut at `lsn`, under `origin`. */
  loaded(lsn: Lsn, origin: Origin): void {
    assert(lsn >= this.#lsn, "a snapshot holds nothing behind its cut");
    this.#lsn = lsn;
    this.#loadedLsn = lsn;
    this.#origin = origin;
  }

  #set(entry: Entry): void {
    this.#lsn += 1;
    if (entry.origin === this.#origin) this.covered.raise(entry.origin, entry.seq);
    if (entry.stamp > this.#highestStamp) {
      // Above everything that is held: no need to look at what it replaces.
      this.#highestStamp = entry.stamp;
      this.table.set(entry, this.#lsn);
      return;
    }
    const isKnown = entry === this.#winner && this.table.revision === this.#winnerRevision;
    // Kept, it would keep the frame that it came with.
    this.#winner = undefined;
    const slot = isKnown ? this.#winnerSlot : this.table.find(entry.key);
    if (slot !== NO_SLOT && entry.stamp <= this.table.stampAt(slot)) {
      const held = this.table.entryAt(slot);
      if (compareOrders(entry, held) === 0 && !isExpiryOf(entry, held) && compareContents(entry, held) !== 0) {
        this.#violations += 1;
      }
      if (!this.#beatsHeld(entry, slot)) return;
    }
    this.table.set(entry, this.#lsn, slot);
  }

  #beatsHeld(entry: Entry, slot: Slot): boolean {
    const stamp = this.table.stampAt(slot);
    if (entry.stamp !== stamp) return entry.stamp > stamp;
    const held = this.table.entryAt(slot);
    const order = compareOrders(entry, held);
    return order > 0 || (order === 0 && twinWins(entry, held));
  }

  #expire(key: Uint8Array, origin: Origin, seq: Seq): void {
    const slot = this.table.find(key);
    if (slot === NO_SLOT) return;
    const held = this.table.entryAt(slot);
    if (held.origin !== origin || held.seq !== seq || held.value === null) return;
    // The entry keeps its place in the change log: peers expire it by themselves, nothing is to be sent.
    this.table.expire(slot);
  }

  #collect(key: Uint8Array, origin: Origin, seq: Seq): void {
    const slot = this.table.find(key);
    if (slot === NO_SLOT || this.table.originAt(slot) !== origin || this.table.seqAt(slot) !== seq) return;
    this.table.remove(slot);
  }

  #ackedBy(peer: NodeId): VersionVector {
    let vector = this.acked.get(peer);
    if (vector === undefined) {
      vector = new VersionVector();
      this.acked.set(peer, vector);
    }
    return vector;
  }
}

/**
 * Which of two contents under one order is kept. If one is the expired form of the other, the expired
 * one: it is where both end. Anything else is a violation, settled by content so that all agree.
 */
function twinWins(entry: Entry, held: Entry): boolean {
  if (isExpiryOf(entry, held)) return entry.value === null;
  return compareContents(entry, held) > 0;
}

/** Whether two versions of one order differ only in that one of them has expired. */
function isExpiryOf(a: Entry, b: Entry): boolean {
  return a.expiresAt > 0 && a.expiresAt === b.expiresAt && (a.value === null) !== (b.value === null);
}

/** Tombstones first, then by bytes, then by expiry. */
function compareContents(a: Entry, b: Entry): number {
  if (a.value === null || b.value === null) {
    if (a.value !== b.value) return a.value === null ? -1 : 1;
    return a.expiresAt - b.expiresAt;
  }
  return Buffer.compare(a.value, b.value) || a.expiresAt - b.expiresAt;
}
