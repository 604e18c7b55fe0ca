/** What a reader sees: entries that have a value and whose time is not over, decoded afresh at every read. */
import { checkFlag, knownFields } from "./arguments.ts";
import { isUtf8 } from "./codec/bytes.ts";
import { checkKey, decodeKey, encodeKey } from "./codec/keys.ts";
import { decodeValue, isValue } from "./codec/values.ts";
import type { CoreState } from "./core/core-state.ts";
import { NO_SLOT, type Slot } from "./core/table.ts";
import { ReplicaError } from "./errors.ts";
import { type ByteRange, byteRange, KEY_RANGE_FIELDS, type KeyRange, tableRange } from "./key-ranges.ts";
import { isReserved } from "./limits.ts";
import { type Entry, type Millis, nodeIdOf } from "./types.ts";
import { type Version, versionOf } from "./watchers.ts";

/** What to iterate over. Keys are ordered by their UTF-8 bytes. */
export interface ScanOptions extends KeyRange {
  /** From the last key to the first. Default false. */
  readonly reverse?: boolean;
  /** At most so many, a whole number. Default: all. */
  readonly limit?: number;
}

/** A version of a key. */
export interface EntryInfo<V = unknown> {
  readonly key: string;
  readonly value: V;
  readonly version: Version;
  readonly stamp: number;
  /** Who wrote it. */
  readonly nodeId: string;
  /** Milliseconds since 1970. Absent: never. */
  readonly expiresAt?: number;
}

export interface ReaderSource {
  readonly state: CoreState;
  /** The time by which entries expire. Never goes back. */
  readonly now: () => Millis;
  readonly maxKeyBytes: number;
  /** Called when an iteration begins, which may be long after its call. */
  readonly assertOpen: () => void;
}

export class Reader {
  readonly #source: ReaderSource;
  readonly #state: CoreState;

  constructor(source: ReaderSource) {
    this.#source = source;
    this.#state = source.state;
  }

  /** @throws ReplicaError ERR_KEY */
  get(key: string): unknown {
    const slot = this.#find(key);
    if (slot === NO_SLOT) return undefined;
    const value = this.#state.table.valueAt(slot);
    return value === null ? undefined : decodeValue(value);
  }

  /** @throws ReplicaError ERR_KEY, ERR_OPTION */
  getMany(keys: readonly string[]): unknown[] {
    if (!Array.isArray(keys)) throw new ReplicaError("ERR_OPTION", "getMany takes an array of keys");
    return (keys as readonly string[]).map((key) => this.get(key));
  }

  /** @throws ReplicaError ERR_KEY */
  has(key: string): boolean {
    return this.#find(key) !== NO_SLOT;
  }

  /** @throws ReplicaError ERR_KEY */
  entry(key: string): EntryInfo | undefined {
    const slot = this.#find(key);
    if (slot === NO_SLOT) return undefined;
    return infoOf(this.#state.table.entryAt(slot));
  }

  entries(options: ScanOptions): Iterable<[string, unknown]> {
    return this.#scan(options, (entry) => [decodeKey(entry.key), shownValue(entry)]);
  }

  keys(options: ScanOptions): Iterable<string> {
    return this.#scan(options, ({ key }) => decodeKey(key));
  }

  values(options: ScanOptions): Iterable<unknown> {
    return this.#scan(options, shownValue);
  }

  infos(options: ScanOptions): Iterable<EntryInfo> {
    return this.#scan(options, infoOf);
  }

  /** Whether a reader sees the key, given as bytes. */
  isVisible(key: Uint8Array): boolean {
    return this.#visibleSlot(key) !== NO_SLOT;
  }

  /** The entries of a range, a stable view as of this call. Whoever stops early calls `return`, as `for of` does. */
  view(range: ByteRange, reverse = false): IterableIterator<Entry> {
    return unexpired(this.#state.table.range(tableRange(range, reverse)), this.#source.now());
  }

  #find(key: string): Slot {
    checkKey(key, this.#source.maxKeyBytes);
    return this.#visibleSlot(encodeKey(key));
  }

  #visibleSlot(key: Uint8Array): Slot {
    const { table } = this.#state;
    const slot = table.find(key);
    if (slot === NO_SLOT || table.isTombstone(slot)) return NO_SLOT;
    const expiresAt = table.expiresAt(slot);
    return expiresAt > 0 && expiresAt <= this.#source.now() ? NO_SLOT : slot;
  }

  /** @throws ReplicaError ERR_OPTION at the call */
  #scan<T>(options: ScanOptions, of: (entry: Entry) => T): Iterable<T> {
    knownFields(options, ["reverse", "limit", ...KEY_RANGE_FIELDS], "a scan");
    const { reverse = false, limit = Number.POSITIVE_INFINITY, ...keys } = options;
    checkFlag("reverse", reverse);
    if (limit !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(limit) && limit >= 0)) {
      throw new ReplicaError("ERR_OPTION", "limit takes a whole number from 0 on");
    }
    const range = byteRange(keys);
    return {
      [Symbol.iterator]: () => {
        this.#source.assertOpen();
        return taken(this.view(range, reverse), limit, of);
      },
    };
  }
}

/** Whether an entry of a peer could be shown to a reader. */
export function isReadable({ key, value }: Entry): boolean {
  if (value !== null && !isValue(value)) return false;
  return isReserved(key) || isUtf8(key, 0, key.length);
}

/** Written out, since a generator that was never started does not pass `return` on. */
function unexpired(entries: IterableIterator<Entry>, now: Millis): IterableIterator<Entry> {
  return {
    next() {
      let next = entries.next();
      while (next.done !== true && next.value.expiresAt > 0 && next.value.expiresAt <= now) next = entries.next();
      return next;
    },
    return: () => entries.return?.() ?? { done: true, value: undefined },
    [Symbol.iterator]() {
      return this;
    },
  };
}

function* taken<T>(entries: IterableIterator<Entry>, limit: number, of: (entry: Entry) => T): Generator<T, undefined> {
  let count = 0;
  try {
    while (count < limit) {
      const next = entries.next();
      if (next.done === true) return undefined;
      count += 1;
      yield of(next.value);
    }
    return undefined;
  } finally {
    entries.return?.();
  }
}

function infoOf(entry: Entry): EntryInfo {
  return {
    key: decodeKey(entry.key),
    value: shownValue(entry),
    version: versionOf(entry),
    stamp: entry.stamp,
    nodeId: nodeIdOf(entry.origin),
    ...(entry.expiresAt > 0 ? { expiresAt: entry.expiresAt } : {}),
  };
}

function shownValue({ value }: Entry): unknown {
  return value === null ? undefined : decodeValue(value);
}
