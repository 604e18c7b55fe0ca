/**
 * The entries of one store, by key, by key order, by age and by expiry.
 *
 * An entry is a row of typed columns (rows.ts) and a run of bytes (slabs.ts), never an object: millions
 * of objects cost twice the memory and stall the process for hundreds of milliseconds whenever garbage
 * is collected. This file keeps the parts in step:
 *
 *     hash of the key -> key-index.ts -> slot -> records.ts (rows.ts, slabs.ts, origin-numbers.ts)
 *     lsn  -> change-log.ts   -> slot            expiry -> expiry-queue.ts -> slot
 *     key order -> ordered-keys.ts -> slot       buckets of the key hash -> digest.ts
 *
 * Every change is bounded: no part ever copies or scans an amount that grows with the store.
 */
import { assert } from "../invariant.ts";
import { RESERVED_PREFIX_BYTE } from "../limits.ts";
import type { Entry, Lsn, Millis, Origin, Seq, Stamp } from "../types.ts";
import { ChangeLog } from "./change-log.ts";
import { Digest } from "./digest.ts";
import { EntryCopies } from "./entry-copies.ts";
import { type EntryRun, RECORD_KEY_AT, RUN_ENTRIES_MAX } from "./entry-run.ts";
import { hashKey } from "./hash.ts";
import { bucketOf, KeyIndex } from "./key-index.ts";
import { sortKeys } from "./key-sorting.ts";
import { OrderedKeys } from "./ordered-keys.ts";
import { Views } from "./range-view.ts";
import type { Range, Source } from "./range-walk.ts";
import { Records } from "./records.ts";
import type { RowCursor, RowPlace } from "./row-cursor.ts";
import { NO_SLOT, SLOTS_MAX, type Slot } from "./rows.ts";
import type { VersionVector } from "./version-vector.ts";

export type { Range } from "./range-walk.ts";
export { type RowCursor, RowPlace } from "./row-cursor.ts";
export { NO_SLOT, type Slot } from "./rows.ts";

