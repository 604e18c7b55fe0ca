/**
 * Which of many ranges of keys hold a key, asked at every change. Nearly all ranges that are watched are a key or a
 * prefix, and are found by hash; the rest is kept in a tree.
 */
import { type ByteRange, shapeOf } from "../data/key-ranges.ts";
import { IntervalTree } from "./interval-tree.ts";
import { PrefixIndex } from "./prefix-index.ts";

export class RangeIndex<T extends object | string | number> {
  readonly #beginnings = new PrefixIndex<T>();
  readonly #others = new IntervalTree<T>();

  /** How many items there are. */
  get size(): number {
    return this.#beginnings.size + this.#others.size;
  }

  /** Each item once under each range. An empty range holds nothing, and is kept all the same. */
  add(range: ByteRange, item: T): void {
    const shape = shapeOf(range);
    if (shape === "other") this.#others.add(range, item);
    else this.#beginnings.add({ bytes: range.gte, isKey: shape === "key" }, item);
  }

  /** Removes an item that was added under this range. */
  remove(range: ByteRange, item: T): void {
    const shape = shapeOf(range);
    if (shape === "other") this.#others.remove(range, item);
    else this.#beginnings.remove({ bytes: range.gte, isKey: shape === "key" }, item);
  }

  /** Visits every item whose range holds `key`, in no particular order. */
  visit(key: Uint8Array, visitor: (item: T) => void): void {
    this.#beginnings.visit(key, visitor);
    this.#others.visit(key, visitor);
  }

  /** Every item, in no particular order. */
  *[Symbol.iterator](): IterableIterator<T> {
    yield* this.#beginnings;
    yield* this.#others;
  }
}
