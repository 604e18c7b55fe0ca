/**
 * What a secondary index holds: for each entry, and each string that it is indexed by, a row. Rows are
 * kept in a table of the same kind as the store's own, so that ranges over them are stable and lazy too,
 * and millions of them are no objects.
 *
 *     row key:  `by` with 00 written as 00 ff, then 00, then the key of the entry
 *
 * Keys are UTF-8 and so never begin with ff: rows are in the byte order of `by`, then of the key, whatever
 * characters `by` has (the encoding of strings in FoundationDB's tuples).
 */
import { decodeKey, encodeKey } from "../codec/keys.ts";
import { decodeValue, encodeValue } from "../codec/values.ts";
import { EntryTable, NO_SLOT } from "../core/table.ts";
import { type ByteRange, byteRange, KEY_RANGE_FIELDS, type KeyRange, tableRange } from "../key-ranges.ts";
import { EXPIRE_ENTRIES_MAX } from "../limits.ts";
import type { Entry, Lsn, Millis } from "../types.ts";

const END = 0x00;
const ESCAPED = 0xff;

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
  const by: number[] = [];
  let at = 0;
  for (; ; at += 1) {
    const byte = bytes[at] ?? END;
    if (byte === END && bytes[at + 1] !== ESCAPED) break;
    by.push(byte);
    if (byte === END) at += 1;
  }
  return { by: decodeKey(Uint8Array.from(by)), key: bytes.subarray(at + 1) };
}

/** The row keys of a range of what entries are indexed by. @throws ReplicaError ERR_OPTION, as for a range of keys */
export function rowRange(range: KeyRange): ByteRange {
  byteRange(range);
  let gte: Uint8Array = new Uint8Array(0);
  let lt: Uint8Array = Uint8Array.of(ESCAPED);
  for (const field of KEY_RANGE_FIELDS) {
    const bound = range[field];
    if (bound === undefined) continue;
    const escaped = escapedBytes(bound);
    // All rows of `bound` lie between these two, and so do no others.
    const first = Uint8Array.of(...escaped, END);
    const behind = Uint8Array.of(...escaped, END, ESCAPED);
    if (field === "prefix") {
      gte = later(gte, escaped);
      lt = earlier(lt, afterAll(escaped));
    } else if (field === "gt" || field === "gte") gte = later(gte, field === "gt" ? behind : first);
    else lt = earlier(lt, field === "lt" ? first : behind);
  }
  return { gte, lt };
}

function rowKey(by: string, key: Uint8Array): Uint8Array {
  const escaped = escapedBytes(by);
  const bytes = new Uint8Array(escaped.length + 1 + key.length);
  bytes.set(escaped);
  bytes[escaped.length] = END;
  bytes.set(key, escaped.length + 1);
  return bytes;
}

function escapedBytes(text: string): Uint8Array {
  const bytes = encodeKey(text);
  if (!bytes.includes(END)) return bytes;
  return Uint8Array.from([...bytes].flatMap((byte) => (byte === END ? [END, ESCAPED] : [byte])));
}

/** The first key behind all that begin with `prefix`. */
function afterAll(prefix: Uint8Array): Uint8Array {
  const next = Array.from(prefix);
  while (next.at(-1) === ESCAPED) next.pop();
  const last = next.pop();
  return Uint8Array.from(last === undefined ? [ESCAPED] : [...next, last + 1]);
}

function later(a: Uint8Array, b: Uint8Array): Uint8Array {
  return Buffer.compare(a, b) < 0 ? b : a;
}

function earlier(a: Uint8Array, b: Uint8Array): Uint8Array {
  return Buffer.compare(a, b) < 0 ? a : b;
}
