/**
 * The slots of a table that have a value, in byte order of their keys: an array of chunks of up to 512
 * sorted slots.
 *
 * Keys of a chunk mostly begin alike. The chunk knows those bytes once, and the next four bytes of each
 * key as a number beside the slot: searching compares numbers that lie side by side, and goes to the
 * key itself only where they tie.
 */
import { assert, present } from "../invariant.ts";
import { wordOf, type Records } from "./records.ts";
import type { Slot } from "./rows.ts";

const CHUNK_SLOTS = 512;
const CHUNK_SLOTS_MIN = 16;
const NO_BYTES = new Uint8Array(0);

interface Chunk {
  /** No key of the chunk is below it, every key of the chunks before is. */
  readonly low: Uint8Array;
  slots: Uint32Array;
  /** The four bytes of each key behind `shared`. */
  words: Uint32Array;
  length: number;
  /** All keys begin with this. */
  shared: Uint8Array;
}

/** A place between two keys: the number of the chunk times `CHUNK_SLOTS`, plus an index in it that has a slot. */
export type Position = number;

export class OrderedKeys {
  readonly #records: Records;
  readonly #chunks: Chunk[] = [newChunk(NO_BYTES, CHUNK_SLOTS_MIN, NO_BYTES)];
  #version = 0;

  constructor(records: Records) {
    this.#records = records;
  }

  /** Differs after every change: positions are good for one version. */
  get version(): number {
    return this.#version;
  }

  /** Adds a slot whose key is not there. */
  add(slot: Slot, key: Uint8Array): void {
    this.#version += 1;
    const index = this.#chunkOf(key);
    const chunk = this.#chunks[index]!;
    if (chunk.length === 0) chunk.shared = key.slice();
    const common = commonLength(chunk.shared, key);
    if (common < chunk.shared.length) {
      chunk.shared = chunk.shared.slice(0, common);
      this.#readWords(chunk);
    }
    const at = this.#searchIn(chunk, key, false);
    if (chunk.length < CHUNK_SLOTS) {
      insert(chunk, at, slot, wordOf(key, chunk.shared.length, key.length));
      return;
    }
    // Keys that come in order fill one chunk after the other.
    this.#split(index, at === CHUNK_SLOTS ? CHUNK_SLOTS : CHUNK_SLOTS / 2, key);
    this.add(slot, key);
  }

