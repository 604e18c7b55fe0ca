/** A transaction: a synchronous function that reads the store as if what it has written were there already. */
import { knownFields } from "../arguments.ts";
import { checkKey } from "../codec/keys.ts";
import type { CoreState } from "../core/core-state.ts";
import { ReplicaError } from "../errors.ts";
import type { Merges } from "../layers/merges.ts";
import type { Limits } from "../options.ts";
import type { LocalWrite } from "../sync/state-writer.ts";
import type { Millis } from "../types.ts";
import { type ByteRange, byteRange, KEY_RANGE_FIELDS, type KeyRange } from "./key-ranges.ts";
import { LocalWrites } from "./local-writes.ts";
import { Overlay } from "./overlay.ts";
import { type EntryInfo, Reader } from "./reader.ts";
import { keyOf, pairOf, type Row, type ScanOptions, scan, shownValue } from "./scans.ts";

/** As `EntryInfo`. What the transaction itself has written has no version yet. */
export type TransactionEntry<V = unknown> = Pick<EntryInfo<V>, "key" | "value" | "expiresAt"> & Partial<EntryInfo<V>>;

/**
 * What the function of a transaction is given. Reads show what it has written; of a key with a merge kind, what was put. Good only until that function returns:
 * then everything throws ERR_OPTION, iterations that are under way too. What throws has changed nothing, and the
 * transaction may go on.
 */
export interface Transaction {
  get(key: string): unknown;
  getMany(keys: readonly string[]): unknown[];
  has(key: string): boolean;
  entry(key: string): TransactionEntry | undefined;
  /** In both directions, lazy, over what is there when the iteration begins. */
  entries(options?: ScanOptions): Iterable<[string, unknown]>;
  keys(options?: ScanOptions): Iterable<string>;
  values(options?: ScanOptions): Iterable<unknown>;
  put(key: string, value: unknown, options?: { readonly ttlMs?: number }): void;
  delete(key: string): void;
  clear(range?: KeyRange): void;
}

export interface TransactionSource {
  readonly state: CoreState;
  readonly limits: Required<Limits>;
  readonly merges?: Merges | undefined;
  /** The moment of the transaction: time stands still in it. */
  readonly now: Millis;
}

/**
 * Runs the function. Changes nothing.
 *
 * @returns what it has returned, and what it wants written: one write for each key, deletes of what is absent left out
 * @throws what the function throws; ReplicaError ERR_OPTION if it is asynchronous
 */
export function runTransaction<T>(
  run: (tx: Transaction) => T,
  source: TransactionSource,
): { result: T; writes: readonly LocalWrite[] } {
  if (typeof run !== "function") throw new ReplicaError("ERR_OPTION", "transaction takes a function");
  // Asked first, so that nothing of it happens; a plain function may still return a promise.
  if (/^\[object (?:Async|Generator)/.test(Object.prototype.toString.call(run))) throw asynchronous();
  const tx = new OpenTransaction(source);
  try {
    const result = run(tx);
    if (isThenable(result)) {
      // What goes on behind our back meets a transaction that has ended; the caller hears of it here.
      Promise.resolve(result).catch(() => undefined);
      throw asynchronous();
    }
    return { result, writes: tx.writes() };
  } finally {
    tx.end();
  }
}

class OpenTransaction implements Transaction {
  readonly #base: Reader;
  readonly #local: LocalWrites;
  readonly #overlay: Overlay;
  readonly #maxKeyBytes: number;
  readonly #views = new Set<IterableIterator<Row>>();
  #ended = false;

  constructor({ state, limits, merges, now }: TransactionSource) {
    const { maxKeyBytes, maxBatch } = limits;
    this.#maxKeyBytes = maxKeyBytes;
    this.#base = new Reader({ state, now: () => now, maxKeyBytes, merges, assertOpen: () => this.#assertOpen() });
    this.#local = new LocalWrites(limits, () => now);
    this.#overlay = new Overlay(maxBatch);
  }

  get(key: string): unknown {
    const own = this.#own(key);
    return own === undefined ? this.#base.get(key) : shownValue(own);
  }

  getMany(keys: readonly string[]): unknown[] {
    if (!Array.isArray(keys)) throw new ReplicaError("ERR_OPTION", "getMany takes an array of keys");
    return (keys as readonly string[]).map((key) => this.get(key));
  }

  has(key: string): boolean {
    const own = this.#own(key);
    return own === undefined ? this.#base.has(key) : own.value !== null;
  }

  entry(key: string): TransactionEntry | undefined {
    const own = this.#own(key);
    if (own === undefined) return this.#base.entry(key);
    if (own.value === null) return undefined;
    return { key, value: shownValue(own), ...(own.expiresAt > 0 ? { expiresAt: own.expiresAt } : {}) };
  }

  entries(options: ScanOptions = {}): Iterable<[string, unknown]> {
    return this.#scan(options, pairOf);
  }

  keys(options: ScanOptions = {}): Iterable<string> {
    return this.#scan(options, keyOf);
  }

  values(options: ScanOptions = {}): Iterable<unknown> {
    return this.#scan(options, shownValue);
  }

  put(key: string, value: unknown, options: { readonly ttlMs?: number } = {}): void {
    this.#assertOpen();
    knownFields(options, ["ttlMs"], "put of a transaction");
    const write = this.#local.put(key, value, options.ttlMs);
    // Again: getters of a value may do anything.
    this.#assertOpen();
    this.#overlay.write(key, write);
  }

  delete(key: string): void {
    this.#assertOpen();
    this.#overlay.write(key, this.#local.delete(key));
  }

  clear(range: KeyRange = {}): void {
    this.#assertOpen();
    knownFields(range, KEY_RANGE_FIELDS, "clear");
    this.#overlay.clear(this.#view(byteRange(range), false));
  }

  /** What is to be written, in the order in which the keys were first named. */
  writes(): readonly LocalWrite[] {
    return this.#overlay.writes().filter(({ key, value }) => value !== null || this.#base.isVisible(key));
  }

  end(): void {
    this.#ended = true;
    for (const view of this.#views) view.return?.();
  }

  /** What the transaction has written to the key. @throws ReplicaError ERR_KEY, ERR_OPTION */
  #own(key: string): LocalWrite | undefined {
    this.#assertOpen();
    checkKey(key, this.#maxKeyBytes);
    return this.#overlay.get(key);
  }

  #scan<T>(options: ScanOptions, of: (row: Row) => T): Iterable<T> {
    this.#assertOpen();
    return scan(options, (range, reverse) => this.#view(range, reverse), of);
  }

  #view(range: ByteRange, reverse: boolean): IterableIterator<Row> {
    this.#assertOpen();
    const rows = this.#overlay.over(this.#base.view(range, reverse), range, reverse);
    const view: IterableIterator<Row> = {
      next: () => {
        this.#assertOpen();
        return rows.next();
      },
      return: () => {
        this.#views.delete(view);
        return rows.return();
      },
      [Symbol.iterator]: () => view,
    };
    this.#views.add(view);
    return view;
  }

  #assertOpen(): void {
    if (this.#ended) {
      throw new ReplicaError("ERR_OPTION", "the transaction has ended: its tx is good only until its function returns");
    }
  }
}

function isThenable(value: unknown): boolean {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

function asynchronous(): ReplicaError {
  const message = "a transaction takes a plain function, no async one or generator: await first, then write";
  return new ReplicaError("ERR_OPTION", message);
}
