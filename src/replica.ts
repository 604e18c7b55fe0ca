/**
 * The public face: what can be asked of a replica, with the contract of each call. What a reader sees is in
 * reader.ts, what becomes of a write in writer.ts, when it is durable in driver.ts, what reaches watchers in
 * watchers.ts; engine.ts puts these parts together, and open-replica.ts opens them.
 */
import type {
  CloseOptions,
  DeleteOptions,
  Peer,
  PutOptions,
  SettledOptions,
  TransactionResult,
  WaitOptions,
  WatchOptions,
  WriteOptions,
} from "./calls.ts";
import type { KeyRange } from "./data/key-ranges.ts";
import type { BatchOperation } from "./data/local-writes.ts";
import type { EntryInfo, Reader } from "./data/reader.ts";
import type { ScanOptions } from "./data/scans.ts";
import type { Transaction } from "./data/transaction.ts";
import type { WriteToken } from "./data/write-tokens.ts";
import type { Writer } from "./data/writer.ts";
import type { Engine } from "./engine.ts";
import type { ConflictEvent, HookName, PeerEvent } from "./hooks.ts";
import type { LeaseHolder } from "./layers/claims.ts";
import { type Ephemeral, ephemeralOf } from "./layers/ephemeral.ts";
import type { Lease } from "./layers/held-lease.ts";
import { type LeaseOptions, Leases } from "./layers/leases.ts";
import { type Namespace, type NamespaceOptions, namespaceOf, type SchemaOptions } from "./layers/namespace.ts";
import type { IndexOptions, SecondaryIndex } from "./layers/secondary-index.ts";
import type { InputOf, OutputOf, StandardSchema } from "./layers/standard-schema.ts";
import type { Codec } from "./layers/value-shape.ts";
import type { MeshNode } from "./peers/mesh.ts";
import type { Member } from "./peers/neighbours.ts";
import type { Status } from "./status.ts";
import type { VerifyReport } from "./storage/maintenance.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import { nodeIdOf } from "./types.ts";
import type { ChangeEvent, WatchEvent } from "./watch/watch-events.ts";

/** A live replica. Made by `openReplica`. Reads are synchronous and from memory; writes resolve when durable. */
export class Replica {
  readonly #engine: Engine;
  readonly #reader: Reader;
  readonly #writer: Writer;
  readonly #leases: Leases;

