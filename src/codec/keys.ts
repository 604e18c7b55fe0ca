/** Keys between strings and UTF-8. */
import { ReplicaError } from "../errors.ts";
import { allocate } from "./allocate.ts";
import { readUtf8 } from "./bytes.ts";
import { utf8At } from "./utf8.ts";

/** Up to here walking the string is cheaper than asking the platform (measured). */
const SHORT_KEY_MAX = 24;

/**
 * The key, if it can be one: a well-formed string of 1 to `bytesMax` bytes of UTF-8.
 * Throws ReplicaError ERR_KEY otherwise.
 */
export function checkKey(key: unknown, bytesMax: number): string {
  if (typeof key !== "string") throw new ReplicaError("ERR_KEY", `a key is a string, not ${kindOf(key)}`);
  if (key === "") throw new ReplicaError("ERR_KEY", "a key has one byte at least");
  if (!key.isWellFormed()) throw new ReplicaError("ERR_KEY", "a key is well-formed: it has no lone surrogates");
  // A UTF-16 code unit takes three bytes of UTF-8 at most, so most keys need no counting.
  if (key.length * 3 > bytesMax) {
    const byteLength = Buffer.byteLength(key);
    if (byteLength > bytesMax) throw new ReplicaError("ERR_KEY", `a key of ${byteLength} bytes, ${bytesMax} at most`);
  }
  return key;
}

/** The bytes of a key that has passed `checkKey`. */
export function encodeKey(key: string): Uint8Array {
  const length = key.length;
  if (length <= SHORT_KEY_MAX) {
    const bytes = allocate(length);
    let i = 0;
    for (; i < length; i++) {
      const code = key.charCodeAt(i);
      if (code >= 0x80) break;
      bytes[i] = code;
    }
    if (i === length) return bytes;
  }
  const { buffer, byteOffset, byteLength } = Buffer.from(key);
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The key in these bytes. Throws DecodeError if they are not UTF-8. */
export function decodeKey(bytes: Uint8Array): string {
  return readUtf8(bytes, 0, bytes.length);
}

/** The key in the bytes from `start` to `end`, which are known to be one: all that a table holds are. */
export function knownKey(bytes: Uint8Array, start: number, end: number): string {
  return utf8At(bytes, start, end);
}

function kindOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "an array" : typeof value;
}
