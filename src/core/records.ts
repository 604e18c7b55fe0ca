/** The entries of a table by slot: columns for what has a fixed size, slabs for the bytes. Knows no keys. */
import { assert, present } from "../invariant.ts";
import type { Entry, Lsn, Millis, Origin } from "../types.ts";
import { type EntryRun, RUN_ENTRIES_MAX } from "./entry-run.ts";
import { ExpiryQueue } from "./expiry-queue.ts";
import { hashEntry } from "./hash.ts";
import { OriginNumbers } from "./origin-numbers.ts";
import { Rows, type Slot } from "./rows.ts";
import { type Place, Slabs, startOf } from "./slabs.ts";
import type { VersionVector } from "./version-vector.ts";

const KEY_BYTES_REPRESENTABLE = 0xffff;
const places = new Uint32Array(RUN_ENTRIES_MAX);

export class Records {
  readonly rows = new Rows();
  readonly expiry = new ExpiryQueue();
  readonly #origins = new OriginNumbers();
  readonly #slabs = new Slabs();
  readonly #placed = {
    lengthAt: (slot: Slot): number => this.lengthAt(slot),
    moved: (slot: Slot, place: number): void => this.rows.setPlace(slot, place),
  };

  /** Stores an entry whose key is new. Copies its bytes. */
  add(entry: Entry, hash: number, lsn: Lsn): Slot {
    const { key, value } = entry;
    assert(key.length > 0 && key.length <= KEY_BYTES_REPRESENTABLE, "a key has 1 to 65,535 bytes");
    const slot = this.rows.allocate();
    const place = this.#slabs.add(slot, key, value);
    this.rows.setKey(slot, hash, place, key.length);
    this.#setRest(slot, place, entry, lsn);
    return slot;
  }

  /** Stores entries whose keys are new, and fills in their slots, side by side. To be used before any slot has been released. */
  addRun(run: EntryRun): void {
    const { rows, expiry } = this;
    const { count, slots, expiries, valueLengths } = run;
    const first = rows.allocateRun(count);
    for (let index = 0; index < count; index += 1) slots[index] = first + index;
    this.#slabs.addRun(first, run, places);
    rows.setRun(first, run, places, this.#origins.acquireAll(run));
    for (let index = 0; index < count; index += 1) {
      if (expiries[index]! > 0) expiry.set(first + index, expiries[index]!, valueLengths[index]! >= 0);
    }
  }

  /** Puts the entry of a slot behind those of the run, which has room for it. */
  copyTo(run: EntryRun, slot: Slot): void {
    const { rows } = this;
    const index = run.count++;
    run.slots[index] = slot;
    run.lsns[index] = rows.lsnAt(slot);
    run.stamps[index] = rows.stampAt(slot);
    run.seqs[index] = rows.seqAt(slot);
    run.expiries[index] = this.expiresAt(slot);
    run.keyLengths[index] = rows.keyLengthAt(slot);
    run.valueLengths[index] = rows.valueLengthAt(slot);
    run.originIndexes[index] = run.indexOf(this.originAt(slot));
    const lanes = rows.hashWords(slot);
    const lanesAt = rows.hashIndex(slot);
    run.hashes[index * 2] = lanes[lanesAt]!;
    run.hashes[index * 2 + 1] = lanes[lanesAt + 1]!;
    run.addRecord(index, rows.hashAt(slot), this.viewAt(slot), this.startAt(slot), this.lengthAt(slot));
  }

  /** Replaces the entry of a slot by one with the same key. Copies its value. */
  replace(slot: Slot, entry: Entry, lsn: Lsn): void {
    this.#origins.release(this.rows.originAt(slot));
    this.#setRest(slot, this.#replaceValue(slot, entry.value), entry, lsn);
  }

  /** Makes the entry a tombstone; its order, lsn and expiry stay. */
  dropValue(slot: Slot): void {
    this.#replaceValue(slot, null);
    this.rows.setValueLength(slot, -1);
    const lanes = this.rows.hashWords(slot);
    lanes.fill(0, this.rows.hashIndex(slot), this.rows.hashIndex(slot) + 2);
    this.expiry.cancel(slot);
  }

  /** Forgets the entry and gives its slot back. */
  remove(slot: Slot): void {
    this.#slabs.remove(this.rows.placeAt(slot), slot, this.lengthAt(slot));
    this.#origins.release(this.rows.originAt(slot));
    this.expiry.set(slot, 0, false);
    this.rows.release(slot);
  }

  /** Gives back some space that dead records hold. To be called after every change, with the bytes that it was about. */
  tidy(length: number): void {
    this.#slabs.tidy(length, this.#placed);
  }

  entryAt(slot: Slot): Entry {
    return {
      key: this.keyAt(slot),
      value: this.valueAt(slot),
      stamp: this.rows.stampAt(slot),
      origin: this.originAt(slot),
      seq: this.rows.seqAt(slot),
      expiresAt: this.expiresAt(slot),
    };
  }

  keyAt(slot: Slot): Uint8Array {
    const place = this.rows.placeAt(slot);
    return new Uint8Array(this.#slabs.bufferAt(place, slot), startOf(place), this.rows.keyLengthAt(slot));
  }

  valueAt(slot: Slot): Uint8Array | null {
    const length = this.rows.valueLengthAt(slot);
    if (length < 0) return null;
    const place = this.rows.placeAt(slot);
    const start = startOf(place) + this.rows.keyLengthAt(slot);
    return new Uint8Array(this.#slabs.bufferAt(place, slot), start, length);
  }

  /** Whether the slot, below the end of the rows, has an entry. */
  isInUse(slot: Slot): boolean {
    return this.rows.lsnAt(slot) > 0;
  }

  hasValue(slot: Slot): boolean {
    return this.rows.valueLengthAt(slot) >= 0;
  }

  /** See `EntryTable.isWithin`. */
  isWithin(coverage: VersionVector): boolean {
    return this.#origins.areWithin(coverage);
  }

  originAt(slot: Slot): Origin {
    return present(this.#origins.originOf(this.rows.originAt(slot)), "an entry has an origin");
  }

  /** The origin behind the number in a row; undefined if no entry has it any more. */
  originOf(number: number): Origin | undefined {
    return this.#origins.originOf(number);
  }

  expiresAt(slot: Slot): Millis {
    return this.expiry.at(slot);
  }

  /** Bytes of key and value together. */
  lengthAt(slot: Slot): number {
    return this.rows.keyLengthAt(slot) + Math.max(this.rows.valueLengthAt(slot), 0);
  }

  /** Where the record lies: the key from `startAt`, the value right behind it. */
  bytesAt(slot: Slot): Uint8Array {
    return this.#slabs.bytesAt(this.rows.placeAt(slot), slot);
  }

  /** As `bytesAt`. Readable up to the next multiple of 4 behind the record, where `startAt` is one too. */
  viewAt(slot: Slot): DataView {
    return this.#slabs.viewAt(this.rows.placeAt(slot), slot);
  }

  startAt(slot: Slot): number {
    return startOf(this.rows.placeAt(slot));
  }

  /** Reads where the record begins and where it ends, so that it is in the cache. What it returns is of no use. */
  touch(slot: Slot): number {
    const bytes = this.bytesAt(slot);
    const start = this.startAt(slot);
    return bytes[start]! ^ bytes[start + this.lengthAt(slot) - 1]!;
  }

  /** Whether the key of the slot is the first `length` bytes of `key`. */
  hasKey(slot: Slot, key: Uint8Array, length: number): boolean {
    if (this.rows.keyLengthAt(slot) !== length) return false;
    const bytes = this.bytesAt(slot);
    const start = this.startAt(slot);
    for (let index = 0; index < length; index += 1) if (bytes[start + index] !== key[index]) return false;
    return true;
  }

  /** Negative, zero or positive as the slot's key sorts before, with or behind `key`. The first `from` bytes are equal. */
  compareKey(slot: Slot, key: Uint8Array, from: number): number {
    const bytes = this.bytesAt(slot);
    const start = this.startAt(slot);
    const length = this.rows.keyLengthAt(slot);
    const common = Math.min(length, key.length);
    for (let index = from; index < common; index += 1) {
      const difference = bytes[start + index]! - key[index]!;
      if (difference !== 0) return difference;
    }
    return length - key.length;
  }

  /** The four bytes of the slot's key from `from` on, as a number; where the key ends, zeros. */
  keyWordAt(slot: Slot, from: number): number {
    const start = this.startAt(slot);
    return wordOf(this.bytesAt(slot), start + from, start + this.rows.keyLengthAt(slot));
  }

  /** @returns where the record is now */
  #replaceValue(slot: Slot, value: Uint8Array | null): Place {
    const { rows } = this;
    const place = rows.placeAt(slot);
    const moved = this.#slabs.replace(place, slot, rows.keyLengthAt(slot), this.lengthAt(slot), value);
    if (moved !== place) rows.setPlace(slot, moved);
    return moved;
  }

  #setRest(slot: Slot, place: Place, { key, value, stamp, origin, seq, expiresAt }: Entry, lsn: Lsn): void {
    const { rows } = this;
    const number = this.#origins.acquire(origin, seq);
    const valueLength = value === null ? -1 : value.length;
    rows.set(slot, valueLength, stamp, number, seq, lsn);
    this.expiry.set(slot, expiresAt, value !== null);
    const lanes = rows.hashWords(slot);
    const at = rows.hashIndex(slot);
    if (value === null) {
      lanes[at] = 0;
      lanes[at + 1] = 0;
      return;
    }
    const view = this.#slabs.viewAt(place, slot);
    const originHash = this.#origins.hashOf(number);
    hashEntry(lanes, at, stamp, seq, expiresAt, originHash, view, startOf(place), key.length, valueLength);
  }
}

/** Up to four bytes from `at` and before `end`, the first one highest, zeros behind them. */
export function wordOf(bytes: Uint8Array, at: number, end: number): number {
  if (at + 4 <= end) {
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
  }
  let word = 0;
  for (let index = 0; index < 4; index += 1) word = (word << 8) | (at + index < end ? bytes[at + index]! : 0);
  return word >>> 0;
}
