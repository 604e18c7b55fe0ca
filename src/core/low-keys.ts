import { isReserved } from "../limits.ts";
import { wordOf } from "./records.ts";

const CAPACITY_MIN = 16;

/**
 * The lowest keys of the chunks of ordered-keys.ts, ascending: tells which chunk a key belongs to. As in
 * a chunk, what they all begin with is known once, and the next four bytes of each are compared as numbers.
 * Of the first chunk nothing is known: it takes what is below all others.
 *
 * Reserved keys, which are above all others, begin like none of them: they are few, and compared byte by byte.
 */
export class LowKeys {
  /** Of the chunks from the second on. */
  readonly #keys: Uint8Array[] = [];
  #words = new Uint32Array(CAPACITY_MIN);
  /** What the keys that are not reserved begin with: the first so many. */
  #shared: Uint8Array = new Uint8Array(0);
  #plain = 0;

  /** The number of the chunk that `key` belongs to. */
  chunkOf(key: Uint8Array): number {
    if (isReserved(key)) return this.#chunkOfReserved(key);
    const order = comparePrefix(key, this.#shared);
    if (order !== 0) return order < 0 ? 0 : this.#plain;
    const words = this.#words;
    const word = wordOf(key, this.#shared.length, key.length);
    let low = 0;
    let high = this.#plain;
    while (low < high) {
      const middle = (low + high) >>> 1;
      let difference = words[middle]! - word;
      if (difference === 0) difference = compareBytes(this.#keys[middle]!, key);
      if (difference <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #chunkOfReserved(key: Uint8Array): number {
    let low = this.#plain;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes(this.#keys[middle]!, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** A new chunk, not the first one. */
  add(chunk: number, key: Uint8Array): void {
    const keys = this.#keys;
    const at = chunk - 1;
    keys.splice(at, 0, key);
    if (isReserved(key)) return;
    if (this.#plain === this.#words.length) {
      const words = this.#words;
      this.#words = new Uint32Array(words.length * 2);
      this.#words.set(words);
    }
    this.#words.copyWithin(at + 1, at, this.#plain);
    this.#plain += 1;
    const common = this.#plain === 1 ? key.length : commonLength(this.#shared, key);
    if (this.#plain === 1 || common < this.#shared.length) {
      this.#shared = key.slice(0, common);
      for (let index = 0; index < this.#plain; index += 1) {
        const low = keys[index]!;
        this.#words[index] = wordOf(low, common, low.length);
      }
    } else this.#words[at] = wordOf(key, common, key.length);
  }

  /** A chunk is gone; if it was the first, the second is the first now. */
  remove(chunk: number): void {
    const at = Math.max(chunk - 1, 0);
    this.#keys.splice(at, 1);
    if (at >= this.#plain) return;
    this.#words.copyWithin(at, at + 1, this.#plain);
    this.#plain -= 1;
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

/** As `compareBytes`, of as many bytes of `key` as `prefix` has. A key that is a part of it sorts before it. */
export function comparePrefix(key: Uint8Array, prefix: Uint8Array): number {
  for (let index = 0; index < prefix.length; index += 1) {
    if (index === key.length) return -1;
    const difference = key[index]! - prefix[index]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

export function commonLength(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  let index = 0;
  while (index < length && a[index] === b[index]) index += 1;
  return index;
}
