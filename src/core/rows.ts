/**
 * Everything of the entries that has a fixed size, in columns: one row per slot. The columns are paged,
 * since doubling an array of millions would stall the process.
 */
import { assert } from "../invariant.ts";
import type { Lsn, Seq, Stamp } from "../types.ts";
import type { EntryRun } from "./entry-run.ts";
import type { Place } from "./slabs.ts";

/** Names an entry of a table as long as its key is there. */
export type Slot = number;
export const NO_SLOT = -1;

/** Slots are below this: the key index packs them with a few bits of the hash. */
export const SLOTS_MAX = 2 ** 26 - 1;

const PAGE_BITS = 13;
const PAGE_ROWS = 2 ** PAGE_BITS;
const PAGE_MASK = PAGE_ROWS - 1;
const FIRST_PAGE_ROWS = 32;

/** What a lookup by key needs, in 16 bytes side by side: key hash, place, key length and origin, value length + 1. */
const HEAD = 4;
/** Stamp, seq, lsn, and the entry hash as two 32-bit words. */
const BODY = 4;
const HASH_WORDS_AT = 6;

export class Rows {
  readonly #heads: Uint32Array[] = [];
  readonly #bodies: Float64Array[] = [];
  /** The same memory as the bodies. */
  readonly #words: Uint32Array[] = [];
  #end = 0;
  /** Released slots, chained through their places. */
  #free: Slot = NO_SLOT;
  #freeCount = 0;

  /** All slots are below this. */
  get end(): number {
    return this.#end;
  }

  get size(): number {
    return this.#end - this.#freeCount;
  }

