/**
 * What a secondary index holds: for each entry, and each string that it is indexed by, a row. Rows are
 * kept in a table of the same kind as the store's own, so that ranges over them are stable and lazy too,
 * and millions of them are no objects. A row's key is a pair (pair-keys.ts): `by`, then the key of the entry.
 */
import { decodeKey, encodeKey } from "../codec/keys.ts";
import { decodeValue, encodeValue } from "../codec/values.ts";
import { EntryTable, NO_SLOT } from "../core/table.ts";
import { type ByteRange, byteRange, KEY_RANGE_FIELDS, type KeyRange, tableRange } from "../data/key-ranges.ts";
import { EXPIRE_ENTRIES_MAX, RESERVED_PREFIX_BYTE } from "../limits.ts";
import type { Entry, Lsn, Millis } from "../types.ts";
import { afterAll, escapedKey, pairKey, pairsOf, splitPairKey } from "./pair-keys.ts";

export class IndexRows {
  /** The value of the entry under each row key, with its expiry. */
  readonly #rows = new EntryTable();
  /** By what an entry is indexed, under its key: what to take back when it changes. */
  readonly #byKey = new EntryTable();
  #lsn: Lsn = 0;

  get size(): number {
    return this.#rows.size;
  }

  /** Indexes the entry by these strings, distinct, and by no others. */
  set(entry: Entry, by: readonly string[]): void {
    const before = this.#heldBy(entry.key);
    for (const old of before) if (!by.includes(old)) this.#removeRow(old, entry.key);
    for (const one of by) this.#rows.set({ ...entry, key: rowKey(one, entry.key) }, this.#nextLsn());
    if (by.length === before.length && by.every((one, index) => one === before[index])) return;
    if (by.length === 0) this.remove(entry.key);
    else this.#byKey.set({ ...entry, value: encodeValue(by), expiresAt: 0 }, this.#nextLsn());
  }

  /** Takes the entry out. */
  remove(key: Uint8Array): void {
    for (const old of this.#heldBy(key)) this.#removeRow(old, key);
    const slot = this.#byKey.find(key);
    if (slot !== NO_SLOT) this.#byKey.remove(slot);
  }

  /** Takes out what has expired, a bounded number at a time: readers do not see it in any case. */
  expire(now: Millis): void {
    for (let count = 0; count < EXPIRE_ENTRIES_MAX; count += 1) {
      // One by one: an entry takes all its rows with it.
      const [slot] = this.#rows.expired(now, 1);
      if (slot === undefined) return;
      this.remove(splitRowKey(this.#rows.keyAt(slot)).key.slice());
    }
  }

  /** The rows of a range, a stable view: entries whose key is a row key. */
  range(range: ByteRange, reverse: boolean): IterableIterator<Entry> {
    return this.#rows.range(tableRange(range, reverse));
  }

  #heldBy(key: Uint8Array): readonly string[] {
    const slot = this.#byKey.find(key);
    const value = slot === NO_SLOT ? null : this.#byKey.valueAt(slot);
    return value === null ? [] : (decodeValue(value) as string[]);
  }

  #removeRow(by: string, key: Uint8Array): void {
    const slot = this.#rows.find(rowKey(by, key));
    if (slot !== NO_SLOT) this.#rows.remove(slot);
  }

  #nextLsn(): Lsn {
    this.#lsn += 1;
    return this.#lsn;
  }
}

/** The two parts of a row key. */
export function splitRowKey(bytes: Uint8Array): { readonly by: string; readonly key: Uint8Array } {
  const { first, second } = splitPairKey(bytes);
  return { by: decodeKey(first), key: second };
}

/** The row keys of a range of what entries are indexed by. @throws ReplicaError ERR_OPTION, as for a range of keys */
export function rowRange(range: KeyRange): ByteRange {
  byteRange(range);
  let gte: Uint8Array = new Uint8Array(0);
  let lt: Uint8Array = Uint8Array.of(RESERVED_PREFIX_BYTE);
  for (const field of KEY_RANGE_FIELDS) {
    const bound = range[field];
    if (bound === undefined) continue;
    const bytes = encodeKey(bound);
    const rows = pairsOf(bytes);
    if (field === "prefix") {
      gte = later(gte, escapedKey(bytes));
      lt = earlier(lt, afterAll(escapedKey(bytes)));
    } else if (field === "gt" || field === "gte") gte = later(gte, field === "gt" ? rows.lt : rows.gte);
    else lt = earlier(lt, field === "lt" ? rows.gte : rows.lt);
  }
  return { gte, lt };
}

function rowKey(by: string, key: Uint8Array): Uint8Array {
  return pairKey(encodeKey(by), key);
}

function later(a: Uint8Array, b: Uint8Array): Uint8Array {
  return Buffer.compare(a, b) < 0 ? b : a;
}

function earlier(a: Uint8Array, b: Uint8Array): Uint8Array {
  return Buffer.compare(a, b) < 0 ? a : b;
}
