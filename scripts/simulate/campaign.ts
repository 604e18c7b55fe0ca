/** Many seeds on several threads: hands them out, adds up what was reached, and stops at failures. */
import { Worker } from "node:worker_threads";
import { Facts } from "./facts.ts";
import type { Outcome } from "./run.ts";
import { runTask, type Task, type TaskReport } from "./worker.ts";

export interface CampaignOptions {
  readonly from: number;
  /** How many seeds; `undefined`: until `signal`. */
  readonly seeds: number | undefined;
  /** 0: in this thread. */
  readonly workers: number;
  /** It ends after so many failing seeds. */
  readonly failuresMax: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (campaign: Campaign) => void;
}

export interface Campaign {
  seeds: number;
  events: number;
  virtualMs: number;
  readonly facts: Facts;
  readonly failures: { readonly seed: number; readonly outcome: Outcome }[];
}

const SEEDS_PER_TASK = 20;

export async function runCampaign(options: CampaignOptions): Promise<Campaign> {
  const campaign: Campaign = { seeds: 0, events: 0, virtualMs: 0, facts: new Facts(), failures: [] };
  let next = options.from;
  const end = options.from + (options.seeds ?? Number.MAX_SAFE_INTEGER / 2);
  const take = (): Task | undefined => {
    if (next >= end || options.signal?.aborted === true || campaign.failures.length >= options.failuresMax)
      return undefined;
    const task = { from: next, count: Math.min(SEEDS_PER_TASK, end - next) };
    next += task.count;
    return task;
  };
  const add = (report: TaskReport): void => {
    campaign.seeds += report.seeds;
    campaign.events += report.events;
    campaign.virtualMs += report.virtualMs;
    campaign.facts.merge(report.facts);
    campaign.failures.push(...report.failures);
    options.onProgress?.(campaign);
  };
  if (options.workers === 0) {
    for (let task = take(); task !== undefined; task = take()) add(await runTask(task));
  } else {
    await Promise.all(Array.from({ length: options.workers }, () => work(take, add)));
  }
  campaign.failures.sort((a, b) => a.seed - b.seed);
  return campaign;
}

/** One thread, until there is nothing left to take. */
async function work(take: () => Task | undefined, add: (report: TaskReport) => void): Promise<void> {
  const worker = new Worker(new URL("worker.js", import.meta.url));
  try {
    await new Promise<void>((resolve, reject) => {
      const give = (): void => {
        const task = take();
        if (task === undefined) resolve();
        else worker.postMessage(task);
      };
      worker.on("error", reject);
      worker.on("exit", () => reject(new Error("a thread of the campaign has ended by itself")));
      worker.on("message", (report: TaskReport) => {
        add(report);
        give();
      });
      give();
    });
  } finally {
    worker.removeAllListeners("exit");
    await worker.terminate();
  }
}
