/** What a reader sees: entries that have a value and whose time is not over, decoded afresh at every read. */
import { isUtf8 } from "../codec/bytes.ts";
import { KeyScratch, keyBytes } from "../codec/keys.ts";
import { isValue } from "../codec/values.ts";
import type { CoreState } from "../core/core-state.ts";
import { NO_SLOT, RowPlace, type Slot } from "../core/table.ts";
import { ReplicaError } from "../errors.ts";
import type { Merges } from "../layers/merges.ts";
import { isReserved } from "../limits.ts";
import { type Entry, type Millis, nodeIdOf } from "../types.ts";
import { type ByteRange, tableRange } from "./key-ranges.ts";
import {
  keyAt,
  keyOf,
  type OpenRows,
  type OpenView,
  pairAt,
  pairOf,
  type ScanOptions,
  scan,
  scanRows,
  shownValue,
  valueAt,
} from "./scans.ts";
import { type Version, versionOf } from "./versions.ts";

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
  /** The time by which entries expire: what has been seen expired stays so. */
  readonly now: () => Millis;
  readonly maxKeyBytes: number;
  /** The keys that have a merge kind, if there are any. */
  readonly merges?: Merges | undefined;
  /** Called when an iteration begins, which may be long after its call. */
  readonly assertOpen: () => void;
}

export class Reader {
  readonly #source: ReaderSource;
  readonly #state: CoreState;
  readonly #openView: OpenView<Entry>;
  readonly #openRows: OpenRows;
  /** The key that is looked for, and where its entry lies: used within a call. */
  readonly #sought = new KeyScratch();
  readonly #place = new RowPlace();

  constructor(source: ReaderSource) {
    this.#source = source;
    this.#state = source.state;
    this.#openView = (range, reverse) => {
      source.assertOpen();
      return this.view(range, reverse);
    };
    this.#openRows = (range, reverse) => {
      source.assertOpen();
      return { rows: this.#state.table.rows(tableRange(range, reverse)), now: source.now() };
    };
  }

  /** @throws ReplicaError ERR_KEY */
  get(key: string): unknown {
    const whole = this.#whole(key);
    if (whole !== undefined) return whole === null ? undefined : shownValue(whole);
    const place = this.#place;
    return this.#locate(key, place) ? valueAt(place) : undefined;
  }

  /** @throws ReplicaError ERR_KEY, ERR_OPTION */
  getMany(keys: readonly string[]): unknown[] {
    if (!Array.isArray(keys)) throw new ReplicaError("ERR_OPTION", "getMany takes an array of keys");
    return (keys as readonly string[]).map((key) => this.get(key));
  }

  /** @throws ReplicaError ERR_KEY */
  has(key: string): boolean {
    const whole = this.#whole(key);
    return whole === undefined ? this.#locate(key, this.#place) : whole !== null;
  }

  /** @throws ReplicaError ERR_KEY */
  entry(key: string): EntryInfo | undefined {
    const whole = this.#whole(key);
    if (whole !== undefined) return whole === null ? undefined : infoOf(whole);
    const slot = this.#find(key);
    if (slot === NO_SLOT) return undefined;
    return infoOf(this.#state.table.entryAt(slot));
  }

  /** @throws ReplicaError ERR_OPTION, as the three below */
  entries(options: ScanOptions): Iterable<[string, unknown]> {
    return this.#scan(options, pairOf, pairAt);
  }

  keys(options: ScanOptions): Iterable<string> {
    return this.#scan(options, keyOf, keyAt);
  }

  values(options: ScanOptions): Iterable<unknown> {
    return this.#scan(options, shownValue, valueAt);
  }

  /** The version that a reader sees of a key; `null` if none. @throws ReplicaError ERR_KEY */
  versionOf(key: string): Version | null {
    const whole = this.#whole(key);
    if (whole !== undefined) return whole === null ? null : versionOf(whole);
    const slot = this.#find(key);
    return slot === NO_SLOT ? null : versionOf(this.#state.table.entryAt(slot));
  }

  infos(options: ScanOptions): Iterable<EntryInfo> {
    return scan(options, this.#openView, infoOf);
  }

  /** Whether a reader sees the key, given as bytes. */
  isVisible(key: Uint8Array): boolean {
    const { merges } = this.#source;
    if (merges?.kindOf(key) !== undefined) return (merges.entry(key)?.value ?? null) !== null;
    return this.#visibleSlot(key) !== NO_SLOT;
  }

  /** The entries of a range, a stable view as of this call. Whoever stops early calls `return`, as `for of` does. */
  view(range: ByteRange, reverse = false): IterableIterator<Entry> {
    const plain = unexpired(this.#state.table.range(tableRange(range, reverse)), this.#source.now());
    return this.#source.merges?.view(plain, range, reverse) ?? plain;
  }

  /** What is decoded at once need not be copied before; merging looks ahead. */
  #scan<T>(options: ScanOptions, of: (entry: Entry) => T, at: (row: RowPlace) => T): Iterable<T> {
    return this.#source.merges === undefined
      ? scanRows(options, this.#openRows, at)
      : scan(options, this.#openView, of);
  }

  /** What a key that has a merge kind holds, `null` for nothing; `undefined` if it has none. @throws ReplicaError ERR_KEY */
  #whole(key: string): Entry | null | undefined {
    const { merges, maxKeyBytes } = this.#source;
    if (merges === undefined) return undefined;
    const bytes = keyBytes(key, maxKeyBytes);
    if (merges.kindOf(bytes) === undefined) return undefined;
    const whole = merges.entry(bytes);
    return whole === undefined || whole.value === null ? null : whole;
  }

  /** Finds out where the entry of a key lies; false if a reader sees none. @throws ReplicaError ERR_KEY */
  #locate(key: string, place: RowPlace): boolean {
    const { table } = this.#state;
    const sought = this.#sought;
    const length = sought.encode(key, this.#source.maxKeyBytes);
    const slot = table.find(sought.bytes, length);
    return slot !== NO_SLOT && table.locate(slot, place) && !this.#isOver(place.expiresAt);
  }

  /** @throws ReplicaError ERR_KEY */
  #find(key: string): Slot {
    return this.#visibleSlot(keyBytes(key, this.#source.maxKeyBytes));
  }

  #visibleSlot(key: Uint8Array): Slot {
    const { table } = this.#state;
    const slot = table.find(key);
    return slot === NO_SLOT || table.isTombstone(slot) || this.#isOver(table.expiresAt(slot)) ? NO_SLOT : slot;
  }

  #isOver(expiresAt: Millis): boolean {
    return expiresAt > 0 && expiresAt <= this.#source.now();
  }
}

/** Whether an entry of a peer could be shown to a reader. */
export function isReadable({ key, value }: Entry): boolean {
  if (value !== null && !isValue(value)) return false;
  return isReserved(key) || isUtf8(key, 0, key.length);
}

/** Written out, since a generator that was never started does not pass `return` on. */
export function unexpired<R extends { readonly expiresAt: Millis }>(
  entries: IterableIterator<R>,
  now: Millis,
): IterableIterator<R> {
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

function infoOf(entry: Entry): EntryInfo {
  return {
    key: keyOf(entry),
    value: shownValue(entry),
    version: versionOf(entry),
    stamp: entry.stamp,
    nodeId: nodeIdOf(entry.origin),
    ...(entry.expiresAt > 0 ? { expiresAt: entry.expiresAt } : {}),
  };
}
