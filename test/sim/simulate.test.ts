/** A short campaign of the simulator, and that it replays exactly and can object. The long ones: `npm run simulate`. */
import { describe, expect, test, vi } from "vitest";
import { runCampaign } from "../../scripts/simulate/campaign.ts";
import { drawPlan, FAULT_KINDS, type Plan } from "../../scripts/simulate/plan.ts";
import { runPlan } from "../../scripts/simulate/run.ts";
import { shrink } from "../../scripts/simulate/shrink.ts";
import { Trace } from "../../scripts/simulate/trace.ts";
import { MemoryDisk } from "../../src/storage/memory-disk.ts";

const SEEDS = Number(process.env.WAVEKV_SEEDS ?? 40);

test(`${SEEDS} seeds, and each kind of failure among them has left its mark`, async () => {
  const campaign = await runCampaign({ from: 1, seeds: SEEDS, workers: 0, failuresMax: 1 });
  expect(campaign.failures.map(({ seed, outcome }) => `seed ${seed}: ${outcome.failure?.message}`)).toEqual([]);
  expect(campaign.facts.counts.get("recovery: clean")).toBeGreaterThan(0);
  expect(campaign.facts.counts.get("recovery: new epoch")).toBeGreaterThan(0);
}, 120_000);

test("a seed gives the same history every time, and another seed another one", async () => {
  const hashes: string[] = [];
  for (const seed of [3, 7, 12, 3, 7, 12]) hashes.push((await runPlan(drawPlan(seed))).traceHash);
  expect(hashes.slice(3)).toEqual(hashes.slice(0, 3));
  expect(new Set(hashes).size).toBe(3);
});

test("looking at a run does not change it", async () => {
  const trace = new Trace();
  const traced = await runPlan(drawPlan(5), trace);
  expect(traced.traceHash).toBe((await runPlan(drawPlan(5))).traceHash);
  expect(trace.events.length).toBeGreaterThan(20);
});

test("plans are plain data, and draw from every kind of fault", () => {
  const plans = Array.from({ length: 300 }, (_, seed) => drawPlan(seed));
  expect(JSON.parse(JSON.stringify(plans[0]))).toEqual(plans[0]);
  const types = new Set(
    plans.flatMap(({ steps }) => steps.map((step) => (step.type === "frames" ? step.what : step.type))),
  );
  expect(FAULT_KINDS.filter((kind) => !types.has(kind as never))).toEqual([]);
});

describe("a disk that lies about syncs", () => {
  const host = {
    durability: "always",
    isMemoryOnly: false,
    joinAtMs: 0,
    clockOffsetMs: 0,
    diskMs: 1,
    knowsAll: true,
  } as const;
  const plan: Plan = {
    seed: 1,
    hosts: [
      { ...host, name: "a" },
      { ...host, name: "b" },
      { ...host, name: "c" },
    ],
    maxDriftMs: 60_000,
    conditions: { latencyMs: 1, jitterMs: 0, loss: 0, duplicate: 0, reorder: 0, damage: 0, cut: 0 },
    steps: [
      { atMs: 100, type: "put", host: 1, key: "other", bytes: 1 },
      { atMs: 200, type: "put", host: 0, key: "lost", bytes: 1 },
      { atMs: 300, type: "checkpoint", host: 2 },
      { atMs: 400, type: "power", host: 0, downMs: 10, again: 0 },
    ],
    faultsEndMs: 600,
  };

  test("is found out, and the plan is made as small as it can be", async () => {
    expect((await runPlan(plan)).failure).toBeUndefined();
    const { create } = MemoryDisk.prototype;
    vi.spyOn(MemoryDisk.prototype, "create").mockImplementation(async function (this: MemoryDisk, path) {
      return { ...(await create.call(this, path)), sync: async () => undefined };
    });
    try {
      const outcome = await runPlan(plan);
      expect(outcome.failure?.kind).toMatch(/lost write|durability/);
      const shrunk = await shrink(plan, outcome);
      expect(shrunk.plan.steps.map(({ type }) => type)).toContain("power");
      expect(shrunk.plan.steps.length).toBeLessThanOrEqual(2);
      expect(shrunk.plan.hosts).toHaveLength(2);
    } finally {
      vi.restoreAllMocks();
    }
  });
});
