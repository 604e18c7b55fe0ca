/** Delivers durable changes to those who watch them: ordered, gap-free, bounded. */
import { decodeKey } from "./codec/keys.ts";
import { decodeValue } from "./codec/values.ts";
import { isReserved, WATCH_QUEUE_MAX } from "./limits.ts";
import { isInRange, type ByteRange } from "./key-ranges.ts";
import type { Change } from "./sync/committed.ts";
import { nodeIdOf, type Entry, type Lsn, type Millis, type Origin, type Seq, type Stamp } from "./types.ts";

/** Names a version of a key: opaque, equal on every replica and after a restart. */
export type Version = string;

/** A version of a key that entered the store. Events of one batch follow each other and share `batch`. */
export interface PutEvent<V = unknown> {
  readonly type: "put";
  readonly key: string;
  readonly value: V;
  /** The value that the key had, if it had one. */
  readonly previous?: V;
  readonly version: Version;
  /** Reading of the hybrid logical clock: a number that grows with time, equal for all of a batch. */
  readonly stamp: number;
  /** Who wrote it. */
  readonly nodeId: string;
  /** Whether it was written through this replica object's store. */
  readonly local: boolean;
  readonly batch: string;
  /** Milliseconds since 1970. Absent: never. */
  readonly expiresAt?: Millis;
}

/** A key that was there has gone: deleted by somebody, or its time was over. */
export interface RemoveEvent<V = unknown> {
  readonly type: "delete" | "expire";
  readonly key: string;
  readonly previous?: V;
  readonly version: Version;
  readonly stamp: number;
  readonly nodeId: string;
  readonly local: boolean;
  readonly batch: string;
}

export type ChangeEvent<V = unknown> = PutEvent<V> | RemoveEvent<V>;

/**
 * `ready`: the entries that were there have been delivered, changes follow. `lagged`: the consumer fell
 * behind and changes were dropped; with `initial` the present entries and `ready` follow again.
 */
export type WatchEvent<V = unknown> = ChangeEvent<V> | { readonly type: "ready" } | { readonly type: "lagged" };

export function versionOf(order: { stamp: Stamp; origin: Origin; seq: Seq }): Version {
  return `${order.stamp.toString(36)}.${order.seq.toString(36)}.${order.origin}`;
}

/** The event that a change is to its watchers; `undefined` if a reader cannot see that anything changed. */
export function eventOf(change: Change): ChangeEvent | undefined {
  const { entry, existed, previous, kind, local } = change;
  if (isReserved(entry.key)) return undefined;
  const shared = {
    key: decodeKey(entry.key),
    ...(previous === null ? {} : { previous: decodeValue(previous) }),
    version: versionOf(entry),
    stamp: entry.stamp,
    nodeId: nodeIdOf(entry.origin),
    local,
    batch: `${entry.stamp.toString(36)}.${entry.origin}`,
  };
  if (kind === "put" && entry.value !== null) {
    const expiry = entry.expiresAt > 0 ? { expiresAt: entry.expiresAt } : {};
    return { type: "put", value: decodeValue(entry.value), ...shared, ...expiry };
  }
  if (!existed) return undefined;
  return { type: kind === "expire" ? "expire" : "delete", ...shared };
}

export interface WatchSource {
  /** Entries in the range that are visible now, a stable view. */
  readonly entries: (range: ByteRange) => Iterator<Entry>;
  /** The end of the change log, and a promise that it is durable. */
  readonly lsn: () => Lsn;
  readonly durable: (lsn: Lsn) => Promise<void>;
  readonly isLocal: (origin: Origin) => boolean;
}

/** One `watch` in progress. */
class Watcher {
  readonly range: ByteRange;
  readonly initial: boolean;
  #changes: Change[] = [];
  #from = 0;
  #lagged = false;
  #wakeUp: (() => void) | undefined;
  ended = false;

  constructor(range: ByteRange, initial: boolean) {
    this.range = range;
    this.initial = initial;
  }

