/**
 * Secondary indexes: entries found and ordered by what a function makes of their values.
 *
 * They follow the change log of the store instead of being told of changes: before every read, and after
 * every step of the replica, they take in what has been changed since. So a read of an index and a `get`
 * beside it never disagree, whatever changed memory (a write here, a peer, an expiry), and a store without
 * indexes pays nothing.
 */
import { knownFields, optionError } from "../arguments.ts";
import { decodeKey, encodeKey } from "../codec/keys.ts";
import type { CoreState } from "../core/core-state.ts";
import { NO_SLOT } from "../core/table.ts";
import { type ByteRange, byteRange } from "../data/key-ranges.ts";
import { unexpired } from "../data/reader.ts";
import { keyOf, type OpenView, type ScanOptions, scan, shownValue } from "../data/scans.ts";
import { ReplicaError } from "../errors.ts";
import { INDEXED_BY_MAX, isReserved, KEY_BYTES_MAX } from "../limits.ts";
import type { Entry, Lsn, Millis } from "../types.ts";
import { IndexRows, rowRange, splitRowKey } from "./index-rows.ts";
import type { Merges } from "./merges.ts";

export interface IndexOptions<V = unknown> {
  /** Only keys that begin with it are indexed. Default: all. */
  readonly prefix?: string;
  /**
   * By what an entry is indexed: a string, several, or `undefined` for not at all. Must be pure and is called
   * with a copy of the value. If it throws or returns anything else, the entry is left out of the index.
   */
  readonly key: (value: V, key: string) => string | readonly string[] | undefined;
}

/** An entry as an index has it. One that is indexed by several strings is there several times. */
export interface IndexedEntry<V = unknown> {
  /** What it is indexed by here. */
  readonly by: string;
  readonly key: string;
  readonly value: V;
}

/**
 * An index over the entries of a replica, always as up to date as `get`. It holds a copy of each entry, in
 * memory, and is made anew when the replica is opened.
 *
 * Ranges (`prefix`, `gt`, `gte`, `lt`, `lte`) are over what entries are indexed by, in UTF-8 byte order;
 * entries with the same come in the order of their keys. Iterations are lazy, and over the state of
 * their start. All members throw ERR_CLOSED after `close` or once the replica is closed, and ERR_OPTION.
 */
export interface SecondaryIndex<V = unknown> {
  entries(options?: ScanOptions): Iterable<IndexedEntry<V>>;
  /** The keys of the entries. */
  keys(options?: ScanOptions): Iterable<string>;
  values(options?: ScanOptions): Iterable<V>;
  /** The entries that are indexed by just this, in the order of their keys. */
  get(by: string): IndexedEntry<V>[];
  /** How many entries the key function could not be applied to since the index was made: it threw, or returned no strings. */
  readonly failures: number;
  /** Frees its memory. Idempotent. */
  close(): void;
}

export interface IndexesSource {
  readonly state: CoreState;
  /** The time by which entries expire. Never goes back. */
  readonly now: () => Millis;
  /** The entries in a range that readers see now. */
  readonly view: (range: ByteRange) => IterableIterator<Entry>;
  /** The keys that have a merge kind, if there are any. */
  readonly merges?: Merges | undefined;
  /** @throws ReplicaError ERR_CLOSED */
  readonly assertOpen: () => void;
  readonly warn: (message: string) => void;
}

/** The indexes of one replica, with the one place in the change log up to which all of them are. */
export class SecondaryIndexes {
  readonly #source: IndexesSource;
  readonly #open = new Map<string, OpenIndex>();
  #lsn: Lsn = 0;
  #busy = false;

  constructor(source: IndexesSource) {
    this.#source = source;
  }

  /** Makes an index of what is there, and keeps it up to date. @throws ReplicaError ERR_OPTION */
  open(name: string, options: IndexOptions): SecondaryIndex {
    if (typeof name !== "string" || name === "") throw optionError("the name of an index", "a string");
    if (this.#open.has(name)) throw new ReplicaError("ERR_OPTION", `there is an index "${name}": close it first`);
    knownFields(options, ["prefix", "key"], "index");
    if (typeof options.key !== "function") throw optionError("key", "a function from a value to what it is indexed by");
    const { prefix = "" } = options;
    const range = byteRange({ prefix });
    this.catchUp();
    const index = new OpenIndex(name, options, this.#source, {
      catchUp: () => this.catchUp(),
      closed: () => this.#close(name),
    });
    this.#open.set(name, index);
    this.#source.state.table.removed ??= [];
    this.#exclusively(() => {
      for (const entry of this.#source.view(range)) index.take(entry);
    });
    return index;
  }

  /** Takes in all changes so far. */
  catchUp(): void {
    const { table } = this.#source.state;
    if (this.#open.size === 0) this.#lsn = table.lastLsn;
    else if (!this.#busy) this.#exclusively(() => this.#follow());
  }

  #close(name: string): void {
    this.#open.delete(name);
    if (this.#open.size === 0) this.#source.state.table.removed = undefined;
  }

  #follow(): void {
    const { state, now } = this.#source;
    const { table } = state;
    // What settling has dropped leaves no trace in the change log. What was set since is there, and comes after.
    for (const key of table.removed?.splice(0) ?? []) this.#update(key, undefined);
    for (let slot = table.nextChange(this.#lsn); slot !== NO_SLOT; slot = table.nextChange(this.#lsn)) {
      this.#lsn = table.lsnAt(slot);
      const entry = state.entryAt(slot);
      this.#update(entry.key, entry);
    }
    for (const index of this.#open.values()) index.expire(now());
  }

  /** @param stored  what the table holds under the key; `undefined` if nothing */
  #update(key: Uint8Array, stored: Entry | undefined): void {
    const { merges } = this.#source;
    const whole = merges?.wholeOf(key);
    if (whole === undefined && (isReserved(key) || merges?.kindOf(key) !== undefined)) return;
    const entry = whole === undefined ? stored : merges?.entry(whole);
    for (const index of this.#open.values()) {
      if (entry === undefined) index.forget(whole ?? key);
      else index.take(entry);
    }
  }

  /** A key function that writes or reads calls us again: what it does is taken in afterwards. */
  #exclusively(step: () => void): void {
    this.#busy = true;
    try {
      step();
    } finally {
      this.#busy = false;
    }
  }
}

