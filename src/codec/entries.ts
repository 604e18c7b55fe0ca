/**
 * Entries in blocks. Nearly everything in a block repeats or counts up, so each entry is written
 * against those before it:
 *
 *     flags        u8, see below
 *     origin       unless SAME_ORIGIN: see OriginWriter
 *     seq          unless NEXT_SEQ: signed varint, minus the seq of the origin's entry before (0 at first)
 *     stamp        unless SAME_STAMP: signed varint, minus the stamp of the entry before (0 at first)
 *     expiresAt    if EXPIRES: varint
 *     key          varint length, bytes
 *     value        unless TOMBSTONE: varint length, bytes
 */
import { isStamp } from "../hybrid-logical-clock.ts";
import { assert } from "../invariant.ts";
import { ORIGINS_MAX } from "../limits.ts";
import { type Entry, epochOf, nodeIdOf, type Origin } from "../types.ts";
import { type ByteReader, type ByteWriter, DecodeError } from "./bytes.ts";
import { readOrigin } from "./origins.ts";

const TOMBSTONE = 1;
const EXPIRES = 2;
const SAME_ORIGIN = 4;
const NEXT_SEQ = 8;
const SAME_STAMP = 16;
const FLAGS_KNOWN = 31;

/** A bound for parsing only; the limit on keys is an option of the replica and much lower. */
export const ENCODED_KEY_BYTES_MAX = 65_535;
/** Flags, key length, one byte of key, value length: nothing is shorter, so a count can be checked against the bytes. */
const ENTRY_BYTES_MIN = 3;

/** Writes a list of entries: their count, then one by one. */
export function encodeEntries(
  writer: ByteWriter,
  entries: readonly Entry[],
  into: EntriesWriter = new EntriesWriter(writer),
): void {
  writer.varint(entries.length);
  for (const entry of entries) into.entry(entry);
}

/**
 * Reads what `encodeEntries` wrote. Keys and values are views into the bytes. Throws DecodeError.
 *
 * @param countMax  an entry of four bytes takes hundreds as objects: bounds what a stranger can make us set aside
 */
export function decodeEntries(
  reader: ByteReader,
  from: EntriesReader = new EntriesReader(reader),
  countMax: number = Number.MAX_SAFE_INTEGER,
): Entry[] {
  const count = reader.count(countMax, ENTRY_BYTES_MIN);
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) entries.push(from.entry());
  return entries;
}

/** Writes entries, and origins that stand by themselves, of one block; the reader has to take them in the same order. */
export class EntriesWriter {
  readonly #writer: ByteWriter;
  readonly #indexByOrigin = new Map<Origin, number>();
  /** By index of the origin: the seq of its last entry. */
  readonly #seqs: number[] = [];
  #origin: Origin | undefined;
  #index = -1;
  #stamp = 0;

  constructor(writer: ByteWriter) {
    this.#writer = writer;
  }

  entry(entry: Entry): void {
    const writer = this.#writer;
    const { key, value, stamp, origin, seq, expiresAt } = entry;
    assert(key.length > 0 && key.length <= ENCODED_KEY_BYTES_MAX, "an entry has a key of 1 to 65,535 bytes");
    assert(isStamp(stamp) && Number.isSafeInteger(seq) && seq > 0, "an entry has a stamp and a seq");
    const sameOrigin = origin === this.#origin;
    const index = sameOrigin ? this.#index : (this.#indexByOrigin.get(origin) ?? this.#seqs.length);
    const seqBefore = this.#seqs[index] ?? 0;
    let flags = value === null ? TOMBSTONE : 0;
    if (expiresAt !== 0) flags |= EXPIRES;
    if (sameOrigin) flags |= SAME_ORIGIN;
    if (seq === seqBefore + 1) flags |= NEXT_SEQ;
    if (stamp === this.#stamp) flags |= SAME_STAMP;
    writer.u8(flags);
    if (!sameOrigin) this.#index = this.origin(origin);
    if ((flags & NEXT_SEQ) === 0) writer.signedVarint(seq - seqBefore);
    if ((flags & SAME_STAMP) === 0) writer.signedVarint(stamp - this.#stamp);
    if (expiresAt !== 0) writer.varint(expiresAt);
    writer.varint(key.length);
    writer.raw(key);
    if (value !== null) {
      writer.varint(value.length);
      writer.raw(value);
    }
    this.#origin = origin;
    this.#seqs[index] = seq;
    this.#stamp = stamp;
  }

  /**
   * Writes an origin: its index among the origins of the block as a varint, and where the index is new
   * (equal to how many there were), the nodeId as a string and the 8 bytes of the epoch. Returns the index.
   */
  origin(origin: Origin): number {
    const known = this.#indexByOrigin.get(origin);
    const index = known ?? this.#seqs.length;
    this.#writer.varint(index);
    if (known === undefined) {
      this.#indexByOrigin.set(origin, index);
      this.#seqs.push(0);
      this.#writer.string(nodeIdOf(origin));
      this.#writer.hex(epochOf(origin));
    }
    return index;
  }
}

/** Reads what an EntriesWriter wrote. Every method throws DecodeError on damage. */
export class EntriesReader {
  readonly #reader: ByteReader;
  readonly #origins: Origin[] = [];
  readonly #seqs: number[] = [];
  #index = -1;
  #stamp = 0;

  constructor(reader: ByteReader) {
    this.#reader = reader;
  }

  entry(): Entry {
    const reader = this.#reader;
    const flags = reader.u8();
    if (flags > FLAGS_KNOWN) throw new DecodeError("unknown flags of an entry");
    if ((flags & SAME_ORIGIN) === 0) this.#index = this.#originIndex();
    const index = this.#index;
    const origin = this.#origins[index];
    const seqBefore = this.#seqs[index];
    if (origin === undefined || seqBefore === undefined) throw new DecodeError("an entry without an origin");
    const seq = seqBefore + ((flags & NEXT_SEQ) !== 0 ? 1 : reader.signedVarint());
    const stamp = this.#stamp + ((flags & SAME_STAMP) !== 0 ? 0 : reader.signedVarint());
    if (!Number.isSafeInteger(seq) || seq < 1) throw new DecodeError("an impossible seq");
    if (!isStamp(stamp)) throw new DecodeError("an impossible stamp");
    const expires = (flags & EXPIRES) !== 0;
    const expiresAt = expires ? reader.varint() : 0;
    if (expires && expiresAt === 0) throw new DecodeError("an expiry that is none");
    const keyLength = reader.varint();
    if (keyLength === 0 || keyLength > ENCODED_KEY_BYTES_MAX) throw new DecodeError("an impossible key length");
    const key = reader.bytes(keyLength);
    const value = (flags & TOMBSTONE) !== 0 ? null : reader.bytes(reader.varint());
    this.#seqs[index] = seq;
    this.#stamp = stamp;
    return { key, value, stamp, origin, seq, expiresAt };
  }

  origin(): Origin {
    const origin = this.#origins[this.#originIndex()];
    if (origin === undefined) throw new DecodeError("an unknown origin");
    return origin;
  }

  #originIndex(): number {
    const index = this.#reader.varint();
    if (index > this.#origins.length || index >= ORIGINS_MAX) throw new DecodeError("an origin out of order");
    if (index === this.#origins.length) {
      this.#origins.push(readOrigin(this.#reader));
      this.#seqs.push(0);
    }
    return index;
  }
}
