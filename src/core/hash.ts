/**
 * The hashes that replicas compare. Fixed and without a seed, since every replica must come to the same.
 *
 * Both read bytes as little-endian 32-bit words; a last word that is cut short is padded with zeros. All
 * arithmetic is modulo 2^32, `rot` rotates to the left.
 *
 * - **Key hash**: MurmurHash3 x86 32 with seed 0. Its upper bits number the key's bucket of the digest.
 * - **Entry hash**: two lanes over the words
 *   key length, value length, stamp low, stamp high, seq low, seq high, expiry low, expiry high (high is
 *   the number divided by 2^32, rounded down), key hash of the UTF-8 bytes of the origin,
 *   then key and value as one run of bytes.
 *   Lane a is MurmurHash3 x86 32 with seed 0 (its final length is that of all words, in bytes).
 *   Lane b starts at 0x9e3779b9 and does `b = rot((b xor word) x 0x85ebca6b, 13) + 0xc2b2ae35` per word;
 *   in the end `b = mix(b xor length)` with the finalizer of MurmurHash3.
 *
 * It tells accidents apart, not adversaries: whoever may write to the store can also make keys collide.
 */
import type { Millis, Seq, Stamp } from "../types.ts";

const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;
const HEADER_WORDS = 9;

/** The key hash, see above, of the first `length` bytes (default: all): 0 to 2^32 - 1. */
export function hashKey(key: Uint8Array, length: number = key.length): number {
  const whole = length & ~3;
  let hash = 0;
  let at = 0;
  for (; at < whole; at += 4) {
    const word = key[at]! | (key[at + 1]! << 8) | (key[at + 2]! << 16) | (key[at + 3]! << 24) | 0;
    hash = round(hash, word);
  }
  if (at < length) {
    let word = 0;
    for (let shift = 0; at < length; at += 1, shift += 8) word |= key[at]! << shift;
    // Unlike a whole word the tail is not followed by the rotation: that is how Murmur defines it.
    hash ^= scramble(word);
  }
  return mix(hash ^ length) >>> 0;
}

/**
 * The entry hash, see above.
 *
 * @param lanes  receives lane a at `laneAt` and lane b behind it
 * @param view  holds key and value side by side at `offset`; readable up to the next multiple of 4 bytes
 */
export function hashEntry(
  lanes: Uint32Array,
  laneAt: number,
  stamp: Stamp,
  seq: Seq,
  expiresAt: Millis,
  originHash: number,
  view: DataView,
  offset: number,
  keyLength: number,
  valueLength: number,
): void {
  let a = round(0, keyLength);
  let b = roundB(0x9e3779b9, keyLength);
  a = round(a, valueLength);
  b = roundB(b, valueLength);
  let word = low(stamp);
  a = round(a, word);
  b = roundB(b, word);
  word = high(stamp);
  a = round(a, word);
  b = roundB(b, word);
  word = low(seq);
  a = round(a, word);
  b = roundB(b, word);
  word = high(seq);
  a = round(a, word);
  b = roundB(b, word);
  word = low(expiresAt);
  a = round(a, word);
  b = roundB(b, word);
  word = high(expiresAt);
  a = round(a, word);
  b = roundB(b, word);
  a = round(a, originHash);
  b = roundB(b, originHash);

  const length = keyLength + valueLength;
  const wholeEnd = offset + (length & ~3);
  let at = offset;
  for (; at < wholeEnd; at += 4) {
    word = view.getUint32(at, true);
    a = round(a, word);
    b = roundB(b, word);
  }
  const tailBytes = length & 3;
  if (tailBytes > 0) {
    word = view.getUint32(at, true) & ((1 << (tailBytes * 8)) - 1);
    a = round(a, word);
    b = roundB(b, word);
  }
  const total = (HEADER_WORDS + ((length + 3) >>> 2)) * 4;
  lanes[laneAt] = mix(a ^ total);
  lanes[laneAt + 1] = mix(b ^ total);
}

function scramble(word: number): number {
  const product = Math.imul(word, C1);
  return Math.imul((product << 15) | (product >>> 17), C2);
}

function round(hash: number, word: number): number {
  const mixed = hash ^ scramble(word);
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

function roundB(hash: number, word: number): number {
  const product = Math.imul(hash ^ word, 0x85ebca6b);
  return (((product << 13) | (product >>> 19)) + 0xc2b2ae35) | 0;
}

function mix(hash: number): number {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

function low(value: number): number {
  return value | 0;
}

function high(value: number): number {
  return Math.floor(value / 0x1_0000_0000) | 0;
}
