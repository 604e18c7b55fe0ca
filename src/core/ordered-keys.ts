/**
 * The slots of a table that have a value, in byte order of their keys: an array of chunks of up to 512
 * slots. A chunk takes new slots at its end as they come, and is put in order when somebody reads it or
 * when it is full: sorting hundreds at once costs a fraction of finding each its place.
 *
 * Keys of a chunk mostly begin alike. The chunk knows those bytes once, and the next four bytes of each
 * key as a number beside the slot: searching compares numbers that lie close together, and goes to the
 * key itself only where they tie.
 */
import { assert, present } from "../invariant.ts";
import { commonLength, comparePrefix, LowKeys } from "./low-keys.ts";
import { type Records, wordOf } from "./records.ts";
import type { Slot } from "./rows.ts";

const CHUNK_BITS = 9;
const CHUNK_SLOTS = 2 ** CHUNK_BITS;
const CHUNK_MASK = CHUNK_SLOTS - 1;
const CHUNK_SLOTS_MIN = 8;
/** Two neighbours are joined up to this: room is left, or the next insert would split them again. */
const JOINED_SLOTS_MAX = CHUNK_SLOTS * 0.75;
/** Up to so many slots that wait are put in their places one by one. */
const INSERTED_SLOTS_MAX = 16;

/** Slots in a run, at most. */
export const ORDER_RUN_MAX = CHUNK_SLOTS;

/** For sorting: a word and the index of its cell make one number, which the platform sorts without calling us. */
const sortKeys = new Float64Array(CHUNK_SLOTS);
const sortedCells = new Uint32Array(CHUNK_SLOTS * 2);

interface Chunk {
  /** Pairs: the four bytes of a key behind `shared`, and its slot. */
  cells: Uint32Array;
  length: number;
  /** The first so many are in order; those behind them wait. */
  sorted: number;
  /** All keys begin with this. */
  shared: Uint8Array;
}

/** A place in the order: the number of the chunk times `CHUNK_SLOTS`, plus an index in it that has a slot. */
export type Position = number;

export class OrderedKeys {
  readonly #records: Records;
  readonly #chunks: Chunk[] = [newChunk(CHUNK_SLOTS_MIN)];
  readonly #lows = new LowKeys();
  #version = 0;
  #isPaused = false;

  constructor(records: Records) {
    this.#records = records;
  }

  /** Differs after every change: positions are good for one version. */
  get version(): number {
    return this.#version;
  }

  /** Of an empty order: until `resume` it takes no notice of what is added and removed. */
  pause(): void {
    this.#isPaused = true;
  }

  /** Ends the pause. What is to be in the order has to be added now. */
  resume(): void {
    this.#isPaused = false;
  }

