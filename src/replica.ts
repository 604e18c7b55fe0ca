/**
 * The public face: opens everything, takes calls, checks what is given and turns it into bytes.
 * What a member does to the store is in sync/replicator.ts; when it is durable, in driver.ts.
 */
import { systemClock, systemTimers, type WallClock } from "./clock.ts";
import { isUtf8 } from "./codec/bytes.ts";
import { checkKey, decodeKey, encodeKey } from "./codec/keys.ts";
import { decodeMember, encodeMember, MEMBER_RANGE, memberKey } from "./codec/members.ts";
import { decodeValue, encodeValue, isValue } from "./codec/values.ts";
import { Connections } from "./connections.ts";
import type { RefusalReason } from "./core/admission.ts";
import { CoreState } from "./core/core-state.ts";
import { NO_SLOT } from "./core/table.ts";
import { Driver } from "./driver.ts";
import { isReplicaError, ReplicaError } from "./errors.ts";
import { Hooks, type PeerEvent } from "./hooks.ts";
import { byteRange, KEY_RANGE_FIELDS, tableRange, type ByteRange, type KeyRange } from "./key-ranges.ts";
import { BATCH_BYTES_MAX, isReserved } from "./limits.ts";
import {
  checkOptions,
  expiryOf,
  knownFields,
  type CheckedOptions,
  type Limits,
  type Logger,
  type ReplicaOptions,
} from "./options.ts";
import { systemRandom } from "./random.ts";
import { statusOf, type Status } from "./status.ts";
import type { VerifyReport } from "./storage/maintenance.ts";
import { nodeDisk } from "./storage/node-disk.ts";
import type { RecoveryReport } from "./storage/open.ts";
import { openStore, type Store } from "./storage/store.ts";
import type { Change, SessionEvent } from "./sync/committed.ts";
import { Replicator } from "./sync/replicator.ts";
import type { LocalWrite } from "./sync/state-writer.ts";
import { epochOf, makeOrigin, nodeIdOf, type Entry, type Epoch, type NodeId } from "./types.ts";
import { VERSION } from "./version.ts";
import { eventOf, versionOf, Watchers, type ChangeEvent, type Version, type WatchEvent } from "./watchers.ts";

/** Names a write: opaque, may travel to another process. */
export type WriteToken = string;

export interface PutOptions {
  /** The entry disappears that much later, on every replica. Above 0, at most 2^45. Default: never. */
  readonly ttlMs?: number;
}

export type BatchOperation =
  | { readonly type: "put"; readonly key: string; readonly value: unknown; readonly ttlMs?: number }
  | { readonly type: "del"; readonly key: string };

/** What to iterate over. Keys are ordered by their UTF-8 bytes. */
export interface ScanOptions extends KeyRange {
  /** From the last key to the first. Default false. */
  readonly reverse?: boolean;
  /** At most so many. Default: all. */
  readonly limit?: number;
}

export interface WatchOptions extends KeyRange {
  /** Only this key. */
  readonly key?: string;
  /** Deliver the present entries first, then `ready`. Default false. */
  readonly initial?: boolean;
  /** Ends the watch: the iteration throws its reason. */
  readonly signal?: AbortSignal;
}

/** A version of a key. */
export interface EntryInfo<V = unknown> {
  readonly key: string;
  readonly value: V;
  readonly version: Version;
  readonly stamp: number;
  /** Who wrote it. */
  readonly nodeId: string;
  /** Milliseconds since 1970. Absent: never. */
  readonly expiresAt?: number;
}

/** A replica that takes part in the cluster, as it has announced itself. */
export interface Member {
  readonly nodeId: string;
  readonly addresses: readonly string[];
  readonly epoch: string;
  /** Of this library. */
  readonly version: string;
}

/**
 * Opens a replica: recovers its directory, starts to listen, and connects to whom it can reach. Does
 * not wait for any peer.
 *
 * @throws ReplicaError ERR_OPTION, ERR_LOCKED, ERR_FOREIGN_DIRECTORY, ERR_FORMAT_VERSION, ERR_CORRUPT,
 *   ERR_STORAGE_FAILED, ERR_STORAGE_FULL, ERR_LISTEN; nothing is left open then
 */
