/**
 * The ephemeral entries as this process deals with them: what it has set itself, what it knows of others, and who watches.
 * Keys are as they travel, with the name of their namespace in front; ephemeral.ts is what users hold.
 */
import type { Timers } from "../clock.ts";
import { checkKey } from "../codec/keys.ts";
import { decodeValue, encodeValue } from "../codec/values.ts";
import { ReplicaError } from "../errors.ts";
import { EPHEMERAL_VALUE_BYTES_MAX } from "../limits.ts";
import type { EphemeralSets } from "../sync/ephemeral-sets.ts";
import type { NodeId } from "../types.ts";
import { type EphemeralEntry, type EphemeralEvent, EphemeralWatcher } from "./ephemeral-watcher.ts";

export interface EphemeralsSource {
  readonly nodeId: NodeId;
  readonly sets: EphemeralSets;
  readonly timers: Timers;
  readonly maxKeyBytes: number;
  /** Sets a key of this process, or removes it. */
  readonly change: (key: string, value: Uint8Array | null) => void;
  /** @throws ReplicaError ERR_CLOSED; ERR_STORAGE_FAILED, ERR_STORAGE_FULL: a replica whose log has failed hears of nobody */
  readonly assertInTouch: () => void;
  /** @throws ReplicaError as `assertInTouch`, and ERR_READ_ONLY */
  readonly assertWritable: () => void;
}

export interface EphemeralWatch {
  /** Only this key, or those that begin with the prefix. */
  readonly key?: string | undefined;
  readonly prefix: string;
  readonly initial: boolean;
  readonly signal: AbortSignal | undefined;
}

export class Ephemerals {
  readonly #source: EphemeralsSource;
  readonly #watchers = new Set<EphemeralWatcher>();

  constructor(source: EphemeralsSource) {
    this.#source = source;
  }

  // ---- reading -------------------------------------------------------------------------------

  /** Who has a key, the one that set it last first. @throws ReplicaError ERR_KEY, and as `assertInTouch` */
  at(key: string): EphemeralEntry[] {
    this.#source.assertInTouch();
    return this.#holdings(checkKey(key, this.#source.maxKeyBytes));
  }

  /** All that begin with a prefix, by key in UTF-8 byte order, then as `at` has them. @throws ReplicaError as `assertInTouch` */
  entries(prefix: string): EphemeralEntry[] {
    this.#source.assertInTouch();
    const keys = [...this.#source.sets.keys()].filter((key) => key.startsWith(prefix));
    const ordered = keys.map((key) => ({ key, bytes: Buffer.from(key) }));
    ordered.sort((a, b) => Buffer.compare(a.bytes, b.bytes));
    return ordered.flatMap(({ key }) => this.#holdings(key));
  }

  #holdings(key: string): EphemeralEntry[] {
    const { nodeId: own, sets } = this.#source;
    return sets.holdings(key).map(({ nodeId, value }) => {
      return { key, value: decodeValue(value), nodeId, local: nodeId === own };
    });
  }

  // ---- writing -------------------------------------------------------------------------------

  /** @throws ReplicaError ERR_KEY, ERR_VALUE, ERR_LIMIT, and as `assertWritable`: nothing was changed */
  put(key: string, value: unknown): void {
    const { assertWritable, maxKeyBytes, sets, change } = this.#source;
    assertWritable();
    checkKey(key, maxKeyBytes);
    const bytes = encodeValue(value, EPHEMERAL_VALUE_BYTES_MAX);
    const refusal = sets.putRefusal(key, bytes);
    if (refusal !== undefined) throw new ReplicaError("ERR_LIMIT", `${refusal}: delete some, or use the store`);
    change(key, bytes);
  }

  /** @throws ReplicaError ERR_KEY, and as `assertWritable` */
  delete(key: string): void {
    this.#source.assertWritable();
    this.#source.change(checkKey(key, this.#source.maxKeyBytes), null);
  }

  /** Removes what this process has set. @throws ReplicaError as `assertWritable` */
  clear(prefix: string): void {
    this.#source.assertWritable();
    const keys = [...this.#source.sets.own.cells()].map(({ key }) => key);
    for (const key of keys) if (key.startsWith(prefix)) this.#source.change(key, null);
  }

  // ---- watching ------------------------------------------------------------------------------

  /** Watches from this call on. @throws ReplicaError ERR_KEY, and as `assertInTouch` */
  watch({ key, prefix, initial, signal }: EphemeralWatch): AsyncIterableIterator<EphemeralEvent> {
    const { assertInTouch, maxKeyBytes, nodeId, sets, timers } = this.#source;
    assertInTouch();
    if (key !== undefined) checkKey(key, maxKeyBytes);
    const isWatched = (candidate: string): boolean =>
      key === undefined ? candidate.startsWith(prefix) : candidate === key;
    // Those who watch already are not to miss what has just happened, nor is this one to hear of it.
    this.publish();
    const release = (): void => {
      this.#watchers.delete(watcher);
      if (this.#watchers.size === 0) sets.listen(false);
    };
    const watcher = new EphemeralWatcher({ own: nodeId, isWatched, timers, signal, release });
    if (this.#watchers.size === 0) sets.listen(true);
    this.#watchers.add(watcher);
    if (initial)
      watcher.open([...sets.keys()].flatMap((each) => sets.holdings(each).map((held) => ({ key: each, ...held }))));
    watcher.delivery.listen();
    return watcher.delivery.iteration();
  }

  /** Tells the watchers what has happened since the last call. */
  publish(): void {
    for (const change of this.#source.sets.takeChanges()) {
      for (const watcher of this.#watchers) watcher.push(change);
    }
  }

  /** Ends every watch: what has happened is still delivered, then the iteration finishes or throws `error`. */
  close(error?: Error): void {
    this.publish();
    for (const watcher of [...this.#watchers]) watcher.delivery.end(error);
  }
}
