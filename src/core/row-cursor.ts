/** Reads rows in the order of their keys, where they lie in memory. */
import type { Entry, Millis } from "../types.ts";
import { type Ahead, RangeWalk, type Source } from "./range-walk.ts";
import type { Records } from "./records.ts";
import type { Slot } from "./rows.ts";

/** Rows that are fetched at once: the first time few, since many scans are short. */
const FETCHED_FIRST = 4;
const FETCHED_MAX = 32;

const NOTHING = new Uint8Array(0);

/** Where key and value of an entry lie: good until the next change of the table. */
export class RowPlace {
  bytes: Uint8Array = NOTHING;
  /** The key goes from here to `valueStart`. */
  keyStart = 0;
  /** The value goes from here to `end`. */
  valueStart = 0;
  end = 0;
  /** 0: never. */
  expiresAt: Millis = 0;

  /** Of an entry with a value. */
  find(records: Records, slot: Slot): void {
    const { rows } = records;
    this.bytes = records.bytesAt(slot);
    this.keyStart = records.startAt(slot);
    this.valueStart = this.keyStart + rows.keyLengthAt(slot);
    this.end = this.valueStart + rows.valueLengthAt(slot);
    this.expiresAt = records.expiresAt(slot);
  }
}

/**
 * A stable view of a range, as of when it was made: stands on one row after the other.
 *
 * A row is two places in memory that nothing but the order of the keys connects, and a processor that has to wait for
 * one before it knows the next is idle most of the time. So rows are looked up several at a time, with nothing else between, and
 * their memory is on its way together.
 */
export class RowCursor extends RowPlace {
  readonly #source: Source;
  readonly #ahead: Ahead;
  readonly #walk: RangeWalk;
  readonly #release: () => void;
  /** As of when nothing had changed. */
  readonly #revision: number;
  #slots = new Int32Array(FETCHED_FIRST);
  #count = 0;
  #at = 0;
  #done = false;
  /** Keeps the compiler from leaving out reads whose result nobody needs. */
  #touched = 0;

  constructor(source: Source, ahead: Ahead, release: () => void) {
    super();
    this.#source = source;
    this.#ahead = ahead;
    this.#walk = new RangeWalk(source, ahead);
    this.#release = release;
    this.#revision = source.revision();
  }

  /** Steps to the next row; false at the end. */
  advance(): boolean {
    if (this.#done) return false;
    if (this.#source.revision() !== this.#revision) return this.#advanceBesideChanges();
    if (this.#at === this.#count && !this.#fetch()) return this.#end();
    const slot = this.#slots[this.#at++]!;
    this.#ahead.show(slot);
    this.find(this.#source.records, slot);
    return true;
  }

  /** To be called by whoever stops early. Idempotent. */
  return(): void {
    if (!this.#done) this.#release();
    this.#done = true;
  }

  #end(): false {
    this.return();
    return false;
  }

  #fetch(): boolean {
    if (this.#count === this.#slots.length && this.#count < FETCHED_MAX) this.#slots = new Int32Array(this.#count * 2);
    const slots = this.#slots;
    const { records } = this.#source;
    const count = this.#walk.passMany(slots);
    let touched = 0;
    for (let at = 0; at < count; at += 1) touched ^= records.rows.placeAt(slots[at]!);
    for (let at = 0; at < count; at += 1) touched ^= records.touch(slots[at]!);
    this.#touched ^= touched;
    this.#count = count;
    this.#at = 0;
    return count > 0;
  }

  #advanceBesideChanges(): boolean {
    if (this.#at < this.#count) this.#walk.rewind();
    this.#count = 0;
    this.#at = 0;
    const next = this.#walk.next();
    if (next === undefined) return this.#end();
    if (typeof next === "number") this.find(this.#source.records, next);
    else this.#show(next);
    return true;
  }

  /** A copy, in which the value lies right behind the key. */
  #show({ key, value, expiresAt }: Entry): void {
    this.bytes = new Uint8Array(key.buffer);
    this.keyStart = key.byteOffset;
    this.valueStart = key.byteOffset + key.length;
    this.end = this.valueStart + (value?.length ?? 0);
    this.expiresAt = expiresAt;
  }
}
