/**
 * The durable side of one replica: a log that is appended to, and snapshots that keep it short. The
 * driver hands over what the state has executed; what was acknowledged here survives as the durability
 * mode says. FORMAT.md has the files, byte by byte, and why they are enough.
 */

import type { Timers } from "../clock.ts";
import type { CoreState } from "../core/core-state.ts";
import type { StateOp } from "../core/ops.ts";
import { ReplicaError } from "../errors.ts";
import { assert, InvariantError } from "../invariant.ts";
import { epochOf, type Lsn } from "../types.ts";
import { codeOf, IDENTITY_FILE, openError, storageError } from "./files.ts";
import { copyStore, pruneStore, type VerifyReport, verifyStore } from "./maintenance.ts";
import { lockDirectory, type Opened, type OpenOptions, openDirectory, type RecoveryReport } from "./open.ts";
import { writeSnapshot } from "./snapshot-writer.ts";
import type { Wal } from "./wal.ts";

/** When an append counts as durable. Ops that issue identifiers (lease, rotate) are synced in every mode. */
export type Durability =
  /** When it is synced: survives power loss. */
  | "always"
  /** When the operating system has it: survives a crash of the process. */
  | "os"
  /** As "os", and synced so many milliseconds later at most. */
  | { readonly intervalMs: number };

export interface StoreOptions extends OpenOptions {
  readonly durability: Durability;
  readonly timers: Timers;
  /** A segment that has reached this size is ended. Default 16 MiB. */
  readonly segmentBytes?: number;
  /** A snapshot is taken once the log has this size, or that of the live entries if that is more. Default 8 MiB. */
  readonly checkpointBytes?: number;
  /** Called once, when the store has stopped for good: ERR_STORAGE_FAILED or ERR_STORAGE_FULL. */
  readonly onFailure: (error: ReplicaError) => void;
  /** Something failed that leaves the log authoritative: an automatic snapshot, the removal of an old file. */
  readonly onWarning?: (message: string, error: unknown) => void;
  /** A snapshot is begun, by hand or not, and then it is done or has failed. */
  readonly onCheckpoint?: (state: "begun" | "done" | "failed") => void;
}

const SEGMENT_BYTES = 16 * 1024 * 1024;
const CHECKPOINT_BYTES = 8 * 1024 * 1024;
/** What an entry costs in a snapshot beside its key and value, about. */
const ENTRY_OVERHEAD_BYTES = 24;

/**
 * Takes the lock, recovers the state and gets ready to append.
 *
 * @throws ReplicaError ERR_LOCKED, ERR_FOREIGN_DIRECTORY, ERR_FORMAT_VERSION, ERR_CORRUPT (strict, or nothing
 *   can be used): the directory is untouched; ERR_STORAGE_FAILED, ERR_STORAGE_FULL if the disk fails
 */
export async function openStore(
  options: StoreOptions,
): Promise<{ store: Store; state: CoreState; recovery: RecoveryReport }> {
  let release: (() => Promise<void>) | undefined;
  try {
    release = await lockDirectory(options.disk, options.directory, options.readOnly === true);
    const opened = await openDirectory(options);
    return { store: new Store(options, opened, release), state: opened.state, recovery: opened.recovery };
  } catch (error) {
    await release?.().catch(() => undefined);
    if (error instanceof InvariantError) throw error;
    throw openError(options.directory, error);
  }
}

export class Store {
  readonly #options: StoreOptions;
  readonly #state: CoreState;
  readonly #identity: Opened["identity"];
  readonly #wal: Wal | undefined;
  readonly #release: () => Promise<void>;
  readonly #segmentBytes: number;
  readonly #checkpointBytes: number;
  /** Size of a segment at which the next one is begun. */
  #rotateAtBytes: number;
  /** Log bytes, counted as the log does, at which the next automatic snapshot is looked at. */
  #checkpointAtBytes: number;
  #appending = false;
  #failure: ReplicaError | undefined;
  #cancelSync: (() => void) | undefined;
  #closing: Promise<void> | undefined;
  /** Snapshots, verification and backups run one at a time: they rely on which files there are. */
  #maintenance: Promise<unknown> = Promise.resolve();
  #checkpointing = false;
  /** Running number of the last record that the newest snapshot holds. */
  #snapshotRecords = -1;
  #waiters: { lsn: Lsn; done: () => void; failed: (error: Error) => void }[] = [];

