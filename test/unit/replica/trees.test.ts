/** Meshes with many ways from one replica to another: a write comes once all the same, and no broken way loses any. */
import { afterEach, describe, expect, test } from "vitest";
import { openReplica, type Replica } from "../../../src/index.ts";
import { Simulation } from "../../../src/testing/simulation.ts";
import { type Edges, VirtualCluster } from "../../models/virtual-cluster.ts";
import { silent } from "./stage.ts";

let cluster = new VirtualCluster();
afterEach(async () => {
  await cluster.close();
  cluster = new VirtualCluster();
});

const sum = (replicas: readonly Replica[], of: (replica: Replica) => number): number =>
  replicas.reduce((total, replica) => total + of(replica), 0);
const arrivals = (replicas: readonly Replica[]): number => sum(replicas, (r) => r.metrics().traffic.entriesReceived);

/** r0, r1, ...: each is connected to `reach` others on either side, in a circle. */
function circle(count: number, reach: number): Edges {
  return Array.from({ length: count }, (_, a) =>
    Array.from({ length: reach }, (_, step) => [a, (a + step + 1) % count] as const),
  ).flat();
}

describe("a partial mesh of 20, eight connections each, in which five write", () => {
  const COUNT = 20;
  const WRITERS = [0, 4, 8, 12, 16];

  test.each([
    ["one after the other", 25, 10],
    ["all at once, as fast as they can", 0, 30],
  ])("a write arrives at most 1.2 times for each replica: %s", async (_, pauseMs, rounds) => {
    const edges = circle(COUNT, 4);
    const replicas = await cluster.openShape(COUNT, edges);
    // So different that no two ways take the same time.
    const delayMs = (n: number): number => 2 + ((n * 7) % 13) / 10;
    for (const [n, [a, b]] of edges.entries()) cluster.network.delay(`r${a}`, `r${b}`, delayMs(n));
    await cluster.until(() => replicas.every((replica) => replica.members().length === COUNT), "all know all");
    const write = async (round: number): Promise<void> => {
      for (const [n, at] of WRITERS.entries()) {
        const written = replicas[at]!.put(`${n}/${round % 7}`, `${round} ${"x".repeat(50)}`);
        if (pauseMs > 0) await cluster.time.run(pauseMs);
        await written;
      }
      if (pauseMs === 0) await cluster.time.run(3);
    };
    for (let round = 0; round < 4; round++) await write(round);
    await cluster.converged(replicas);
    const before = arrivals(replicas);
    const lateMs = pauseMs > 0 ? watchLateness(replicas, distances(COUNT, edges, delayMs)) : undefined;
    for (let round = 0; round < rounds; round++) await write(round);
    await cluster.converged(replicas);
    await cluster.time.run(1000);
    const perWrite = (arrivals(replicas) - before) / (rounds * WRITERS.length * COUNT);
    expect(perWrite).toBeLessThanOrEqual(1.2);
    expect(perWrite).toBeGreaterThanOrEqual((0.99 * (COUNT - 1)) / COUNT);
    // And it takes the quickest way, to the point: nothing waits.
    if (lateMs !== undefined) {
      expect(lateMs).toHaveLength(rounds * WRITERS.length * COUNT);
      expect(Math.max(...lateMs)).toBeLessThan(0.01);
    }
    const rejects = replicas.flatMap((replica) => replica.peers().map((peer) => peer.rejects));
    expect(rejects.filter((counts) => Object.keys(counts).length > 0)).toEqual([]);
    expect(cluster.warnings).toEqual([]);
  });
});

/** Between any two, by the quickest way, milliseconds (Floyd and Warshall). */
function distances(count: number, edges: Edges, delayMs: (edge: number) => number): readonly (readonly number[])[] {
  const from = Array.from({ length: count }, (_, a) =>
    Array.from({ length: count }, (_, b) => (a === b ? 0 : Number.POSITIVE_INFINITY)),
  );
  for (const [n, [a, b]] of edges.entries()) from[a]![b] = from[b]![a] = delayMs(n);
  for (let by = 0; by < count; by++) {
    for (const row of from) for (let b = 0; b < count; b++) row[b] = Math.min(row[b]!, row[by]! + from[by]![b]!);
  }
  return from;
}

