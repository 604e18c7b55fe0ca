/** Ranges as users give them (strings) and as the table takes them (bytes). */
import { encodeKey } from "../codec/keys.ts";
import type { Range } from "../core/table.ts";
import { ReplicaError } from "../errors.ts";
import { RESERVED_PREFIX_BYTE } from "../limits.ts";

/** A part of the key space, in UTF-8 byte order. What is left out does not bound it; all that is given must hold. */
export interface KeyRange {
  /** Keys that begin with it. */
  readonly prefix?: string;
  readonly gt?: string;
  readonly gte?: string;
  readonly lt?: string;
  readonly lte?: string;
}

export const KEY_RANGE_FIELDS = ["prefix", "gt", "gte", "lt", "lte"] as const;

/** Bounds as bytes: from `gte` on, up to and without `lt`. */
export interface ByteRange {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
}

/** Where the user's keys end: reserved keys begin with a byte that UTF-8 never has. */
const END_OF_KEYS: Uint8Array = Uint8Array.of(RESERVED_PREFIX_BYTE);
const START_OF_KEYS: Uint8Array = new Uint8Array(0);

/** @throws ReplicaError ERR_OPTION if a bound is not a well-formed string */
export function byteRange(range: KeyRange): ByteRange {
  let gte = START_OF_KEYS;
  let lt = END_OF_KEYS;
  for (const field of KEY_RANGE_FIELDS) {
    const bound = range[field];
    if (bound === undefined) continue;
    if (typeof bound !== "string" || !bound.isWellFormed()) {
      throw new ReplicaError("ERR_OPTION", `${field} must be a well-formed string`);
    }
    const bytes = encodeKey(bound);
    if (field === "gt" || field === "gte" || field === "prefix") {
      gte = later(gte, field === "gt" ? successor(bytes) : bytes);
    }
    if (field === "lt" || field === "lte") lt = earlier(lt, field === "lte" ? successor(bytes) : bytes);
    if (field === "prefix") lt = earlier(lt, afterPrefix(bytes));
  }
  return { gte, lt };
}

/** What is in both. */
export function narrowed(a: ByteRange, b: ByteRange): ByteRange {
  return {
    gte: later(a.gte, b.gte),
    lt: earlier(a.lt, b.lt),
  };
}

export function isInRange(key: Uint8Array, { gte, lt }: ByteRange): boolean {
  return Buffer.compare(key, gte) >= 0 && Buffer.compare(key, lt) < 0;
}

/** What a range is: one key, all keys that begin with `gte`, or another one. */
export function shapeOf({ gte, lt }: ByteRange): "key" | "prefix" | "other" {
  if (Buffer.compare(lt, successor(gte)) === 0) return "key";
  return Buffer.compare(lt, afterPrefix(gte)) === 0 ? "prefix" : "other";
}

export function tableRange({ gte, lt }: ByteRange, reverse: boolean): Range {
  return { gte, lt, reverse };
}

function later(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a === START_OF_KEYS || Buffer.compare(a, b) < 0 ? b : a;
}

function earlier(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a === END_OF_KEYS || Buffer.compare(b, a) < 0 ? b : a;
}

/** The first key behind `key`. */
function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

/** The first key behind all that begin with `prefix`. Its last byte is below 0xff, since it is UTF-8. */
function afterPrefix(prefix: Uint8Array): Uint8Array {
  if (prefix.length === 0) return END_OF_KEYS;
  const next = prefix.slice();
  next[next.length - 1] = (next[next.length - 1] ?? 0) + 1;
  return next;
}
