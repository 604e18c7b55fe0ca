/**
 * Whole replicas in virtual time: `openReplica` with everything that it brings, over the in-process network. Nothing
 * of it waits for a real clock, so that what takes how long is exact, and the same in every run.
 */
import { openReplica, type Replica } from "../../src/index.ts";
import type { Logger, ReplicaOptions } from "../../src/options.ts";
import type { Random } from "../../src/random.ts";
import type { Transport } from "../../src/transport.ts";
import { type InProcessNetwork, inProcessNetwork } from "../../transports/in-process.ts";
import { VirtualTime } from "./virtual-time.ts";

/** Which replicas reach each other, by their numbers. */
export type Edges = readonly (readonly [number, number])[];

export class VirtualCluster {
  readonly time = new VirtualTime();
  readonly network: InProcessNetwork = inProcessNetwork({ time: this.time });
  readonly replicas: Replica[] = [];
  /** What the replicas have logged as warnings and errors: "nodeId: message". */
  readonly warnings: string[] = [];
  #seeds = 0;

  /** A replica of the network, closed by `close`. `wrap` may change its transport. */
  async open(
    nodeId: string,
    options: ReplicaOptions = {},
    wrap = (transport: Transport): Transport => transport,
  ): Promise<Replica> {
    const { time } = this;
    const transport = wrap(this.network.transport());
    const ports = { clock: time, timers: time, random: seededRandom(++this.#seeds), logger: this.#loggerOf(nodeId) };
    const replica = await openReplica({ nodeId, transport, ...ports, ...options });
    this.replicas.push(replica);
    return replica;
  }

  /** Replicas r0, r1, ... of which only those reach each other that an edge joins. */
  async openShape(count: number, edges: Edges): Promise<readonly Replica[]> {
    const isJoined = (a: number, b: number): boolean =>
      edges.some(([x, y]) => (x === a && y === b) || (x === b && y === a));
    for (let a = 0; a < count; a++) {
      for (let b = a + 1; b < count; b++) if (!isJoined(a, b)) this.network.cut(`r${a}`, `r${b}`);
    }
    const opened: Replica[] = [];
    for (let n = 0; n < count; n++) opened.push(await this.open(`r${n}`));
    return opened;
  }

  /** Lets time pass until `condition` holds. @throws when that takes longer than `withinMs` */
  async until(condition: () => boolean, what: string, withinMs = 60_000, stepMs = 50): Promise<number> {
    const startMs = this.time.now();
    while (!condition()) {
      if (this.time.now() - startMs > withinMs) throw new Error(`not within ${withinMs} ms: ${what}`);
      await this.time.run(stepMs);
    }
    return this.time.now() - startMs;
  }

  /** All hold the same. @returns after how long, milliseconds */
  async converged(replicas: readonly Replica[] = this.replicas, withinMs = 60_000): Promise<number> {
    const dumps = (): string[] => replicas.map((replica) => JSON.stringify([...replica.entries()]));
    const tookMs = await this.until(
      () => new Set(replicas.map((replica) => replica.status().digest)).size === 1,
      "equal digests",
      withinMs,
    );
    if (new Set(dumps()).size > 1) throw new Error(`equal digests of different data: ${dumps().join(" ")}`);
    return tookMs;
  }

  /** Everybody is live with everybody whom it sees. */
  async live(replicas: readonly Replica[] = this.replicas, links = replicas.length - 1): Promise<void> {
    const isLive = (replica: Replica): boolean =>
      replica.peers().filter(({ state, lagEntries }) => state === "live" && lagEntries === 0).length >= links;
    await this.until(() => replicas.every(isLive), "all live");
  }

  async close(): Promise<void> {
    await Promise.all(this.replicas.splice(0).map((replica) => replica.close()));
  }

  #loggerOf(nodeId: string): Logger {
    const keep = (message: string): void => void this.warnings.push(`${nodeId}: ${message}`);
    return { debug: () => undefined, info: () => undefined, warn: keep, error: keep };
  }
}

/** Numbers that look random and are the same for the same seed (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const hex32 = (): string => next().toString(16).padStart(8, "0");
  return { hex64: () => hex32() + hex32(), fraction: () => next() / 2 ** 32 };
}
