/**
 * Which of many prefixes a key begins with, and which of many keys it is: a hash table that is asked with the hash of
 * each beginning of the key. The hash is rolled on from one beginning to the next (FNV-1a), so that all of them together
 * cost one walk over the key, and beginnings of a length that no prefix has are not looked up. However many prefixes
 * there are, asking costs O(length of the key + hits).
 *
 * With many watches, what is read here at each put is in no cache, and each object to be read costs more than all
 * the arithmetic: hence a node is one object, with a string beside it and, most often, no set of items.
 */

/** What items are kept under: one key, or all keys that begin with these bytes. */
export interface Beginning {
  readonly bytes: Uint8Array;
  readonly isKey: boolean;
}

interface Node<T> {
  /** The bytes, a character for each: an array of bytes would be two objects to read. */
  readonly name: string;
  readonly isKey: boolean;
  /** The item, as long as there is one only. */
  only: T | undefined;
  all: Set<T> | undefined;
  /** Another node whose bytes have the same hash. */
  next: Node<T> | undefined;
}

export class PrefixIndex<T extends object | string | number> {
  readonly #byHash = new Map<number, Node<T>>();
  /** How many prefixes there are of each length; the last number is not 0. */
  readonly #prefixes: number[] = [];
  #keys = 0;
  #size = 0;

  /** How many items there are. */
  get size(): number {
    return this.#size;
  }

  /** Each item once under each beginning. */
  add(beginning: Beginning, item: T): void {
    this.#size += 1;
    const hash = hashOf(beginning.bytes);
    const name = nameOf(beginning.bytes);
    const first = this.#byHash.get(hash);
    const node = nodeIn(first, name, beginning.isKey);
    if (node === undefined) {
      this.#byHash.set(hash, { name, isKey: beginning.isKey, only: item, all: undefined, next: first });
      this.#count(beginning, 1);
      return;
    }
    node.all ??= new Set(node.only === undefined ? [] : [node.only]);
    node.only = undefined;
    node.all.add(item);
  }

  /** Removes an item that was added under this. */
  remove(beginning: Beginning, item: T): void {
    const hash = hashOf(beginning.bytes);
    const first = this.#byHash.get(hash);
    const node = nodeIn(first, nameOf(beginning.bytes), beginning.isKey);
    if (node === undefined || !(node.only === item || node.all?.delete(item) === true)) return;
    this.#size -= 1;
    if (node.all !== undefined && node.all.size > 0) return;
    this.#count(beginning, -1);
    const rest = without(first, node);
    if (rest === undefined) this.#byHash.delete(hash);
    else this.#byHash.set(hash, rest);
  }

  /** Visits every item that `key` concerns, in no particular order. */
  visit(key: Uint8Array, visitor: (item: T) => void): void {
    if (this.#size === 0) return;
    const prefixes = this.#prefixes;
    const end = this.#keys > 0 ? key.length : Math.min(key.length, prefixes.length - 1);
    let hash = HASH_START;
    for (let length = 0; length <= end; length += 1) {
      const isPrefix = length < prefixes.length && prefixes[length] !== 0;
      const isWhole = length === key.length && this.#keys > 0;
      if (isPrefix || isWhole) visitNodes(this.#byHash.get(hash), key, length, visitor);
      if (length < end) hash = rolled(hash, key[length] ?? 0);
    }
  }

  /** Every item, in no particular order. */
  *[Symbol.iterator](): IterableIterator<T> {
    for (const first of this.#byHash.values()) {
      for (let node: Node<T> | undefined = first; node !== undefined; node = node.next) {
        if (node.only !== undefined) yield node.only;
        else yield* node.all ?? [];
      }
    }
  }

  #count({ bytes, isKey }: Beginning, times: 1 | -1): void {
    const prefixes = this.#prefixes;
    if (isKey) this.#keys += times;
    else {
      while (prefixes.length <= bytes.length) prefixes.push(0);
      prefixes[bytes.length] = (prefixes[bytes.length] ?? 0) + times;
      while (prefixes.at(-1) === 0) prefixes.pop();
    }
  }
}

function visitNodes<T>(first: Node<T> | undefined, key: Uint8Array, length: number, visitor: (item: T) => void): void {
  for (let node = first; node !== undefined; node = node.next) {
    if (node.name.length !== length || (node.isKey && length !== key.length) || !beginsWith(key, node.name)) continue;
    if (node.only !== undefined) visitor(node.only);
    else for (const item of node.all ?? []) visitor(item);
  }
}

const HASH_START = 0x811c9dc5 | 0;

function rolled(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193);
}

function hashOf(bytes: Uint8Array): number {
  let hash = HASH_START;
  for (const byte of bytes) hash = rolled(hash, byte);
  return hash;
}

function nameOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

function beginsWith(key: Uint8Array, name: string): boolean {
  for (let i = 0; i < name.length; i += 1) if (key[i] !== name.charCodeAt(i)) return false;
  return true;
}

function nodeIn<T>(first: Node<T> | undefined, name: string, isKey: boolean): Node<T> | undefined {
  let node = first;
  while (node !== undefined && (node.name !== name || node.isKey !== isKey)) node = node.next;
  return node;
}

/** The chain without one of its nodes. */
function without<T>(first: Node<T> | undefined, node: Node<T>): Node<T> | undefined {
  if (first === node) return node.next;
  let before = first;
  while (before !== undefined && before.next !== node) before = before.next;
  if (before !== undefined) before.next = node.next;
  return first;
}
