/** Runs that have found a bug, made as small as they get, by what was wrong. */
import { expect, test } from "vitest";
import type { HostPlan, Plan, Step } from "../../scripts/simulate/plan.ts";
import { runPlan } from "../../scripts/simulate/run.ts";

const HOST = {
  durability: "always",
  isMemoryOnly: false,
  joinAtMs: 0,
  clockOffsetMs: 0,
  diskMs: 1,
  knowsAll: true,
} as const;

const CONDITIONS = { latencyMs: 1, jitterMs: 1, loss: 0, duplicate: 0, reorder: 0, damage: 0, cut: 0 };

function planOf(
  seed: number,
  hosts: readonly Partial<HostPlan>[],
  steps: readonly Step[],
  faultsEndMs: number,
  more: Partial<Plan> = {},
): Plan {
  return {
    seed,
    hosts: hosts.map((host, index) => ({ ...HOST, name: "abcde"[index] ?? "", ...host })),
    maxDriftMs: 60_000,
    conditions: CONDITIONS,
    steps,
    faultsEndMs,
    ...more,
  };
}

test("a wall clock that is set back between two ticks brings nothing back that a watcher has seen expired", async () => {
  // It opens after the expiry by its own clock, which is 28 s ahead, and is corrected before the first tick.
  const plan = planOf(
    21_289,
    [{ clockOffsetMs: 27_762 }, { clockOffsetMs: -9249, diskMs: 8 }],
    [
      { atMs: 40, type: "put", host: 0, key: "k4", bytes: 5, ttlMs: 5424 },
      { atMs: 1945, type: "reopen", host: 0, downMs: 4000 },
    ],
    6000,
  );
  expect((await runPlan(plan)).failure?.message).toBeUndefined();
});

test("an old backup that issues the stamps of lost writes again, for other batches, is in order", async () => {
  // The batch of the copy has two keys in common with one that was lost, and one not.
  const plan = planOf(
    10_859,
    [
      { diskMs: 0.1, clockOffsetMs: 498 },
      { diskMs: 0.1, clockOffsetMs: -905 },
    ],
    [
      { atMs: 344, type: "oldBackup", host: 1, downMs: 0 },
      { atMs: 347, type: "flippedWrite", host: 1 },
      { atMs: 697, type: "slow", from: 1, to: 0, bytesPerMs: 0.2, forMs: 20_000 },
      { atMs: 722, type: "rollback", host: 1, downMs: 200 },
      { atMs: 1014, type: "batch", host: 1, keys: ["k2", "k5", "b3"], deletes: [], bytes: 8 },
      { atMs: 1066, type: "oldBackup", host: 1, downMs: 0 },
      { atMs: 1255, type: "batch", host: 1, keys: ["k2", "k5", "b2"], deletes: [], bytes: 8 },
    ],
    1500,
    { maxDriftMs: 2000, conditions: { ...CONDITIONS, latencyMs: 20, jitterMs: 0 } },
  );
  expect((await runPlan(plan)).failure?.message).toBeUndefined();
});

test("an old backup that holds an older tombstone than the one collected elsewhere lacks nothing", async () => {
  // The copy covers the later delete, which is gone from everywhere: what it has instead keeps off more than nothing would.
  const plan = planOf(
    2667,
    [{ diskMs: 8 }, { diskMs: 0.1 }, { diskMs: 8 }],
    [
      { atMs: 8, type: "burst", host: 2, count: 22, everyMs: 10 },
      { atMs: 41_667, type: "batch", host: 1, keys: ["k2", "k11", "b4"], deletes: ["k2"], bytes: 8 },
      { atMs: 41_669, type: "oldBackup", host: 1, downMs: 5 },
      { atMs: 41_829, type: "burst", host: 0, count: 9, everyMs: 10 },
      { atMs: 83_343, type: "delete", host: 2, key: "k2" },
      { atMs: 208_341, type: "oldBackup", host: 1, downMs: 5 },
    ],
    250_000,
    { maxDriftMs: 2000, conditions: { ...CONDITIONS, jitterMs: 30 } },
  );
  expect((await runPlan(plan)).failure?.message).toBeUndefined();
});

test("a relay shows a peer whose disk was set back what it has lost, before it claims what that had beaten", async () => {
  // It brings a write of the peer that the peer has forgotten, and everything but that write would be claimed.
  const plan = planOf(
    8366,
    [{ durability: "os", isMemoryOnly: true, diskMs: 0.1 }, { durability: "os" }, {}],
    [
      { atMs: 1003, type: "reopen", host: 1, downMs: 4000 },
      { atMs: 1106, type: "rollback", host: 2, downMs: 5 },
      { atMs: 1860, type: "burst", host: 0, count: 13, everyMs: 10 },
      { atMs: 4181, type: "latency", ms: 500, jitterMs: 300, forMs: 20_000 },
      { atMs: 4913, type: "put", host: 2, key: "k3", bytes: 28_288 },
      { atMs: 5114, type: "rollback", host: 2, downMs: 5 },
    ],
    6000,
    { conditions: { ...CONDITIONS, latencyMs: 0.1, jitterMs: 0 } },
  );
  expect((await runPlan(plan)).failure?.message).toBeUndefined();
});

test("what a replica has written before it met anybody is kept, also where what would have beaten it is collected", async () => {
  // It writes and goes; the others, who have never heard of it, collect what has expired meanwhile.
  const plan = planOf(
    30_464,
    [{}, { diskMs: 8 }, { diskMs: 0.1 }],
    [
      { atMs: 7, type: "put", host: 2, key: "k1", bytes: 6 },
      { atMs: 10, type: "away", host: 2 },
      { atMs: 73_330, type: "put", host: 1, key: "k1", bytes: 5, ttlMs: 2260 },
    ],
    150_000,
    { maxDriftMs: 1000, conditions: { ...CONDITIONS, latencyMs: 0.1 } },
  );
  expect((await runPlan(plan)).failure?.message).toBeUndefined();
});