export async function openReplica(options: ReplicaOptions = {}): Promise<Replica> {
  const checked = checkOptions(options);
  const { directory, random = systemRandom } = options;
  if (directory === undefined) {
    const nodeId = checked.nodeId ?? (`node-${random.hex64()}` as NodeId);
    const state = new CoreState(makeOrigin(nodeId, random.hex64() as Epoch));
    return await Replica.start(options, checked, { state });
  }
  // The store may fail before the replica that is to hear of it exists.
  const failure: { error?: ReplicaError; tell?: (error: ReplicaError) => void } = {};
  const { store, state, recovery } = await openStore({
    disk: options.disk ?? nodeDisk,
    directory,
    ...(checked.nodeId === undefined ? {} : { nodeId: checked.nodeId }),
    clusterId: checked.clusterId,
    durability: checked.durability,
    strict: options.strict ?? false,
    readOnly: options.readOnly ?? false,
    timers: options.timers ?? systemTimers,
    random,
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    onFailure: (error) => {
      failure.error = error;
      failure.tell?.(error);
    },
    onWarning: (message, error) => {
      (options.logger ?? consoleLogger).warn(`${message}: ${String(error)}`);
    },
  });
  try {
    const replica = await Replica.start(options, checked, { state, store, recovery });
    return replica;
  } catch (error) {
    await store.close();
    throw error;
  }
}

interface Stored {
  readonly state: CoreState;
  readonly store?: Store;
  readonly recovery?: RecoveryReport;
}

/** A live replica. Made by `openReplica`. Reads are synchronous and from memory; writes resolve when durable. */
export class Replica {
  readonly #options: ReplicaOptions;
  readonly #clusterId: string;
  readonly #limits: Required<Limits>;
  readonly #checked: CheckedOptions;
  readonly #clock: WallClock;
  readonly #logger: Logger;
  readonly #state: CoreState;
  readonly #store: Store | undefined;
  readonly #recovery: RecoveryReport | undefined;
  readonly #replicator: Replicator;
  readonly #driver: Driver;
  readonly #watchers: Watchers;
  readonly #hooks = new Hooks();
  #connections: Connections | undefined;
  #addresses: readonly string[] = [];
  #clockRejected = 0;
  #warnings: string[] = [];
  #closing: Promise<void> | undefined;

  /** @internal Use `openReplica`. */
  static async start(options: ReplicaOptions, checked: CheckedOptions, stored: Stored): Promise<Replica> {
    const replica = new Replica(options, checked, stored);
    try {
      await replica.#listen();
    } catch (error) {
      replica.#driver.stop();
      throw error;
    }
    return replica;
  }

