/**
 * Finds the slot of a key: an open-addressing hash table for each bucket of the digest, since both go by
 * the same bits of the key hash. Each grows on its own, so growing never stalls the process, and the
 * entries of a bucket are found without looking at any other.
 */
import { DIGEST_BUCKETS } from "../limits.ts";
import type { Records } from "./records.ts";
import { NO_SLOT, type Slot } from "./rows.ts";

/** A cell is 0 if empty, else a tag of 6 bits of the hash, which saves most looks at a wrong row, and slot + 1. */
const SLOT_BITS = 26;
const SLOT_MASK = 2 ** SLOT_BITS - 1;
const TAG_SHIFT = 32 - SLOT_BITS;
const BUCKET_SHIFT = 32 - Math.log2(DIGEST_BUCKETS);
const CELLS_MIN = 4;
/** How full a bucket gets before it grows. */
const LOAD_MAX = 0.8;
/** Between two pauses of `load`: some 0.1 ms of work. */
const STEP_SLOTS = 8192;
/** Never written to: it is full as soon as it has a key. */
const NO_CELLS = new Uint32Array(1);
/** To be copied: made one by one, the buckets take most of the time that opening an empty store does. */
const NO_BUCKETS: readonly Uint32Array[] = Array.from({ length: DIGEST_BUCKETS }, () => NO_CELLS);

/** The hashes of a bucket that grows. */
let moved = new Uint32Array(1024);

/** The bucket of the digest that a key hash falls into. */
export function bucketOf(hash: number): number {
  return hash >>> BUCKET_SHIFT;
}

export class KeyIndex {
  readonly #records: Records;
  readonly #cells: Uint32Array[] = NO_BUCKETS.slice();
  readonly #counts = new Uint32Array(DIGEST_BUCKETS);
  /** What a bucket grows to at least. */
  #cellsMin = CELLS_MIN;

  constructor(records: Records) {
    this.#records = records;
  }

  /** Buckets that grow from now on become at once as large as so many keys in all will make them. */
  expect(keys: number): void {
    this.#cellsMin = cellsFor(keys / DIGEST_BUCKETS);
  }

  /** The slot of the key in the first `length` bytes. */
  find(key: Uint8Array, length: number, hash: number): Slot {
    const cells = this.#cells[bucketOf(hash)]!;
    const mask = cells.length - 1;
    const tag = tagOf(hash);
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const cell = cells[at]!;
      if (cell === 0) return NO_SLOT;
      if (cell >>> SLOT_BITS !== tag) continue;
      const slot = (cell & SLOT_MASK) - 1;
      if (this.#records.rows.hashAt(slot) === hash && this.#records.hasKey(slot, key, length)) return slot;
    }
  }

