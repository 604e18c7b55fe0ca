/** What the function of a namespace's transaction is given: the store's transaction, seen from inside. */
import type { KeyRange } from "../data/key-ranges.ts";
import type { ScanOptions } from "../data/scans.ts";
import type { Transaction, TransactionEntry } from "../data/transaction.ts";
import { mapped } from "./iteration.ts";
import type { Scope } from "./scope.ts";

/** As `Transaction`, within a namespace. */
export interface NamespaceTransaction<V = unknown, In = V> {
  get(key: string): V | undefined;
  getMany(keys: readonly string[]): (V | undefined)[];
  has(key: string): boolean;
  entry(key: string): TransactionEntry<V> | undefined;
  entries(options?: ScanOptions): Iterable<[string, V]>;
  keys(options?: ScanOptions): Iterable<string>;
  values(options?: ScanOptions): Iterable<V>;
  put(key: string, value: In, options?: { readonly ttlMs?: number }): void;
  delete(key: string): void;
  clear(range?: KeyRange): void;
}

export function scopedTransaction<V, In>(tx: Transaction, scope: Scope<V, In>): NamespaceTransaction<V, In> {
  const entries = (options: ScanOptions = {}): Iterable<[string, V]> =>
    mapped(tx.entries(scope.rangeOf(options)), (pair) => scope.pairFrom(pair));
  return {
    get: (key) => scope.presentFrom(tx.get(scope.keyOf(key)), key),
    getMany: (keys) => scope.manyFrom(keys, (outside) => tx.getMany(outside)),
    has: (key) => tx.has(scope.keyOf(key)),
    entry: (key) => {
      const entry = tx.entry(scope.keyOf(key));
      return entry === undefined ? undefined : { ...entry, key, value: scope.valueFrom(entry.value, key) };
    },
    entries,
    keys: (options = {}) => mapped(tx.keys(scope.rangeOf(options)), (key) => scope.keyFrom(key)),
    values: (options) => mapped(entries(options), ([, value]) => value),
    put: (key, value, options) => tx.put(scope.keyOf(key), scope.valueOf(value, key), options),
    delete: (key) => tx.delete(scope.keyOf(key)),
    clear: (range = {}) => tx.clear(scope.rangeOf(range)),
  };
}
