/**
 * The public face: takes calls, checks what is given, and passes it on. What a reader sees is in
 * reader.ts, what a member does to the store in sync/replicator.ts, when it is durable in driver.ts,
 * and how a replica is opened in open-replica.ts.
 */
import { systemClock, systemTimers, type Timers, type WallClock } from "./clock.ts";
import type { CoreState } from "./core/core-state.ts";
import { Driver } from "./driver.ts";
import { isReplicaError, ReplicaError } from "./errors.ts";
import { Hooks, type PeerEvent } from "./hooks.ts";
import { type ByteRange, byteRange, KEY_RANGE_FIELDS, type KeyRange, narrowed } from "./key-ranges.ts";
import { isReserved, RECORD_BYTES_MAX } from "./limits.ts";
import { type BatchOperation, LocalWrites } from "./local-writes.ts";
import { type Member, Neighbours } from "./neighbours.ts";
import {
  type CheckedOptions,
  checkAcks,
  checkFlag,
  checkSignal,
  checkTimeout,
  consoleLogger,
  knownFields,
  type ReplicaOptions,
} from "./options.ts";
import { systemRandom } from "./random.ts";
import { type EntryInfo, isReadable, Reader, type ScanOptions } from "./reader.ts";
import { type PeerStatus, type Status, statusOf } from "./status.ts";
import type { VerifyReport } from "./storage/maintenance.ts";
import type { RecoveryReport } from "./storage/open.ts";
import type { Store } from "./storage/store.ts";
import type { Change, SessionEvent } from "./sync/committed.ts";
import { Replicator } from "./sync/replicator.ts";
import type { LocalWrite } from "./sync/state-writer.ts";
import { type Epoch, isNodeId, nodeIdOf, type Origin, type Seq } from "./types.ts";
import { Waits } from "./waits.ts";
import { type ChangeEvent, eventOf, type WatchEvent, Watchers } from "./watchers.ts";
import { parseToken, tokenOf, type WriteToken } from "./write-tokens.ts";

/** For whom a write waits. */
export interface WriteOptions {
  /** Resolve only when so many members hold the write durably, this one included. Default 1. */
  readonly acks?: number;
  /** Ends the wait for them: the call rejects with its reason, the write stays. */
  readonly signal?: AbortSignal;
}

export interface WaitOptions {
  /** Ends the wait: the call rejects with its reason. Default: waits for ever. */
  readonly signal?: AbortSignal;
}

export interface SettledOptions extends WaitOptions {
  /** nodeIds. Default: all other members, reachable or not. */
  readonly peers?: readonly string[];
}

export interface PutOptions extends WriteOptions {
  /** The entry disappears that much later, on every replica. Above 0, at most 2^45. Default: never. */
  readonly ttlMs?: number;
}

export interface WatchOptions extends KeyRange {
  /** Only this key. Not together with a range. */
  readonly key?: string;
  /** The range to watch; may also be given field by field. Default: everything. */
  readonly range?: KeyRange;
  /** Deliver the present entries first, then `ready`. Default false. */
  readonly initial?: boolean;
  /** Ends the watch: the iteration throws its reason. */
  readonly signal?: AbortSignal;
}

export interface CloseOptions {
  /** Reject with ERR_TIMEOUT when it takes longer, milliseconds. Default: wait for the disk, however long. */
  readonly timeoutMs?: number;
}

/** A replica that this one knows of, with how it is. */
export interface Peer extends PeerStatus {
  readonly nodeId: string;
}

/** What a replica is made of: found in a directory, or new. */
export interface Stored {
  readonly state: CoreState;
  readonly store?: Store;
  readonly recovery?: RecoveryReport;
  /** Resolves when the store has failed on its own account, between two writes. */
  readonly failed?: Promise<ReplicaError>;
}

const NO_OPTIONS: PutOptions = {};
const WRITE_FIELDS = ["acks", "signal"] as const;
/** What a delete costs in a record besides its key, at most. */
const DELETE_OVERHEAD_BYTES = 32;

