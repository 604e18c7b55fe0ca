/**
 * Which of many ranges of keys hold a key: an interval tree, that is a treap of ranges ordered by where they begin, each
 * node of which knows how far the ranges below it reach. Asking costs O(log n + hits) comparisons.
 * Source: Cormen et al., Introduction to Algorithms, "Interval trees"; Aragon and Seidel 1989 for treaps.
 */
import type { ByteRange } from "../data/key-ranges.ts";

/** Bytes as a string of as many characters, which compare as the bytes do: one object in memory less to visit. */
type Bytes = string;

interface Bounds {
  readonly gte: Bytes;
  readonly lt: Bytes;
}

interface Node<T> extends Bounds {
  readonly items: Set<T>;
  readonly priority: number;
  /** The highest `lt` here and below. */
  reach: Bytes;
  left: Node<T> | undefined;
  right: Node<T> | undefined;
}

export class IntervalTree<T> {
  readonly #isBelow: (a: Bytes, b: Bytes) => boolean;
  #root: Node<T> | undefined;
  #size = 0;
  #drawn = 0;

  /** @param isBelow  another one is for tests that count */
  constructor(isBelow: (a: Bytes, b: Bytes) => boolean = below) {
    this.#isBelow = isBelow;
  }

  /** How many items there are. */
  get size(): number {
    return this.#size;
  }

  /** Items that are added under one range are kept together. An empty range holds nothing, and is kept all the same. */
  add(range: ByteRange, item: T): void {
    this.#size += 1;
    const bounds = boundsOf(range);
    const node = this.#find(bounds);
    if (node !== undefined) node.items.add(item);
    else this.#root = this.#inserted(this.#root, this.#makeNode(bounds, item));
  }

  /** Removes an item that was added under this range. */
  remove(range: ByteRange, item: T): void {
    const bounds = boundsOf(range);
    const items = this.#find(bounds)?.items;
    if (items?.delete(item) !== true) return;
    this.#size -= 1;
    if (items.size === 0) this.#root = this.#removed(this.#root, bounds);
  }

  /** Visits every item whose range holds `key`, by where the ranges begin. */
  visit(key: Uint8Array, visitor: (item: T) => void): void {
    if (this.#root !== undefined) this.#visit(this.#root, bytesOf(key), visitor);
  }

  /** Every item, in no particular order. */
  *[Symbol.iterator](): IterableIterator<T> {
    const nodes = [this.#root];
    for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
      yield* node.items;
      if (node.left !== undefined) nodes.push(node.left);
      if (node.right !== undefined) nodes.push(node.right);
    }
  }

  #visit(node: Node<T> | undefined, key: Bytes, visitor: (item: T) => void): void {
    if (node === undefined || !this.#isBelow(key, node.reach)) return;
    this.#visit(node.left, key, visitor);
    if (this.#isBelow(key, node.gte)) return;
    if (this.#isBelow(key, node.lt)) for (const item of node.items) visitor(item);
    this.#visit(node.right, key, visitor);
  }

  #comesBefore(a: Bounds, b: Bounds): boolean {
    return a.gte === b.gte ? this.#isBelow(a.lt, b.lt) : this.#isBelow(a.gte, b.gte);
  }

  #find(bounds: Bounds): Node<T> | undefined {
    let node = this.#root;
    while (node !== undefined && !isSame(bounds, node)) {
      node = this.#comesBefore(bounds, node) ? node.left : node.right;
    }
    return node;
  }

  #makeNode({ gte, lt }: Bounds, item: T): Node<T> {
    this.#drawn += 1;
    const priority = scrambled(this.#drawn);
    return { gte, lt, items: new Set([item]), priority, reach: lt, left: undefined, right: undefined };
  }

  #inserted(node: Node<T> | undefined, added: Node<T>): Node<T> {
    if (node === undefined) return added;
    if (added.priority > node.priority) {
      const [left, right] = this.#split(node, added);
      return this.#joined(added, left, right);
    }
    return this.#comesBefore(added, node)
      ? this.#joined(node, this.#inserted(node.left, added), node.right)
      : this.#joined(node, node.left, this.#inserted(node.right, added));
  }

  /** What comes before `bounds`, and the rest. */
  #split(node: Node<T> | undefined, bounds: Bounds): [Node<T> | undefined, Node<T> | undefined] {
    if (node === undefined) return [undefined, undefined];
    if (this.#comesBefore(node, bounds)) {
      const [left, right] = this.#split(node.right, bounds);
      return [this.#joined(node, node.left, left), right];
    }
    const [left, right] = this.#split(node.left, bounds);
    return [left, this.#joined(node, right, node.right)];
  }

  #removed(node: Node<T> | undefined, bounds: Bounds): Node<T> | undefined {
    if (node === undefined) return undefined;
    if (isSame(bounds, node)) return this.#merged(node.left, node.right);
    return this.#comesBefore(bounds, node)
      ? this.#joined(node, this.#removed(node.left, bounds), node.right)
      : this.#joined(node, node.left, this.#removed(node.right, bounds));
  }

  /** Of two trees, the first of which is before the second. */
  #merged(a: Node<T> | undefined, b: Node<T> | undefined): Node<T> | undefined {
    if (a === undefined || b === undefined) return a ?? b;
    return a.priority > b.priority
      ? this.#joined(a, a.left, this.#merged(a.right, b))
      : this.#joined(b, this.#merged(a, b.left), b.right);
  }

  #joined(node: Node<T>, left: Node<T> | undefined, right: Node<T> | undefined): Node<T> {
    node.left = left;
    node.right = right;
    node.reach = node.lt;
    for (const child of [left, right]) {
      if (child !== undefined && this.#isBelow(node.reach, child.reach)) node.reach = child.reach;
    }
    return node;
  }
}

function boundsOf({ gte, lt }: ByteRange): Bounds {
  return { gte: bytesOf(gte), lt: bytesOf(lt) };
}

function bytesOf(key: Uint8Array): Bytes {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}

function isSame(a: Bounds, b: Bounds): boolean {
  return a.gte === b.gte && a.lt === b.lt;
}

function below(a: Bytes, b: Bytes): boolean {
  return a < b;
}

/** Balance asks for priorities that know nothing of the order of insertion: the finalizer of MurmurHash3 of a counter. */
function scrambled(count: number): number {
  let bits = count;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