  /** Removes the slot of `key`. */
  remove(slot: Slot, key: Uint8Array): void {
    this.#version += 1;
    const index = this.#chunkOf(key);
    const chunk = this.#chunks[index]!;
    const at = this.#searchIn(chunk, key, false);
    assert(at < chunk.length && chunk.slots[at] === slot, "a key with a value has its place in the order");
    chunk.slots.copyWithin(at, at + 1, chunk.length);
    chunk.words.copyWithin(at, at + 1, chunk.length);
    chunk.length -= 1;
    if (chunk.length === 0 && this.#chunks.length > 1) this.#chunks.splice(index, 1);
    else if (chunk.length * 4 < CHUNK_SLOTS && !this.#join(index - 1)) this.#join(index);
  }

  /** The position of the first key at or above `key`; with `above`, of the first one above it. */
  search(key: Uint8Array, above: boolean): Position {
    const index = this.#chunkOf(key);
    return this.#normal(index, this.#searchIn(this.#chunks[index]!, key, above));
  }

  /** The position of the first key. */
  get start(): Position {
    return this.#normal(0, 0);
  }

  /** The position behind the last key. */
  get end(): Position {
    return this.#chunks.length * CHUNK_SLOTS;
  }

  /** The slot at a position before the end. */
  slotAt(position: Position): Slot {
    const chunk = present(this.#chunks[(position / CHUNK_SLOTS) | 0], "a position is before the end");
    return chunk.slots[position % CHUNK_SLOTS]!;
  }

  /** The position behind one before the end. */
  after(position: Position): Position {
    return this.#normal((position / CHUNK_SLOTS) | 0, (position % CHUNK_SLOTS) + 1);
  }

  /** The position before one behind the start. */
  before(position: Position): Position {
    if (position % CHUNK_SLOTS > 0) return position - 1;
    const index = position / CHUNK_SLOTS - 1;
    return index * CHUNK_SLOTS + this.#chunks[index]!.length - 1;
  }

  /** Positions at the end of a chunk are the one at the start of the next; only a sole chunk may be empty. */
  #normal(index: number, at: number): Position {
    return at < this.#chunks[index]!.length ? index * CHUNK_SLOTS + at : (index + 1) * CHUNK_SLOTS;
  }

  /** The last chunk whose `low` is not above `key`. */
  #chunkOf(key: Uint8Array): number {
    const chunks = this.#chunks;
    let low = 1;
    let high = chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes(chunks[middle]!.low, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** How many keys of the chunk are below `key`; with `orEqual`, at or below it. */
  #searchIn(chunk: Chunk, key: Uint8Array, orEqual: boolean): number {
    const skip = chunk.shared.length;
    const order = comparePrefix(key, chunk.shared);
    if (order !== 0) return order < 0 ? 0 : chunk.length;
    const word = wordOf(key, skip, key.length);
    const { words, slots } = chunk;
    let low = 0;
    let high = chunk.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      let difference = words[middle]! - word;
      if (difference === 0) difference = this.#records.compareKey(slots[middle]!, key, skip);
      if (difference < 0 || (orEqual && difference === 0)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Moves the slots from `middle` on into a new chunk; `key` is what it begins with if it would be empty. */
  #split(index: number, middle: number, key: Uint8Array): void {
    const left = this.#chunks[index]!;
    const count = left.length - middle;
    const low = count === 0 ? key.slice() : this.#records.keyAt(left.slots[middle]!).slice();
    const right = newChunk(low, count === 0 ? CHUNK_SLOTS_MIN : CHUNK_SLOTS, count === 0 ? low : left.shared);
    right.slots.set(left.slots.subarray(middle, left.length));
    right.words.set(left.words.subarray(middle, left.length));
    right.length = count;
    left.length = middle;
    this.#chunks.splice(index + 1, 0, right);
    this.#sharpen(left);
    this.#sharpen(right);
  }

  #join(index: number): boolean {
    const into = this.#chunks[index];
    const from = this.#chunks[index + 1];
    // Room is left, or the next insert would split it again.
    if (into === undefined || from === undefined || into.length + from.length > CHUNK_SLOTS * 0.75) return false;
    resize(into, CHUNK_SLOTS);
    into.slots.set(from.slots.subarray(0, from.length), into.length);
    into.length += from.length;
    this.#chunks.splice(index + 1, 1);
    this.#share(into);
    return true;
  }

  /** Reads the words anew if by now all keys share some of them. */
  #sharpen(chunk: Chunk): void {
    if (chunk.length < 2) return;
    const difference = chunk.words[0]! ^ chunk.words[chunk.length - 1]!;
    if (difference >>> 24 === 0) this.#share(chunk);
  }

  /** Finds what all keys begin with. */
  #share(chunk: Chunk): void {
    if (chunk.length === 0) return;
    const first = this.#records.keyAt(chunk.slots[0]!);
    const last = this.#records.keyAt(chunk.slots[chunk.length - 1]!);
    chunk.shared = first.slice(0, commonLength(first, last));
    this.#readWords(chunk);
  }

  #readWords(chunk: Chunk): void {
    const skip = chunk.shared.length;
    for (let at = 0; at < chunk.length; at += 1) chunk.words[at] = this.#records.keyWordAt(chunk.slots[at]!, skip);
  }
}

/** Negative, zero or positive as `a` sorts before, with or behind `b`. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const common = Math.min(a.length, b.length);
  for (let index = 0; index < common; index += 1) {
    const difference = a[index]! - b[index]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** As `compareBytes`, of `prefix` and as many bytes of `key`. A key that is shorter sorts before it. */
function comparePrefix(key: Uint8Array, prefix: Uint8Array): number {
  for (let index = 0; index < prefix.length; index += 1) {
    if (index === key.length) return -1;
    const difference = key[index]! - prefix[index]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

function commonLength(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  let index = 0;
  while (index < length && a[index] === b[index]) index += 1;
  return index;
}

function newChunk(low: Uint8Array, capacity: number, shared: Uint8Array): Chunk {
  return { low, slots: new Uint32Array(capacity), words: new Uint32Array(capacity), length: 0, shared };
}

function resize(chunk: Chunk, capacity: number): void {
  if (chunk.slots.length >= capacity) return;
  const { slots, words } = chunk;
  chunk.slots = new Uint32Array(capacity);
  chunk.words = new Uint32Array(capacity);
  chunk.slots.set(slots);
  chunk.words.set(words);
}

function insert(chunk: Chunk, at: number, slot: Slot, word: number): void {
  if (chunk.length === chunk.slots.length) resize(chunk, chunk.length * 2);
  if (at < chunk.length) {
    chunk.slots.copyWithin(at + 1, at, chunk.length);
    chunk.words.copyWithin(at + 1, at, chunk.length);
  }
  chunk.slots[at] = slot;
  chunk.words[at] = word;
  chunk.length += 1;
}