  /** @internal Use `openReplica`. */
  constructor(engine: Engine) {
    this.#engine = engine;
    this.#reader = engine.reader;
    this.#writer = engine.writer;
    this.#leases = new Leases({ store: this, now: engine.now, timers: engine.timers });
    engine.beforeClose(() => this.#leases.close());
  }

  /** The replica's name. Stays readable after `close`. */
  get nodeId(): string {
    return nodeIdOf(this.#engine.state.origin);
  }

  // ---- reading -------------------------------------------------------------------------------

  /** The value of a key, a fresh copy; `undefined` when absent. @throws ReplicaError ERR_KEY, ERR_CLOSED */
  get(key: string): unknown {
    this.#engine.assertOpen();
    return this.#reader.get(key);
  }

  /** The values of the keys, in their order, `undefined` where absent. @throws as `get`, and ERR_OPTION */
  getMany(keys: readonly string[]): unknown[] {
    this.#engine.assertOpen();
    return this.#reader.getMany(keys);
  }

  /** @throws as `get` */
  has(key: string): boolean {
    this.#engine.assertOpen();
    return this.#reader.has(key);
  }

  /** The version of a key that is there, with its value; `undefined` when absent. @throws as `get` */
  entry(key: string): EntryInfo | undefined {
    this.#engine.assertOpen();
    return this.#reader.entry(key);
  }

  /**
   * Keys with their values, in UTF-8 byte order, over the state as of the start of the iteration:
   * writes meanwhile do not disturb it. Lazy. @throws ReplicaError ERR_OPTION, ERR_CLOSED
   */
  entries(options: ScanOptions = {}): Iterable<[string, unknown]> {
    this.#engine.assertOpen();
    return this.#reader.entries(options);
  }

  /** As `entries`, keys only. */
  keys(options: ScanOptions = {}): Iterable<string> {
    this.#engine.assertOpen();
    return this.#reader.keys(options);
  }

  /** As `entries`, values only. */
  values(options: ScanOptions = {}): Iterable<unknown> {
    this.#engine.assertOpen();
    return this.#reader.values(options);
  }

  /** As `entries`, each with its version, author and expiry, as `entry` has them. */
  infos(options: ScanOptions = {}): Iterable<EntryInfo> {
    this.#engine.assertOpen();
    return this.#reader.infos(options);
  }

  // ---- writing -------------------------------------------------------------------------------

  /**
   * Sets a key. Resolves when the write is durable here; peers get it then. What is not awaited commits
   * in the order of the calls.
   *
   * `ifVersion` compares and sets in one step, on this replica: two replicas that do it at the same time both succeed,
   * and when they meet the later write wins.
   *
   * @throws ReplicaError ERR_KEY, ERR_VALUE, ERR_LIMIT, ERR_OPTION, ERR_VERSION_MISMATCH, ERR_READ_ONLY, ERR_CLOSED:
   *   nothing was changed;
   *   ERR_STORAGE_FAILED, ERR_STORAGE_FULL: whether the write survives is open until the directory is opened again
   */
  put(key: string, value: unknown, options?: PutOptions): Promise<WriteToken> {
    return this.#writer.put(key, value, options);
  }

  /**
   * Adds a whole number to a counter, a key whose prefix has that kind in the option `merge`; an absent one counts from 0.
   * Increments that replicas make at the same time all count. @throws as `put`; ERR_OPTION if the key is no counter's
   */
  increment(key: string, by = 1, options?: WriteOptions): Promise<WriteToken> {
    return this.#writer.increment(key, by, options);
  }

  /** Removes a key. Of an absent key: no error, nothing is written. @throws as `put` */
  delete(key: string, options?: DeleteOptions): Promise<WriteToken> {
    return this.#writer.delete(key, options);
  }

  /**
   * Does all of it or nothing, here and on every replica. Of several operations on one key the last one
   * counts. @throws as `put`; one bad operation rejects all before anything is changed
   */
  batch(operations: readonly BatchOperation[], options?: WriteOptions): Promise<WriteToken> {
    return this.#writer.batch(operations, options);
  }

  /**
   * Removes every key of a range (all keys by default), as one batch of up to 32 MiB, which is some
   * 500,000 short keys. @throws as `put`; ERR_LIMIT beyond that: clear it in parts
   */
  clear(range?: KeyRange): Promise<WriteToken> {
    return this.#writer.clear(range);
  }

  /**
   * Runs `run` at once and writes all that it has written with `tx`, as one batch, or nothing if it throws. Reads of
   * `tx` show its own writes, and nothing else changes meanwhile: no other write of this replica, none of a peer, no
   * expiry. What other replicas do at the same time it cannot see: see `put` on `ifVersion`. The limits are those of a
   * batch; as with `clear`, deletes of `tx.clear` do not count as operations.
   *
   * @param run  synchronous; writes of the replica within it, and transactions, reject with ERR_OPTION
   * @returns what `run` has returned, and the token of the batch, when that is durable
   * @throws as `put`, and what `run` throws: then nothing was changed; ERR_OPTION for an asynchronous function
   */
  transaction<T>(run: (tx: Transaction) => T, options?: WriteOptions): Promise<TransactionResult<T>> {
    return this.#writer.transaction(run, options);
  }

  // ---- on top --------------------------------------------------------------------------------

  /**
   * The keys that begin with `name/` as a store of their own: see {@link Namespace}. With a `schema`, what
   * is written is checked, and the types follow from it. @throws ReplicaError ERR_OPTION
   */
  namespace<Schema extends StandardSchema>(
    name: string,
    options: SchemaOptions<Schema>,
  ): Namespace<OutputOf<Schema>, InputOf<Schema>>;
  namespace<V = unknown>(name: string, options?: { readonly codec?: Codec<V> }): Namespace<V>;
  namespace(name: string, options: NamespaceOptions<unknown> = {}): Namespace {
    return namespaceOf(this, "", name, options);
  }

  /**
   * Entries that live as long as their process, in memory only, as a namespace of their own: see {@link Ephemeral}. They have
   * nothing to do with the keys of the store. @throws ReplicaError ERR_OPTION, ERR_CLOSED
   */
  ephemeral<Schema extends StandardSchema>(
    name: string,
    options: SchemaOptions<Schema>,
  ): Ephemeral<OutputOf<Schema>, InputOf<Schema>>;
  ephemeral<V = unknown>(name: string, options?: { readonly codec?: Codec<V> }): Ephemeral<V>;
  ephemeral(name: string, options: NamespaceOptions<unknown> = {}): Ephemeral {
    this.#engine.assertOpen();
    return ephemeralOf(this.#engine.ephemerals, name, options);
  }

  /**
   * Makes an index of the entries by what `key` returns for them, and keeps it as up to date as `get` is: see
   * {@link SecondaryIndex}. Looks at all entries of the prefix before it returns.
   *
   * @param name  for warnings; one index of each name at a time. @throws ReplicaError ERR_OPTION, ERR_CLOSED
   */
  index<V = unknown>(name: string, options: IndexOptions<V>): SecondaryIndex<V> {
    this.#engine.assertOpen();
    // The store's values are what its user says they are, as for `namespace`.
    return this.#engine.indexes.open(name, options as IndexOptions) as SecondaryIndex<V>;
  }

  /**
   * For what one replica of all should do: resolves once this one holds the lease `name`. It is renewed until it is
   * released, or lost: see {@link Lease}. Others take it over when it is released, or `ttlMs` after its holder was last
   * heard of. Each side of a partition finds a holder of its own, and so does, for a moment, a cluster in
   * which messages are slow; when they meet again the greater token stays, and the other holder is told. Claims are
   * ordinary keys below `lease/`.
   *
   * @throws ReplicaError ERR_OPTION, also if this replica waits for it or holds it already; the reason of `signal`; as `put`
   */
  lease(name: string, options: LeaseOptions): Promise<Lease> {
    return this.#leases.acquire(name, options);
  }

  /** Who holds a lease, as far as this replica knows; `undefined` if nobody. @throws ReplicaError ERR_OPTION, ERR_CLOSED */
  leaseHolder(name: string): LeaseHolder | undefined {
    return this.#leases.holder(name);
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
    this.#engine.assertOpen();
    return this.#engine.watchers.watch(options);
  }

  /**
   * Calls back on every durable change that is made from now on, when a peer comes or goes, with the status
   * at these moments and when the log fails, and with warnings. An error thrown by the listener, or the
   * rejection of a promise that it returns, goes to the logger.
   *
   * `conflict`: a version has replaced another one that its author had not seen, and one of the two is of this
   * replica. Told only where it is certain, so not of every such overwrite, and by one of the two authors or by both;
   * not of versions that say the same. src/sync/PROTOCOL.md, "Conflicts", says of which.
   *
   * @returns stops it
   * @throws ReplicaError ERR_OPTION, ERR_CLOSED
   */
  on(event: "conflict", listener: (conflict: ConflictEvent) => unknown): () => void;
  on(event: "change", listener: (change: ChangeEvent) => unknown): () => void;
  on(event: "peer", listener: (event: PeerEvent) => unknown): () => void;
  on(event: "status", listener: (status: Status) => unknown): () => void;
  on(event: "warning", listener: (message: string) => unknown): () => void;
  on(event: HookName, listener: (argument: never) => unknown): () => void {
    this.#engine.assertOpen();
    return this.#engine.on(event, listener);
  }

  // ---- looking -------------------------------------------------------------------------------

  /** How the replica and its peers are. Costs what the number of peers costs. Plain data. @throws ReplicaError ERR_CLOSED */
  status(): Status {
    this.#engine.assertOpen();
    return this.#engine.status();
  }

  /** What the replica has counted and measured since it was opened. Costs what `status` costs. Plain data. @throws as `status` */
  metrics(): Metrics {
    this.#engine.assertOpen();
    return this.#engine.metrics();
  }

  /** All replicas that have announced themselves, this one included, whether reachable or not. @throws as `status` */
  members(): Member[] {
    this.#engine.assertOpen();
    return this.#engine.neighbours.members().map(({ addresses, merge, ...member }) => {
      return { ...member, addresses: [...addresses], merge: { ...merge } };
    });
  }

  /**
   * Who is connected to whom and who holds what, as far as this replica has been told: itself, all members and whoever is
   * connected. Costs members times authors. @throws as `status`
   */
  mesh(): MeshNode[] {
    this.#engine.assertOpen();
    return this.#engine.mesh();
  }

  /** The other members, and whoever is connected, as in `status().peers`. @throws as `status` */
  peers(): Peer[] {
    return Object.entries(this.status().peers).map(([nodeId, peer]) => ({ nodeId, ...peer }));
  }

  /**
   * Forgets a member that will not come back: tombstones are no longer kept for it. Spreads like any write; resolves
   * when it is durable here. Should it come back all the same, it is told what was deleted meanwhile, what only it
   * has is kept, and it is a member again.
   *
   * @throws ReplicaError ERR_OPTION if there is no such member, if it is this replica, or connected: then it would
   *   announce itself again at once; and what `put` throws
   */
  async evict(nodeId: string): Promise<void> {
    this.#engine.assertWritable();
    await this.#engine.neighbours.evict(nodeId);
  }

  // ---- waiting for others ---------------------------------------------------------------------

  /**
   * Resolves when this replica durably holds the write that `token` names, and all earlier ones of its
   * replica: read your writes, across replicas. @throws ReplicaError ERR_OPTION, ERR_CLOSED; the reason of `signal`
   */
  async reached(token: WriteToken, options: WaitOptions = {}): Promise<void> {
    this.#engine.assertOpen();
    await this.#engine.peerWaits.reached(token, options);
  }

  /**
   * Resolves when the peers durably hold all that this replica had when it was called.
   * @throws as `reached`, and what `put` throws when it cannot become durable here
   */
  async settled(options: SettledOptions = {}): Promise<void> {
    this.#engine.assertOpen();
    await this.#engine.peerWaits.settled(options);
  }

  // ---- durability by hand --------------------------------------------------------------------

  /** Resolves when everything written so far is on the disk, in every mode. @throws as `put` */
  async flush(): Promise<void> {
    this.#engine.assertWritable();
    await this.#engine.upkeep.flush();
  }

  /** Writes a snapshot and drops the log that it makes superfluous. If it rejects, nothing is lost and writes go on. */
  async checkpoint(): Promise<void> {
    this.#engine.assertWritable();
    await this.#engine.upkeep.checkpoint();
  }

  /** Reads and checks everything on the disk. Changes nothing. */
  async verify(): Promise<VerifyReport> {
    this.#engine.assertOpen();
    return await this.#engine.upkeep.verify();
  }

  /** Makes a directory that `openReplica` opens, with everything written so far. @throws ReplicaError ERR_OPTION */
  async backup(path: string): Promise<void> {
    this.#engine.assertOpen();
    await this.#engine.upkeep.backup(path);
  }

  /**
   * Releases all leases, takes leave of the peers, makes everything durable and lets go of the directory. Idempotent. From
   * now on every call rejects or throws ERR_CLOSED.
   *
   * @throws ReplicaError ERR_STORAGE_FAILED; ERR_TIMEOUT at the deadline: peers, timers and the transport are let
   *   go of then, the directory is as soon as the disk has answered
   */
  close(options: CloseOptions = {}): Promise<void> {
    return this.#engine.close(options);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
