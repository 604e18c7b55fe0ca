/** Namespaces: the data API under a prefix, with keys as short as they are inside and values of one type. */

import { knownFields, rejection } from "../arguments.ts";
import type { DeleteOptions, PutOptions, TransactionResult, WatchOptions, WriteOptions } from "../calls.ts";
import type { KeyRange } from "../data/key-ranges.ts";
import type { BatchOperation } from "../data/local-writes.ts";
import type { EntryInfo } from "../data/reader.ts";
import type { ScanOptions } from "../data/scans.ts";
import type { Transaction } from "../data/transaction.ts";
import type { WriteToken } from "../data/write-tokens.ts";
import type { WatchEvent } from "../watch/watch-events.ts";
import { mapped, mappedAsync } from "./iteration.ts";
import { prefixOf, Scope } from "./scope.ts";
import { scopedIndex } from "./scoped-index.ts";
import { type NamespaceTransaction, scopedTransaction } from "./scoped-transaction.ts";
import type { IndexOptions, SecondaryIndex } from "./secondary-index.ts";
import type { InputOf, OutputOf, StandardSchema } from "./standard-schema.ts";
import { type Codec, ValueShape } from "./value-shape.ts";

/** What a namespace stands on: a replica. */
export interface DataApi {
  get(key: string): unknown;
  getMany(keys: readonly string[]): unknown[];
  has(key: string): boolean;
  entry(key: string): EntryInfo | undefined;
  entries(options?: ScanOptions): Iterable<[string, unknown]>;
  keys(options?: ScanOptions): Iterable<string>;
  put(key: string, value: unknown, options?: PutOptions): Promise<WriteToken>;
  increment(key: string, by?: number, options?: WriteOptions): Promise<WriteToken>;
  delete(key: string, options?: DeleteOptions): Promise<WriteToken>;
  batch(operations: readonly BatchOperation[], options?: WriteOptions): Promise<WriteToken>;
  clear(range?: KeyRange): Promise<WriteToken>;
  infos(options?: ScanOptions): Iterable<EntryInfo>;
  transaction<T>(run: (tx: Transaction) => T, options?: WriteOptions): Promise<TransactionResult<T>>;
  watch(options?: WatchOptions): AsyncIterableIterator<WatchEvent>;
  index(name: string, options: IndexOptions): SecondaryIndex;
}

export interface NamespaceOptions<V, In = V> {
  /** Checks what is written, and may change it: defaults, transformations. Has to answer at once. */
  readonly schema?: StandardSchema<In, V>;
  /** For values of kinds that the store does not know. Works on what the schema has let pass. */
  readonly codec?: Codec<V>;
}

/** With a schema, from which the types follow. */
export interface SchemaOptions<Schema extends StandardSchema> {
  readonly schema: Schema;
  readonly codec?: Codec<OutputOf<Schema>>;
}

/**
 * The keys of a store that begin with `name/`, seen without that. Every member does, throws and rejects
 * as the one of the same name of `Replica`; besides, writes reject with ERR_VALUE if the schema says no
 * or the codec throws, and with ERR_OPTION if the schema is asynchronous: nothing is written then. Reads
 * throw ERR_VALUE if the codec cannot decode what is stored. A limit on the length of a key counts `name/`.
 *
 * Costs nothing to make and to drop. Writes of replicas that use another schema, or none, are not
 * checked here: a schema that changes must go on to take what is stored.
 *
 * @typeParam V  what is read
 * @typeParam In  what may be written
 */
export class Namespace<V = unknown, In = V> {
  /** What stands before every key in the store. */
  readonly prefix: string;
  readonly #store: DataApi;
  readonly #scope: Scope<V, In>;

  /** @internal Use `replica.namespace`. @throws ReplicaError ERR_OPTION */
  constructor(store: DataApi, prefix: string, { schema, codec }: NamespaceOptions<V, In>) {
    this.prefix = prefix;
    this.#store = store;
    this.#scope = new Scope(prefix, new ValueShape(schema, codec));
  }

  // ---- reading -------------------------------------------------------------------------------

  get(key: string): V | undefined {
    return this.#scope.presentFrom(this.#store.get(this.#scope.keyOf(key)), key);
  }

  getMany(keys: readonly string[]): (V | undefined)[] {
    return this.#scope.manyFrom(keys, (outside) => this.#store.getMany(outside));
  }

  has(key: string): boolean {
    return this.#store.has(this.#scope.keyOf(key));
  }