  /** Adds a slot whose key is not in the index. */
  add(slot: Slot, hash: number): void {
    const bucket = bucketOf(hash);
    const count = this.#counts[bucket]! + 1;
    if (count > this.#cells[bucket]!.length * LOAD_MAX) this.#grow(bucket);
    this.#counts[bucket] = count;
    put(this.#cells[bucket]!, slot, hash);
  }

  /**
   * Fills an empty index with the slots below `slots`, whose keys are to be different: the generator is false in the end
   * if they are not, and the index is of no use then. It pauses after every few thousand slots.
   *
   * The slots are dealt out to their buckets first, and then go into one bucket after the other: each slot on its own
   * would find nothing of its bucket at hand.
   */
  *load(slots: number): Generator<undefined, boolean> {
    const counts = this.#counts;
    for (let from = 0; from < slots; from += STEP_SLOTS) {
      this.#countBuckets(from, Math.min(from + STEP_SLOTS, slots));
      yield;
    }
    // Where the next slot of each bucket goes.
    const ends = new Uint32Array(DIGEST_BUCKETS);
    for (let bucket = 1; bucket < DIGEST_BUCKETS; bucket += 1) ends[bucket] = ends[bucket - 1]! + counts[bucket - 1]!;
    const dealt = new Uint32Array(slots * 2);
    for (let from = 0; from < slots; from += STEP_SLOTS) {
      this.#deal(from, Math.min(from + STEP_SLOTS, slots), ends, dealt);
      yield;
    }
    for (let bucket = 0, pause = STEP_SLOTS; bucket < DIGEST_BUCKETS; bucket += 1) {
      const end = ends[bucket]!;
      if (!this.#fill(bucket, dealt.subarray((end - counts[bucket]!) * 2, end * 2))) return false;
      if (end < pause) continue;
      pause = end + STEP_SLOTS;
      yield;
    }
    return true;
  }

  #countBuckets(from: Slot, to: Slot): void {
    const { rows } = this.#records;
    const counts = this.#counts;
    for (let slot = from; slot < to; slot += 1) counts[bucketOf(rows.hashAt(slot))]! += 1;
  }

  /** Hashes and slots, side by side. */
  #deal(from: Slot, to: Slot, ends: Uint32Array, dealt: Uint32Array): void {
    const { rows } = this.#records;
    for (let slot = from; slot < to; slot += 1) {
      const hash = rows.hashAt(slot);
      const bucket = bucketOf(hash);
      const at = ends[bucket]! * 2;
      dealt[at] = hash;
      dealt[at + 1] = slot;
      ends[bucket]! += 1;
    }
  }

  /** Returns whether all keys are different. */
  #fill(bucket: number, dealt: Uint32Array): boolean {
    const { length } = dealt;
    if (length === 0) return true;
    const cells = new Uint32Array(cellsFor(length / 2));
    this.#cells[bucket] = cells;
    const mask = cells.length - 1;
    for (let next = 0; next < length; next += 2) {
      const hash = dealt[next]!;
      const slot = dealt[next + 1]!;
      const tag = tagOf(hash);
      let at = hash & mask;
      for (let cell = cells[at]!; cell !== 0; at = (at + 1) & mask, cell = cells[at]!) {
        if (cell >>> SLOT_BITS === tag && this.#hasKeyOf((cell & SLOT_MASK) - 1, slot, hash)) return false;
      }
      cells[at] = ((tag << SLOT_BITS) | (slot + 1)) >>> 0;
    }
    return true;
  }

  /** Whether the key of `slot`, with that hash, is that of `held`. */
  #hasKeyOf(held: Slot, slot: Slot, hash: number): boolean {
    const key = this.#records.keyAt(slot);
    return this.#records.rows.hashAt(held) === hash && this.#records.hasKey(held, key, key.length);
  }

  remove(slot: Slot, hash: number): void {
    const bucket = bucketOf(hash);
    const cells = this.#cells[bucket]!;
    const mask = cells.length - 1;
    let hole = hash & mask;
    while ((cells[hole]! & SLOT_MASK) - 1 !== slot) hole = (hole + 1) & mask;
    // Cells behind the hole move up, unless their hash wants them behind it: no probe ever meets a gap.
    for (let at = (hole + 1) & mask; cells[at] !== 0; at = (at + 1) & mask) {
      const home = this.#records.rows.hashAt((cells[at]! & SLOT_MASK) - 1) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      cells[hole] = cells[at]!;
      hole = at;
    }
    cells[hole] = 0;
    const count = this.#counts[bucket]! - 1;
    this.#counts[bucket] = count;
    if (count === 0) this.#cells[bucket] = NO_CELLS;
  }

  /** All slots of a bucket; the iteration ends with the next change of the index. */
  *slotsOf(bucket: number): IterableIterator<Slot> {
    for (const cell of this.#cells[bucket]!) if (cell !== 0) yield (cell & SLOT_MASK) - 1;
  }

  #grow(bucket: number): void {
    const old = this.#cells[bucket]!;
    const cells = new Uint32Array(Math.max(this.#cellsMin, old.length * 2));
    const { rows } = this.#records;
    // Each hash is somewhere else in memory: read with nothing between, they come together.
    if (moved.length < old.length) moved = new Uint32Array(old.length * 2);
    for (let at = 0; at < old.length; at += 1) if (old[at]! !== 0) moved[at] = rows.hashAt((old[at]! & SLOT_MASK) - 1);
    for (let at = 0; at < old.length; at += 1) if (old[at]! !== 0) put(cells, (old[at]! & SLOT_MASK) - 1, moved[at]!);
    this.#cells[bucket] = cells;
  }
}

function cellsFor(keys: number): number {
  let cells = CELLS_MIN;
  while (cells * LOAD_MAX < keys) cells *= 2;
  return cells;
}

function put(cells: Uint32Array, slot: Slot, hash: number): void {
  const mask = cells.length - 1;
  let at = hash & mask;
  while (cells[at] !== 0) at = (at + 1) & mask;
  cells[at] = ((tagOf(hash) << SLOT_BITS) | (slot + 1)) >>> 0;
}

/** Bits that choose neither the bucket nor, in all but huge buckets, the cell. */
function tagOf(hash: number): number {
  return (hash >>> (BUCKET_SHIFT - TAG_SHIFT)) & (2 ** TAG_SHIFT - 1);
}
