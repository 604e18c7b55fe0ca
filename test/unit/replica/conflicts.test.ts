/** Conflicts are told where they are certain, and never where the winner's author had seen what it replaced. */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ConflictEvent, Replica } from "../../../src/index.ts";
import { VirtualCluster } from "../../models/virtual-cluster.ts";

let cluster = new VirtualCluster();
beforeEach(() => {
  cluster = new VirtualCluster();
});
afterEach(() => cluster.close());

/** "replica: winner over loser", as they are told. */
function listen(replicas: readonly Replica[]): string[] {
  const told: string[] = [];
  for (const replica of replicas) {
    replica.on("conflict", ({ key, winner, loser }) => {
      told.push(`${replica.nodeId}: ${key} ${String(winner.value)} over ${String(loser.value)}`);
    });
  }
  return told;
}

async function connected(delayMs = 0): Promise<[Replica, Replica]> {
  const [a, b] = (await cluster.openShape(2, [[0, 1]])) as [Replica, Replica];
  if (delayMs > 0) cluster.network.delay("r0", "r1", delayMs);
  await cluster.live();
  return [a, b];
}

async function pair(delayMs = 0): Promise<[Replica, Replica, string[]]> {
  const [a, b] = await connected(delayMs);
  return [a, b, listen([a, b])];
}

describe("two replicas", () => {
  test("that write in turns have no conflict", async () => {
    const [a, b, told] = await pair();
    for (let i = 0; i < 10; i += 1) {
      await (i % 2 === 0 ? a : b).put("k", i);
      await cluster.converged();
    }
    await a.delete("k");
    await cluster.converged();
    expect(told).toEqual([]);
  });

  test("that write at the same time: the author of the winner tells", async () => {
    const [a, b, told] = await pair(20);
    void a.put("k", "of a");
    void b.put("k", "of b");
    void a.put("other", 1);
    await cluster.converged();
    await cluster.time.run(1000);
    // Of equal stamps the higher nodeId wins.
    expect(told).toEqual(["r1: k of b over of a"]);
    expect(a.get("k")).toBe("of b");
  });

  test("that were cut off: every key that both have written, and no other; deletes too", async () => {
    const [a, b, told] = await pair();
    await a.put("deleted", "before");
    await cluster.converged();
    cluster.network.cut("r0", "r1");
    await cluster.until(() => a.status().peers.r1?.state === "down" && b.status().peers.r0?.state === "down", "down");
    await a.put("k", "of a");
    await a.put("only a", 1);
    await a.put("same", 1);
    await b.put("deleted", "of b");
    await cluster.time.run(10);
    await b.put("k", "of b, first");
    await b.put("k", "of b, last");
    await b.put("same", 1);
    await a.delete("deleted");
    cluster.network.heal();
    await cluster.converged();
    const conflicts = new Set(told.map((line) => line.slice("rN: ".length)));
    expect(conflicts).toEqual(new Set(["k of b, last over of a", "deleted undefined over of b"]));
    // Both authors may tell of it, each of them once.
    expect(new Set(told).size).toBe(told.length);
    // It is over.
    await a.put("k", "seen");
    await cluster.converged();
    expect(told.filter((line) => line.includes("seen"))).toEqual([]);
  });

  test("what is told has both versions in full", async () => {
    const [a, b] = await pair(20);
    const events: ConflictEvent[] = [];
    b.on("conflict", (event) => void events.push(event));
    void a.put("k", { x: 1 }, { ttlMs: 60_000 });
    void b.delete("k");
    void b.put("k", [2]);
    const { version } = a.entry("k")!;
    await cluster.converged();
    await cluster.time.run(1000);
    const { key, value, version: winner, stamp, nodeId } = b.entry("k")!;
    expect(events).toEqual([
      {
        key,
        winner: { value, version: winner, stamp, nodeId },
        loser: {
          value: { x: 1 },
          version,
          stamp: expect.any(Number) as number,
          nodeId: "r0",
          expiresAt: expect.any(Number) as number,
        },
      },
    ]);
    expect(a.get("k")).toEqual([2]);
  });
});

