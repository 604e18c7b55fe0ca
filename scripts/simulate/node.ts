/**
 * A simulated host with the replica that lives on it: opens it, opens it again after crashes and failures, follows what
 * it promises, and compares what its watchers see.
 */
import type { CoreState } from "../../src/core/core-state.ts";
import { beats } from "../../src/core/lww.ts";
import { isReplicaError } from "../../src/errors.ts";
import { openObserved } from "../../src/open-replica.ts";
import type { ReplicaOptions } from "../../src/options.ts";
import type { Replica } from "../../src/replica.ts";
import type { MemoryDisk } from "../../src/storage/memory-disk.ts";
import type { SimHost, SimProcess } from "../../src/testing/simulation.ts";
import { type Entry, nodeIdOf, type Origin } from "../../src/types.ts";
import type { ChangeEvent, WatchEvent } from "../../src/watch/watch-events.ts";
import type { Cluster } from "./cluster.ts";
import { fail } from "./failure.ts";
import { Promises, type Write } from "./history.ts";
import { Observer } from "./observer.ts";
import type { HostPlan } from "./plan.ts";

/** One process from its start to its end. */
export interface Life {
  readonly process: SimProcess;
  observer: Observer | undefined;
  replica: Replica | undefined;
  /** What a watcher that began at the opening believes: versions by key. */
  readonly watched: Map<string, string>;
  /** The version of each key that the change hook told last. */
  readonly told: Map<string, Write>;
  /** The log has failed: only reads go on. */
  failed: boolean;
}

const DIRECTORY = "data";
/** Codes with which opening may be refused while the disk is at fault. */
const REFUSALS: readonly string[] = ["ERR_STORAGE_FAILED", "ERR_STORAGE_FULL"];
const RETRY_MS = 300;

export class Node {
  readonly plan: HostPlan;
  readonly host: SimHost;
  readonly cluster: Cluster;
  readonly promises = new Promises();
  /** All that it ever said it covers, whatever became of it. */
  readonly everClaimed = new Map<Origin, number>();
  life: Life | undefined;
  /** Closed, until a later step or the end of the faults. */
  isAway = false;
  /** It does not come back. */
  hasLeft = false;
  /** A copy that somebody opened beside the original: it is stopped when faults end. */
  isTransient = false;
  /** Nothing was damaged here: what it promised has to be there after a crash. */
  isTrusted = true;
  /** Of a replica that was rolled back, until it takes another one. Among more than two, no user writes under it. */
  quietOrigin: Origin | undefined;
  /** Its disk as of the last orderly close. */
  closedImage: MemoryDisk | undefined;
  closedOrigin: Origin | undefined;
  /** Its disk at some earlier moment. */
  backup: MemoryDisk | undefined;
  lives = 0;
  /** Power goes again so many times while it opens. */
  crashesWhileOpening = 0;
  readonly nodeId: string;
  #lastEpoch = "";

  constructor(cluster: Cluster, plan: HostPlan, host: SimHost, nodeId: string = plan.name) {
    this.cluster = cluster;
    this.plan = plan;
    this.host = host;
    this.nodeId = nodeId;
  }

  get replica(): Replica | undefined {
    return this.life?.failed === false ? this.life.replica : undefined;
  }

  get state(): CoreState | undefined {
    return this.life?.observer?.state;
  }

  get isUp(): boolean {
    return this.life !== undefined;
  }

  /** Starts a process that opens the replica. Does nothing if one runs. */
  start(): void {
    if (this.life !== undefined || this.hasLeft || this.isAway) return;
    const { cluster, host, plan } = this;
    const ports = host.boot();
    const owner = host.process;
    if (owner === undefined) return;
    this.lives += 1;
    const life: Life = {
      process: owner,
      observer: undefined,
      replica: undefined,
      watched: new Map(),
      told: new Map(),
      failed: false,
    };
    this.life = life;
    const options: ReplicaOptions = {
      ...ports,
      nodeId: this.nodeId,
      ...(plan.isMemoryOnly ? {} : { directory: DIRECTORY, durability: plan.durability }),
      maxDriftMs: cluster.plan.maxDriftMs,
      logger: this.#logger(),
    };
    if (this.crashesWhileOpening > 0) {
      this.crashesWhileOpening -= 1;
      cluster.later(cluster.random.fraction() * 12 * this.plan.diskMs, () => {
        if (this.life !== life || life.replica !== undefined) return;
        cluster.facts.add("recovery: crash while opening");
        this.powerLoss();
        this.start();
      });
    }
    openObserved(options, (state) => this.#recovered(life, state)).then(
      (replica) => this.#opened(life, replica),
      (error: unknown) => this.#refused(life, error),
    );
  }