  private constructor(options: ReplicaOptions, checked: CheckedOptions, { state, store, recovery }: Stored) {
    const random = options.random ?? systemRandom;
    this.#options = options;
    this.#checked = checked;
    this.#clusterId = checked.clusterId;
    this.#limits = checked.limits;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? consoleLogger;
    this.#state = state;
    this.#store = store;
    this.#recovery = recovery;
    this.#replicator = new Replicator({
      state,
      clusterId: checked.clusterId,
      incarnation: random.hex64(),
      unclean: recovery?.created === false,
      limits: { ...checked.limits, maxDriftMs: checked.maxDriftMs },
      isReadable,
      nextEpoch: (epoch) => epochAbove(epoch, random.hex64()),
    });
    this.#watchers = new Watchers({
      entries: (range) => this.#visible(range, false),
      lsn: () => state.lsn,
      durable: (lsn) => this.#driver.durable(lsn),
      isLocal: (origin) => nodeIdOf(origin) === nodeIdOf(state.origin),
    });
    this.#driver = new Driver({
      replicator: this.#replicator,
      log: store,
      clock: this.#clock,
      timers: options.timers ?? systemTimers,
      publish: (changes) => {
        this.#publish(changes);
      },
      onEvent: (event) => {
        this.#onSession(event);
      },
      onFailure: (error) => {
        this.#warn(`the log has failed, only reads go on: ${error.message}`);
        void this.#connections?.close();
      },
    });
    if (recovery !== undefined) this.#reportRecovery(recovery);
  }

  /** The replica's name. */
  get nodeId(): string {
    return nodeIdOf(this.#state.origin);
  }

  // ---- reading -------------------------------------------------------------------------------

  /** The value of a key, a fresh copy; `undefined` when absent. @throws ReplicaError ERR_KEY, ERR_CLOSED */
  get(key: string): unknown {
    const slot = this.#find(key);
    if (slot === NO_SLOT) return undefined;
    const value = this.#state.table.valueAt(slot);
    return value === null ? undefined : decodeValue(value);
  }

  /** The values of the keys, in their order, `undefined` where absent. @throws as `get` */
  getMany(keys: readonly string[]): unknown[] {
    return keys.map((key) => this.get(key));
  }

  /** @throws as `get` */
  has(key: string): boolean {
    return this.#find(key) !== NO_SLOT;
  }

  /** The version of a key that is there, with its value; `undefined` when absent. @throws as `get` */
  entry(key: string): EntryInfo | undefined {
    const slot = this.#find(key);
    if (slot === NO_SLOT) return undefined;
    const entry = this.#state.table.entryAt(slot);
    return {
      key,
      value: entry.value === null ? undefined : decodeValue(entry.value),
      version: versionOf(entry),
      stamp: entry.stamp,
      nodeId: nodeIdOf(entry.origin),
      ...(entry.expiresAt > 0 ? { expiresAt: entry.expiresAt } : {}),
    };
  }

  /**
   * Keys with their values, in UTF-8 byte order, over the state as of the start of the iteration:
   * writes meanwhile do not disturb it. Lazy. @throws ReplicaError ERR_OPTION, ERR_CLOSED
   */
  entries(options: ScanOptions = {}): Iterable<[string, unknown]> {
    return this.#scan(options, ({ key, value }) => [decodeKey(key), value === null ? undefined : decodeValue(value)]);
  }

  /** As `entries`, keys only. */
  keys(options: ScanOptions = {}): Iterable<string> {
    return this.#scan(options, ({ key }) => decodeKey(key));
  }

  /** As `entries`, values only. */
  values(options: ScanOptions = {}): Iterable<unknown> {
    return this.#scan(options, ({ value }) => (value === null ? undefined : decodeValue(value)));
  }

  // ---- writing -------------------------------------------------------------------------------

  /**
   * Sets a key. Resolves when the write is durable here; peers get it then. What is not awaited commits
   * in the order of the calls.
   *
   * @throws ReplicaError ERR_KEY, ERR_VALUE, ERR_LIMIT, ERR_OPTION, ERR_READ_ONLY, ERR_CLOSED: nothing was changed;
   *   ERR_STORAGE_FAILED, ERR_STORAGE_FULL: whether the write survives is open until the directory is opened again
   */
  async put(key: string, value: unknown, options: PutOptions = {}): Promise<WriteToken> {
    this.#assertWritable();
    knownFields(options, ["ttlMs"], "put");
    return await this.#write([this.#putOf(key, value, options.ttlMs)]);
  }

  /** Removes a key. Of an absent key: no error, nothing is written. @throws as `put` */
  async delete(key: string): Promise<WriteToken> {
    this.#assertWritable();
    checkKey(key, this.#limits.maxKeyBytes);
    return await this.#write([{ key: encodeKey(key), value: null, expiresAt: 0 }]);
  }

  /**
   * Does all of it or nothing, here and on every replica. Of several operations on one key the last one
   * counts. @throws as `put`; one bad operation rejects all before anything is changed
   */
  async batch(operations: readonly BatchOperation[], options: Record<string, never> = {}): Promise<WriteToken> {
    this.#assertWritable();
    knownFields(options, [], "batch");
    if (!Array.isArray(operations)) throw new ReplicaError("ERR_OPTION", "batch takes an array of operations");
    if (operations.length > this.#limits.maxBatch) {
      const message = `a batch of ${operations.length} operations, at most ${this.#limits.maxBatch}: write it in parts`;
      throw new ReplicaError("ERR_LIMIT", message);
    }
    const writes = new Map<string, LocalWrite>();
    for (const operation of operations as readonly BatchOperation[]) {
      const write = this.#writeOf(operation);
      writes.set(operation.key, write);
    }
    return await this.#write([...writes.values()]);
  }

  /** Removes every key of a range (all keys by default), as one batch of any size. @throws as `put` */
  async clear(range: KeyRange = {}): Promise<WriteToken> {
    this.#assertWritable();
    knownFields(range, KEY_RANGE_FIELDS, "clear");
    const writes: LocalWrite[] = [];
    for (const { key } of iterable(this.#visible(byteRange(range), false)))
      writes.push({ key, value: null, expiresAt: 0 });
    return await this.#write(writes);
  }

  // ---- watching ------------------------------------------------------------------------------

  /**
   * Changes as they become durable, from this call on, in commit order; a batch comes as consecutive
   * events. A consumer that falls more than 16,384 changes behind gets `lagged`.
   *
   * @throws ReplicaError ERR_OPTION, ERR_KEY, ERR_CLOSED at the call; the iteration ends when the replica closes
   */
  watch(options: WatchOptions = {}): AsyncIterableIterator<WatchEvent> {
    this.#assertOpen();
    knownFields(options, ["key", "initial", "signal", ...KEY_RANGE_FIELDS], "watch");
    const { key, initial = false, signal, ...range } = options;
    if (key !== undefined) checkKey(key, this.#limits.maxKeyBytes);
    const watched = key === undefined ? range : { gte: key, lte: key };
    this.#replicator.keepPrevious = true;
    return this.#watchers.watch(byteRange(watched), initial, signal);
  }

  /**
   * Calls back on every durable change, when a peer comes or goes, when the health changes, and with
   * warnings. An error thrown by the listener goes to the logger.
   *
   * @returns stops it
   */
  on(event: "change", listener: (change: ChangeEvent) => void): () => void;
  on(event: "peer", listener: (event: PeerEvent) => void): () => void;
  on(event: "status", listener: (status: Status) => void): () => void;
  on(event: "warning", listener: (message: string) => void): () => void;
  on(event: "change" | "peer" | "status" | "warning", listener: (argument: never) => void): () => void {
    this.#assertOpen();
    if (event === "change") this.#replicator.keepPrevious = true;
    return this.#hooks.add(event, listener, (error) => {
      this.#logger.error(`a listener for "${event}" has thrown: ${String(error)}`);
    });
  }

  // ---- looking -------------------------------------------------------------------------------

  /** How the replica and its peers are. Cheap, plain data. */
  status(): Status {
    return statusOf({
      state: this.#state,
      replicator: this.#replicator,
      driver: this.#driver,
      clusterId: this.#clusterId,
      durability: this.#store === undefined ? undefined : this.#checked.durability,
      recovered: this.#recovery?.created === false ? recoveredOf(this.#recovery) : undefined,
      members: this.members().map(({ nodeId }) => nodeId),
      warnings: this.#warnings,
      clockRejected: this.#clockRejected,
      now: this.#clock.now(),
    });
  }

  /** All replicas that have announced themselves, this one included, whether reachable or not. */
  members(): Member[] {
    const members: Member[] = [];
    for (const { key, value } of iterable(this.#state.table.range(MEMBER_RANGE))) {
      const record = value === null ? undefined : decodeMember(key, value);
      if (record !== undefined) members.push(record);
    }
    return members;
  }

  // ---- durability by hand --------------------------------------------------------------------

  /** Resolves when everything written so far is on the disk, in every mode. @throws as `put` */
  async flush(): Promise<void> {
    this.#assertOpen();
    await this.#driver.durable(this.#state.lsn);
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
    await this.#driver.durable(this.#state.lsn);
    return await this.#store.verify();
  }

  /** Makes a directory that `openReplica` opens, with everything written so far. @throws ReplicaError ERR_OPTION */
  async backup(path: string): Promise<void> {
    this.#assertOpen();
    if (this.#store === undefined) throw new ReplicaError("ERR_OPTION", "a replica without a directory has no backup");
    await this.#driver.durable(this.#state.lsn);
    await this.#store.backup(path);
  }

  /**
   * Takes leave of the peers, makes everything durable and lets go of the directory. Idempotent. From
   * now on every call rejects or throws ERR_CLOSED. @throws ReplicaError ERR_STORAGE_FAILED
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // ---- inside --------------------------------------------------------------------------------

  async #listen(): Promise<void> {
    const { transport } = this.#options;
    if (this.#options.readOnly === true) return;
    if (transport === undefined) return this.#announce();
    const connections = new Connections({
      transport,
      timers: this.#options.timers ?? systemTimers,
      random: this.#options.random ?? systemRandom,
      nodeId: nodeIdOf(this.#state.origin),
      clusterId: this.#clusterId,
      onChannel: (channel, dialed) => this.#driver.attach(channel, dialed),
      onFailed: (address, error) => {
        this.#logger.debug(`cannot reach ${address}: ${String(error)}`);
      },
    });
    this.#addresses = await connections.open();
    this.#connections = connections;
    this.#announce();
    this.#retarget();
  }

  #announce(): void {
    const { origin } = this.#state;
    const record = { addresses: this.#addresses, epoch: epochOf(origin), version: VERSION };
    const write = { key: memberKey(nodeIdOf(origin)), value: encodeMember(record) };
    this.#replicator.announce(this.#addresses, write, this.#clock.now());
    this.#driver.wake();
  }

  /** Tells the dialer who there is. */
  #retarget(): void {
    const others = this.members().filter(({ nodeId }) => nodeId !== this.nodeId);
    this.#connections?.setTargets(others);
  }

  #putOf(key: string, value: unknown, ttlMs: unknown): LocalWrite {
    checkKey(key, this.#limits.maxKeyBytes);
    const expiresAt = ttlMs === undefined ? 0 : expiryOf(ttlMs, this.#now());
    return { key: encodeKey(key), value: encodeValue(value), expiresAt };
  }

  #writeOf(operation: BatchOperation): LocalWrite {
    if (typeof operation === "object" && operation !== null) {
      if (operation.type === "put") {
        knownFields(operation, ["type", "key", "value", "ttlMs"], "a put of a batch");
        return this.#putOf(operation.key, operation.value, operation.ttlMs);
      }
      if (operation.type === "del") {
        knownFields(operation, ["type", "key"], "a del of a batch");
        checkKey(operation.key, this.#limits.maxKeyBytes);
        return { key: encodeKey(operation.key), value: null, expiresAt: 0 };
      }
    }
    throw new ReplicaError("ERR_OPTION", 'an operation of a batch has the type "put" or "del"');
  }

  /** Writes what changes something; resolves when that, and all before it, is durable. */
  async #write(writes: readonly LocalWrite[]): Promise<WriteToken> {
    const effective = writes.filter(({ key, value }) => value !== null || this.#visibleSlot(key) !== NO_SLOT);
    if (effective.length > 0) {
      const now = this.#clock.now();
      const refused = this.#replicator.writeRefusal(effective, now) ?? tooLarge(effective);
      if (refused !== undefined) throw this.#refusalError(refused);
      this.#replicator.write(effective, now);
      this.#driver.wake();
    }
    const token = `${(this.#state.nextSeq - 1).toString(36)}.${this.#state.origin}`;
    await this.#driver.durable(this.#state.lsn);
    return token;
  }

  #refusalError(reason: RefusalReason): ReplicaError {
    const { maxValueBytes, maxKeys, maxBytes } = this.#limits;
    if (reason === "value-too-long") {
      return new ReplicaError(
        "ERR_LIMIT",
        `an encoded value has more than ${maxValueBytes} bytes, or a batch more than ${BATCH_BYTES_MAX}`,
      );
    }
    return new ReplicaError(
      "ERR_LIMIT",
      `the store is full (${reason}): it takes ${maxKeys} keys and ${maxBytes} bytes`,
    );
  }

  #find(key: string): number {
    this.#assertOpen();
    checkKey(key, this.#limits.maxKeyBytes);
    return this.#visibleSlot(encodeKey(key));
  }

  /** Where a key is that a reader sees: it has a value, and its time is not over. */
  #visibleSlot(key: Uint8Array): number {
    const { table } = this.#state;
    const slot = table.find(key);
    if (slot === NO_SLOT || table.isTombstone(slot)) return NO_SLOT;
    const expiresAt = table.expiresAt(slot);
    return expiresAt > 0 && expiresAt <= this.#now() ? NO_SLOT : slot;
  }

  #now(): number {
    return this.#replicator.now(this.#clock.now());
  }

  /** A stable view as of this call, which a generator would only take at its first step. */
  #visible(range: ByteRange, reverse: boolean): Iterator<Entry> {
    return unexpired(this.#state.table.range(tableRange(range, reverse)), this.#now());
  }

  #scan<T>(options: ScanOptions, of: (entry: Entry) => T): Iterable<T> {
    this.#assertOpen();
    knownFields(options, ["reverse", "limit", ...KEY_RANGE_FIELDS], "a scan");
    const { reverse = false, limit = Number.POSITIVE_INFINITY, ...keys } = options;
    if (typeof limit !== "number" || !(limit >= 0))
      throw new ReplicaError("ERR_OPTION", "limit takes a number from 0 on");
    const range = byteRange(keys);
    const visible = (): Iterator<Entry> => this.#visible(range, reverse);
    return {
      *[Symbol.iterator]() {
        let count = 0;
        if (limit < 1) return;
        for (const entry of iterable(visible())) {
          yield of(entry);
          count += 1;
          if (count >= limit) return;
        }
      },
    };
  }

  #publish(changes: readonly Change[]): void {
    this.#watchers.publish(changes);
    if (this.#hooks.has("change")) {
      for (const change of changes) {
        const event = eventOf(change);
        if (event !== undefined) this.#hooks.emit("change", event);
      }
    }
    if (changes.some(({ entry }) => isReserved(entry.key))) this.#retarget();
  }

  #onSession(event: SessionEvent): void {
    if (event.type === "rotated") {
      this.#warn(event.detail);
      this.#announce();
      return;
    }
    if (event.type === "end") {
      this.#connections?.ended(event.session, event.nodeId, event.code);
      this.#reportEnd(event);
    }
    if (event.type === "up") this.#connections?.connected(event.session, event.nodeId);
    if (event.nodeId !== undefined)
      this.#hooks.emit("peer", { nodeId: event.nodeId, type: event.type === "end" ? "down" : event.type });
    if (this.#hooks.has("status")) this.#hooks.emit("status", this.status());
  }

  #reportEnd({ code, detail, nodeId }: Extract<SessionEvent, { type: "end" }>): void {
    const who = nodeId === undefined ? "a connection" : `the connection to "${nodeId}"`;
    const message = `${who} has ended (${code}): ${detail}`;
    if (["lost", "closing", "duplicate", "self"].includes(code)) this.#logger.debug(message);
    else this.#logger.warn(message);
    if (!["lost", "closing", "duplicate", "self"].includes(code)) this.#hooks.emit("warning", message);
  }

  #reportRecovery(recovery: RecoveryReport): void {
    if (recovery.truncatedBytes > 0) {
      this.#logger.info(`${recovery.truncatedBytes} bytes of an unfinished write were cut off the log`);
    }
    if (recovery.corrupt)
      this.#warn(`the directory was damaged; set aside: ${recovery.setAside.join(", ") || "nothing"}`);
    if (recovery.why === "copied") this.#warn("the directory is a copy: this replica goes on under a new epoch");
  }

  #warn(message: string): void {
    this.#logger.warn(message);
    this.#hooks.emit("warning", message);
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new ReplicaError("ERR_CLOSED", "the replica is closed");
  }

  #assertWritable(): void {
    this.#assertOpen();
    if (this.#options.readOnly === true)
      throw new ReplicaError("ERR_READ_ONLY", "the replica was opened to be read only");
    if (this.#driver.failure !== undefined) throw this.#driver.failure;
  }

  async #close(): Promise<void> {
    // Whatever was written before this call is still to become durable, and to reach the peers that keep up.
    await this.#driver.durable(this.#state.lsn).catch((error: unknown) => {
      if (!isReplicaError(error)) throw error;
    });
    this.#driver.stop();
    await this.#connections?.close();
    this.#watchers.close();
    this.#hooks.clear();
    await this.#driver.idle();
    await this.#store?.close();
  }
}

