/** Iterations over ranges: what may be asked for, and lazy iterables that let go of what they hold. */
import { checkFlag, knownFields } from "../arguments.ts";
import { decodeKey, knownKey } from "../codec/keys.ts";
import { decodeValue, knownValue } from "../codec/values.ts";
import type { RowCursor, RowPlace } from "../core/table.ts";
import { ReplicaError } from "../errors.ts";
import type { Millis } from "../types.ts";
import { type ByteRange, byteRange, KEY_RANGE_FIELDS, type KeyRange } from "./key-ranges.ts";

/** What to iterate over. Keys are ordered by their UTF-8 bytes. */
export interface ScanOptions extends KeyRange {
  /** From the last key to the first. Default false. */
  readonly reverse?: boolean;
  /** At most so many, a whole number. Default: all. */
  readonly limit?: number;
}

const FIELDS = ["reverse", "limit", ...KEY_RANGE_FIELDS];

/** As much of an entry as a scan shows, encoded. */
export interface Row {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** A stable view of a range, as of the call. Whoever stops early calls `return`, as `for of` does. */
export type OpenView<R extends Row = Row> = (range: ByteRange, reverse: boolean) => IterableIterator<R>;

/** As `OpenView`, of rows where they lie, and the time by which they expire. */
export type OpenRows = (range: ByteRange, reverse: boolean) => { readonly rows: RowCursor; readonly now: Millis };

/**
 * Iterates as often as asked; each iteration opens a view of its own when it begins.
 *
 * @param of  what is made of each row
 * @param rangeOf  the bytes between which the rows lie
 * @throws ReplicaError ERR_OPTION at the call
 */
export function scan<R extends Row, T>(
  options: ScanOptions,
  open: OpenView<R>,
  of: (row: R) => T,
  rangeOf: (range: KeyRange) => ByteRange = byteRange,
): Iterable<T> {
  const { range, reverse, limit } = checked(options, rangeOf);
  return { [Symbol.iterator]: () => taken(open(range, reverse), limit, of) };
}

/** As `scan`, of what has not expired, and nothing is copied before `of` makes something of it. */
export function scanRows<T>(options: ScanOptions, open: OpenRows, of: (row: RowPlace) => T): Iterable<T> {
  const { range, reverse, limit } = checked(options, byteRange);
  return {
    [Symbol.iterator]() {
      const { rows, now } = open(range, reverse);
      return new RowScan(rows, now, limit, of);
    },
  };
}

export function pairOf(row: Row): [string, unknown] {
  return [keyOf(row), shownValue(row)];
}

export function keyOf({ key }: Row): string {
  return decodeKey(key);
}

/** `undefined` for a tombstone. */
export function shownValue({ value }: Row): unknown {
  return value === null ? undefined : decodeValue(value);
}

export function pairAt(row: RowPlace): [string, unknown] {
  return [keyAt(row), valueAt(row)];
}

export function keyAt({ bytes, keyStart, valueStart }: RowPlace): string {
  return knownKey(bytes, keyStart, valueStart);
}

export function valueAt({ bytes, valueStart, end }: RowPlace): unknown {
  return knownValue(bytes, valueStart, end);
}

/** @throws ReplicaError ERR_OPTION */
function checked(
  options: ScanOptions,
  rangeOf: (range: KeyRange) => ByteRange,
): { readonly range: ByteRange; readonly reverse: boolean; readonly limit: number } {
  knownFields(options, FIELDS, "a scan");
  const { reverse = false, limit = Number.POSITIVE_INFINITY } = options;
  checkFlag("reverse", reverse);
  if (limit !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(limit) && limit >= 0)) {
    throw new ReplicaError("ERR_OPTION", "limit takes a whole number from 0 on");
  }
  return { range: rangeOf(options), reverse, limit };
}

/** Written out, as `taken`. */
class RowScan<T> implements IterableIterator<T> {
  readonly #rows: RowCursor;
  readonly #now: Millis;
  readonly #of: (row: RowPlace) => T;
  #left: number;

  constructor(rows: RowCursor, now: Millis, limit: number, of: (row: RowPlace) => T) {
    this.#rows = rows;
    this.#now = now;
    this.#left = limit;
    this.#of = of;
    if (limit === 0) rows.return();
  }

  next(): IteratorResult<T> {
    const rows = this.#rows;
    if (this.#left === 0) return this.return();
    do {
      if (!rows.advance()) return this.return();
    } while (rows.expiresAt > 0 && rows.expiresAt <= this.#now);
    this.#left -= 1;
    const value = this.#of(rows);
    // Whoever has got the last one need not ask once more for the view to be let go of.
    if (this.#left === 0) rows.return();
    return { done: false, value };
  }

  return(): IteratorReturnResult<undefined> {
    this.#left = 0;
    this.#rows.return();
    return { done: true, value: undefined };
  }

  [Symbol.iterator](): this {
    return this;
  }
}

/** Written out, since a generator that was never started does not pass `return` on. */
function taken<R, T>(rows: IterableIterator<R>, limit: number, of: (row: R) => T): IterableIterator<T> {
  let left = limit;
  const end = (): IteratorReturnResult<undefined> => {
    left = 0;
    rows.return?.();
    return { done: true, value: undefined };
  };
  if (left === 0) end();
  return {
    next() {
      if (left === 0) return { done: true, value: undefined };
      const next = rows.next();
      if (next.done === true) return end();
      left -= 1;
      // Whoever has got the last one need not ask once more for the view to be let go of.
      if (left === 0) end();
      return { done: false, value: of(next.value) };
    },
    return: end,
    [Symbol.iterator]() {
      return this;
    },
  };
}
