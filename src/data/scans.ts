/** Iterations over ranges: what may be asked for, and lazy iterables that let go of what they hold. */
import { checkFlag, knownFields } from "../arguments.ts";
import { decodeKey } from "../codec/keys.ts";
import { decodeValue } from "../codec/values.ts";
import { ReplicaError } from "../errors.ts";
import { type ByteRange, byteRange, KEY_RANGE_FIELDS, type KeyRange } from "./key-ranges.ts";

/** What to iterate over. Keys are ordered by their UTF-8 bytes. */
export interface ScanOptions extends KeyRange {
  /** From the last key to the first. Default false. */
  readonly reverse?: boolean;
  /** At most so many, a whole number. Default: all. */
  readonly limit?: number;
}

/** As much of an entry as a scan shows, encoded. */
export interface Row {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** A stable view of a range, as of the call. Whoever stops early calls `return`, as `for of` does. */
export type OpenView<R extends Row = Row> = (range: ByteRange, reverse: boolean) => IterableIterator<R>;

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
  knownFields(options, ["reverse", "limit", ...KEY_RANGE_FIELDS], "a scan");
  const { reverse = false, limit = Number.POSITIVE_INFINITY, ...keys } = options;
  checkFlag("reverse", reverse);
  if (limit !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(limit) && limit >= 0)) {
    throw new ReplicaError("ERR_OPTION", "limit takes a whole number from 0 on");
  }
  const range = rangeOf(keys);
  return { [Symbol.iterator]: () => taken(open(range, reverse), limit, of) };
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
