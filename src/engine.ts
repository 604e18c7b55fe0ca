/**
 * What a live replica is made of: the parts, how they are wired to each other, and how they are let go of.
 * What a user may ask of them is in replica.ts.
 */

import { checkTimeout, knownFields, rejection } from "./arguments.ts";
import type { CloseOptions } from "./calls.ts";
import { systemClock, systemTimers, type Timers, type WallClock } from "./clock.ts";
import { isValue } from "./codec/values.ts";
import type { CoreState } from "./core/core-state.ts";
import { AdmitHook } from "./data/admit-hook.ts";
import { isReadable, Reader } from "./data/reader.ts";
import { Writer } from "./data/writer.ts";
import { Driver } from "./driver.ts";
import { isReplicaError, ReplicaError } from "./errors.ts";
import { type HookName, Hooks } from "./hooks.ts";
import { present } from "./invariant.ts";
import { Ephemerals } from "./layers/ephemerals.ts";
import { Merges } from "./layers/merges.ts";
import { SecondaryIndexes } from "./layers/secondary-index.ts";
import { type CheckedOptions, consoleLogger, type Logger, type ReplicaOptions } from "./options.ts";
import { FirstSync } from "./peers/first-sync.ts";
import { type MeshNode, meshOf } from "./peers/mesh.ts";
import { Neighbours } from "./peers/neighbours.ts";
import { PeerWaits } from "./peers/peer-waits.ts";
import { systemRandom } from "./random.ts";
import { type Status, statusOf } from "./status.ts";
import { StatusWatch } from "./status-watch.ts";
import type { RecoveryReport } from "./storage/open.ts";
import type { Store } from "./storage/store.ts";
import type { Change, SessionEvent } from "./sync/committed.ts";
import { Replicator } from "./sync/replicator.ts";
import { type Metrics, metricsOf } from "./telemetry/metrics.ts";
import type { Telemetry } from "./telemetry/telemetry.ts";
import { type Epoch, type Millis, type NodeId, nodeIdOf } from "./types.ts";
import { Upkeep } from "./upkeep.ts";
import { conflictEventOf, eventOf } from "./watch/watch-events.ts";
import { Watchers } from "./watch/watchers.ts";

/** What is there before the replica lives: found in a directory, or new. */
export interface Stored {
  readonly state: CoreState;
  readonly telemetry: Telemetry;
  readonly store?: Store;
  readonly recovery?: RecoveryReport;
  /** Resolves when the store has failed on its own account, between two writes. */
  readonly failed?: Promise<ReplicaError>;
}

export class Engine {
  readonly state: CoreState;
  readonly reader: Reader;
  readonly writer: Writer;
  readonly watchers: Watchers;
  readonly hooks: Hooks;
  readonly neighbours: Neighbours;
  readonly peerWaits: PeerWaits;
  readonly upkeep: Upkeep;
  readonly indexes: SecondaryIndexes;
  readonly ephemerals: Ephemerals;
  readonly #readOnly: boolean;
  readonly #checked: CheckedOptions;
  readonly #clock: WallClock;
  readonly timers: Timers;
  /** The time by which entries expire: what has been seen expired stays so. */
  readonly now: () => Millis;
  readonly #logger: Logger;
  readonly #store: Store | undefined;
  readonly #recovery: RecoveryReport | undefined;
  readonly #replicator: Replicator;
  readonly #driver: Driver;
  readonly #telemetry: Telemetry;
  readonly #statusWatch: StatusWatch;
  readonly #admitHook: AdmitHook | undefined;
  readonly #onProgress: ReplicaOptions["onProgress"];
  readonly #firstSync = new FirstSync();
  #closing: Promise<void> | undefined;
  #beforeClose: () => void = () => undefined;

  /** @throws ReplicaError ERR_LISTEN; nothing of the replica but the store is left open then */
  static async start(options: ReplicaOptions, checked: CheckedOptions, stored: Stored): Promise<Engine> {
    const engine = new Engine(options, checked, stored);
    if (options.readOnly === true) return engine;
    try {
      await engine.neighbours.open();
      if (checked.syncTimeoutMs !== undefined) await engine.#waitForSync(checked.syncTimeoutMs);
    } catch (error) {
      engine.#driver.stop();
      await engine.neighbours.close();
      await engine.#driver.idle();
      throw error;
    }
    return engine;
  }

