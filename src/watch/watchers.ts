/** All watches of a replica: delivers durable changes to those whom they concern. */
import { checkFlag, checkSignal, knownFields, optionError } from "../arguments.ts";
import type { WatchOptions } from "../calls.ts";
import type { Timers } from "../clock.ts";
import { checkKey } from "../codec/keys.ts";
import type { CoreState } from "../core/core-state.ts";
import { compareOrigins } from "../core/lww.ts";
import { type ByteRange, byteRange, KEY_RANGE_FIELDS, narrowed } from "../data/key-ranges.ts";
import { isGoneVersion, parseVersion, type Version } from "../data/versions.ts";
import { ReplicaError } from "../errors.ts";
import { HISTORY_MS, isReserved } from "../limits.ts";
import type { Change } from "../sync/committed.ts";
import type { Entry } from "../types.ts";
import { RangeIndex } from "./range-index.ts";
import { batchOf, type WatchEvent } from "./watch-events.ts";
import { entriesAfter, WatchHistory } from "./watch-history.ts";
import { type Start, Watcher, type WatchSource } from "./watcher.ts";

export interface WatchersOptions {
  readonly source: Omit<WatchSource, "publishedNumber">;
  readonly state: CoreState;
  readonly timers: Timers;
  readonly maxKeyBytes: number;
  /** Whether the entry with this key is a part of a merged one. Default: none is. */
  readonly isMerged?: (key: Uint8Array) => boolean;
}

export class Watchers {
  readonly #options: WatchersOptions;
  readonly #source: WatchSource;
  readonly #watchers = new RangeIndex<Watcher>();
  readonly #history = new WatchHistory();
  /** Whether the history is kept: while somebody watches, and a while longer. */
  #isKeeping = false;
  #publishedNumber = 0;
  #cancelForgetting: (() => void) | undefined;

  constructor(options: WatchersOptions) {
    this.#options = options;
    this.#source = { ...options.source, publishedNumber: () => this.#publishedNumber };
  }

  /** How many watch. */
  get size(): number {
    return this.#watchers.size;
  }

  /** Whether nobody wants to hear of changes, now or later. */
  get isEmpty(): boolean {
    return !this.#isKeeping;
  }

  /** How many changes wait for the slowest of them. Costs a walk over all of them. */
  get queuedMax(): number {
    let queuedMax = 0;
    for (const watcher of this.#watchers) queuedMax = Math.max(queuedMax, watcher.queued);
    return queuedMax;
  }

  /** Hands durable changes to all whom they concern. */
  publish(changes: readonly Change[]): void {
    if (!this.#isKeeping || changes.length === 0) return;
    this.#publishedNumber = changes.at(-1)?.number ?? this.#publishedNumber;
    const grouped = groupedByBatch(withoutReserved(changes));
    this.#history.add(grouped);
    if (this.#watchers.size === 0) return;
    for (const change of grouped) this.#watchers.visit(change.entry.key, (watcher) => watcher.push(change));
  }

  /** Ends every watch: what has been published is still delivered, then the iteration finishes or throws `error`. */
  close(error?: Error): void {
    for (const watcher of [...this.#watchers]) watcher.delivery.end(error);
    this.#forget();
  }

  /** Watches from this call on, not only from the first `next`. @throws ReplicaError ERR_OPTION, ERR_KEY */
  watch(options: WatchOptions): AsyncIterableIterator<WatchEvent> {
    knownFields(options, ["key", "range", "initial", "since", "signal", ...KEY_RANGE_FIELDS], "watch");
    const { initial = false, since, signal } = options;
    checkFlag("initial", initial);
    checkSignal(signal);
    if (since !== undefined) checkSince(since);
    const range = watchedRange(options, this.#options.maxKeyBytes);
    const start: Start = since !== undefined ? this.#startAfter(since, range) : initial ? "initial" : "now";
    const watcher = new Watcher(this.#source, {
      range,
      initial,
      start,
      timers: this.#options.timers,
      signal,
      release: () => this.#remove(watcher),
    });
    this.#add(watcher);
    watcher.delivery.listen();
    return watcher.delivery.iteration();
  }

  #startAfter(since: Version, range: ByteRange): Start {
    const changes = this.#history.after(since, range);
    if (changes !== undefined) return { type: "changes", changes };
    const { state, isMerged = () => false } = this.#options;
    const entries = entriesAfter(since, range, state, isMerged);
    return entries === undefined ? "unknown" : { type: "entries", entries };
  }

  #add(watcher: Watcher): void {
    this.#cancelForgetting?.();
    this.#cancelForgetting = undefined;
    this.#isKeeping = true;
    this.#watchers.add(watcher.range, watcher);
  }

  #remove(watcher: Watcher): void {
    this.#watchers.remove(watcher.range, watcher);
    if (this.#watchers.size > 0 || !this.#isKeeping) return;
    this.#cancelForgetting ??= this.#options.timers.after(HISTORY_MS, () => this.#forget());
  }

  #forget(): void {
    this.#cancelForgetting?.();
    this.#cancelForgetting = undefined;
    this.#isKeeping = false;
    this.#history.clear();
  }
}

/**
 * Changes of one batch follow each other. Where they do not, they are sorted by the order of their versions, what has gone
 * without a successor behind the others of its batch: of one key, later changes have the higher order, so theirs stays.
 */
export function groupedByBatch(changes: readonly Change[]): readonly Change[] {
  // What was dropped makes room for versions of a lower order: then the order in which it happened is the only one.
  if (isGrouped(changes) || changes.some(({ dropped }) => dropped === true)) return changes;
  return [...changes].sort(
    (a, b) =>
      a.entry.stamp - b.entry.stamp ||
      compareOrigins(a.entry.origin, b.entry.origin) ||
      Number(a.kind === "expire") - Number(b.kind === "expire"),
  );
}

function isGrouped(changes: readonly Change[]): boolean {
  let previous: Change | undefined;
  for (const change of changes) {
    if (previous !== undefined && !follows(change.entry, previous.entry)) return hasNoGaps(changes);
    previous = change;
  }
  return true;
}

/** Whether an entry is of the same batch as the one before it, or of one that cannot have begun earlier: the usual case. */
function follows(entry: Entry, previous: Entry): boolean {
  return entry.stamp > previous.stamp || (entry.stamp === previous.stamp && entry.origin === previous.origin);
}

/** Whether no batch goes on behind another one. */
function hasNoGaps(changes: readonly Change[]): boolean {
  const begun = new Set<string>();
  let current: string | undefined;
  for (const { entry } of changes) {
    const batch = batchOf(entry);
    if (batch !== current && begun.has(batch)) return false;
    begun.add(batch);
    current = batch;
  }
  return true;
}

function withoutReserved(changes: readonly Change[]): readonly Change[] {
  return changes.some(({ entry }) => isReserved(entry.key))
    ? changes.filter(({ entry }) => !isReserved(entry.key))
    : changes;
}

/** @throws ReplicaError ERR_OPTION */
function checkSince(since: unknown): void {
  if (typeof since === "string" && (isGoneVersion(since) || parseVersion(since) !== undefined)) return;
  throw optionError("since", "the version of an event");
}

/** @throws ReplicaError ERR_OPTION, ERR_KEY */
function watchedRange(
  { key, range = {}, initial: _initial, since: _since, signal: _signal, ...fields }: WatchOptions,
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