  /** The process ends; the page cache stays. */
  kill(): void {
    this.#lost();
    this.host.kill();
  }

  powerLoss(): void {
    this.#lost();
    this.host.powerLoss();
    // Weaker modes and memory keep what they promise only while the power stays.
    if (this.plan.durability !== "always" || this.plan.isMemoryOnly) this.promises.forget();
  }

  /** Closes in good order, and then `done`. A close that fails is a crash. */
  close(done: () => void): void {
    const { life } = this;
    const replica = life?.replica;
    if (life === undefined || replica === undefined) return;
    this.life = { ...life, replica: undefined };
    const closing = this.life;
    replica.close().then(
      () => {
        if (this.life !== closing) return;
        this.cluster.guard(() => this.#checkNothingLeft(life.process));
        this.#lost();
        this.host.kill();
        done();
      },
      (error: unknown) => {
        if (!isReplicaError(error) || !error.code.startsWith("ERR_STORAGE_")) return this.cluster.fail(error);
        if (this.life !== closing) return;
        this.kill();
        done();
      },
    );
  }

  /** Whatever is on the disk may be wrong from now on. */
  distrust(): void {
    this.isTrusted = false;
    this.promises.forget();
  }

  /** To be called after each event of the process. */
  observe(): void {
    this.life?.observer?.observe();
  }

  /** Something is known outside to be durable here. */
  promise(write: Write): void {
    write.isTold = true;
    if (this.isTrusted) this.promises.keep(write);
  }

  /** The write that an entry sent from here is. One that was overwritten at once shows here for the first time. */
  written(entry: Entry): Write {
    const { history } = this.cluster;
    const known = history.find(entry.origin, entry.seq);
    if (known !== undefined) return history.match(known, entry) ?? known;
    const isOwn = this.state !== undefined && nodeIdOf(entry.origin) === this.nodeId && entry.seq < this.state.nextSeq;
    if (!isOwn) fail("unknown write", `${this.host.name} sends ${entry.origin}#${entry.seq}, which nobody has written`);
    return history.add(entry, this.host.name);
  }

  claim(origin: Origin, seq: number): void {
    if (seq > (this.everClaimed.get(origin) ?? 0)) this.everClaimed.set(origin, seq);
    if (this.isTrusted) this.promises.claim(origin, seq);
  }

  /** At rest, a watcher has seen exactly what there is. */
  checkWatcher(): void {
    const { life } = this;
    const replica = life?.replica;
    if (life === undefined || replica === undefined) return;
    const missed = new Map(life.watched);
    for (const key of replica.keys()) {
      const version = replica.entry(key)?.version;
      const told = missed.get(key);
      missed.delete(key);
      if (told === version) continue;
      fail("watch", `a watcher of ${this.host.name} has "${key}" as ${told ?? "absent"}, it is ${version ?? "absent"}`);
    }
    for (const [key, version] of missed) {
      // Readers do not see what has expired; watchers hear of it on the next tick.
      if ((this.cluster.writeOf(version, key)?.expiresAt ?? 0) > 0) continue;
      fail("watch", `a watcher of ${this.host.name} has "${key}" as ${version}, it is absent`);
    }
  }

  #lost(): void {
    this.life = undefined;
    if (this.plan.isMemoryOnly) this.promises.forget();
  }

