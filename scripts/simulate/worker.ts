/** A thread of a campaign: runs the seeds that it is given, a few at a time, and reports. Started by campaign.ts. */
import { parentPort } from "node:worker_threads";
import { drawPlan } from "./plan.ts";
import { type Outcome, runPlan } from "./run.ts";

/** Seeds to run: from `from`, `count` of them. */
export interface Task {
  readonly from: number;
  readonly count: number;
}

export interface TaskReport {
  readonly seeds: number;
  readonly events: number;
  readonly virtualMs: number;
  readonly facts: readonly (readonly [string, number])[];
  readonly failures: readonly { readonly seed: number; readonly outcome: Outcome }[];
}

/** Runs seeds one after the other. */
export async function runTask({ from, count }: Task): Promise<TaskReport> {
  const facts = new Map<string, number>();
  const failures: { seed: number; outcome: Outcome }[] = [];
  let events = 0;
  let virtualMs = 0;
  for (let seed = from; seed < from + count; seed++) {
    const outcome = await runPlan(drawPlan(seed));
    events += outcome.events;
    virtualMs += outcome.virtualMs;
    for (const [name, times] of outcome.facts) facts.set(name, (facts.get(name) ?? 0) + times);
    if (outcome.failure !== undefined) failures.push({ seed, outcome });
  }
  return { seeds: count, events, virtualMs, facts: [...facts], failures };
}

parentPort?.on("message", (task: Task) => {
  void runTask(task).then((report) => parentPort?.postMessage(report));
});
