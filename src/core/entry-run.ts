/**
 * Entries side by side: a column per field, and their bytes in one piece, laid out as slabs.ts has them. So a
 * table gives and takes a thousand entries in a few copies, and none of them becomes an object.
 */
import type { Origin } from "../types.ts";

/** Where in a record its key begins. */
export const RECORD_KEY_AT = 4;
/** Entries that a run holds at most. */
export const RUN_ENTRIES_MAX = 1024;

/** A buffer to be used again and again: its first `count` entries are good. */
export class EntryRun {
  count = 0;
  /** Ascending. */
  readonly lsns = new Float64Array(RUN_ENTRIES_MAX);
  readonly stamps = new Float64Array(RUN_ENTRIES_MAX);
  readonly seqs = new Float64Array(RUN_ENTRIES_MAX);
  /** 0: never. */
  readonly expiries = new Float64Array(RUN_ENTRIES_MAX);
  readonly keyLengths = new Float64Array(RUN_ENTRIES_MAX);
  /** -1 for a tombstone. */
  readonly valueLengths = new Float64Array(RUN_ENTRIES_MAX);
  /** Indexes of `origins`. */
  readonly originIndexes = new Float64Array(RUN_ENTRIES_MAX);
  origins: Origin[] = [];
  /** Two words each: the entry hash; zeros for a tombstone. */
  readonly hashes = new Uint32Array(RUN_ENTRIES_MAX * 2);
  readonly keyHashes = new Uint32Array(RUN_ENTRIES_MAX);
  /** A record each: the key hash (u32, little-endian), key, value, zeros up to a multiple of 4. What is behind `byteLength` is no part of it. */
  bytes: Uint8Array = new Uint8Array(0);
  byteLength = 0;
  /** Where each record begins in `bytes`, and behind them where the last one ends. */
  readonly starts = new Uint32Array(RUN_ENTRIES_MAX + 1);
  /** Where the table has them. */
  readonly slots = new Uint32Array(RUN_ENTRIES_MAX);
  #view = new DataView(this.bytes.buffer);
  #recent = 0;

  /** Empties the run. */
  reset(): void {
    this.count = 0;
    this.byteLength = 0;
    this.origins = [];
  }

  /**
   * Takes entries whose columns were filled in by hand, with their records, and finds where each record begins.
   * Returns whether the records have the length that those of keys and values give; if not, the run is of no use.
   */
  adopt(count: number, records: Uint8Array): boolean {
    this.count = count;
    this.bytes = records;
    this.byteLength = records.length;
    const { starts, keyLengths, valueLengths, keyHashes } = this;
    let at = 0;
    for (let index = 0; index < count; index += 1) {
      starts[index] = at;
      at += recordBytes(keyLengths[index]!, valueLengths[index]!);
    }
    starts[count] = at;
    if (at !== records.length) return false;
    const view = new DataView(records.buffer, records.byteOffset, records.length);
    for (let index = 0; index < count; index += 1) keyHashes[index] = view.getUint32(starts[index]!, true);
    return true;
  }

  /** The index of an origin, which is added if it is new. */
  indexOf(origin: Origin): number {
    if (this.origins[this.#recent] === origin) return this.#recent;
    const found = this.origins.indexOf(origin);
    this.#recent = found < 0 ? this.origins.push(origin) - 1 : found;
    return this.#recent;
  }

  /**
   * Adds the record of the entry at `index`, behind those before it.
   * @param source  has key and value at `start`; readable up to the next multiple of 4 behind them
   */
  addRecord(index: number, keyHash: number, source: DataView, start: number, length: number): void {
    const at = this.byteLength;
    const end = at + 4 + ((length + 3) & ~3);
    this.starts[index] = at;
    this.starts[index + 1] = end;
    this.keyHashes[index] = keyHash;
    if (end > this.bytes.length) this.#grow(end);
    const view = this.#view;
    view.setUint32(at, keyHash, true);
    for (let offset = 0; offset < length; offset += 4)
      view.setUint32(at + 4 + offset, source.getUint32(start + offset));
    for (let rest = at + 4 + length; rest < end; rest += 1) this.bytes[rest] = 0;
    this.byteLength = end;
  }

  #grow(wanted: number): void {
    const { bytes } = this;
    this.bytes = new Uint8Array(Math.max(wanted, bytes.length * 2));
    this.bytes.set(bytes);
    this.#view = new DataView(this.bytes.buffer);
  }
}

/** Bytes of a record in `EntryRun.bytes`. @param valueLength  -1 for a tombstone */
export function recordBytes(keyLength: number, valueLength: number): number {
  return 4 + ((keyLength + Math.max(valueLength, 0) + 3) & ~3);
}