export class EntryTable {
  readonly #records = new Records();
  readonly #index = new KeyIndex(this.#records);
  readonly #log = new ChangeLog(this.#records);
  readonly #order = new OrderedKeys(this.#records);
  readonly #digest = new Digest();
  readonly #views = new Views();
  readonly #copies = new EntryCopies();
  readonly #source: Source = {
    records: this.#records,
    order: this.#order,
    lastLsn: () => this.#lastLsn,
    revision: () => this.#revision,
  };
  /** Keys that `remove` took a value from, oldest first: kept once somebody sets it to an array, who also empties it. */
  removed: Uint8Array[] | undefined;
  #lastLsn: Lsn = 0;
  #untracedLsn: Lsn = 0;
  /** Counts changes, also those that have no lsn. */
  #revision = 0;
  #live = 0;
  #tombstones = 0;
  #bytes = 0;

  /** All entries: live, tombstones and reserved ones. */
  get size(): number {
    return this.#records.rows.size;
  }

  /** Entries with a value, reserved ones not counted. */
  get live(): number {
    return this.#live;
  }

  /** Entries without a value, reserved ones not counted. */
  get tombstones(): number {
    return this.#tombstones;
  }

  /** Bytes of all keys and values. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The highest lsn of any `set`; 0 before the first. */
  get lastLsn(): Lsn {
    return this.#lastLsn;
  }

  /** Up to this lsn keys may have changed, by `expire` or `remove`, that have no place in the change log for it. */
  get untracedLsn(): Lsn {
    return this.#untracedLsn;
  }

  /** Grows with every change. */
  get revision(): number {
    return this.#revision;
  }

  /** How many iterations of `range` are under way and take memory. */
  get openViews(): number {
    return this.#views.size;
  }

  /** Says how many keys are about to come, so that nothing has to grow meanwhile. A guess: any number is safe. */
  expect(keys: number): void {
    this.#index.expect(Math.min(keys, SLOTS_MAX));
  }

  /** The slot of the key in the first `length` bytes (default: all); NO_SLOT if there is no entry, not even a tombstone. */
  find(key: Uint8Array, length: number = key.length): Slot {
    return this.#index.find(key, length, hashKey(key, length));
  }

  /**
   * Inserts the entry, or replaces the one with its key: that it wins is the caller's business. Copies
   * the bytes.
   *
   * @param lsn  above all before
   * @param found  what `find` has just given for the key, of a caller that knows
   * @returns the slot of the key, which stays the same until `remove`
   */
  set(entry: Entry, lsn: Lsn, found?: Slot): Slot {
    assert(lsn > this.#lastLsn, "lsns ascend");
    this.#lastLsn = lsn;
    this.#revision += 1;
    const { key, value } = entry;
    const hash = hashKey(key);
    const held = found ?? this.#index.find(key, key.length, hash);
    const slot = held === NO_SLOT ? this.#insert(entry, hash, lsn) : held;
    if (held !== NO_SLOT) this.#replace(slot, entry, lsn);
    this.#count(slot, 1);
    this.#records.tidy(key.length + (value === null ? 0 : value.length));
    return slot;
  }

  /**
   * Takes entries that it gave in `copyChanges`, here or elsewhere, and fills in their slots, which count up from 0.
   * Only for a table that has seen nothing else; its keys have to be put in order (`loadOrder`) and made known
   * (`loaded`) before it is used.
   */
  load(run: EntryRun): void {
    this.#revision += 1;
    assert(run.lsns[0]! > this.#lastLsn, "lsns ascend");
    this.#records.addRun(run);
    this.#log.appendRun(run);
    this.#lastLsn = run.lsns[run.count - 1]!;
    this.#digest.addRun(run);
    this.#countRun(run);
  }

  /**
   * Makes the keys of all loaded entries known. To be walked to its end, with turns for others between its steps; false
   * in the end if a key has come twice: the table is of no use then.
   */
  loaded(): Generator<undefined, boolean> {
    return this.#index.load(this.size);
  }

  /** Puts loaded entries in the order of their keys: as `OrderedKeys.addRun`, the whole order from its beginning on. */
  loadOrder(sharedLength: number, cells: Uint32Array): boolean {
    return this.#order.addRun(sharedLength, cells);
  }

  /** Of an empty table: puts off the order of the keys. To be followed by `sortKeys` before anybody asks for it. */
  deferOrder(): void {
    this.#order.pause();
  }

  /** Puts all keys in order. To be walked to its end, with turns for others between its steps, before anything is changed. */
  sortKeys(): Generator<undefined, void> {
    this.#order.resume();
    return sortKeys(this.#records, this.#order);
  }

  /** Finds a loaded entry its place in the order. */
  loadUnordered(slot: Slot): void {
    this.#order.add(slot, this.#records.keyAt(slot));
  }

  /** Fills `run` with entries in the order of the change log: those above `after` up to `upTo`, until it has `bytesMax`. */
  copyChanges(run: EntryRun, after: Lsn, upTo: Lsn, bytesMax: number): void {
    run.reset();
    let lsn = after;
    while (run.count < RUN_ENTRIES_MAX && run.byteLength < bytesMax) {
      const slot = this.#log.next(lsn, undefined);
      if (slot === NO_SLOT || this.lsnAt(slot) > upTo) return;
      lsn = this.lsnAt(slot);
      this.#records.copyTo(run, slot);
    }
  }

  /** What `loadOrder` takes, a piece of it, from above `key` on (undefined: from the beginning); undefined at the end. */
  orderAbove(key: Uint8Array | undefined): { sharedLength: number; cells: Uint32Array } | undefined {
    return this.#order.runAt(key === undefined ? this.#order.start : this.#order.search(key, true));
  }

  /** The value goes, all else stays: the key's place in the change log, its order and its expiry. */
  expire(slot: Slot): void {
    this.#revision += 1;
    this.#untracedLsn = this.#lastLsn;
    const length = this.#leaveValue(slot);
    this.#count(slot, -1);
    if (this.#records.hasValue(slot)) this.#order.remove(slot, this.#records.keyAt(slot));
    this.#records.dropValue(slot);
    this.#count(slot, 1);
    this.#records.tidy(length);
  }

  /** Forgets the key, as the collection of tombstones does. */
  remove(slot: Slot): void {
    this.#revision += 1;
    // A tombstone was last changed at its own lsn; a value that is dropped changes now.
    const changed = this.isTombstone(slot) ? this.lsnAt(slot) : this.#lastLsn;
    this.#untracedLsn = Math.max(this.#untracedLsn, changed);
    const length = this.#leaveValue(slot);
    const lsn = this.lsnAt(slot);
    const hash = this.#records.rows.hashAt(slot);
    this.#count(slot, -1);
    if (this.#records.hasValue(slot)) {
      this.removed?.push(this.#records.keyAt(slot).slice());
      this.#order.remove(slot, this.#records.keyAt(slot));
    }
    this.#index.remove(slot, hash);
    this.#records.remove(slot);
    this.#log.leave(lsn);
    this.#records.tidy(length);
  }

  /** The entry. Key and value are views, good until the next change of the table. */
  entryAt(slot: Slot): Entry {
    return this.#records.entryAt(slot);
  }

  /** As `entryAt`, as a copy that stays valid. It shares up to 16 KiB with other copies. */
  copyAt(slot: Slot): Entry {
    return this.#copies.take(this.#records, slot);
  }

  /** A view, good until the next change of the table; null for a tombstone. */
  valueAt(slot: Slot): Uint8Array | null {
    return this.#records.valueAt(slot);
  }

  /** A view, good until the next change of the table. */
  keyAt(slot: Slot): Uint8Array {
    return this.#records.keyAt(slot);
  }

  stampAt(slot: Slot): Stamp {
    return this.#records.rows.stampAt(slot);
  }

  /**
   * Whether no entry is beyond `coverage`: at once, by the highest write of each origin. False also where one that was
   * beyond it has been replaced since, until coverage has reached it.
   */
  isWithin(coverage: VersionVector): boolean {
    return this.#records.isWithin(coverage);
  }

  originAt(slot: Slot): Origin {
    return this.#records.originAt(slot);
  }

  seqAt(slot: Slot): Seq {
    return this.#records.rows.seqAt(slot);
  }

  /** 0: never. */
  expiresAt(slot: Slot): Millis {
    return this.#records.expiresAt(slot);
  }

  /** The bucket of the digest that the key falls into. */
  bucketAt(slot: Slot): number {
    return bucketOf(this.#records.rows.hashAt(slot));
  }

  lsnAt(slot: Slot): Lsn {
    return this.#records.rows.lsnAt(slot);
  }

  isTombstone(slot: Slot): boolean {
    return !this.#records.hasValue(slot);
  }

  /**
   * The first entry, in the order of the change log, with an lsn above `after` whose write `vector` (if
   * given) does not cover; NO_SLOT at the end. Passes by covered stretches of the log at once.
   */
  nextChange(after: Lsn, vector?: VersionVector): Slot {
    return this.#log.next(after, vector);
  }

  /**
   * The entries with a value, in byte order of the key, as they are at the time of the call, whatever
   * changes while they are read. Reserved entries are included only if the range names a reserved key as
   * a bound. The entries are copies. A consumer that stops early should call `return()`, as `for of` does.
   */
  range(range: Range = {}): IterableIterator<Entry> {
    return this.#views.open(this.#source, range);
  }

  /** As `range`, but copies nothing: what the cursor stands on is good until the next change of the table. */
  rows(range: Range = {}): RowCursor {
    return this.#views.openRows(this.#source, range);
  }

  /** Tells where the entry lies. @returns whether it has a value; if not, `place` is of no use */
  locate(slot: Slot, place: RowPlace): boolean {
    place.find(this.#records, slot);
    return place.end >= place.valueStart;
  }

  /**
   * 16 hex digits over all entries with a value, reserved ones included: equal on tables with equal
   * entries, whatever the order in which they came. Costs nothing to ask for.
   */
  digestRoot(): string {
    return this.#digest.root();
  }

  /** As `digestRoot`, of one bucket: 0 to DIGEST_BUCKETS - 1. The bucket of a key is the same on all replicas. */
  digestBucket(index: number): string {
    return this.#digest.bucket(index);
  }

  /** All entries of a bucket, tombstones too. Good until the next change of the table. */
  slotsOfBucket(index: number): IterableIterator<Slot> {
    return this.#index.slotsOf(index);
  }

  /** Entries with a value that expire at or before `now`, soonest first, at most `max`. */
  expired(now: Millis, max: number): Slot[] {
    return this.#records.expiry.due(now, max);
  }

  #insert(entry: Entry, hash: number, lsn: Lsn): Slot {
    const slot = this.#records.add(entry, hash, lsn);
    this.#index.add(slot, hash);
    if (entry.value !== null) this.#order.add(slot, entry.key);
    this.#log.append(slot, lsn);
    return slot;
  }

  #replace(slot: Slot, entry: Entry, lsn: Lsn): void {
    this.#leaveValue(slot);
    const before = this.lsnAt(slot);
    const hadValue = this.#records.hasValue(slot);
    this.#count(slot, -1);
    this.#records.replace(slot, entry, lsn);
    if (hadValue && entry.value === null) this.#order.remove(slot, entry.key);
    if (!hadValue && entry.value !== null) this.#order.add(slot, entry.key);
    this.#log.append(slot, lsn);
    this.#log.leave(before);
  }

  /** Lets the open views keep what is about to change. Returns the bytes of the entry. */
  #leaveValue(slot: Slot): number {
    if (this.#views.size > 0 && this.#records.hasValue(slot)) this.#views.save(this.#records, slot);
    return this.#records.lengthAt(slot);
  }

  #countRun({ count, bytes, starts, keyLengths, valueLengths }: EntryRun): void {
    let [live, tombstones, sum] = [0, 0, 0];
    for (let index = 0; index < count; index += 1) {
      const valueLength = valueLengths[index]!;
      sum += keyLengths[index]! + Math.max(valueLength, 0);
      if (bytes[starts[index]! + RECORD_KEY_AT] === RESERVED_PREFIX_BYTE) continue;
      if (valueLength >= 0) live += 1;
      else tombstones += 1;
    }
    this.#live += live;
    this.#tombstones += tombstones;
    this.#bytes += sum;
  }

  /** Adds the entry to the counters and the digest, or takes it out. */
  #count(slot: Slot, times: 1 | -1): void {
    const { rows } = this.#records;
    this.#bytes += times * this.#records.lengthAt(slot);
    const hasValue = this.#records.hasValue(slot);
    if (this.#records.bytesAt(slot)[this.#records.startAt(slot)] !== RESERVED_PREFIX_BYTE) {
      if (hasValue) this.#live += times;
      else this.#tombstones += times;
    }
    if (!hasValue) return;
    const lanes = rows.hashWords(slot);
    const at = rows.hashIndex(slot);
    this.#digest.add(bucketOf(rows.hashAt(slot)), times * lanes[at]!, times * lanes[at + 1]!);
  }
}
