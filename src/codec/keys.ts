/** Keys between strings and UTF-8. */
import { ReplicaError } from "../errors.ts";
import { allocate } from "./allocate.ts";
import { readUtf8 } from "./bytes.ts";
import { utf8At } from "./utf8.ts";

/** Up to here walking the string is cheaper than asking the platform (measured). */
const SHORT_KEY_MAX = 24;
/** Keys up to this length are looked up without memory of their own. */
const SCRATCH_BYTES = 256;
const HIGHEST_BIT = 0x80;

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
  return asciiBytes(key) ?? utf8Bytes(key);
}

/** As `encodeKey` of what passes `checkKey`, and throws as that does. */
export function keyBytes(key: unknown, bytesMax: number): Uint8Array {
  // ASCII is well-formed, and as long as the string: encoding it has checked it.
  const isCandidate = typeof key === "string" && key.length > 0 && key.length <= bytesMax;
  return (isCandidate ? asciiBytes(key) : undefined) ?? utf8Bytes(checkKey(key, bytesMax));
}

/** Encodes one key after the other, mostly into the same memory: to look them up, which keeps nothing of them. */
export class KeyScratch {
  readonly #own = new Uint8Array(SCRATCH_BYTES);
  #bytes: Uint8Array = this.#own;

  /** The key that was encoded last is in the first of these, until the next one is. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** As `keyBytes`. @returns how many of `bytes` the key has */
  encode(key: unknown, bytesMax: number): number {
    if (typeof key === "string") {
      const length = utf8Into(key, this.#own);
      if (length > 0 && length <= bytesMax && (length === key.length || key.isWellFormed())) {
        this.#bytes = this.#own;
        return length;
      }
    }
    this.#bytes = keyBytes(key, bytesMax);
    return this.#bytes.length;
  }
}

/** The key in these bytes. Throws DecodeError if they are not UTF-8. */
export function decodeKey(bytes: Uint8Array): string {
  return readUtf8(bytes, 0, bytes.length);
}

/** The key in the bytes from `start` to `end`, which are known to be one: all that a table holds are. */
export function knownKey(bytes: Uint8Array, start: number, end: number): string {
  return utf8At(bytes, start, end);
}

/** Undefined if the key is not ASCII alone. */
function asciiBytes(key: string): Uint8Array | undefined {
  const bytes = allocate(key.length);
  return utf8Into(key, bytes) === key.length ? bytes : undefined;
}

function utf8Bytes(key: string): Uint8Array {
  const { buffer, byteOffset, byteLength } = Buffer.from(key);
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/**
 * Writes the UTF-8 of a string to the beginning of `bytes`. Lone surrogates become something else.
 * @returns how many bytes it has; -1 if there is no room for it, and then what is in them is undefined
 */
function utf8Into(text: string, bytes: Uint8Array): number {
  const { length } = text;
  if (length <= SHORT_KEY_MAX && length <= bytes.length) {
    let i = 0;
    for (; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code >= HIGHEST_BIT) break;
      bytes[i] = code;
    }
    if (i === length) return length;
  }
  const { read, written } = encoder.encodeInto(text, bytes);
  return read === length ? written : -1;
}

const encoder = new TextEncoder();

function kindOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "an array" : typeof value;
}