  /** Adds a slot whose key is not there. */
  add(slot: Slot, key: Uint8Array): void {
    if (this.#isPaused) return;
    this.#version += 1;
    const index = this.#lows.chunkOf(key);
    const chunk = this.#chunks[index]!;
    if (chunk.length === 0) chunk.shared = key.slice();
    const common = commonLength(chunk.shared, key);
    if (common < chunk.shared.length) {
      chunk.shared = chunk.shared.slice(0, common);
      this.#readWords(chunk);
    }
    if (chunk.length < CHUNK_SLOTS) {
      append(chunk, slot, wordOf(key, common, key.length));
      return;
    }
    this.#settle(chunk);
    const at = this.#searchWords(chunk, key, false);
    // Keys that come in order fill one chunk after the other, also where there are some above them, as the reserved ones
    // are above all. While no slot is given back they count up: the key below this one came just before it.
    const isNext = at === CHUNK_SLOTS || (at > 0 && chunk.cells[at * 2 - 1] === slot - 1);
    this.#split(index, isNext ? at : CHUNK_SLOTS / 2, key);
    this.add(slot, key);
  }

  /**
   * Adds slots in the order of their keys, of which the first `sharedLength` bytes are the same.
   *
   * @param cells  pairs: the four bytes of a key behind the shared ones, and its slot; up to 512. They are kept
   * @returns whether it fits: the first key is above all that are there, and the words ascend; if not, nothing is added
   */
  addRun(sharedLength: number, cells: Uint32Array): boolean {
    const length = cells.length / 2;
    const first = this.#records.keyAt(cells[1]!);
    const shared = first.slice(0, sharedLength);
    if (!this.#fits(shared, cells) || shared.length < sharedLength) return false;
    const last = this.#chunks.at(-1)!;
    this.#settle(last);
    if (last.length > 0 && this.#records.compareKey(last.cells[last.length * 2 - 1]!, first, 0) >= 0) return false;
    this.#version += 1;
    if (length < JOINED_SLOTS_MAX / 2) {
      // As small as this it would be joined with its neighbour.
      for (let at = 1; at < cells.length; at += 2) this.add(cells[at]!, this.#records.keyAt(cells[at]!));
      return true;
    }
    const chunk: Chunk = { cells, length, sorted: length, shared };
    if (this.#chunks.length === 1 && last.length === 0) this.#chunks[0] = chunk;
    else {
      this.#chunks.push(chunk);
      this.#lows.add(this.#chunks.length - 1, first.slice());
    }
    return true;
  }

  /** As `addRun`, in any order. All keys are above those that are there, and begin with the shared bytes. */
  addUnsorted(sharedLength: number, cells: Uint32Array): void {
    const shared = this.#records.keyAt(cells[1]!).slice(0, sharedLength);
    this.#sort({ cells, length: cells.length / 2, sorted: 0, shared });
    assert(this.addRun(sharedLength, cells), "runs are added in the order of their keys");
  }

  /**
   * Cells as `addRun` takes them: from the position on, up to some end. Good until the next change.
   * Undefined at the end.
   */
  runAt(position: Position): { sharedLength: number; cells: Uint32Array } | undefined {
    const chunk = this.#chunks[position >>> CHUNK_BITS];
    const from = position & CHUNK_MASK;
    if (chunk === undefined || from >= chunk.length) return undefined;
    this.#settle(chunk);
    return { sharedLength: chunk.shared.length, cells: chunk.cells.subarray(from * 2, chunk.length * 2) };
  }

  /** Removes the slot of `key`. */
  remove(slot: Slot, key: Uint8Array): void {
    if (this.#isPaused) return;
    this.#version += 1;
    const index = this.#lows.chunkOf(key);
    const chunk = this.#chunks[index]!;
    this.#settle(chunk);
    const at = this.#searchIn(chunk, key, false);
    assert(at < chunk.length && chunk.cells[at * 2 + 1] === slot, "a key with a value has its place in the order");
    chunk.cells.copyWithin(at * 2, at * 2 + 2, chunk.length * 2);
    chunk.length -= 1;
    chunk.sorted -= 1;
    if (chunk.length === 0 && this.#chunks.length > 1) this.#drop(index);
    else if (chunk.length * 4 < CHUNK_SLOTS && !this.#join(index - 1)) this.#join(index);
  }

  /** The position of the first key at or above `key`; with `above`, of the first one above it. */
  search(key: Uint8Array, above: boolean): Position {
    const index = this.#lows.chunkOf(key);
    const chunk = this.#chunks[index]!;
    this.#settle(chunk);
    return this.#normal(index, this.#searchIn(chunk, key, above));
  }

  /** The position of the first key. */
  get start(): Position {
    return this.#normal(0, 0);
  }

  /** The position behind the last key. */
  get end(): Position {
    return this.#chunks.length << CHUNK_BITS;
  }

  /** The slot at a position before the end. */
  slotAt(position: Position): Slot {
    const chunk = present(this.#chunks[position >>> CHUNK_BITS], "a position is before the end");
    this.#settle(chunk);
    return chunk.cells[(position & CHUNK_MASK) * 2 + 1]!;
  }

  /** The position behind one before the end. */
  after(position: Position): Position {
    return this.#normal(position >>> CHUNK_BITS, (position & CHUNK_MASK) + 1);
  }

  /** The position before one behind the start. */
  before(position: Position): Position {
    if ((position & CHUNK_MASK) > 0) return position - 1;
    const index = (position >>> CHUNK_BITS) - 1;
    return (index << CHUNK_BITS) + this.#chunks[index]!.length - 1;
  }

  /** Positions at the end of a chunk are the one at the start of the next; only a sole chunk may be empty. */
  #normal(index: number, at: number): Position {
    return at < this.#chunks[index]!.length ? (index << CHUNK_BITS) + at : (index + 1) << CHUNK_BITS;
  }

  /** Whether the words ascend; and whether the first and the last key begin with `shared`, and go on with their words. */
  #fits(shared: Uint8Array, cells: Uint32Array): boolean {
    for (let at = 2; at < cells.length; at += 2) if (cells[at]! < cells[at - 2]!) return false;
    return [0, cells.length - 2].every((at) => {
      const key = this.#records.keyAt(cells[at + 1]!);
      return comparePrefix(key, shared) === 0 && wordOf(key, shared.length, key.length) === cells[at];
    });
  }

  /** Puts the slots that wait in their places. */
  #settle(chunk: Chunk): void {
    const waiting = chunk.length - chunk.sorted;
    if (waiting === 0) return;
    if (waiting > INSERTED_SLOTS_MAX) this.#sort(chunk);
    else this.#insertWaiting(chunk);
    chunk.sorted = chunk.length;
  }

  #insertWaiting({ cells, length, sorted, shared }: Chunk): void {
    for (let end = sorted; end < length; end += 1) {
      const word = cells[end * 2]!;
      const slot = cells[end * 2 + 1]!;
      // Keys that come in order are where they belong.
      if (end > 0 && cells[end * 2 - 2]! < word) continue;
      const at = this.#place(cells, end, word, this.#records.keyAt(slot), shared.length, false);
      cells.copyWithin(at * 2 + 2, at * 2, end * 2);
      cells[at * 2] = word;
      cells[at * 2 + 1] = slot;
    }
  }

  #sort({ cells, length, shared }: Chunk): void {
    for (let at = 0; at < length; at += 1) sortKeys[at] = cells[at * 2]! * CHUNK_SLOTS + at;
    sortKeys.subarray(0, length).sort();
    for (let at = 0; at < length; at += 1) {
      const from = (sortKeys[at]! % CHUNK_SLOTS) * 2;
      sortedCells[at * 2] = cells[from]!;
      sortedCells[at * 2 + 1] = cells[from + 1]!;
    }
    cells.set(sortedCells.subarray(0, length * 2));
    for (let start = 0, end = 1; end <= length; end += 1) {
      if (end < length && cells[end * 2] === cells[start * 2]) continue;
      if (end - start > 1) this.#sortByKeys(cells, start, end, shared.length);
      start = end;
    }
  }

  /** Sorts cells whose words are the same. */
  #sortByKeys(cells: Uint32Array, start: number, end: number, from: number): void {
    const slots: Slot[] = [];
    for (let at = start; at < end; at += 1) slots.push(cells[at * 2 + 1]!);
    const records = this.#records;
    const behind = from + 4;
    slots.sort(
      (a, b) =>
        records.keyWordAt(a, behind) - records.keyWordAt(b, behind) || records.compareKey(a, records.keyAt(b), behind),
    );
    for (const [index, slot] of slots.entries()) cells[(start + index) * 2 + 1] = slot;
  }

  /** How many keys of the chunk are below `key`; with `orEqual`, at or below it. */
  #searchIn(chunk: Chunk, key: Uint8Array, orEqual: boolean): number {
    const order = comparePrefix(key, chunk.shared);
    if (order !== 0) return order < 0 ? 0 : chunk.length;
    return this.#searchWords(chunk, key, orEqual);
  }

  /** As `#searchIn`, of a key that begins as all of the chunk do. */
  #searchWords({ cells, length, shared }: Chunk, key: Uint8Array, orEqual: boolean): number {
    return this.#place(cells, length, wordOf(key, shared.length, key.length), key, shared.length, orEqual);
  }

  /** As `#searchIn`, in the first `length` cells. */
  #place(
    cells: Uint32Array,
    length: number,
    word: number,
    key: Uint8Array,
    sharedLength: number,
    orEqual: boolean,
  ): number {
    let low = 0;
    let high = length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      let difference = cells[middle * 2]! - word;
      if (difference === 0) difference = this.#records.compareKey(cells[middle * 2 + 1]!, key, sharedLength);
      if (difference < 0 || (orEqual && difference === 0)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Moves the slots from `middle` on into a new chunk, which begins at `key` if there are none. */
  #split(index: number, middle: number, key: Uint8Array): void {
    const left = this.#chunks[index]!;
    const count = left.length - middle;
    const right = newChunk(count === 0 ? CHUNK_SLOTS_MIN : CHUNK_SLOTS);
    right.cells.set(left.cells.subarray(middle * 2, left.length * 2));
    right.length = count;
    right.sorted = count;
    right.shared = left.shared;
    left.length = middle;
    left.sorted = middle;
    this.#chunks.splice(index + 1, 0, right);
    this.#lows.add(index + 1, count === 0 ? key.slice() : this.#keyAt(right, 0).slice());
    this.#sharpen(left);
    this.#sharpen(right);
  }

  #join(index: number): boolean {
    const into = this.#chunks[index];
    const from = this.#chunks[index + 1];
    if (into === undefined || from === undefined || into.length + from.length > JOINED_SLOTS_MAX) return false;
    this.#settle(into);
    this.#settle(from);
    resize(into, CHUNK_SLOTS);
    into.cells.set(from.cells.subarray(0, from.length * 2), into.length * 2);
    into.length += from.length;
    into.sorted = into.length;
    this.#drop(index + 1);
    this.#share(into);
    return true;
  }