  #recovered(life: Life, state: CoreState): void {
    if (this.life !== life) return;
    const where = `${this.host.name} (process ${this.lives})`;
    life.observer = new Observer(
      this.cluster.history,
      state,
      where,
      (origin) => origin === this.quietOrigin,
      (origin) => this.promises.claims.delete(origin),
    );
    if (this.isTrusted) this.promises.check(this.cluster.history, state, where);
  }

  #opened(life: Life, replica: Replica): void {
    if (this.life !== life) return;
    life.replica = replica;
    this.#reportRecovery(replica);
    replica.on("change", (change) => this.cluster.guard(() => this.#changed(life, change)));
    replica.on("status", ({ durability }) => {
      if (durability.state === "failed") this.#restart(life);
    });
    void this.#watch(life, replica.watch({ initial: true }));
    this.cluster.opened(this);
  }

  #refused(life: Life, error: unknown): void {
    if (this.life !== life) return;
    this.kill();
    const code = isReplicaError(error) ? error.code : "";
    if (code === "ERR_CORRUPT" && !this.isTrusted) {
      // Nothing of it can be used: a person would begin anew.
      this.cluster.facts.add("recovery: unusable");
      this.wipe();
    } else if (!REFUSALS.includes(code) || !this.cluster.hasDiskFaults(this)) {
      return this.cluster.fail(error);
    }
    this.cluster.facts.add("recovery: refused");
    this.cluster.later(RETRY_MS, () => this.start());
  }

  wipe(): void {
    this.host.disk = this.cluster.newDisk();
    this.promises.forget();
    this.isTrusted = true;
    this.closedImage = undefined;
    this.backup = undefined;
  }

  #reportRecovery(replica: Replica): void {
    const { facts } = this.cluster;
    const { durability, epoch } = replica.status();
    const { recovered } = durability;
    if (recovered !== undefined) facts.add(epoch === this.#lastEpoch ? "recovery: clean" : "recovery: new epoch");
    this.#lastEpoch = epoch;
    if (recovered === undefined) return facts.add("recovery: created");
    if (recovered.truncatedBytes > 0) facts.add("recovery: torn tail");
    if (recovered.corrupt) facts.add("recovery: damaged");
  }

  #changed(life: Life, event: ChangeEvent): void {
    const { cluster } = this;
    cluster.facts.add(`event: ${event.type}`);
    const write = cluster.writeOf(event.version, event.key);
    if (write === undefined)
      return fail("watch", `${this.host.name} told of ${event.version}, which nobody has written`);
    const before = life.told.get(event.key);
    const isLater =
      before === undefined ||
      beats(write, before) ||
      (write === before && event.type !== "put") ||
      cluster.history.isRevived(write.name, write, before);
    if (!isLater) fail("watch", `${this.host.name} told of ${event.version} of "${event.key}" twice or late`);
    life.told.set(event.key, write);
    this.promise(write);
  }

  async #watch(life: Life, events: AsyncIterableIterator<WatchEvent>): Promise<void> {
    const { watched } = life;
    try {
      for await (const event of events) {
        if (event.type === "put") watched.set(event.key, event.version);
        else if (event.type === "delete" || event.type === "expire") watched.delete(event.key);
        else if (event.type === "lagged") watched.clear();
      }
    } catch (error) {
      if (!isReplicaError(error)) this.cluster.fail(error);
    }
  }

  /** The log has failed: reads go on, and whoever runs the service starts it again. */
  #restart(life: Life): void {
    if (life.failed) return;
    life.failed = true;
    if (this.plan.durability !== "always") this.promises.forget();
    const { replica } = life;
    this.cluster.later(RETRY_MS, () => {
      if (this.life !== life || replica === undefined) return;
      replica.get("k0");
      this.close(() => this.cluster.later(RETRY_MS, () => this.start()));
    });
  }

  /** After closing, no timer, file or connection is left. */
  #checkNothingLeft(owner: SimProcess): void {
    const timers = this.cluster.timersOf(owner);
    if (timers > 0) fail("bounds", `${this.host.name} has closed and ${timers} timers are left`);
    if (this.host.openFiles > 0)
      fail("bounds", `${this.host.name} has closed and ${this.host.openFiles} files are open`);
  }

  #logger(): NonNullable<ReplicaOptions["logger"]> {
    const say = (level: string) => (message: string) =>
      this.cluster.say(`${this.host.name}: ${level} ${message}`, this, message);
    return { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") };
  }
}
