/**
 * What EntryTable does, in the fewest words: a list of objects, searched and sorted from scratch at every
 * call. Its hashes are a second implementation of what src/core/hash.ts specifies.
 */

import type { Range } from "../../src/core/table.ts";
import type { VersionVector } from "../../src/core/version-vector.ts";
import { DIGEST_BUCKETS } from "../../src/limits.ts";
import type { Entry, Lsn, Millis } from "../../src/types.ts";

export interface Held {
  readonly entry: Entry;
  readonly lsn: Lsn;
}

export class NaiveTable {
  held: Held[] = [];
  lastLsn: Lsn = 0;

  get size(): number {
    return this.held.length;
  }

  get live(): number {
    return this.held.filter(({ entry }) => entry.value !== null && entry.key[0] !== 0xff).length;
  }

  get tombstones(): number {
    return this.held.filter(({ entry }) => entry.value === null && entry.key[0] !== 0xff).length;
  }

  get bytes(): number {
    return this.held.reduce((sum, { entry }) => sum + entry.key.length + (entry.value?.length ?? 0), 0);
  }

  find(key: Uint8Array): Held | undefined {
    return this.held.find(({ entry }) => Buffer.compare(entry.key, key) === 0);
  }

  set(entry: Entry, lsn: Lsn): void {
    this.remove(entry.key);
    this.held.push({ entry: { ...entry, key: entry.key.slice(), value: entry.value?.slice() ?? null }, lsn });
    this.lastLsn = lsn;
  }

  expire(key: Uint8Array): void {
    this.held = this.held.map((held) =>
      Buffer.compare(held.entry.key, key) === 0 ? { ...held, entry: { ...held.entry, value: null } } : held,
    );
  }

  remove(key: Uint8Array): void {
    this.held = this.held.filter(({ entry }) => Buffer.compare(entry.key, key) !== 0);
  }

  /** All changes, not only the first. */
  changes(after: Lsn, vector?: VersionVector): Held[] {
    return this.held
      .filter(({ entry, lsn }) => lsn > after && !(vector?.covers(entry.origin, entry.seq) ?? false))
      .sort((a, b) => a.lsn - b.lsn);
  }

  range({ gt, gte, lt, lte, reverse }: Range): Entry[] {
    const hidesReserved = lt === undefined && lte === undefined && ![gt, gte].some((bound) => bound?.[0] === 0xff);
    const entries = this.held
      .map(({ entry }) => entry)
      .filter(({ value }) => value !== null)
      .filter(({ key }) => !hidesReserved || key[0] !== 0xff)
      .filter(({ key }) => gt === undefined || Buffer.compare(key, gt) > 0)
      .filter(({ key }) => gte === undefined || Buffer.compare(key, gte) >= 0)
      .filter(({ key }) => lt === undefined || Buffer.compare(key, lt) < 0)
      .filter(({ key }) => lte === undefined || Buffer.compare(key, lte) <= 0)
      .sort((a, b) => Buffer.compare(a.key, b.key));
    return reverse === true ? entries.reverse() : entries;
  }

  bucket(index: number): Held[] {
    return this.held.filter(({ entry }) => Math.floor(murmur(entry.key) / (2 ** 32 / DIGEST_BUCKETS)) === index);
  }

  digest(held: readonly Held[] = this.held): string {
    let a = 0;
    let b = 0;
    for (const { entry } of held) {
      if (entry.value === null) continue;
      const words = wordsOf(entry);
      a = (a + laneA(words)) >>> 0;
      b = (b + laneB(words)) >>> 0;
    }
    return a.toString(16).padStart(8, "0") + b.toString(16).padStart(8, "0");
  }

  /** Keys that have yet to expire at or before `now`, with the moment, soonest first. */
  expired(now: Millis): Entry[] {
    return this.held
      .map(({ entry }) => entry)
      .filter(({ value, expiresAt }) => value !== null && expiresAt > 0 && expiresAt <= now)
      .sort((a, b) => a.expiresAt - b.expiresAt);
  }
}

const TWO_32 = 0x1_0000_0000n;

function rotate(value: bigint, by: bigint): bigint {
  return ((value << by) | (value >> (32n - by))) % TWO_32;
}

function finish(value: bigint): number {
  let h = value;
  h = ((h ^ (h >> 16n)) * 0x85ebca6bn) % TWO_32;
  h = ((h ^ (h >> 13n)) * 0xc2b2ae35n) % TWO_32;
  return Number(h ^ (h >> 16n));
}

/** Little-endian words, the last one padded. */
function words(bytes: Uint8Array): bigint[] {
  const padded = Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  return Array.from({ length: padded.length / 4 }, (_, index) => BigInt(padded.readUInt32LE(index * 4)));
}

function scramble(word: bigint): bigint {
  return (rotate((word * 0xcc9e2d51n) % TWO_32, 15n) * 0x1b873593n) % TWO_32;
}

/** MurmurHash3 x86 32, seed 0, as its specification has it. */
export function murmur(bytes: Uint8Array): number {
  let h = 0n;
  const all = words(bytes);
  const whole = Math.floor(bytes.length / 4);
  for (const word of all.slice(0, whole)) h = (rotate(h ^ scramble(word), 13n) * 5n + 0xe6546b64n) % TWO_32;
  for (const word of all.slice(whole)) h ^= scramble(word);
  return finish(h ^ BigInt(bytes.length));
}

function wordsOf({ key, value, stamp, seq, expiresAt, origin }: Entry): bigint[] {
  const body = value ?? new Uint8Array(0);
  const halves = [stamp, seq, expiresAt].flatMap((n) => [BigInt(n) % TWO_32, BigInt(n) / TWO_32]);
  const originHash = BigInt(murmur(Buffer.from(origin)));
  return [BigInt(key.length), BigInt(body.length), ...halves, originHash, ...words(Buffer.concat([key, body]))];
}

function laneA(all: readonly bigint[]): number {
  let h = 0n;
  for (const word of all) h = (rotate(h ^ scramble(word), 13n) * 5n + 0xe6546b64n) % TWO_32;
  return finish(h ^ BigInt(all.length * 4));
}

function laneB(all: readonly bigint[]): number {
  let h = 0x9e3779b9n;
  for (const word of all) h = (rotate(((h ^ word) * 0x85ebca6bn) % TWO_32, 13n) + 0xc2b2ae35n) % TWO_32;
  return finish(h ^ BigInt(all.length * 4));
}
