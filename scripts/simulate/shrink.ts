/** Makes a failing plan smaller: fewer steps, fewer hosts, as long as it fails with the same kind of failure. */
import type { Plan, Step } from "./plan.ts";
import { type Outcome, runPlan } from "./run.ts";

export interface Shrunk {
  readonly plan: Plan;
  readonly outcome: Outcome;
  /** How many plans were run. */
  readonly runs: number;
}

/** @param runsMax  no more plans than this are tried */
export async function shrink(plan: Plan, outcome: Outcome, runsMax = 400): Promise<Shrunk> {
  let best: Shrunk = { plan, outcome, runs: 0 };
  let runs = 0;
  const tryPlan = async (candidate: Plan): Promise<boolean> => {
    if (runs >= runsMax) return false;
    runs += 1;
    const result = await runPlan(candidate);
    if (result.failure?.kind !== best.outcome.failure?.kind) return false;
    best = { plan: candidate, outcome: result, runs };
    return true;
  };
  for (let hasShrunk = true; hasShrunk && runs < runsMax; ) {
    hasShrunk = await dropSteps(() => best.plan, tryPlan);
    hasShrunk = (await dropHosts(() => best.plan, tryPlan)) || hasShrunk;
    hasShrunk = (await calm(() => best.plan, tryPlan)) || hasShrunk;
  }
  return { ...best, runs };
}

type Try = (plan: Plan) => Promise<boolean>;

/** Leaves out halves, quarters, and so on down to single steps. */
async function dropSteps(current: () => Plan, tryPlan: Try): Promise<boolean> {
  let hasShrunk = false;
  for (let size = Math.ceil(current().steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < current().steps.length; ) {
      const { steps } = current();
      const without = [...steps.slice(0, from), ...steps.slice(from + size)];
      if (await tryPlan({ ...current(), steps: without })) hasShrunk = true;
      else from += size;
    }
  }
  return hasShrunk;
}

/** Leaves out the last host, with all that it did. */
async function dropHosts(current: () => Plan, tryPlan: Try): Promise<boolean> {
  const { hosts, steps } = current();
  if (hosts.length <= 2) return false;
  const last = hosts.length - 1;
  const without = steps.filter((step) => !numbersOf(step).includes(last));
  return await tryPlan({ ...current(), hosts: hosts.slice(0, -1), steps: without });
}

/** Evens out what differs without need. */
async function calm(current: () => Plan, tryPlan: Try): Promise<boolean> {
  const plain = current().hosts.map((host) => ({ ...host, clockOffsetMs: 0, joinAtMs: 0, knowsAll: true }));
  if (JSON.stringify(plain) === JSON.stringify(current().hosts)) return false;
  return await tryPlan({ ...current(), hosts: plain });
}

function numbersOf(step: Step): unknown[] {
  const { atMs: _, ...rest } = step;
  return Object.entries(rest).flatMap(([name, value]): unknown[] => {
    if (["host", "other", "from", "to", "a", "b"].includes(name)) return [value];
    return name === "left" && Array.isArray(value) ? value : [];
  });
}
