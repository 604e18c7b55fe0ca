/** Delivers durable changes to those who watch them: ordered, gap-free, bounded. */
import { checkFlag, checkSignal, knownFields } from "./arguments.ts";
import type { WatchOptions } from "./calls.ts";
import { checkKey, decodeKey } from "./codec/keys.ts";
import { decodeValue } from "./codec/values.ts";
import { ReplicaError } from "./errors.ts";
import { type ByteRange, byteRange, isInRange, KEY_RANGE_FIELDS, narrowed } from "./key-ranges.ts";
import { isReserved, WATCH_QUEUE_BYTES_MAX, WATCH_QUEUE_MAX } from "./limits.ts";
import type { Change } from "./sync/committed.ts";
import { type Entry, type Lsn, type Millis, nodeIdOf, type Origin } from "./types.ts";
import { type Version, versionOf } from "./versions.ts";

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

/** The event that a change is to its watchers; `undefined` if a reader cannot see that anything changed. */
export function eventOf(change: Change): ChangeEvent | undefined {
  const { entry, existed, previous, kind, local } = change;
  if (isReserved(entry.key)) return undefined;
  const before = previous === null ? {} : { previous: decodeValue(previous) };
  if (kind === "put" && entry.value !== null) return { ...putEvent(entry, entry.value, local), ...before };
  if (!existed) return undefined;
  return { type: kind === "expire" ? "expire" : "delete", ...common(entry, local), ...before };
}

export interface WatchSource {
  /** Entries in the range that are visible now, a stable view. */
  readonly view: (range: ByteRange) => IterableIterator<Entry>;
  /** The end of the change log, and what resolves when it is durable. */
  readonly lsn: () => Lsn;
  readonly durable: (lsn: Lsn) => Promise<unknown>;
  /** The time by which entries expire. */
  readonly now: () => Millis;
  readonly maxKeyBytes: number;
  readonly isLocal: (origin: Origin) => boolean;
  /** A watcher has fallen behind, and changes were dropped. */
  readonly onLagged: () => void;
}

export class Watchers {
  readonly #source: WatchSource;
  readonly #watchers = new Set<Watcher>();

  constructor(source: WatchSource) {
    this.#source = source;
  }

  get size(): number {
    return this.#watchers.size;
  }

  get isEmpty(): boolean {
    return this.#watchers.size === 0;
  }

