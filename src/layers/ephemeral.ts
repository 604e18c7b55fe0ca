/** Ephemeral namespaces: entries of living processes, as a user holds them. */
import { checkFlag, checkSignal, knownFields, optionError } from "../arguments.ts";
import type { EphemeralEntry, EphemeralEvent } from "./ephemeral-watcher.ts";
import type { Ephemerals } from "./ephemerals.ts";
import { mappedAsync } from "./iteration.ts";
import type { NamespaceOptions } from "./namespace.ts";
import { prefixOf, Scope } from "./scope.ts";
import { ValueShape } from "./value-shape.ts";

export interface EphemeralScanOptions {
  /** Only keys that begin with it. */
  readonly prefix?: string;
}

export interface EphemeralWatchOptions extends EphemeralScanOptions {
  /** Only this key. Not together with a prefix. */
  readonly key?: string;
  /** Deliver the present entries first, then `ready`. Default false. */
  readonly initial?: boolean;
  /** Ends the watch: the iteration throws its reason. */
  readonly signal?: AbortSignal;
}

/**
 * Entries that live as long as the process that has set them: presence, sessions, health. They are replicated, in memory
 * only, and gone everywhere when that process closes its replica, or has not been heard of for longer than its
 * lease (option `ephemeralLeaseMs`): it was killed, or is cut off. When it comes back from behind a partition its
 * entries are back; when it is started again it has none.
 *
 * A process changes its own entries only. Two processes may have the same key: `entries` and `getAll` show both, `get` the
 * value that was set last, and the other one once that process has deleted it or is gone. There are no versions, batches
 * or acknowledgements, and of quick changes to one key others may see the last one only.
 *
 * All members throw ERR_CLOSED once the replica is closed, and ERR_STORAGE_FAILED or ERR_STORAGE_FULL when its log has
 * failed: it takes no part in anything then, and cannot know who lives. Values as in the store, up to 64 KiB.
 *
 * @typeParam V  what is read
 * @typeParam In  what may be set
 */
export class Ephemeral<V = unknown, In = V> {
  readonly #store: Ephemerals;
  readonly #scope: Scope<V, In>;

  /** @internal Use `replica.ephemeral`. @throws ReplicaError ERR_OPTION */
  constructor(store: Ephemerals, prefix: string, { schema, codec }: NamespaceOptions<V, In>) {
    this.#store = store;
    this.#scope = new Scope(prefix, new ValueShape(schema, codec));
  }

  /**
   * Sets a key of this process. Done when it returns, here; others are told at once.
   *
   * @throws ReplicaError ERR_KEY, ERR_VALUE, ERR_OPTION (see Namespace), ERR_READ_ONLY; ERR_LIMIT above 10,000 entries, or
   *   1 MiB of keys and values, of this process in all namespaces: nothing was changed
   */
  put(key: string, value: In): void {
    this.#store.put(this.#scope.keyOf(key), this.#scope.valueOf(value, key));
  }

  /** Removes a key of this process; that of another one stays. No error where there is none. @throws ReplicaError ERR_KEY, ERR_READ_ONLY */
  delete(key: string): void {
    this.#store.delete(this.#scope.keyOf(key));
  }

  /** Removes all keys of this process in this namespace. @throws ReplicaError ERR_READ_ONLY */
  clear(): void {
    this.#store.clear(this.#scope.prefix);
  }

  /** The value that was set last by one of those that live; a fresh copy. @throws ReplicaError ERR_KEY, ERR_VALUE */
  get(key: string): V | undefined {
    return this.getAll(key)[0]?.value;
  }

  /** Whether any living process has the key. @throws ReplicaError ERR_KEY */
  has(key: string): boolean {
    return this.#store.at(this.#scope.keyOf(key)).length > 0;
  }

  /** The key as each process has it, the value that was set last first. @throws ReplicaError ERR_KEY, ERR_VALUE */
  getAll(key: string): EphemeralEntry<V>[] {
    return this.#store.at(this.#scope.keyOf(key)).map((entry) => this.#inside(entry));
  }

  /**
   * What all living processes have, by key in UTF-8 byte order; of one key the value that was set last first. Costs a walk
   * over the entries of all ephemeral namespaces. @throws ReplicaError ERR_OPTION, ERR_VALUE
   */
  entries(options: EphemeralScanOptions = {}): EphemeralEntry<V>[] {
    knownFields(options, ["prefix"], "entries");
    const entries = this.#store.entries(this.#scope.prefix + checkPrefix(options.prefix));
    return entries.map((entry) => this.#inside(entry));
  }

  /**
   * What becomes of entries from this call on. A consumer that is slow gets the latest state of each entry, without the
   * steps in between; so it never falls behind.
   *
   * @throws ReplicaError ERR_OPTION, ERR_KEY at the call. The iteration ends when the replica closes, throws the reason
   *   of `signal` when that aborts, and ERR_STORAGE_FAILED or ERR_STORAGE_FULL when the log fails
   */
  watch(options: EphemeralWatchOptions = {}): AsyncIterableIterator<EphemeralEvent<V>> {
    knownFields(options, ["key", "prefix", "initial", "signal"], "watch");
    const { key, prefix, initial = false, signal } = options;
    checkFlag("initial", initial);
    checkSignal(signal);
    if (key !== undefined && prefix !== undefined) throw optionError("watch", "a key or a prefix, not both");
    const watch = {
      key: key === undefined ? undefined : this.#scope.keyOf(key),
      prefix: this.#scope.prefix + checkPrefix(prefix),
      initial,
      signal,
    };
    return mappedAsync(this.#store.watch(watch), (event) => this.#eventInside(event));
  }

  #inside(entry: EphemeralEntry): EphemeralEntry<V> {
    const key = this.#scope.keyFrom(entry.key);
    return { ...entry, key, value: this.#scope.valueFrom(entry.value, key) };
  }

  #eventInside(event: EphemeralEvent): EphemeralEvent<V> {
    if (event.type === "put") return { ...this.#inside(event), type: "put" };
    return event.type === "delete" ? { ...event, key: this.#scope.keyFrom(event.key) } : event;
  }
}

/** @throws ReplicaError ERR_OPTION */
export function ephemeralOf<V, In>(
  store: Ephemerals,
  name: string,
  options: NamespaceOptions<V, In>,
): Ephemeral<V, In> {
  knownFields(options, ["schema", "codec"], "ephemeral");
  return new Ephemeral(store, prefixOf(name), options);
}

function checkPrefix(prefix: unknown): string {
  if (prefix === undefined) return "";
  if (typeof prefix !== "string" || !prefix.isWellFormed()) throw optionError("prefix", "a well-formed string");
  return prefix;
}