  /** Use `openStore`. */
  constructor(options: StoreOptions, opened: Opened, release: () => Promise<void>) {
    this.#options = options;
    this.#state = opened.state;
    this.#identity = opened.identity;
    this.#wal = opened.wal;
    this.#release = release;
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    this.#checkpointBytes = options.checkpointBytes ?? CHECKPOINT_BYTES;
    // Ops that its format does not have are not written into a segment.
    this.#rotateAtBytes = opened.wal?.isOutdated === true ? 0 : this.#segmentBytes;
    this.#checkpointAtBytes = this.#checkpointBytes - opened.logBytes;
  }

  /** Whose directory this is. */
  get nodeId(): Opened["identity"]["nodeId"] {
    return this.#identity.nodeId;
  }

  /** Why the store has stopped, once it has. */
  get failure(): ReplicaError | undefined {
    return this.#failure;
  }

  /**
   * Writes one record, whole or not at all; resolves when it has the durability of the mode. Never while
   * another append is pending. No ops: no record.
   *
   * @param lsn  that of the state before these ops, which is where the append before ended
   * @throws ReplicaError ERR_STORAGE_FAILED, ERR_STORAGE_FULL, from then on always; ERR_CLOSED
   */
  async append(ops: readonly StateOp[], lsn: Lsn): Promise<void> {
    const wal = this.#writable();
    assert(!this.#appending, "one append at a time");
    if (ops.length === 0) return;
    this.#appending = true;
    try {
      if (wal.segmentBytes >= this.#rotateAtBytes) await this.#rotate(wal);
      await wal.append(ops, lsn);
      const { durability } = this.#options;
      // A lease is taken about once in a second of writing.
      const issues = ops.some(({ type }) => type === "lease" || type === "rotate");
      if (issues) await this.#checkPlace();
      if (durability === "always" || issues) await wal.sync();
      else if (durability !== "os") this.#syncLater(wal, durability.intervalMs);
    } catch (error) {
      throw this.#fail(error);
    } finally {
      this.#appending = false;
    }
    if (this.#failure !== undefined) throw this.#failure;
    this.#wakeWaiters(wal.lsn);
    if (wal.bytes >= this.#checkpointAtBytes) this.#checkpointIfGrown(wal);
  }

  /** Files that were removed below our feet take writes without an error, and lose them when they are closed. */
  async #checkPlace(): Promise<void> {
    const { disk, directory } = this.#options;
    await disk.fingerprint(`${directory}/${IDENTITY_FILE}`).catch((error: unknown) => {
      if (codeOf(error) !== "ENOENT") throw error;
      throw new ReplicaError("ERR_STORAGE_FAILED", `${directory} was removed or emptied: its writes are not kept`);
    });
  }

  /** Makes durable what was appended, whatever the mode. @throws as `append` */
  async flush(): Promise<void> {
    const wal = this.#writable();
    try {
      await wal.sync();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /**
   * Writes a snapshot while appends go on, and removes the part of the log that two snapshots make
   * superfluous. What the state has executed by then has to be appended by the driver meanwhile.
   * If it rejects, the log stays authoritative and appends go on, unless the log itself has failed.
   */
  checkpoint(): Promise<void> {
    return this.#oneAtATime(async () => {
      const wal = this.#writable();
      this.#options.onCheckpoint?.("begun");
      try {
        await this.#snapshot(wal);
        this.#options.onCheckpoint?.("done");
      } catch (error) {
        this.#options.onCheckpoint?.("failed");
        if (wal.failure !== undefined) throw this.#fail(error);
        throw this.#failure ?? storageError("the snapshot could not be written", error);
      }
    });
  }

  /** Reads back and checks every file that recovery would read. Changes nothing. */
  verify(): Promise<VerifyReport> {
    return this.#oneAtATime(async () => {
      const { disk, directory } = this.#options;
      return verifyStore(disk, directory, this.#state, this.#limit());
    });
  }

  /**
   * Makes a directory that opens as a store with what was appended when the call took its turn. It takes
   * a new epoch when it is opened, as every copy does.
   *
   * @throws ReplicaError ERR_OPTION if the directory exists and is not empty
   */
  backup(path: string): Promise<void> {
    return this.#oneAtATime(async () => {
      try {
        await copyStore(this.#options.disk, this.#options.directory, path, this.#limit());
      } catch (error) {
        throw storageError("the backup could not be written", error);
      }
    });
  }

  /** Flushes, marks the log as closed in good order and lets go of the directory. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#cancelSync?.();
    this.#rejectWaiters(closedError());
    await this.#maintenance.catch(() => undefined);
    try {
      if (this.#failure !== undefined) await this.#wal?.abandon();
      else await this.#wal?.close();
    } catch (error) {
      await this.#wal?.abandon();
      throw this.#fail(error);
    } finally {
      await this.#release();
    }
  }

  async #snapshot(wal: Wal): Promise<void> {
    if (wal.records === this.#snapshotRecords) return;
    const { disk, directory, random } = this.#options;
    const { nodeId, clusterId } = this.#identity;
    const bytesBefore = wal.bytes;
    const cut = await wal.rotate(epochOf(this.#state.origin), random.hex64());
    await writeSnapshot({
      disk,
      directory,
      cut,
      state: this.#state,
      nodeId,
      clusterId,
      salt: random.hex64(),
      untilDurable: (lsn) => this.#untilDurable(wal, lsn),
      checkAbort: () => {
        if (this.#closing !== undefined) throw closedError();
      },
    });
    this.#snapshotRecords = cut.records;
    this.#checkpointAtBytes = bytesBefore + this.#checkpointBytes;
    try {
      await pruneStore(disk, directory);
    } catch (error) {
      this.#warn("old files could not be removed", error);
    }
  }

  /** Called once the log has grown by a good deal: whether it outgrew the live entries as well. */
  #checkpointIfGrown(wal: Wal): void {
    if (this.#checkpointing) return;
    const { table } = this.#state;
    const liveBytes = table.bytes + table.size * ENTRY_OVERHEAD_BYTES;
    const logBytes = wal.bytes - this.#checkpointAtBytes + this.#checkpointBytes;
    if (logBytes < liveBytes) return;
    this.#checkpointing = true;
    // Not awaited: appends go on. A failure is reported, and tried again when the log has grown again.
    void this.checkpoint()
      .catch((error: unknown) => {
        this.#checkpointAtBytes = wal.bytes + this.#checkpointBytes;
        if (this.#failure === undefined && this.#closing === undefined)
          this.#warn("an automatic snapshot failed", error);
      })
      .finally(() => {
        this.#checkpointing = false;
      });
  }

  async #rotate(wal: Wal): Promise<void> {
    try {
      await wal.rotate(epochOf(this.#state.origin), this.#options.random.hex64());
      this.#rotateAtBytes = this.#segmentBytes;
    } catch (error) {
      if (wal.failure !== undefined) throw error;
      // The segment may as well grow on.
      this.#rotateAtBytes = wal.segmentBytes + this.#segmentBytes;
      this.#warn("a new segment could not be begun", error);
    }
  }

  async #untilDurable(wal: Wal, lsn: Lsn): Promise<number> {
    if (this.#closing !== undefined) throw closedError();
    if (this.#failure !== undefined) throw this.#failure;
    if (wal.lsn < lsn) {
      await new Promise<void>((done, failed) => this.#waiters.push({ lsn, done, failed }));
    }
    const records = wal.records;
    await wal.sync();
    return records;
  }

  #syncLater(wal: Wal, intervalMs: number): void {
    this.#cancelSync ??= this.#options.timers.after(intervalMs, () => {
      this.#cancelSync = undefined;
      wal.sync().catch((error: unknown) => this.#fail(error));
    });
  }

  #oneAtATime<T>(task: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) return Promise.reject(closedError());
    const result = this.#maintenance.then(task);
    this.#maintenance = result.catch(() => undefined);
    return result;
  }

  #writable(): Wal {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closing !== undefined) throw closedError();
    if (this.#wal === undefined) throw new ReplicaError("ERR_READ_ONLY", "the store was opened read-only");
    return this.#wal;
  }

  /** Up to where the log is whole records, now. */
  #limit(): { number: number; bytes: number } | undefined {
    return this.#wal === undefined ? undefined : { number: this.#wal.segmentNumber, bytes: this.#wal.segmentBytes };
  }

  /** Stops for good. @returns what the caller throws */
  #fail(error: unknown): Error {
    if (error instanceof InvariantError) return error;
    if (this.#failure === undefined) {
      const failure = storageError("the log could not be written", error);
      this.#failure = failure;
      this.#cancelSync?.();
      this.#rejectWaiters(failure);
      this.#options.onFailure(failure);
    }
    return this.#failure;
  }

  #wakeWaiters(lsn: Lsn): void {
    if (this.#waiters.length === 0) return;
    for (const waiter of this.#waiters) if (waiter.lsn <= lsn) waiter.done();
    this.#waiters = this.#waiters.filter((waiter) => waiter.lsn > lsn);
  }

  #rejectWaiters(error: Error): void {
    for (const waiter of this.#waiters) waiter.failed(error);
    this.#waiters = [];
  }

  #warn(message: string, error: unknown): void {
    this.#options.onWarning?.(message, error);
  }
}

function closedError(): ReplicaError {
  return new ReplicaError("ERR_CLOSED", "the store is closed");
}
