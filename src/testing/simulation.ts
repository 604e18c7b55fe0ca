/**
 * Replicas in a world of their own: one seed decides over time, network, disks and chance, and replays exactly. Everything
 * of the library runs for real; only its ports are simulated. Hours pass in seconds.
 *
 *     const world = new Simulation({ seed: 7 });
 *     const [paris, oslo] = [world.host("paris"), world.host("oslo")];
 *     const a = await world.run(() => openReplica({ nodeId: "paris", directory: "data", ...paris.boot() }));
 *     const b = await world.run(() => openReplica({ nodeId: "oslo", directory: "data", ...oslo.boot() }));
 *     world.network.partition(["paris"], ["oslo"]);
 *     await world.run(() => a.put("greeting", "salut"));
 *     world.network.heal();
 *     await world.until(() => b.get("greeting") === "salut", 60_000);
 */
import type { ReplicaOptions } from "../options.ts";
import { MemoryDisk, type Survives } from "../storage/memory-disk.ts";
import type { Millis } from "../types.ts";
import { type Owner, Scheduler } from "./scheduler.ts";
import { SeededRandom } from "./seeded-random.ts";
import { SimClock } from "./sim-clock.ts";
import { type DiskCall, type DiskFault, SimDisk } from "./sim-disk.ts";
import { SimNetwork } from "./sim-network.ts";

/** What `openReplica` needs to live on a simulated host: spread it into the options. */
export type Ports = Required<Pick<ReplicaOptions, "clock" | "timers" | "random" | "transport" | "disk">>;

export interface SimulationOptions {
  /** A safe integer, 0 at least: the same one gives the same history. */
  readonly seed: number;
}

const RUN_MS_MAX: Millis = 3_600_000;

export class Simulation {
  readonly seed: number;
  readonly scheduler = new Scheduler();
  readonly network: SimNetwork;
  readonly #hosts = new Map<string, SimHost>();

  constructor({ seed }: SimulationOptions) {
    this.seed = seed;
    this.network = new SimNetwork(this.scheduler, new SeededRandom(seed, "network"));
  }

  /** Virtual time, milliseconds since the simulation began. */
  get nowMs(): Millis {
    return this.scheduler.nowMs;
  }

  /** Equal for equal histories. */
  get traceHash(): string {
    return this.scheduler.traceHash;
  }

  get hosts(): readonly SimHost[] {
    return [...this.#hosts.values()];
  }

  /** A host by name: made at the first call. Its replicas find those of the other hosts without being told. */
  host(name: string): SimHost {
    let host = this.#hosts.get(name);
    if (host === undefined) {
      host = new SimHost(name, this);
      this.#hosts.set(name, host);
    }
    return host;
  }

  /**
   * Calls `task` and lets time pass until what it returns has settled.
   * @throws what the task rejects with; an error if nothing can settle it any more, or not within `withinMs`
   */
  async run<T>(task: () => Promise<T>, withinMs: Millis = RUN_MS_MAX): Promise<T> {
    let outcome: { readonly value: T } | { readonly error: unknown } | undefined;
    task().then(
      (value) => (outcome = { value }),
      (error: unknown) => (outcome = { error }),
    );
    const deadlineMs = this.nowMs + withinMs;
    await this.scheduler.run(() => outcome !== undefined, deadlineMs);
    if (outcome === undefined) throw new Error(`not settled within ${withinMs} ms of virtual time`);
    if ("error" in outcome) throw outcome.error;
    return outcome.value;
  }

  /** Lets so much time pass. */
  async advance(ms: Millis): Promise<void> {
    await this.scheduler.run(() => false, this.nowMs + ms);
  }

  /** Lets time pass until the condition holds. @throws if it does not within `withinMs` */
  async until(condition: () => boolean, withinMs: Millis): Promise<void> {
    const holds = await this.scheduler.run(condition, this.nowMs + withinMs);
    if (!holds) throw new Error(`not within ${withinMs} ms of virtual time`);
  }
}

/** A process on a host. When it ends, whatever it waits for never comes. */
export class SimProcess implements Owner {
  readonly name: string;
  alive = true;
  pausedUntilMs: Millis = 0;

  constructor(name: string) {
    this.name = name;
  }
}

/** A machine: a disk, a wall clock, a place in the network, and at most one process. */
export class SimHost {
  readonly name: string;
  readonly clock: SimClock;
  /** Outlives processes. May be replaced by another one between two processes. */
  disk = new MemoryDisk();
  /** How long a disk call takes, at most. Default 0.5. */
  diskMs: Millis = 0.5;
  /** Asked at each call of a process to the disk. Default: it works. */
  diskFault: (call: DiskCall) => DiskFault | undefined = () => undefined;
  /** Names of the hosts that replicas here dial first. Default: all others. */
  seeds: () => readonly string[];
  readonly #world: Simulation;
  readonly #random: SeededRandom;
  #process: SimProcess | undefined;
  #simDisk: SimDisk | undefined;

  /** Use `Simulation.host`. */
  constructor(name: string, world: Simulation) {
    this.name = name;
    this.#world = world;
    this.#random = new SeededRandom(world.seed, `host ${name}`);
    this.clock = new SimClock(() => world.nowMs);
    this.seeds = () => world.hosts.map((host) => host.name).filter((other) => other !== name);
  }

  /** The process that runs, if one does. */
  get process(): SimProcess | undefined {
    return this.#process;
  }

  /** Files that the process has open. */
  get openFiles(): number {
    return this.#simDisk?.openFiles ?? 0;
  }

  /** Starts a process, after ending the one that runs as `kill` does. Each opens one replica. */
  boot(): Ports {
    if (this.#process !== undefined) this.kill();
    const { scheduler, network } = this.#world;
    const owner = new SimProcess(this.name);
    const random = new SeededRandom(this.#random.uint32(), this.name);
    const timerLabel = `timer ${this.name}`;
    this.#process = owner;
    this.#simDisk = new SimDisk({
      scheduler,
      owner,
      memory: this.disk,
      random,
      latencyMs: () => random.fraction() * this.diskMs,
      fault: (call) => this.diskFault(call),
    });
    return {
      clock: this.clock,
      random,
      timers: { after: (delayMs, callback) => scheduler.after(delayMs, owner, timerLabel, callback) },
      disk: this.#simDisk,
      transport: network.transport(owner, () => this.seeds()),
    };
  }

  /** Ends the process at once. What it had written is still in the page cache; its peers hear that connections broke. */
  kill(): void {
    this.#end(false);
    this.disk.endProcess();
  }

  /**
   * The power goes: of what was not synced, `survives` says what is left (default: a coin for each sector and each name).
   * Peers hear nothing.
   */
  powerLoss(survives: Survives = () => this.#random.chance(0.5)): void {
    this.#end(true);
    this.disk.crash(survives);
  }

  /** The process stands still for so long, as under SIGSTOP or a long pause of a virtual machine. Its clock goes on. */
  pause(ms: Millis): void {
    if (this.#process !== undefined) this.#process.pausedUntilMs = this.#world.nowMs + ms;
  }

  /** Ends a pause. */
  resume(): void {
    if (this.#process === undefined) return;
    this.#process.pausedUntilMs = 0;
    this.#world.scheduler.resume(this.#process);
  }

  #end(silent: boolean): void {
    const ended = this.#process;
    if (ended === undefined) return;
    ended.alive = false;
    this.#simDisk?.tear();
    this.#process = undefined;
    this.#simDisk = undefined;
    this.#world.network.ended(ended, silent);
  }
}