  push(change: Change): void {
    if (this.#lagged) return;
    if (this.#changes.length - this.#from >= WATCH_QUEUE_MAX) {
      this.#changes = [];
      this.#from = 0;
      this.#lagged = true;
    } else {
      this.#changes.push(change);
    }
    this.wake();
  }

  take(): Change | undefined {
    const change = this.#changes[this.#from];
    if (change === undefined) return undefined;
    this.#from += 1;
    if (this.#from === this.#changes.length) {
      this.#changes = [];
      this.#from = 0;
    }
    return change;
  }

  /** Whether changes were dropped since the last call; from now on they are kept again. */
  takeLagged(): boolean {
    const lagged = this.#lagged;
    this.#lagged = false;
    return lagged;
  }

  wake(): void {
    this.#wakeUp?.();
    this.#wakeUp = undefined;
  }

  /** Resolves at the next push, lag or end. */
  async more(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wakeUp = resolve;
    });
  }
}

export class Watchers {
  readonly #source: WatchSource;
  readonly #watchers = new Set<Watcher>();

  constructor(source: WatchSource) {
    this.#source = source;
  }

  get isEmpty(): boolean {
    return this.#watchers.size === 0;
  }

  publish(changes: readonly Change[]): void {
    if (this.#watchers.size === 0) return;
    for (const change of changes) {
      if (isReserved(change.entry.key)) continue;
      for (const watcher of this.#watchers) {
        if (isInRange(change.entry.key, watcher.range)) watcher.push(change);
      }
    }
  }

  /** Ends every watch: their iterations finish. */
  close(): void {
    for (const watcher of this.#watchers) {
      watcher.ended = true;
      watcher.wake();
    }
    this.#watchers.clear();
  }

  /** Watches from this call on, not only from the first `next`. */
  watch(range: ByteRange, initial: boolean, signal: AbortSignal | undefined): AsyncIterableIterator<WatchEvent> {
    const watcher = new Watcher(range, initial);
    this.#watchers.add(watcher);
    const onAbort = (): void => {
      this.#watchers.delete(watcher);
      watcher.wake();
    };
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
    const release = (): void => {
      watcher.ended = true;
      this.#watchers.delete(watcher);
      signal?.removeEventListener("abort", onAbort);
      watcher.wake();
    };
    const view = initial ? this.#view(range) : undefined;
    const events = this.#run(watcher, view, signal, release);
    return {
      next: () => events.next(),
      // An iteration that waits would only see a return of the generator after the next change.
      return: async (value?: unknown) => {
        release();
        return events.return(value as undefined);
      },
      throw: async (error: unknown) => {
        release();
        return events.throw(error);
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  #view(range: ByteRange): { entries: Iterator<Entry>; lsn: Lsn } {
    return { entries: this.#source.entries(range), lsn: this.#source.lsn() };
  }

  async *#run(
    watcher: Watcher,
    first: { entries: Iterator<Entry>; lsn: Lsn } | undefined,
    signal: AbortSignal | undefined,
    release: () => void,
  ): AsyncGenerator<WatchEvent, undefined> {
    let view = first;
    /** Changes up to here are in the view. */
    let seen: Lsn = 0;
    try {
      for (;;) {
        signal?.throwIfAborted();
        if (view !== undefined) {
          // Memory may be ahead of the disk: nobody may see the view before it is durable.
          await this.#source.durable(view.lsn);
          for (let next = view.entries.next(); next.done !== true; next = view.entries.next()) {
            signal?.throwIfAborted();
            yield initialEvent(next.value, this.#source.isLocal(next.value.origin));
          }
          seen = view.lsn;
          view = undefined;
          yield { type: "ready" };
        }
        const change = watcher.take();
        if (change !== undefined) {
          const event = change.lsn > seen || change.kind === "expire" ? eventOf(change) : undefined;
          if (event !== undefined) yield event;
        } else if (watcher.takeLagged()) {
          yield { type: "lagged" };
          if (watcher.initial) view = this.#view(watcher.range);
        } else if (watcher.ended) {
          return undefined;
        } else {
          await watcher.more();
        }
      }
    } finally {
      view?.entries.return?.();
      release();
    }
  }
}

function initialEvent(entry: Entry, local: boolean): WatchEvent {
  const expiry = entry.expiresAt > 0 ? { expiresAt: entry.expiresAt } : {};
  return {
    type: "put",
    key: decodeKey(entry.key),
    value: entry.value === null ? null : decodeValue(entry.value),
    version: versionOf(entry),
    stamp: entry.stamp,
    nodeId: nodeIdOf(entry.origin),
    local,
    batch: `${entry.stamp.toString(36)}.${entry.origin}`,
    ...expiry,
  };
}
