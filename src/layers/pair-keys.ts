/**
 * Two keys in one, in the order of the first, then of the second:
 *
 *     first key with 00 written as 00 ff, then 00, then the second key
 *
 * The second one must not begin with ff, which no UTF-8 does. Then pairs are in byte order whatever the first keys
 * are, prefixes of each other or not (the encoding of strings in FoundationDB's tuples).
 */
import type { ByteRange } from "../data/key-ranges.ts";

const END = 0x00;
const ESCAPED = 0xff;

export function pairKey(first: Uint8Array, second: Uint8Array): Uint8Array {
  const escaped = escapedKey(first);
  const bytes = new Uint8Array(escaped.length + 1 + second.length);
  bytes.set(escaped);
  bytes[escaped.length] = END;
  bytes.set(second, escaped.length + 1);
  return bytes;
}

/** The two keys in a pair. */
export function splitPairKey(bytes: Uint8Array): { readonly first: Uint8Array; readonly second: Uint8Array } {
  let at = 0;
  let escapes = 0;
  while (bytes[at] !== END || bytes[at + 1] === ESCAPED) {
    if (at >= bytes.length) break;
    if (bytes[at] === END) escapes += 1;
    at += bytes[at] === END ? 2 : 1;
  }
  const first = bytes.subarray(0, at);
  return { first: escapes === 0 ? first : unescapedKey(first, escapes), second: bytes.subarray(at + 1) };
}

/** All pairs with this first key, and no others. */
export function pairsOf(first: Uint8Array): ByteRange {
  const escaped = escapedKey(first);
  return { gte: Uint8Array.of(...escaped, END), lt: Uint8Array.of(...escaped, END, ESCAPED) };
}

/** A first key as it begins a pair: greater than the pairs of all first keys below it, and below all others. */
export function escapedKey(key: Uint8Array): Uint8Array {
  if (!key.includes(END)) return key;
  return Uint8Array.from([...key].flatMap((byte) => (byte === END ? [END, ESCAPED] : [byte])));
}

/** The first key behind all that begin with `prefix`. */
export function afterAll(prefix: Uint8Array): Uint8Array {
  const next = Array.from(prefix);
  while (next.at(-1) === ESCAPED) next.pop();
  const last = next.pop();
  return Uint8Array.from(last === undefined ? [ESCAPED] : [...next, last + 1]);
}

function unescapedKey(escaped: Uint8Array, escapes: number): Uint8Array {
  const key = new Uint8Array(escaped.length - escapes);
  let from = 0;
  for (let to = 0; to < key.length; to += 1) {
    const byte = escaped[from] ?? END;
    key[to] = byte;
    from += byte === END ? 2 : 1;
  }
  return key;
}