interface Lifecycle {
  catchUp(): void;
  closed(): void;
}

class OpenIndex implements SecondaryIndex {
  readonly #name: string;
  readonly #keyOf: IndexOptions["key"];
  readonly #prefix: Uint8Array;
  readonly #source: IndexesSource;
  readonly #lifecycle: Lifecycle;
  #rows: IndexRows | undefined = new IndexRows();
  #failures = 0;
  readonly #openView: OpenView<Entry> = (range, reverse) => {
    const rows = this.#assertOpen();
    this.#lifecycle.catchUp();
    return unexpired(rows.range(range, reverse), this.#source.now());
  };

  constructor(name: string, { prefix = "", key }: IndexOptions, source: IndexesSource, lifecycle: Lifecycle) {
    this.#name = name;
    this.#keyOf = key;
    this.#prefix = encodeKey(prefix);
    this.#source = source;
    this.#lifecycle = lifecycle;
  }

  get failures(): number {
    return this.#failures;
  }

  /** The entry has come, changed or gone. */
  take(entry: Entry): void {
    if (this.#rows === undefined || !this.#covers(entry.key)) return;
    const isGone = entry.value === null || (entry.expiresAt > 0 && entry.expiresAt <= this.#source.now());
    this.#rows.set(entry, isGone ? [] : this.#by(entry));
  }

  /** The key is gone without a trace. */
  forget(key: Uint8Array): void {
    this.#rows?.remove(key);
  }

  expire(now: Millis): void {
    this.#rows?.expire(now);
  }

  entries(options: ScanOptions = {}): Iterable<IndexedEntry> {
    return this.#scan(options, (row) => {
      const { by, key } = splitRowKey(row.key);
      return { by, key: decodeKey(key), value: shownValue(row) };
    });
  }

  keys(options: ScanOptions = {}): Iterable<string> {
    return this.#scan(options, (row) => decodeKey(splitRowKey(row.key).key));
  }

  values(options: ScanOptions = {}): Iterable<unknown> {
    return this.#scan(options, shownValue);
  }

  get(by: string): IndexedEntry[] {
    return [...this.entries({ gte: by, lte: by })];
  }

  close(): void {
    if (this.#rows === undefined) return;
    this.#rows = undefined;
    this.#lifecycle.closed();
  }

  #covers(key: Uint8Array): boolean {
    const prefix = this.#prefix;
    return key.length >= prefix.length && Buffer.compare(key.subarray(0, prefix.length), prefix) === 0;
  }

  #by(entry: Entry): string[] {
    const key = keyOf(entry);
    try {
      return checkedBy(this.#keyOf(shownValue(entry), key));
    } catch (error) {
      this.#failures += 1;
      if (this.#failures === 1) {
        this.#source.warn(
          `the index "${this.#name}" leaves out "${key}": ${String(error)}; later ones are only counted`,
        );
      }
      return [];
    }
  }

  #scan<T>(options: ScanOptions, of: (row: Entry) => T): Iterable<T> {
    this.#assertOpen();
    return scan(options, this.#openView, of, rowRange);
  }

  #assertOpen(): IndexRows {
    this.#source.assertOpen();
    if (this.#rows === undefined) throw new ReplicaError("ERR_CLOSED", `the index "${this.#name}" is closed`);
    return this.#rows;
  }
}

/** What a key function has returned, each string once. @throws what is wrong with it */
function checkedBy(returned: unknown): string[] {
  if (returned === undefined) return [];
  const all: readonly unknown[] = Array.isArray(returned) ? returned : [returned];
  if (all.length > INDEXED_BY_MAX)
    throw new RangeError(`it is indexed by ${all.length} strings, at most ${INDEXED_BY_MAX}`);
  const by = new Set<string>();
  for (const one of all) {
    if (typeof one !== "string" || !one.isWellFormed())
      throw new TypeError("it is indexed by what is no well-formed string");
    if (Buffer.byteLength(one) > KEY_BYTES_MAX)
      throw new RangeError(`it is indexed by more than ${KEY_BYTES_MAX} bytes`);
    by.add(one);
  }
  return [...by];
}