  /** Hands durable changes to all whom they concern. */
  publish(changes: readonly Change[]): void {
    if (this.#watchers.size === 0) return;
    for (const change of changes) {
      if (isReserved(change.entry.key)) continue;
      for (const watcher of this.#watchers) watcher.push(change);
    }
  }

  /** Ends every watch: what has been published is still delivered, then the iteration finishes or throws `error`. */
  close(error?: Error): void {
    for (const watcher of [...this.#watchers]) watcher.end(error);
  }

  /** Watches from this call on, not only from the first `next`. @throws ReplicaError ERR_OPTION, ERR_KEY */
  watch(options: WatchOptions): AsyncIterableIterator<WatchEvent> {
    knownFields(options, ["key", "range", "initial", "signal", ...KEY_RANGE_FIELDS], "watch");
    const { initial = false, signal } = options;
    checkFlag("initial", initial);
    checkSignal(signal);
    const range = watchedRange(options, this.#source.maxKeyBytes);
    const watcher = new Watcher(this.#source, range, initial, () => {
      this.#watchers.delete(watcher);
      signal?.removeEventListener("abort", onAbort);
    });
    const onAbort = (): void => watcher.abort(signal?.reason);
    this.#watchers.add(watcher);
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener("abort", onAbort);
    return iterationOf(watcher);
  }
}

/** One `watch` in progress: what it has still to deliver. */
class Watcher {
  readonly #source: WatchSource;
  readonly #range: ByteRange;
  readonly #initial: boolean;
  readonly #release: () => void;
  /** Changes up to this lsn, and expiries up to this moment, were visible when the watch or its last view began. */
  #since: { lsn: Lsn; now: Millis };
  #view: IterableIterator<Entry> | undefined;
  /** Memory may be ahead of the disk: nobody may see the view before it is durable. */
  #viewIsDurable = false;
  #changes: Change[] = [];
  #from = 0;
  #bytes = 0;
  #lagged = false;
  #ended: { readonly thrown: unknown } | "quietly" | undefined;
  #wakeUp: (() => void) | undefined;

  constructor(source: WatchSource, range: ByteRange, initial: boolean, release: () => void) {
    this.#source = source;
    this.#range = range;
    this.#initial = initial;
    this.#release = release;
    this.#since = { lsn: source.lsn(), now: source.now() };
    if (initial) this.#openView();
  }

  push(change: Change): void {
    if (this.#lagged || !isInRange(change.entry.key, this.#range)) return;
    const bytes = bytesOf(change);
    if (this.#changes.length - this.#from >= WATCH_QUEUE_MAX || this.#bytes + bytes > WATCH_QUEUE_BYTES_MAX) {
      this.#dropChanges();
      this.#lagged = true;
      this.#source.onLagged();
    } else {
      this.#changes.push(change);
      this.#bytes += bytes;
    }
    this.#wake();
  }

  /** No more is coming; what is here is still delivered. */
  end(error?: Error): void {
    this.#ended ??= error === undefined ? "quietly" : { thrown: error };
    this.#release();
    this.#wake();
  }

  /** Nothing is delivered any more. */
  abort(reason: unknown): void {
    this.#ended = { thrown: reason };
    this.#discard();
  }

  /** The consumer has gone. */
  leave(): void {
    this.#ended = "quietly";
    this.#discard();
  }

  /**
   * The next event; `undefined` at the end, `"wait"` if there is none yet (see `more`).
   * @throws what the watch has ended with
   */
  take(): WatchEvent | "wait" | undefined {
    if (this.#view !== undefined) return this.#viewIsDurable ? this.#takeInitial(this.#view) : this.#endOrWait();
    for (let change = this.#shift(); change !== undefined; change = this.#shift()) {
      const event = this.#isNews(change) ? eventOf(change) : undefined;
      if (event !== undefined) return event;
    }
    if (!this.#lagged) return this.#endOrWait();
    // From now on changes are kept again.
    this.#lagged = false;
    if (this.#initial) this.#openView();
    return { type: "lagged" };
  }

  /** Resolves when `take` may have more to say. */
  async more(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wakeUp = resolve;
    });
  }

  #endOrWait(): "wait" | undefined {
    if (this.#ended === undefined) return "wait";
    if (this.#ended === "quietly") return undefined;
    const { thrown } = this.#ended;
    this.#ended = "quietly";
    throw thrown;
  }

  #openView(): void {
    const lsn = this.#source.lsn();
    this.#since = { lsn, now: this.#source.now() };
    this.#view = this.#source.view(this.#range);
    this.#viewIsDurable = false;
    this.#source.durable(lsn).then(
      () => {
        this.#viewIsDurable = true;
        this.#wake();
      },
      (error: unknown) => this.abort(error),
    );
  }

  #takeInitial(view: IterableIterator<Entry>): WatchEvent {
    const next = view.next();
    if (next.done === true) {
      this.#view = undefined;
      return { type: "ready" };
    }
    const { value: entry } = next;
    return putEvent(entry, entry.value, this.#source.isLocal(entry.origin));
  }

  /** Whether the consumer could not see it when the watch or its view began. */
  #isNews({ kind, entry, lsn }: Change): boolean {
    return kind === "expire" ? entry.expiresAt > this.#since.now : lsn > this.#since.lsn;
  }

  #shift(): Change | undefined {
    const change = this.#changes[this.#from];
    if (change === undefined) return undefined;
    this.#from += 1;
    this.#bytes -= bytesOf(change);
    if (this.#from === this.#changes.length) this.#dropChanges();
    return change;
  }

  #dropChanges(): void {
    this.#changes = [];
    this.#from = 0;
    this.#bytes = 0;
  }

  #discard(): void {
    this.#dropChanges();
    this.#lagged = false;
    this.#view?.return?.();
    this.#view = undefined;
    this.#release();
    this.#wake();
  }

  #wake(): void {
    this.#wakeUp?.();
    this.#wakeUp = undefined;
  }
}

/** @throws ReplicaError ERR_OPTION, ERR_KEY */
function watchedRange(
  { key, range = {}, initial: _initial, signal: _signal, ...fields }: WatchOptions,
  maxKeyBytes: number,
): ByteRange {
  knownFields(range, KEY_RANGE_FIELDS, "a range");
  const asked = narrowed(byteRange(fields), byteRange(range));
  if (key === undefined) return asked;
  if (Object.keys(fields).length + Object.keys(range).length > 0) {
    throw new ReplicaError("ERR_OPTION", "watch takes a key or a range, not both");
  }
  checkKey(key, maxKeyBytes);
  return byteRange({ gte: key, lte: key });
}

function iterationOf(watcher: Watcher): AsyncIterableIterator<WatchEvent> {
  const events = eventsOf(watcher);
  return {
    next: () => events.next(),
    // Leaves first: a generator that waits would only see its return once something has happened.
    return: async (value?: unknown) => {
      watcher.leave();
      return await events.return(value as undefined);
    },
    throw: async (error: unknown) => {
      watcher.leave();
      return await events.throw(error);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

async function* eventsOf(watcher: Watcher): AsyncGenerator<WatchEvent, undefined> {
  for (let event = watcher.take(); event !== undefined; event = watcher.take()) {
    if (event === "wait") await watcher.more();
    else yield event;
  }
  return undefined;
}

function bytesOf({ entry, previous }: Change): number {
  return entry.key.length + (entry.value?.length ?? 0) + (previous?.length ?? 0);
}

function putEvent(entry: Entry, value: Uint8Array | null, local: boolean): PutEvent {
  return {
    type: "put",
    value: value === null ? null : decodeValue(value),
    ...common(entry, local),
    ...(entry.expiresAt > 0 ? { expiresAt: entry.expiresAt } : {}),
  };
}

function common(entry: Entry, local: boolean) {
  return {
    key: decodeKey(entry.key),
    version: versionOf(entry),
    stamp: entry.stamp,
    nodeId: nodeIdOf(entry.origin),
    local,
    batch: `${entry.stamp.toString(36)}.${entry.origin}`,
  };
}