function* unexpired(entries: Iterable<Entry>, now: number): Generator<Entry, undefined> {
  for (const entry of entries) if (entry.expiresAt === 0 || entry.expiresAt > now) yield entry;
}

function recoveredOf({
  truncatedBytes,
  corrupt,
  entries,
}: RecoveryReport): NonNullable<Status["durability"]["recovered"]> {
  return { truncatedBytes, corrupt, entries };
}

function tooLarge(writes: readonly LocalWrite[]): RefusalReason | undefined {
  let bytes = 0;
  for (const { key, value } of writes) bytes += value === null ? 0 : key.length + value.length;
  return bytes > BATCH_BYTES_MAX ? "value-too-long" : undefined;
}

/** Whether we can show an entry of a peer to a reader. */
function isReadable({ key, value }: Entry): boolean {
  if (value !== null && !isValue(value)) return false;
  return isReserved(key) || isUtf8(key, 0, key.length);
}

/** An epoch that sorts above another one, as far above as `random` says. */
function epochAbove(epoch: Epoch, random: string): Epoch {
  const low = BigInt(`0x${epoch}`);
  const room = 2n ** 64n - 1n - low;
  const next = room === 0n ? BigInt(`0x${random}`) : low + 1n + (BigInt(`0x${random}`) % room);
  return next.toString(16).padStart(16, "0") as Epoch;
}

function iterable<T>(iterator: Iterator<T>): Iterable<T> {
  return { [Symbol.iterator]: () => iterator };
}

const consoleLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message) => {
    console.warn(`wavekv: ${message}`);
  },
  error: (message) => {
    console.error(`wavekv: ${message}`);
  },
};