/** Of each write from now on, and each replica: how much later than by the quickest way it has come, milliseconds. */
function watchLateness(replicas: readonly Replica[], quickest: readonly (readonly number[])[]): number[] {
  const lateMs: number[] = [];
  const names = replicas.map(({ nodeId }) => nodeId);
  const writtenMs = new Map<string, number>();
  for (const replica of replicas) {
    replica.on("change", ({ nodeId, local, version }) => {
      if (local) writtenMs.set(version, cluster.time.now());
      const [to, from] = [names.indexOf(replica.nodeId), names.indexOf(nodeId)];
      lateMs.push(cluster.time.now() - writtenMs.get(version)! - quickest[to]![from]!);
    });
  }
  return lateMs;
}

/**
 * "author" reaches "near" and "far", and these "reader": near is the quicker one, so that far is pruned. What befalls near
 * costs the reader the wait of 300 ms at most, a tick on either side, and the way.
 */
describe("a ring of four, of which one supplies another", () => {
  const WAIT_MS = 300 + 2 * 50;
  const HOP_MS = 2;

  async function open(): Promise<{ world: Simulation; of: (name: string) => Replica }> {
    const world = new Simulation({ seed: 7 });
    const replicas = new Map<string, Replica>();
    world.network.partition(["author"], ["reader"]);
    world.network.partition(["near"], ["far"]);
    for (const name of ["author", "near", "far", "reader"]) {
      const { disk: _, ...ports } = world.host(name).boot();
      replicas.set(name, await world.run(() => openReplica({ nodeId: name, logger: silent, ...ports })));
    }
    await world.until(() => [...replicas.values()].every((replica) => replica.members().length === 4), 60_000);
    // A frame of some 100 bytes takes far 5 ms longer.
    world.network.slow("far", "reader", 20);
    await world.advance(1000);
    return { world, of: (name) => replicas.get(name)! };
  }

  const held = ({ traffic }: ReturnType<Replica["metrics"]>): number => traffic.entriesReceived;

  /** Writes, and waits until the reader has it. @returns after how long, milliseconds */
  async function arrival(world: Simulation, author: Replica, reader: Replica, key: string): Promise<number> {
    const startMs = world.nowMs;
    let tookMs: number | undefined;
    const stop = reader.on("change", (change) => {
      if (change.key === key) tookMs ??= world.nowMs - startMs;
    });
    void author.put(key, "x");
    await world.until(() => tookMs !== undefined, 60_000);
    stop();
    return tookMs!;
  }

  async function warm(world: Simulation, of: (name: string) => Replica): Promise<void> {
    for (let n = 0; n < 6; n++) {
      expect(await arrival(world, of("author"), of("reader"), `warm ${n}`)).toBeLessThanOrEqual(2 * HOP_MS + 20);
      await world.advance(200);
    }
    const before = held(of("reader").metrics());
    for (let n = 0; n < 10; n++) {
      await arrival(world, of("author"), of("reader"), `tree ${n}`);
      await world.advance(97);
    }
    await world.advance(1000);
    expect(held(of("reader").metrics()) - before).toBe(10);
  }

  test.each([
    // The end of a session is heard: no wait.
    ["is killed", (world: Simulation) => world.host("near").kill(), 2 * HOP_MS + 20],
    [
      "is cut off, and the reader hears of it",
      (world: Simulation) => world.network.reset("near", "reader"),
      2 * HOP_MS + 20,
    ],
    ["is stopped for a while", (world: Simulation) => world.host("near").pause(8000), WAIT_MS],
    ["is not heard any more", (world: Simulation) => world.network.block("near", "reader"), WAIT_MS],
    ["hears nothing any more", (world: Simulation) => world.network.block("author", "near"), WAIT_MS],
    ["has become slow", (world: Simulation) => world.network.slow("near", "reader", 0.05), WAIT_MS],
  ])("a supplier that %s: nothing is lost, and what comes next is late once at most", async (_, befall, atMostMs) => {
    const { world, of } = await open();
    await warm(world, of);
    befall(world);
    await world.advance(20);
    const tookMs = [];
    for (let n = 0; n < 8; n++) {
      tookMs.push(await arrival(world, of("author"), of("reader"), `then ${n}`));
      await world.advance(41);
    }
    expect(tookMs[0]).toBeLessThanOrEqual(atMostMs);
    for (const laterMs of tookMs.slice(1)) expect(laterMs).toBeLessThanOrEqual(2 * HOP_MS + 20);
    world.network.heal();
    world.network.partition(["author"], ["reader"]);
    await world.advance(60_000);
    for (let n = 0; n < 8; n++) expect(of("reader").has(`then ${n}`)).toBe(true);
  });
});