  /** A slot for a new key. Its columns hold nothing of use until they are set. */
  allocate(): Slot {
    if (this.#free !== NO_SLOT) {
      const slot = this.#free;
      this.#free = this.placeAt(slot) - 1;
      this.#freeCount -= 1;
      return slot;
    }
    assert(this.#end < SLOTS_MAX, "a store has below 2^26 keys");
    const page = this.#heads[this.#end >>> PAGE_BITS];
    if (page === undefined || (this.#end & PAGE_MASK) * HEAD >= page.length) this.#grow();
    this.#end += 1;
    return this.#end - 1;
  }

  /** So many slots side by side, as `allocate`. Before any slot has been released. @returns the first */
  allocateRun(count: number): Slot {
    const first = this.#end;
    const end = first + count;
    assert(this.#free === NO_SLOT, "slots side by side are asked for before any is released");
    assert(end <= SLOTS_MAX, "a store has below 2^26 keys");
    while (this.#end < end) {
      const at = this.#end & PAGE_MASK;
      const pageRows = (this.#heads[this.#end >>> PAGE_BITS]?.length ?? 0) / HEAD;
      if (at >= pageRows) this.#grow();
      else this.#end = Math.min(end, this.#end - at + pageRows);
    }
    return first;
  }

  /** Sets all columns of the slots from `first` on. @param originNumbers  by the index of the origin in the run */
  setRun(first: Slot, run: EntryRun, places: Uint32Array, originNumbers: Uint32Array): void {
    const { keyHashes, keyLengths, valueLengths, originIndexes, stamps, seqs, lsns, hashes } = run;
    for (let index = 0; index < run.count; ) {
      const slot = first + index;
      const page = slot >>> PAGE_BITS;
      const at = slot & PAGE_MASK;
      const head = this.#heads[page]!;
      const body = this.#bodies[page]!;
      const words = this.#words[page]!;
      const end = Math.min(run.count, index + PAGE_ROWS - at);
      for (let headAt = at * HEAD, bodyAt = at * BODY; index < end; index += 1, headAt += HEAD, bodyAt += BODY) {
        head[headAt] = keyHashes[index]!;
        head[headAt + 1] = places[index]!;
        head[headAt + 2] = keyLengths[index]! | (originNumbers[originIndexes[index]!]! << 16);
        head[headAt + 3] = valueLengths[index]! + 1;
        body[bodyAt] = stamps[index]!;
        body[bodyAt + 1] = seqs[index]!;
        body[bodyAt + 2] = lsns[index]!;
        words[bodyAt * 2 + HASH_WORDS_AT] = hashes[index * 2]!;
        words[bodyAt * 2 + HASH_WORDS_AT + 1] = hashes[index * 2 + 1]!;
      }
    }
  }

  /** Gives a slot back. Its lsn becomes 0: no position of the change log refers to it any more. */
  release(slot: Slot): void {
    this.setPlace(slot, this.#free + 1);
    this.setLsn(slot, 0);
    this.#free = slot;
    this.#freeCount += 1;
  }

  hashAt(slot: Slot): number {
    return this.#heads[slot >>> PAGE_BITS]![(slot & PAGE_MASK) * HEAD]!;
  }

  placeAt(slot: Slot): Place {
    return this.#heads[slot >>> PAGE_BITS]![(slot & PAGE_MASK) * HEAD + 1]!;
  }

  keyLengthAt(slot: Slot): number {
    return this.#heads[slot >>> PAGE_BITS]![(slot & PAGE_MASK) * HEAD + 2]! & 0xffff;
  }

  originAt(slot: Slot): number {
    return this.#heads[slot >>> PAGE_BITS]![(slot & PAGE_MASK) * HEAD + 2]! >>> 16;
  }

  /** Of the value; -1 for a tombstone. */
  valueLengthAt(slot: Slot): number {
    return this.#heads[slot >>> PAGE_BITS]![(slot & PAGE_MASK) * HEAD + 3]! - 1;
  }

  stampAt(slot: Slot): Stamp {
    return this.#bodies[slot >>> PAGE_BITS]![(slot & PAGE_MASK) * BODY]!;
  }

  seqAt(slot: Slot): Seq {
    return this.#bodies[slot >>> PAGE_BITS]![(slot & PAGE_MASK) * BODY + 1]!;
  }

  lsnAt(slot: Slot): Lsn {
    return this.#bodies[slot >>> PAGE_BITS]![(slot & PAGE_MASK) * BODY + 2]!;
  }

  /** Where the two lanes of the entry hash are: at `hashIndex(slot)` and behind it. */
  hashWords(slot: Slot): Uint32Array {
    return this.#words[slot >>> PAGE_BITS]!;
  }

  hashIndex(slot: Slot): number {
    return (slot & PAGE_MASK) * BODY * 2 + HASH_WORDS_AT;
  }

  /** Sets the columns of a new key: the rest, which may change while the key stays, `set` does. */
  setKey(slot: Slot, hash: number, place: Place, keyLength: number): void {
    const head = this.#heads[slot >>> PAGE_BITS]!;
    const at = (slot & PAGE_MASK) * HEAD;
    head[at] = hash;
    head[at + 1] = place;
    head[at + 2] = keyLength;
  }

  /**
   * Sets all columns but those of the key and the entry hash.
   * @param valueLength  -1 for a tombstone
   */
  set(slot: Slot, valueLength: number, stamp: Stamp, origin: number, seq: Seq, lsn: Lsn): void {
    const page = slot >>> PAGE_BITS;
    const row = slot & PAGE_MASK;
    const head = this.#heads[page]!;
    const at = row * HEAD + 2;
    head[at] = (head[at]! & 0xffff) | (origin << 16);
    head[at + 1] = valueLength + 1;
    const body = this.#bodies[page]!;
    const bodyAt = row * BODY;
    body[bodyAt] = stamp;
    body[bodyAt + 1] = seq;
    body[bodyAt + 2] = lsn;
  }

  setPlace(slot: Slot, place: Place): void {
    this.#heads[slot >>> PAGE_BITS]![(slot & PAGE_MASK) * HEAD + 1] = place;
  }

  /** @param valueLength  -1 for a tombstone */
  setValueLength(slot: Slot, valueLength: number): void {
    this.#heads[slot >>> PAGE_BITS]![(slot & PAGE_MASK) * HEAD + 3] = valueLength + 1;
  }

  setLsn(slot: Slot, lsn: Lsn): void {
    this.#bodies[slot >>> PAGE_BITS]![(slot & PAGE_MASK) * BODY + 2] = lsn;
  }

  /** Adds a page, or doubles the first one: a small table stays small. */
  #grow(): void {
    const page = this.#end >>> PAGE_BITS;
    const rows = page > 0 ? PAGE_ROWS : Math.max(FIRST_PAGE_ROWS, this.#end * 2);
    const head = new Uint32Array(rows * HEAD);
    const body = new Float64Array(rows * BODY);
    if (page === 0 && this.#end > 0) {
      head.set(this.#heads[0]!);
      body.set(this.#bodies[0]!);
    }
    this.#heads[page] = head;
    this.#bodies[page] = body;
    this.#words[page] = new Uint32Array(body.buffer);
  }
}
