/** Writes what was read from a dump into a replica, in batches, and keeps account of what it leaves out. */
import { nextTurn, type WallClock } from "../clock.ts";
import type { BatchOperation } from "../data/local-writes.ts";
import { isReplicaError, ReplicaError } from "../errors.ts";
import type { Replica } from "../replica.ts";
import type { Millis } from "../types.ts";

/** What was read at one position of a dump: an entry, or why there is none. */
export type ReadEntry =
  | {
      readonly type: "entry";
      readonly position: number;
      readonly key: string;
      readonly value: unknown;
      /** Milliseconds since 1970; `undefined`: never. */
      readonly expiresAt: Millis | undefined;
      /** In the dump: what it costs in a batch, about. */
      readonly bytes: number;
    }
  | { readonly type: "damaged"; readonly position: number; readonly reason: string };

/** An entry that was not imported. */
export interface SkippedEntry {
  /** Its line, or in a binary dump its place among the entries, from 1. */
  readonly position: number;
  readonly reason: string;
}

export interface ImportProgress {
  /** Everything up to here is durable in the replica, or was left out: `after` goes on from here. */
  readonly position: number;
  readonly imported: number;
  /** Bytes of the dump that were read. */
  readonly bytes: number;
}

export interface ImportOptions {
  /** Leave out so many lines, or entries of a binary dump: the `position` at which an earlier import stopped. Default 0. */
  readonly after?: number;
  /** What happens to keys that the replica has. Default "replace". */
  readonly existing?: "replace" | "keep";
  /** Reject with the first entry that cannot be imported, instead of leaving it out. Default false. */
  readonly strict?: boolean;
  /** Called after every batch: 250 entries, or 1 MiB, of which some may be left out. */
  readonly onProgress?: (progress: ImportProgress) => void;
  /** Called for each entry that is left out because it is damaged or refused. */
  readonly onSkip?: (skipped: SkippedEntry) => void;
  /** Ends the import: it rejects with the reason, and what was imported stays. */
  readonly signal?: AbortSignal;
  /** By which entries have expired. Default: that of the system. */
  readonly clock?: WallClock;
}

export interface ImportReport {
  readonly imported: number;
  /** Not imported because the replica has the key; with `existing: "keep"` only. */
  readonly kept: number;
  /** Not imported because their time is over. */
  readonly expired: number;
  /** Not imported because they are damaged, or because the replica refused them. */
  readonly skipped: number;
  /** The first 100 of these. */
  readonly problems: readonly SkippedEntry[];
  /** Of the last line or entry. */
  readonly position: number;
}

/** After so many entries, or bytes, what of them is to be written is. Bytes are those of the dump; encoded it may be somewhat more than twice as long. */
const BATCH_ENTRIES = 250;
const BATCH_BYTES = 1024 * 1024;
const PROBLEMS_KEPT = 100;
/** What is the matter with one entry, and not with the store. */
const ENTRY_ERRORS: ReadonlySet<string> = new Set(["ERR_KEY", "ERR_VALUE", "ERR_LIMIT"]);

type Put = Extract<BatchOperation, { type: "put" }>;

export class Importer {
  readonly #replica: Replica;
  readonly #options: ImportOptions;
  readonly #clock: WallClock;
  readonly #bytesRead: () => number;
  #batch: { readonly position: number; readonly put: Put }[] = [];
  #batchBytes = 0;
  /** Read since a batch was written, also what is not in the next one. */
  #batchEntries = 0;
  readonly #problems: SkippedEntry[] = [];
  #imported = 0;
  #kept = 0;
  #expired = 0;
  #skipped = 0;
  #position = 0;

  constructor(replica: Replica, options: ImportOptions, clock: WallClock, bytesRead: () => number) {
    this.#replica = replica;
    this.#options = options;
    this.#clock = clock;
    this.#bytesRead = bytesRead;
  }

  /** Takes the next one. @throws what the replica throws, save the refusal of an entry; with `strict` that too */
  async add(read: ReadEntry): Promise<void> {
    this.#options.signal?.throwIfAborted();
    this.#position = read.position;
    this.#batchEntries += 1;
    if (read.position <= (this.#options.after ?? 0)) return this.#flushIfDue();
    if (read.type === "damaged") {
      // First what stands before it: `position` must not promise more than is durable.
      if (this.#options.strict === true) await this.#flush();
      this.#skip(read.position, read.reason);
      return this.#flushIfDue();
    }
    const { key, value, expiresAt, bytes, position } = read;
    const ttlMs = expiresAt === undefined ? undefined : expiresAt - this.#clock.now();
    if (ttlMs !== undefined && ttlMs <= 0) {
      this.#expired += 1;
    } else if (this.#options.existing === "keep" && this.#has(key)) {
      this.#kept += 1;
    } else {
      this.#batch.push({ position, put: { type: "put", key, value, ...(ttlMs === undefined ? {} : { ttlMs }) } });
      this.#batchBytes += bytes;
    }
    await this.#flushIfDue();
  }

  /** Writes what is left. */
  async end(): Promise<ImportReport> {
    await this.#flush();
    return {
      imported: this.#imported,
      kept: this.#kept,
      expired: this.#expired,
      skipped: this.#skipped,
      problems: this.#problems,
      position: this.#position,
    };
  }

  /** A key that is none is refused when it is written. */
  #has(key: string): boolean {
    try {
      return this.#replica.has(key);
    } catch (error) {
      if (isReplicaError(error) && error.code === "ERR_KEY") return false;
      throw error;
    }
  }

  async #flushIfDue(): Promise<void> {
    if (this.#batchEntries < BATCH_ENTRIES && this.#batchBytes < BATCH_BYTES) return;
    // A source that never waits, and a store without a disk, would keep everybody else waiting. Reading is one turn of the
    // event loop, writing another.
    await nextTurn();
    await this.#flush();
    await nextTurn();
  }

  async #flush(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#batchBytes = 0;
    this.#batchEntries = 0;
    if (batch.length > 0) {
      try {
        await this.#replica.batch(batch.map(({ put }) => put));
        this.#imported += batch.length;
      } catch (error) {
        if (!isEntryError(error)) throw error;
        // Nothing was written: which of them it was shows one by one.
        for (const { position, put } of batch) await this.#put(position, put);
      }
    }
    this.#options.onProgress?.({ position: this.#position, imported: this.#imported, bytes: this.#bytesRead() });
  }

  async #put(position: number, { key, value, ttlMs }: Put): Promise<void> {
    try {
      await this.#replica.put(key, value, ttlMs === undefined ? {} : { ttlMs });
      this.#imported += 1;
    } catch (error) {
      if (!isEntryError(error) || isFull(error)) throw error;
      this.#skip(position, error.message);
    }
  }

  #skip(position: number, reason: string): void {
    if (this.#options.strict === true) throw new ReplicaError("ERR_CORRUPT", `at ${position} of the dump: ${reason}`);
    this.#skipped += 1;
    const problem = { position, reason };
    if (this.#problems.length < PROBLEMS_KEPT) this.#problems.push(problem);
    this.#options.onSkip?.(problem);
  }
}

function isEntryError(error: unknown): error is ReplicaError {
  return isReplicaError(error) && ENTRY_ERRORS.has(error.code);
}

/** The store takes no more of any kind: going on would only skip the rest. */
function isFull(error: ReplicaError): boolean {
  return error.code === "ERR_LIMIT" && error.cause === "store-full";
}