  entry(key: string): EntryInfo<V> | undefined {
    const info = this.#store.entry(this.#scope.keyOf(key));
    return info === undefined ? undefined : this.#scope.infoFrom(info);
  }

  entries(options: ScanOptions = {}): Iterable<[string, V]> {
    return mapped(this.#store.entries(this.#scope.rangeOf(options)), (pair) => this.#scope.pairFrom(pair));
  }

  keys(options: ScanOptions = {}): Iterable<string> {
    return mapped(this.#store.keys(this.#scope.rangeOf(options)), (key) => this.#scope.keyFrom(key));
  }

  values(options: ScanOptions = {}): Iterable<V> {
    return mapped(this.entries(options), ([, value]) => value);
  }

  infos(options: ScanOptions = {}): Iterable<EntryInfo<V>> {
    return mapped(this.#store.infos(this.#scope.rangeOf(options)), (info) => this.#scope.infoFrom(info));
  }

  // ---- writing -------------------------------------------------------------------------------

  put(key: string, value: In, options?: PutOptions): Promise<WriteToken> {
    return rejecting(() => this.#store.put(this.#scope.keyOf(key), this.#scope.valueOf(value, key), options));
  }

  increment(key: string, by = 1, options?: WriteOptions): Promise<WriteToken> {
    return rejecting(() => this.#store.increment(this.#scope.keyOf(key), by, options));
  }

  delete(key: string, options?: DeleteOptions): Promise<WriteToken> {
    return rejecting(() => this.#store.delete(this.#scope.keyOf(key), options));
  }

  batch(operations: readonly BatchOperation<In>[], options?: WriteOptions): Promise<WriteToken> {
    return rejecting(() => {
      if (!Array.isArray(operations)) return this.#store.batch(operations, options);
      const inside = operations as readonly BatchOperation<In>[];
      return this.#store.batch(
        inside.map((operation) => this.#scope.operationOf(operation)),
        options,
      );
    });
  }

  clear(range: KeyRange = {}): Promise<WriteToken> {
    return rejecting(() => this.#store.clear(this.#scope.rangeOf(range)));
  }

  transaction<T>(run: (tx: NamespaceTransaction<V, In>) => T, options?: WriteOptions): Promise<TransactionResult<T>> {
    // What is no function is for the store to refuse.
    if (typeof run !== "function") return this.#store.transaction(run, options);
    return this.#store.transaction((tx) => run(scopedTransaction(tx, this.#scope)), options);
  }

  // ---- watching ------------------------------------------------------------------------------

  watch(options: WatchOptions = {}): AsyncIterableIterator<WatchEvent<V>> {
    const { key, range } = options;
    const outside: WatchOptions =
      key === undefined
        ? { ...this.#scope.rangeOf(options), ...(range === undefined ? {} : { range: this.#scope.rangeOf(range) }) }
        : { ...options, key: this.#scope.keyOf(key) };
    return mappedAsync(this.#store.watch(outside), (event) => this.#scope.eventFrom(event));
  }

  // ---- inside --------------------------------------------------------------------------------

  /** An index of the keys and values of this namespace, as they are inside. `name` need not differ from those outside. */
  index(name: string, options: IndexOptions<V>): SecondaryIndex<V> {
    return scopedIndex(this.#store, this.#scope, name, options);
  }

  /**
   * A namespace within this one, with a schema and codec of its own: its keys are keys of this one too,
   * so give the outer one no schema if it has others inside.
   */
  namespace<Schema extends StandardSchema>(
    name: string,
    options: SchemaOptions<Schema>,
  ): Namespace<OutputOf<Schema>, InputOf<Schema>>;
  namespace<U = unknown>(name: string, options?: { readonly codec?: Codec<U> }): Namespace<U>;
  namespace(name: string, options: NamespaceOptions<unknown> = {}): Namespace {
    return namespaceOf(this.#store, this.prefix, name, options);
  }
}

/** Makes a namespace. @throws ReplicaError ERR_OPTION */
export function namespaceOf<V, In>(
  store: DataApi,
  outerPrefix: string,
  name: string,
  options: NamespaceOptions<V, In>,
): Namespace<V, In> {
  knownFields(options, ["schema", "codec"], "namespace");
  return new Namespace(store, outerPrefix + prefixOf(name), options);
}

/** What `call` throws becomes a rejection, as everywhere in the asynchronous part of the API. */
function rejecting<T>(call: () => Promise<T>): Promise<T> {
  try {
    return call();
  } catch (error) {
    return rejection(error);
  }
}
