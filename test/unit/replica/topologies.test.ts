/** Replicas that reach only some of the others: lines, rings, stars, lollipops, meshes, whole and broken in the middle. */
import { afterEach, describe, expect, test } from "vitest";
import type { Replica } from "../../../src/index.ts";
import { type Edges, VirtualCluster } from "../../models/virtual-cluster.ts";

let cluster = new VirtualCluster();
afterEach(async () => {
  await cluster.close();
  cluster = new VirtualCluster();
});

const line = (count: number): Edges => Array.from({ length: count - 1 }, (_, n) => [n, n + 1] as const);
const mesh = (count: number): Edges =>
  Array.from({ length: count }, (_, a) => Array.from({ length: a }, (_, b) => [b, a] as const)).flat();

const SHAPES: readonly { name: string; count: number; edges: Edges; cut: Edges }[] = [
  { name: "a line", count: 5, edges: line(5), cut: [[2, 3]] },
  {
    name: "a ring",
    count: 6,
    edges: [...line(6), [5, 0]],
    cut: [
      [0, 1],
      [3, 4],
    ],
  },
  {
    name: "a star",
    count: 6,
    edges: [1, 2, 3, 4, 5].map((leaf) => [0, leaf] as const),
    cut: [
      [0, 1],
      [0, 2],
    ],
  },
  // A mesh of four with a tail of three.
  {
    name: "a lollipop",
    count: 7,
    edges: [...mesh(4), [3, 4], [4, 5], [5, 6]],
    cut: [
      [3, 4],
      [1, 2],
    ],
  },
  {
    name: "a mesh",
    count: 5,
    edges: mesh(5),
    cut: [
      [0, 1],
      [0, 2],
      [0, 3],
      [0, 4],
    ],
  },
];

describe.each(SHAPES)("$name", ({ count, edges, cut }) => {
  const name = (n: number): string => `r${n}`;

  test.each([0, 30])("converges while all write, links break and heal; a delay of %i ms", async (delayMs) => {
    const replicas = await cluster.openShape(count, edges);
    for (const [a, b] of edges) cluster.network.delay(name(a), name(b), delayMs);
    await cluster.until(() => replicas.every((replica) => replica.members().length === count), "all know all");
    const expected = new Map<string, string>();
    const write = async (round: number): Promise<void> => {
      for (const [n, replica] of replicas.entries()) {
        await replica.put(`own/${n}/${round % 3}`, `${n} ${round}`);
        expected.set(`own/${n}/${round % 3}`, `${n} ${round}`);
        if (round % 2 === 0) await replica.put(`shared/${round % 5}`, `${n} ${round}`);
        else await replica.delete(`shared/${round % 5}`);
      }
    };
    for (let round = 0; round < 30; round++) {
      await write(round);
      await cluster.time.run(35);
      if (round === 10) for (const [a, b] of cut) cluster.network.cut(name(a), name(b));
      if (round === 20) for (const [a, b] of cut) cluster.network.heal(name(a), name(b));
    }
    await cluster.converged(replicas);
    const [first] = replicas;
    for (const [key, value] of expected) expect(first!.get(key), key).toBe(value);
    expect(cluster.warnings).toEqual([]);
  });
});

describe("a line of five", () => {
  test.each([1, 20, 100])("a write reaches the far end in four one-way delays of %i ms", async (delayMs) => {
    const replicas = await cluster.openShape(5, line(5));
    for (let n = 0; n < 4; n++) cluster.network.delay(`r${n}`, `r${n + 1}`, delayMs);
    await cluster.until(() => replicas.every((replica) => replica.members().length === 5), "all know all");
    await cluster.time.run(5000);
    const [left, right] = [replicas[0]!, replicas[4]!];
    for (let round = 0; round < 20; round++) {
      const times = await Promise.all([arrival(right, left, `a${round}`), arrival(left, right, `b${round}`)]);
      // In virtual time to the point: no wait of ours is in it.
      for (const tookMs of times) expect(tookMs).toBe(4 * delayMs);
      // At another phase of the ticks each time.
      await cluster.time.run(37);
    }
  });

  /** Writes on one and lets time pass until it shows on the other. Returns how long that took. */
  async function arrival(at: Replica, from: Replica, key: string): Promise<number> {
    const startMs = cluster.time.now();
    let tookMs: number | undefined;
    const stop = at.on("change", (change) => {
      if (change.key === key) tookMs = cluster.time.now() - startMs;
    });
    await from.put(key, "x");
    await cluster.until(() => tookMs !== undefined, `${key} at the far end`);
    stop();
    return tookMs!;
  }
});

describe("a full mesh of five", () => {
  test.each([0, 5, 60])("delivers a write at most 1.1 x 4 times; a delay of %i ms", async (delayMs) => {
    const replicas = await cluster.openShape(5, mesh(5));
    for (const [a, b] of mesh(5)) cluster.network.delay(`r${a}`, `r${b}`, delayMs);
    await cluster.live(replicas);
    await cluster.time.run(2000);
    const before = delivered(replicas);
    const WRITES = 400;
    for (let n = 0; n < WRITES; n++) {
      await replicas[n % 5]!.put(`k${n % 40}`, n);
      if (n % 7 === 0) await cluster.time.run(11);
    }
    await cluster.converged(replicas);
    await cluster.time.run(2000);
    const perWrite = (delivered(replicas) - before) / WRITES;
    expect(perWrite).toBeLessThanOrEqual(1.1 * 4);
    expect(perWrite).toBeGreaterThanOrEqual(0.9 * 4);
  });

  function delivered(replicas: readonly Replica[]): number {
    return replicas.flatMap((replica) => replica.peers()).reduce((sum, { entriesIn }) => sum + entriesIn, 0);
  }
});