  private constructor(options: ReplicaOptions, checked: CheckedOptions, stored: Stored) {
    const { state, store, recovery, telemetry } = stored;
    const { clusterId, limits, maxDriftMs, maxPeers, syncIntervalMs, memberLeaseMs, ephemeralLeaseMs } = checked;
    const { clock = systemClock, timers = systemTimers, random = systemRandom, logger = consoleLogger } = options;
    this.#readOnly = options.readOnly === true;
    this.#checked = checked;
    this.#clock = clock;
    this.timers = timers;
    this.#logger = logger;
    this.state = state;
    this.#telemetry = telemetry;
    telemetry.nodeId = nodeIdOf(state.origin);
    this.#store = store;
    this.#recovery = recovery;
    const { maxKeyBytes, maxValueBytes } = limits;
    const warn = (message: string): void => this.neighbours.warn(message);
    const merges =
      checked.merge.size === 0 ? undefined : new Merges(checked.merge, { state, maxKeyBytes, maxValueBytes, warn });
    const isWatched = (): boolean => !this.watchers.isEmpty || this.hooks.has("change");
    const { admit } = options;
    const admitHook = admit === undefined ? undefined : new AdmitHook(admit, (error) => this.#onAdmitError(error));
    this.#admitHook = admitHook;
    this.#onProgress = options.onProgress;
    this.#replicator = new Replicator({
      state,
      clusterId,
      incarnation: random.hex64(),
      limits: { ...limits, maxDriftMs },
      maxPeers,
      memberLeaseMs,
      probeMs: syncIntervalMs,
      admit: admitHook === undefined ? undefined : (entry, peer) => admitHook.ask(entry, peer),
      isReadable,
      isWatched,
      wholes: merges,
      nextEpoch: (epoch) => epochAbove(epoch, random.hex64()),
      members: () => this.neighbours.members().map(({ nodeId }) => nodeId as NodeId),
      isAwaited: () => this.peerWaits.size > 0,
      ephemeral: { leaseMs: ephemeralLeaseMs, generation: Math.floor(clock.now()), isReadable: isValue },
    });
    const now = (): number => this.#replicator.now(clock.now());
    this.now = now;
    this.hooks = new Hooks((name, error) => {
      logger.error(`a listener for "${name}" has thrown: ${String(error)}`);
    });
    this.#statusWatch = new StatusWatch({
      isHeard: () => this.hooks.has("status"),
      status: () => this.status(),
      emit: (status) => this.hooks.emit("status", status),
    });
    this.#driver = new Driver({
      replicator: this.#replicator,
      // What a reader does to its memory, such as letting entries expire, is none of the directory's business.
      log: this.#readOnly ? undefined : store,
      clock,
      timers,
      telemetry,
      publish: (changes) => this.#publish(changes),
      onEvent: (event) => this.#onSession(event),
      onFailure: (error) => this.#onFailure(error),
      hasListeners: () => this.hooks.has("change"),
      onStep: () => {
        this.#statusWatch.look(clock);
        this.#reportConflicts();
        this.peerWaits.check();
        this.indexes.catchUp();
        this.ephemerals.publish();
      },
    });
    const parts = { state, replicator: this.#replicator, driver: this.#driver, clock, hooks: this.hooks, telemetry };
    const { transport } = options;
    this.neighbours = new Neighbours({
      ...parts,
      merge: namesOf(checked.merge),
      clusterId,
      maxPeers,
      transport,
      timers,
      random,
      logger,
    });
    this.peerWaits = new PeerWaits({ ...parts, neighbours: this.neighbours, timers });
    this.reader = new Reader({ state, now, maxKeyBytes, merges, assertOpen: () => this.assertOpen() });
    this.writer = new Writer({
      ...parts,
      reader: this.reader,
      limits,
      now,
      peerWaits: this.peerWaits,
      merges,
      assertWritable: () => this.assertWritable(),
    });
    this.watchers = new Watchers({
      isMerged: (key) => merges?.wholeOf(key) !== undefined,
      source: {
        view: (range) => this.reader.view(range),
        lsn: () => state.lsn,
        durable: (lsn) => this.#driver.durable(lsn, undefined),
        changeNumber: () => this.#replicator.changeNumber,
        now,
        isLocal: (origin) => nodeIdOf(origin) === nodeIdOf(state.origin),
        onLagged: () => {
          telemetry.watchersLagged += 1;
        },
      },
      state,
      timers,
      maxKeyBytes: limits.maxKeyBytes,
    });
    this.indexes = new SecondaryIndexes({
      state,
      now,
      view: (range) => this.reader.view(range),
      merges,
      assertOpen: () => this.assertOpen(),
      warn,
    });
    this.ephemerals = new Ephemerals({
      nodeId: nodeIdOf(state.origin),
      timers: this.timers,
      sets: present(this.#replicator.ephemerals, "an open replica takes part in ephemeral entries"),
      maxKeyBytes,
      change: (key, value) => {
        this.#replicator.changeEphemeral(key, value);
        this.#driver.wake();
      },
      assertInTouch: () => {
        this.assertOpen();
        if (this.#driver.failure !== undefined) throw this.#driver.failure;
      },
      assertWritable: () => this.assertWritable(),
    });
    this.upkeep = new Upkeep({ state, driver: this.#driver, store });
    void stored.failed?.then((error) => this.#driver.fail(error));
    if (recovery !== undefined) this.#reportRecovery(recovery);
  }

  /** @throws ReplicaError ERR_CLOSED */
  assertOpen(): void {
    if (this.#closing !== undefined) throw closedError();
  }

  /** @throws ReplicaError ERR_CLOSED, ERR_READ_ONLY, ERR_STORAGE_FAILED, ERR_STORAGE_FULL */
  assertWritable(): void {
    this.assertOpen();
    if (this.#readOnly) {
      throw new ReplicaError("ERR_READ_ONLY", "the replica was opened with readOnly: open it without to write");
    }
    this.#admitHook?.assertIdle();
    if (this.#driver.failure !== undefined) throw this.#driver.failure;
  }

  /** See `Replica.on`. */
  on(name: HookName, listener: (argument: never) => unknown): () => void {
    const stop = this.hooks.add(name, listener);
    if (name === "conflict") this.#replicator.listenForConflicts();
    return stop;
  }

  status(): Status {
    return statusOf({
      state: this.state,
      replicator: this.#replicator,
      driver: this.#driver,
      clusterId: this.#checked.clusterId,
      durability: this.#store === undefined ? undefined : this.#checked.durability,
      recovery: this.#recovery,
      refused: this.neighbours.refused(),
      members: this.neighbours.members(),
      problems: this.neighbours.problems(),
      maxDriftMs: this.#checked.maxDriftMs,
      now: this.#clock.now(),
    });
  }

  mesh(): MeshNode[] {
    const members = this.neighbours.members().map(({ nodeId }) => nodeId);
    return meshOf({ state: this.state, replicator: this.#replicator, members });
  }

  metrics(): Metrics {
    let quarantine = 0;
    for (const { peer } of this.#replicator.sessions) quarantine += peer?.inbound.refusedCount ?? 0;
    return metricsOf(this.#telemetry, this.status(), {
      rejects: this.#replicator.rejects(),
      watchers: { open: this.watchers.size, lagged: this.#telemetry.watchersLagged },
      queues: { commit: this.#driver.waiting, peers: this.peerWaits.size, quarantine },
    });
  }

  /** `last` is called when closing begins, while writes are still taken: they become durable before it ends. */
  beforeClose(last: () => void): void {
    this.#beforeClose = last;
  }

  /** See `Replica.close`. */
  close(options: CloseOptions): Promise<void> {
    try {
      knownFields(options, ["timeoutMs"], "close");
      checkTimeout(options.timeoutMs);
    } catch (error) {
      return rejection(error);
    }
    if (this.#closing === undefined) this.#beforeClose();
    this.#closing ??= this.#close();
    return options.timeoutMs === undefined ? this.#closing : this.#closedWithin(this.#closing, options.timeoutMs);
  }

  #publish(changes: readonly Change[]): void {
    this.watchers.publish(changes);
    if (this.hooks.has("change")) {
      for (const change of changes) {
        const event = eventOf(change);
        if (event !== undefined) this.hooks.emit("change", event);
      }
    }
    this.neighbours.published(changes);
  }

  #onSession(event: SessionEvent): void {
    if (event.type === "progress") return this.#reportProgress(event);
    if (event.type === "live") this.#firstSync.over();
    this.#telemetry.session(event);
    this.neighbours.onSession(event);
    this.#statusWatch.happened();
  }

  #onFailure(error: ReplicaError): void {
    this.neighbours.warn(`the log has failed, only reads go on: ${error.message}`);
    this.watchers.close(error);
    this.ephemerals.close(error);
    this.peerWaits.close(error);
    this.#firstSync.over();
    // The same promise is awaited by close(), which reports it.
    this.neighbours.close().catch(() => undefined);
    this.#statusWatch.happened();
  }

  async #waitForSync(timeoutMs: number): Promise<void> {
    if (await this.#firstSync.within(timeoutMs, this.timers)) {
      // What peers have brought is in memory; a failure is told by the log.
      await this.#driver.durable(this.state.lsn, undefined).catch(() => undefined);
    } else {
      this.neighbours.warn(`opened without the data of others: no peer has brought it within ${timeoutMs} ms`);
    }
  }

  /** Once what has met is durable. */
  #reportConflicts(): void {
    for (const conflict of this.#replicator.takeConflicts()) {
      this.#driver.durable(this.state.lsn, undefined).then(
        () => this.hooks.emit("conflict", conflictEventOf(conflict)),
        // The log has failed, which is told otherwise; nobody may hear of what is not durable.
        () => undefined,
      );
    }
  }

  #reportProgress({ nodeId, entries, entriesTotal }: Extract<SessionEvent, { type: "progress" }>): void {
    try {
      this.#onProgress?.({ phase: "catch-up", nodeId, entries, entriesTotal });
    } catch (error) {
      this.#logger.error(`onProgress has thrown: ${String(error)}`);
    }
  }

  #onAdmitError(error: unknown): void {
    this.#logger.error(`admit has thrown, which refuses the write: ${String(error)}`);
  }

  #reportRecovery({ truncatedBytes, corrupt, setAside, why }: RecoveryReport): void {
    if (truncatedBytes > 0) this.#logger.info(`${truncatedBytes} bytes of an unfinished write were cut off the log`);
    if (corrupt) this.neighbours.warn(`the directory was damaged; set aside: ${setAside.join(", ") || "nothing"}`);
    if (why === "copied") this.neighbours.warn("the directory is a copy: this replica goes on under a new epoch");
  }

  async #close(): Promise<void> {
    try {
      // Whatever was written before this call is still to become durable, and to reach the peers that keep up.
      await this.#driver.durable(this.state.lsn, undefined).catch((error: unknown) => {
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
    this.watchers.close();
    this.ephemerals.close();
    this.peerWaits.close(closedError());
    const closed = this.neighbours.close();
    this.hooks.clear();
    await closed;
  }

  #closedWithin(closing: Promise<void>, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.timers.after(timeoutMs, () => {
        reject(new ReplicaError("ERR_TIMEOUT", `not closed within ${timeoutMs} ms: the disk has not answered yet`));
        this.#leave().catch(() => undefined);
      });
      closing.then(resolve, reject).finally(cancel);
    });
  }
}

function namesOf(kinds: CheckedOptions["merge"]): Record<string, string> {
  return Object.fromEntries([...kinds].map(([prefix, kind]) => [prefix, kind?.name ?? "lww"]));
}

function closedError(): ReplicaError {
  return new ReplicaError("ERR_CLOSED", "the replica is closed: open it again");
}

/** An epoch that sorts above another one, as far above as `random` says. */
function epochAbove(epoch: Epoch, random: string): Epoch {
  const low = BigInt(`0x${epoch}`);
  const room = 2n ** 64n - 1n - low;
  const next = room === 0n ? BigInt(`0x${random}`) : low + 1n + (BigInt(`0x${random}`) % room);
  return next.toString(16).padStart(16, "0") as Epoch;
}
