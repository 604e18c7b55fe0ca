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

function planOf(seed: number, hosts: readonly Partial<HostPlan>[], steps: readonly Step[], faultsEndMs: number): Plan {
  return {
    seed,
    hosts: hosts.map((host, index) => ({ ...HOST, name: "abcde"[index] ?? "", ...host })),
    maxDriftMs: 60_000,
    conditions: { latencyMs: 1, jitterMs: 1, loss: 0, duplicate: 0, reorder: 0, damage: 0, cut: 0 },
    steps,
    faultsEndMs,
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