/** A live replica. Made by `openReplica`. Reads are synchronous and from memory; writes resolve when durable. */
export class Replica {
  readonly #options: ReplicaOptions;
  readonly #checked: CheckedOptions;
  readonly #clock: WallClock;
  readonly #timers: Timers;
  readonly #state: CoreState;
  readonly #store: Store | undefined;
  readonly #recovery: RecoveryReport | undefined;
  readonly #replicator: Replicator;
  readonly #reader: Reader;
  readonly #writes: LocalWrites;
  readonly #driver: Driver;
  readonly #watchers: Watchers;
  readonly #hooks: Hooks;
  readonly #neighbours: Neighbours;
  readonly #waits = new Waits();
  #closing: Promise<void> | undefined;

  /** @internal Use `openReplica`. @throws ReplicaError ERR_LISTEN; nothing of the replica is left then */
  static async start(options: ReplicaOptions, checked: CheckedOptions, stored: Stored): Promise<Replica> {
    const replica = new Replica(options, checked, stored);
    if (options.readOnly === true) return replica;
    try {
      await replica.#neighbours.open();
    } catch (error) {
      replica.#driver.stop();
      await replica.#neighbours.close();
      await replica.#driver.idle();
      throw error;
    }
    return replica;
  }

  private constructor(options: ReplicaOptions, checked: CheckedOptions, stored: Stored) {
    const { state, store, recovery } = stored;
    const { clusterId, limits, maxDriftMs } = checked;
    const { clock = systemClock, timers = systemTimers, random = systemRandom, logger = consoleLogger } = options;
    this.#options = options;
    this.#checked = checked;
    this.#clock = clock;
    this.#timers = timers;
    this.#state = state;
    this.#store = store;
    this.#recovery = recovery;
    const isWatched = (): boolean => !this.#watchers.isEmpty || this.#hooks.has("change");
    this.#replicator = new Replicator({
      state,
      clusterId,
      incarnation: random.hex64(),
      limits: { ...limits, maxDriftMs },
      isReadable,
      isWatched,
      nextEpoch: (epoch) => epochAbove(epoch, random.hex64()),
    });
    const now = (): number => this.#replicator.now(clock.now());
    const assertOpen = (): void => this.#assertOpen();
    this.#reader = new Reader({ state, now, maxKeyBytes: limits.maxKeyBytes, assertOpen });
    this.#writes = new LocalWrites(limits, now);
    this.#hooks = new Hooks((name, error) => {
      logger.error(`a listener for "${name}" has thrown: ${String(error)}`);
    });
    this.#watchers = new Watchers({
      view: (range) => this.#reader.view(range),
      lsn: () => state.lsn,
      durable: (lsn) => this.#driver.durable(lsn, undefined),
      now,
      isLocal: (origin) => nodeIdOf(origin) === nodeIdOf(state.origin),
    });
    this.#driver = new Driver({
      replicator: this.#replicator,
      // What a reader does to its memory, such as letting entries expire, is none of the directory's business.
      log: options.readOnly === true ? undefined : store,
      clock,
      timers,
      publish: (changes) => this.#publish(changes),
      onEvent: (event) => this.#onSession(event),
      onFailure: (error) => this.#onFailure(error),
      isWatched,
      onStep: () => this.#waits.check(),
    });
    const { transport } = options;
    const shared = { state, replicator: this.#replicator, driver: this.#driver, hooks: this.#hooks };
    this.#neighbours = new Neighbours({ ...shared, clusterId, transport, clock, timers, random, logger });
    void stored.failed?.then((error) => this.#driver.fail(error));
    if (recovery !== undefined) this.#reportRecovery(recovery);
  }

  /** The replica's name. Stays readable after `close`. */
  get nodeId(): string {
    return nodeIdOf(this.#state.origin);
  }

  // ---- reading -------------------------------------------------------------------------------

  /** The value of a key, a fresh copy; `undefined` when absent. @throws ReplicaError ERR_KEY, ERR_CLOSED */
  get(key: string): unknown {
    this.#assertOpen();
    return this.#reader.get(key);
  }

  /** The values of the keys, in their order, `undefined` where absent. @throws as `get`, and ERR_OPTION */
  getMany(keys: readonly string[]): unknown[] {
    this.#assertOpen();
    if (!Array.isArray(keys)) throw new ReplicaError("ERR_OPTION", "getMany takes an array of keys");
    return (keys as readonly string[]).map((key) => this.#reader.get(key));
  }

  /** @throws as `get` */
  has(key: string): boolean {
    this.#assertOpen();
    return this.#reader.has(key);
  }

  /** The version of a key that is there, with its value; `undefined` when absent. @throws as `get` */
  entry(key: string): EntryInfo | undefined {
    this.#assertOpen();
    return this.#reader.entry(key);
  }

  /**
   * Keys with their values, in UTF-8 byte order, over the state as of the start of the iteration:
   * writes meanwhile do not disturb it. Lazy. @throws ReplicaError ERR_OPTION, ERR_CLOSED
   */
  entries(options: ScanOptions = {}): Iterable<[string, unknown]> {
    this.#assertOpen();
    return this.#reader.entries(options);
  }

  /** As `entries`, keys only. */
  keys(options: ScanOptions = {}): Iterable<string> {
    this.#assertOpen();
    return this.#reader.keys(options);
  }

  /** As `entries`, values only. */
  values(options: ScanOptions = {}): Iterable<unknown> {
    this.#assertOpen();
    return this.#reader.values(options);
  }

  // ---- writing -------------------------------------------------------------------------------

  /**
   * Sets a key. Resolves when the write is durable here; peers get it then. What is not awaited commits
   * in the order of the calls.
   *
   * @throws ReplicaError ERR_KEY, ERR_VALUE, ERR_LIMIT, ERR_OPTION, ERR_READ_ONLY, ERR_CLOSED: nothing was changed;
   *   ERR_STORAGE_FAILED, ERR_STORAGE_FULL: whether the write survives is open until the directory is opened again
   */
  put(key: string, value: unknown, options: PutOptions = NO_OPTIONS): Promise<WriteToken> {
    return this.#write(options, () => {
      if (options !== NO_OPTIONS) knownFields(options, ["ttlMs", ...WRITE_FIELDS], "put");
      return [this.#writes.put(key, value, options.ttlMs)];
    });
  }

  /** Removes a key. Of an absent key: no error, nothing is written. @throws as `put` */
  delete(key: string, options: WriteOptions = NO_OPTIONS): Promise<WriteToken> {
    return this.#write(options, () => {
      knownFields(options, WRITE_FIELDS, "delete");
      return this.#visibleOnly([this.#writes.delete(key)]);
    });
  }

  /**
   * Does all of it or nothing, here and on every replica. Of several operations on one key the last one
   * counts. @throws as `put`; one bad operation rejects all before anything is changed
   */
  batch(operations: readonly BatchOperation[], options: WriteOptions = NO_OPTIONS): Promise<WriteToken> {
    return this.#write(options, () => {
      knownFields(options, WRITE_FIELDS, "batch");
      return this.#visibleOnly(this.#writes.batch(operations));
    });
  }

  /**
   * Removes every key of a range (all keys by default), as one batch of up to 32 MiB, which is some
   * 500,000 short keys. @throws as `put`; ERR_LIMIT beyond that: clear it in parts
   */
  clear(range: KeyRange = {}): Promise<WriteToken> {
    return this.#write(NO_OPTIONS, () => {
      knownFields(range, KEY_RANGE_FIELDS, "clear");
      const writes: LocalWrite[] = [];
      let bytes = 0;
      for (const { key } of this.#reader.view(byteRange(range))) {
        bytes += key.length + DELETE_OVERHEAD_BYTES;
        if (bytes > RECORD_BYTES_MAX)
          throw new ReplicaError("ERR_LIMIT", "too many keys for one batch: clear in parts");
        writes.push({ key, value: null, expiresAt: 0 });
      }
      return writes;
    });
  }

  // ---- watching ------------------------------------------------------------------------------

  /**
   * The changes that are made after this call, as they become durable, in commit order; a batch comes as
   * consecutive events. A consumer that falls more than 16,384 changes or 64 MiB behind gets `lagged`.
   *
   * @throws ReplicaError ERR_OPTION, ERR_KEY, ERR_CLOSED at the call. The iteration ends when the replica
   *   closes, throws the reason of `signal` when that aborts, and ERR_STORAGE_FAILED or ERR_STORAGE_FULL when
   *   nothing becomes durable any more
   */
  watch(options: WatchOptions = {}): AsyncIterableIterator<WatchEvent> {
    this.#assertOpen();
    knownFields(options, ["key", "range", "initial", "signal", ...KEY_RANGE_FIELDS], "watch");
    const { initial = false, signal } = options;
    checkFlag("initial", initial);
    checkSignal(signal);
    const range = this.#watchedRange(options);
    return this.#watchers.watch(range, initial, signal);
  }

  /**
   * Calls back on every durable change that is made from now on, when a peer comes or goes, with the status
   * at these moments and when the log fails, and with warnings. An error thrown by the listener, or the
   * rejection of a promise that it returns, goes to the logger.
   *
   * @returns stops it
   * @throws ReplicaError ERR_OPTION, ERR_CLOSED
   */
  on(event: "change", listener: (change: ChangeEvent) => unknown): () => void;
  on(event: "peer", listener: (event: PeerEvent) => unknown): () => void;
  on(event: "status", listener: (status: Status) => unknown): () => void;
  on(event: "warning", listener: (message: string) => unknown): () => void;
  on(event: "change" | "peer" | "status" | "warning", listener: (argument: never) => unknown): () => void {
    this.#assertOpen();
    return this.#hooks.add(event, listener);
  }

  // ---- looking -------------------------------------------------------------------------------

  /** How the replica and its peers are. Costs what the number of peers costs. Plain data. @throws ReplicaError ERR_CLOSED */
  status(): Status {
    this.#assertOpen();
    return this.#status();
  }

  /** All replicas that have announced themselves, this one included, whether reachable or not. @throws as `status` */
  members(): Member[] {
    this.#assertOpen();
    return this.#neighbours.members();
  }

  /** The other members, and whoever is connected, as in `status().peers`. @throws as `status` */
  peers(): Peer[] {
    return Object.entries(this.status().peers).map(([nodeId, peer]) => ({ nodeId, ...peer }));
  }

  // ---- waiting for others ---------------------------------------------------------------------

  /**
   * Resolves when this replica durably holds the write that `token` names, and all earlier ones of its
   * replica: read your writes, across replicas. @throws ReplicaError ERR_OPTION, ERR_CLOSED; the reason of `signal`
   */
  async reached(token: WriteToken, options: WaitOptions = {}): Promise<void> {
    this.#assertOpen();
    knownFields(options, ["signal"], "reached");
    checkSignal(options.signal);
    const { origin, seq } = parseToken(token);
    await this.#waits.until(() => this.#replicator.durable.coverage.covers(origin, seq), options.signal);
  }

  /**
   * Resolves when the peers durably hold all that this replica had when it was called.
   * @throws as `reached`, and what `put` throws when it cannot become durable here
   */
  async settled(options: SettledOptions = {}): Promise<void> {
    this.#assertOpen();
    knownFields(options, ["peers", "signal"], "settled");
    checkSignal(options.signal);
    const others = this.members().filter(({ nodeId }) => nodeId !== this.nodeId);
    const { peers = others.map(({ nodeId }) => nodeId), signal } = options;
    if (!Array.isArray(peers) || !peers.every(isNodeId)) {
      throw new ReplicaError("ERR_OPTION", "peers takes an array of nodeIds");
    }
    const all = this.#state.covered.clone();
    const durable = this.#driver.durable(this.#state.lsn, undefined);
    const isSettled = (): boolean => peers.every((peer) => this.#replicator.ackedBy(peer).dominates(all));
    await Promise.all([durable, this.#waits.until(isSettled, signal)]);
  }

  // ---- durability by hand --------------------------------------------------------------------

  /** Resolves when everything written so far is on the disk, in every mode. @throws as `put` */
  async flush(): Promise<void> {
    this.#assertWritable();
    await this.#driver.durable(this.#state.lsn, undefined);
    await this.#store?.flush();
  }

  /** Writes a snapshot and drops the log that it makes superfluous. If it rejects, nothing is lost and writes go on. */
  async checkpoint(): Promise<void> {
    this.#assertWritable();
    await this.#store?.checkpoint();
  }

  /** Reads and checks everything on the disk. Changes nothing. */
  async verify(): Promise<VerifyReport> {
    this.#assertOpen();
    if (this.#store === undefined) return { ok: true, problems: [], entries: this.#state.table.live, bytes: 0 };
    await this.#driver.durable(this.#state.lsn, undefined);
    return await this.#store.verify();
  }

  /** Makes a directory that `openReplica` opens, with everything written so far. @throws ReplicaError ERR_OPTION */
  async backup(path: string): Promise<void> {
    this.#assertOpen();
    if (typeof path !== "string" || path === "") throw new ReplicaError("ERR_OPTION", "backup takes a path");
    if (this.#store === undefined) throw new ReplicaError("ERR_OPTION", "a replica without a directory has no backup");
    await this.#driver.durable(this.#state.lsn, undefined);
    await this.#store.backup(path);
  }

  /**
   * Takes leave of the peers, makes everything durable and lets go of the directory. Idempotent. From
   * now on every call rejects or throws ERR_CLOSED.
   *
   * @throws ReplicaError ERR_STORAGE_FAILED; ERR_TIMEOUT at the deadline: peers, timers and the transport are let
   *   go of then, the directory is as soon as the disk has answered
   */
  close(options: CloseOptions = {}): Promise<void> {
    try {
      knownFields(options, ["timeoutMs"], "close");
      checkTimeout(options.timeoutMs);
    } catch (error) {
      return rejection(error);
    }
    this.#closing ??= this.#close();
    return options.timeoutMs === undefined ? this.#closing : this.#closedWithin(this.#closing, options.timeoutMs);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // ---- inside --------------------------------------------------------------------------------

  /** Writes what `prepare` returns; resolves when that, and all before it, is durable. Never throws. */
  #write(options: WriteOptions, prepare: () => readonly LocalWrite[]): Promise<WriteToken> {
    try {
      this.#assertWritable();
      const writes = prepare();
      checkAcks(options.acks);
      checkSignal(options.signal);
      options.signal?.throwIfAborted();
      // Again: getters of a value may do anything.
      this.#assertWritable();
      if (writes.length > 0) {
        const now = this.#clock.now();
        const refused = this.#replicator.writeRefusal(writes, now);
        if (refused !== undefined) throw this.#writes.refusal(refused);
        this.#replicator.write(writes, now);
        this.#driver.wake();
      }
      const { origin, lsn, nextSeq } = this.#state;
      const durable = this.#driver.durable(lsn, tokenOf(origin, nextSeq - 1));
      const { acks = 1, signal } = options;
      return acks > 1 && writes.length > 0 ? this.#held(durable, origin, nextSeq - 1, acks, signal) : durable;
    } catch (error) {
      return rejection(error);
    }
  }

  async #held(
    durable: Promise<WriteToken>,
    origin: Origin,
    seq: Seq,
    acks: number,
    signal: AbortSignal | undefined,
  ): Promise<WriteToken> {
    await Promise.all([durable, this.#waits.until(() => this.#replicator.holders(origin, seq) >= acks, signal)]);
    return durable;
  }

  /** Leaves out deletes of what is not there. */
  #visibleOnly(writes: readonly LocalWrite[]): readonly LocalWrite[] {
    return writes.filter(({ key, value }) => value !== null || this.#reader.isVisible(key));
  }

  #watchedRange({ key, range = {}, initial: _initial, signal: _signal, ...fields }: WatchOptions): ByteRange {
    knownFields(range, KEY_RANGE_FIELDS, "a range");
    const asked = narrowed(byteRange(fields), byteRange(range));
    if (key === undefined) return asked;
    if (Object.keys(fields).length + Object.keys(range).length > 0) {
      throw new ReplicaError("ERR_OPTION", "watch takes a key or a range, not both");
    }
    return this.#writes.rangeOf(key);
  }

  #publish(changes: readonly Change[]): void {
    this.#watchers.publish(changes);
    if (this.#hooks.has("change")) {
      for (const change of changes) {
        const event = eventOf(change);
        if (event !== undefined) this.#hooks.emit("change", event);
      }
    }
    if (changes.some(({ entry }) => isReserved(entry.key))) this.#neighbours.retarget();
  }

  #onSession(event: SessionEvent): void {
    this.#neighbours.onSession(event);
    this.#emitStatus();
  }

  #onFailure(error: ReplicaError): void {
    this.#neighbours.warn(`the log has failed, only reads go on: ${error.message}`);
    this.#watchers.close(error);
    this.#waits.close(error);
    // The same promise is awaited by close(), which reports it.
    this.#neighbours.close().catch(() => undefined);
    this.#emitStatus();
  }

  #emitStatus(): void {
    if (this.#hooks.has("status")) this.#hooks.emit("status", this.#status());
  }

  #status(): Status {
    return statusOf({
      state: this.#state,
      replicator: this.#replicator,
      driver: this.#driver,
      clusterId: this.#checked.clusterId,
      durability: this.#store === undefined ? undefined : this.#checked.durability,
      recovery: this.#recovery,
      members: this.#neighbours.members(),
      problems: this.#neighbours.problems(),
      now: this.#clock.now(),
    });
  }

  #reportRecovery({ truncatedBytes, corrupt, setAside, why }: RecoveryReport): void {
    const { logger = consoleLogger } = this.#options;
    if (truncatedBytes > 0) logger.info(`${truncatedBytes} bytes of an unfinished write were cut off the log`);
    if (corrupt) this.#neighbours.warn(`the directory was damaged; set aside: ${setAside.join(", ") || "nothing"}`);
    if (why === "copied") this.#neighbours.warn("the directory is a copy: this replica goes on under a new epoch");
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw closedError();
  }

  #assertWritable(): void {
    this.#assertOpen();
    if (this.#options.readOnly === true) {
      throw new ReplicaError("ERR_READ_ONLY", "the replica was opened with readOnly: open it without to write");
    }
    if (this.#driver.failure !== undefined) throw this.#driver.failure;
  }

  async #close(): Promise<void> {
    try {
      // Whatever was written before this call is still to become durable, and to reach the peers that keep up.
      await this.#driver.durable(this.#state.lsn, undefined).catch((error: unknown) => {
        if (!isReplicaError(error)) throw error;
      });
      await this.#leave();
    } finally {
      await this.#driver.idle();
      await this.#store?.close();
    }
  }

  /** Lets go of everything but the directory. Idempotent. */
  async #leave(): Promise<void> {
    this.#driver.stop();
    this.#watchers.close();
    this.#waits.close(closedError());
    const closed = this.#neighbours.close();
    this.#hooks.clear();
    await closed;
  }

  #closedWithin(closing: Promise<void>, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.#timers.after(timeoutMs, () => {
        reject(new ReplicaError("ERR_TIMEOUT", `not closed within ${timeoutMs} ms: the disk has not answered yet`));
        this.#leave().catch(() => undefined);
      });
      closing.then(resolve, reject).finally(cancel);
    });
  }
}

function closedError(): ReplicaError {
  return new ReplicaError("ERR_CLOSED", "the replica is closed: open it again");
}

/** Handed on as it is, for a getter of a value may throw anything. */
async function rejection(error: unknown): Promise<never> {
  throw error;
}

/** An epoch that sorts above another one, as far above as `random` says. */
function epochAbove(epoch: Epoch, random: string): Epoch {
  const low = BigInt(`0x${epoch}`);
  const room = 2n ** 64n - 1n - low;
  const next = room === 0n ? BigInt(`0x${random}`) : low + 1n + (BigInt(`0x${random}`) % room);
  return next.toString(16).padStart(16, "0") as Epoch;
}
