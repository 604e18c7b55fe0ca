/** Two replicas that know a secret and write to each other all the time, and how they fare while others try to get in. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { openReplica, type Replica } from "wavekv";
import { WebSocketTransport } from "wavekv/transports/websocket";

export const SECRET = "what the replicas know and nobody else";
export const CLUSTER_ID = "prod";
/** Small, so that the frame beyond it is cheap. */
export const MAX_FRAME_BYTES = 1024 * 1024;
/** Strangers come from other addresses than replicas where the system has some: limits are by address. */
export const STRANGERS =
  process.platform === "linux" ? [2, 3, 4, 5, 6, 7, 8, 9].map((last) => `127.0.0.${last}`) : ["127.0.0.1"];

const WRITE_MS = 10;
const SAMPLE_MS = 50;
const DEADLINE_MS = 60_000;
const MIB = 2 ** 20;

export interface Report {
  /** Written by the peer meanwhile, and how many of them the victim has, in the end all. */
  readonly writes: number;
  readonly arrived: number;
  readonly slowestArrivalMs: number;
  /** Of the process, which the attackers share. */
  readonly loopDelayMs: { readonly p99: number; readonly max: number };
  /** Above what it was at the start. */
  readonly memoryMiB: number;
}

export class Stage {
  readonly victim: Replica;
  readonly port: number;
  readonly address: string;
  readonly #peer: Replica;
  readonly #delay = monitorEventLoopDelay({ resolution: 5 });
  readonly #sentAtMs = new Map<number, number>();
  readonly #timers: NodeJS.Timeout[] = [];
  #writes = 0;
  #arrived = 0;
  #slowestArrivalMs = 0;
  readonly #memoryAtStart = memory();
  #memoryMost = 0;

  private constructor(victim: Replica, peer: Replica, port: number) {
    this.victim = victim;
    this.#peer = peer;
    this.port = port;
    this.address = `ws://127.0.0.1:${port}`;
  }

  static async open(): Promise<Stage> {
    const transport = transportFor([]);
    const victim = await openReplica({ nodeId: "victim", clusterId: CLUSTER_ID, transport, logger: quiet });
    const seed = transport.address ?? "";
    const peer = await openReplica({
      nodeId: "peer",
      clusterId: CLUSTER_ID,
      transport: transportFor([seed]),
      logger: quiet,
    });
    const stage = new Stage(victim, peer, Number(new URL(seed).port));
    await stage.until(() => peer.peers()[0]?.state === "live", "the replicas have met");
    stage.#begin();
    return stage;
  }

  /** How often the victim has refused somebody for one of these reasons. */
  refused(reasons: readonly string[]): number {
    const counts = this.victim.status().refused;
    return reasons.reduce((sum, reason) => sum + (counts[reason] ?? 0), 0);
  }

  /** A replica that belongs here gets in, and gets everything. */
  async welcomesNewcomer(): Promise<void> {
    const transport = transportFor([this.address]);
    const newcomer = await openReplica({ nodeId: "newcomer", clusterId: CLUSTER_ID, transport, logger: quiet });
    try {
      await this.until(() => newcomer.status().entries > 0, "a newcomer is let in");
    } finally {
      await newcomer.close();
    }
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + DEADLINE_MS;
    while (!condition()) {
      if (performance.now() > deadline) throw new Error(`not within ${DEADLINE_MS / 1000} s: ${what}`);
      await pause(5);
    }
  }

  /** Ends the writing, and waits until all of it has arrived. */
  async finish(): Promise<Report> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.until(
      () => this.#arrived === this.#writes,
      `all ${this.#writes} writes have arrived, not ${this.#arrived}`,
    );
    this.#delay.disable();
    return {
      writes: this.#writes,
      arrived: this.#arrived,
      slowestArrivalMs: Math.round(this.#slowestArrivalMs),
      loopDelayMs: { p99: Math.round(this.#delay.percentile(99) / 1e6), max: Math.round(this.#delay.max / 1e6) },
      memoryMiB: Math.round((this.#memoryMost - this.#memoryAtStart) / MIB),
    };
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all([this.victim.close(), this.#peer.close()]);
  }

  #begin(): void {
    this.victim.on("change", ({ key, ...change }) => {
      const sentAtMs = this.#sentAtMs.get(change.type === "put" ? Number(change.value) : -1);
      if (key !== "heartbeat" || sentAtMs === undefined) return;
      this.#arrived += 1;
      this.#slowestArrivalMs = Math.max(this.#slowestArrivalMs, performance.now() - sentAtMs);
    });
    const write = (): void => {
      this.#sentAtMs.set(this.#writes, performance.now());
      void this.#peer.put("heartbeat", this.#writes++);
    };
    const sample = (): void => {
      this.#memoryMost = Math.max(this.#memoryMost, memory());
    };
    this.#delay.enable();
    this.#timers.push(setInterval(write, WRITE_MS), setInterval(sample, SAMPLE_MS));
  }
}

/** A transport that has what the replicas have, but for what is given. */
export function transportFor(seeds: readonly string[], secret: string = SECRET): WebSocketTransport {
  return new WebSocketTransport({ listen: { port: 0 }, seeds, secret, maxFrameBytes: MAX_FRAME_BYTES });
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export const quiet = { debug: nothing, info: nothing, warn: nothing, error: nothing };

function nothing(): void {
  // What is said of strangers is looked at through status().
}

function memory(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