  #drop(index: number): void {
    this.#chunks.splice(index, 1);
    this.#lows.remove(index);
  }

  /** Reads the words anew if by now all keys begin with the first byte of theirs. */
  #sharpen(chunk: Chunk): void {
    if (chunk.length < 2) return;
    const difference = chunk.cells[0]! ^ chunk.cells[(chunk.length - 1) * 2]!;
    if (difference >>> 24 === 0) this.#share(chunk);
  }

  /** Finds what all keys begin with. */
  #share(chunk: Chunk): void {
    const first = this.#keyAt(chunk, 0);
    chunk.shared = first.slice(0, commonLength(first, this.#keyAt(chunk, chunk.length - 1)));
    this.#readWords(chunk);
  }

  #readWords({ cells, length, shared }: Chunk): void {
    for (let at = 0; at < length * 2; at += 2) cells[at] = this.#records.keyWordAt(cells[at + 1]!, shared.length);
  }

  #keyAt(chunk: Chunk, at: number): Uint8Array {
    return this.#records.keyAt(chunk.cells[at * 2 + 1]!);
  }
}

function newChunk(capacity: number): Chunk {
  return { cells: new Uint32Array(capacity * 2), length: 0, sorted: 0, shared: new Uint8Array(0) };
}

function resize(chunk: Chunk, capacity: number): void {
  const { cells } = chunk;
  if (cells.length >= capacity * 2) return;
  chunk.cells = new Uint32Array(capacity * 2);
  chunk.cells.set(cells);
}

function append(chunk: Chunk, slot: Slot, word: number): void {
  const { length } = chunk;
  if (length * 2 === chunk.cells.length) resize(chunk, Math.min(length * 2, CHUNK_SLOTS));
  const { cells } = chunk;
  // Keys that come in order need no sorting.
  if (chunk.sorted === length && (length === 0 || cells[length * 2 - 2]! < word)) chunk.sorted = length + 1;
  cells[length * 2] = word;
  cells[length * 2 + 1] = slot;
  chunk.length = length + 1;
}
