/** The index of a namespace: one of the store, whose keys and values are seen from inside. */
import type { ScanOptions } from "../data/scans.ts";
import { mapped } from "./iteration.ts";
import type { Scope } from "./scope.ts";
import type { IndexedEntry, IndexOptions, SecondaryIndex } from "./secondary-index.ts";

/** What makes indexes: a replica. */
interface Indexable {
  index(name: string, options: IndexOptions): SecondaryIndex;
}

/** @throws ReplicaError ERR_OPTION, ERR_CLOSED */
export function scopedIndex<V, In>(
  store: Indexable,
  scope: Scope<V, In>,
  name: string,
  options: IndexOptions<V>,
): SecondaryIndex<V> {
  const { key: keyOf } = options;
  // What is no function is for the store to refuse.
  const key: IndexOptions["key"] =
    typeof keyOf !== "function"
      ? keyOf
      : (stored, outside) => {
          const inside = scope.keyFrom(outside);
          return keyOf(scope.valueFrom(stored, inside), inside);
        };
  const prefix = scope.prefix + (options.prefix ?? "");
  return new ScopedIndex(scope, store.index(scope.prefix + name, { ...options, prefix, key }));
}

class ScopedIndex<V, In> implements SecondaryIndex<V> {
  readonly #scope: Scope<V, In>;
  readonly #index: SecondaryIndex;

  constructor(scope: Scope<V, In>, index: SecondaryIndex) {
    this.#scope = scope;
    this.#index = index;
  }

  get failures(): number {
    return this.#index.failures;
  }

  entries(options?: ScanOptions): Iterable<IndexedEntry<V>> {
    return mapped(this.#index.entries(options), (entry) => this.#inside(entry));
  }

  keys(options?: ScanOptions): Iterable<string> {
    return mapped(this.#index.keys(options), (key) => this.#scope.keyFrom(key));
  }

  values(options?: ScanOptions): Iterable<V> {
    return mapped(this.entries(options), ({ value }) => value);
  }

  get(by: string): IndexedEntry<V>[] {
    return this.#index.get(by).map((entry) => this.#inside(entry));
  }

  close(): void {
    this.#index.close();
  }

  #inside({ by, key, value }: IndexedEntry): IndexedEntry<V> {
    const inside = this.#scope.keyFrom(key);
    return { by, key: inside, value: this.#scope.valueFrom(value, inside) };
  }
}