test("after a partition, through a relay: the author of the loser tells", async () => {
  const replicas = await cluster.openShape(3, [
    [0, 1],
    [1, 2],
  ]);
  const [a, , c] = replicas as [Replica, Replica, Replica];
  await cluster.live(replicas, 1);
  const told = listen(replicas);
  cluster.network.cut("r0", "r1");
  await cluster.until(() => a.status().peers.r1?.state === "down", "down");
  await a.put("k", "of a");
  await cluster.time.run(10);
  await c.put("k", "of c");
  await cluster.until(() => replicas[1]?.get("k") === "of c", "the relay has it");
  cluster.network.heal("r0", "r1");
  await cluster.converged(replicas);
  expect(told).toEqual(["r0: k of c over of a"]);
});

test("whoever begins to listen hears of what happens from then on", async () => {
  const [a, b] = await connected();
  cluster.network.cut("r0", "r1");
  await cluster.until(() => a.status().peers.r1?.state === "down" && b.status().peers.r0?.state === "down", "down");
  await a.put("k", "of a");
  await cluster.time.run(10);
  await b.put("k", "of b");
  await cluster.time.run(10);
  const told = listen([b]);
  await a.put("later", "of a");
  await cluster.time.run(10);
  await b.put("later", "of b");
  cluster.network.heal();
  await cluster.converged();
  expect(told).toEqual(["r1: later of b over of a"]);
});

/** What happens in a schedule: somebody writes, a link breaks or heals, time passes. */
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ type: fc.constant("write" as const), at: fc.nat(2), key: fc.nat(1), isDelete: fc.nat(5) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("cut" as const), at: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("heal" as const), at: fc.nat(2) }) },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant("pass" as const), ms: fc.constantFrom(0, 1, 5, 60, 400, 2000) }),
  },
);

test.each([["mesh"], ["line"]])(
  "in a %s, whatever happens: no winner's author had seen the loser",
  async (shape) => {
    const counts = { told: 0 };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), fc.nat(30), async (steps, delayMs) => {
        const local = new VirtualCluster();
        const edges = [[0, 1], [1, 2], ...(shape === "mesh" ? [[0, 2] as const] : [])] as const;
        const replicas = await local.openShape(3, edges);
        for (const [a, b] of edges) local.network.delay(`r${a}`, `r${b}`, delayMs);
        /** Versions that have come to each replica by now; and by the time when each version was written, to its author. */
        const seen = replicas.map(() => new Set<string>());
        const seenByAuthor = new Map<string, ReadonlySet<string>>();
        const wrong: string[] = [];
        for (const [index, replica] of replicas.entries()) {
          replica.on("change", ({ version }) => void seen[index]?.add(version));
          replica.on("conflict", ({ winner, loser }) => {
            counts.told += 1;
            if (seenByAuthor.get(winner.version)?.has(loser.version) !== false)
              wrong.push(`${winner.version} ${loser.version}`);
          });
        }
        let value = 0;
        const write = async (at: number, key: string, isDelete: boolean): Promise<void> => {
          const replica = replicas[at]!;
          const before = new Set(seen[at]);
          const present = replica.entry(key)?.version;
          if (present !== undefined) before.add(present);
          let version: string | undefined;
          const stop = replica.on("change", (change) => {
            if (change.local && change.key === key) version = change.version;
          });
          await (isDelete ? replica.delete(key) : replica.put(key, ++value));
          stop();
          if (version !== undefined) seenByAuthor.set(version, before);
        };
        for (const one of steps) {
          const [a, b] = edges["at" in one ? one.at % edges.length : 0]!;
          if (one.type === "write") await write(one.at, `k${one.key}`, one.isDelete === 0);
          else if (one.type === "cut") local.network.cut(`r${a}`, `r${b}`);
          else if (one.type === "heal") local.network.heal(`r${a}`, `r${b}`);
          else await local.time.run(one.ms);
        }
        for (const [a, b] of edges) local.network.heal(`r${a}`, `r${b}`);
        await local.converged(replicas, 10 * 60_000);
        await local.close();
        expect(wrong).toEqual([]);
      }),
      { numRuns: Number(process.env.WAVEKV_RUNS ?? 40) },
    );
    // Otherwise this has shown nothing.
    expect(counts.told).toBeGreaterThan(10);
  },
  60_000,
);
