/** Time, memory and the event loop of the process that measures. */
import { openSync, readSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as turn } from "node:timers/promises";
import { getHeapSpaceStatistics } from "node:v8";

/** Time on the processor of all threads of this process: what other processes do to it is left out. */
export function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** What Linux counts for a thread: nanoseconds on a processor come first. */
const threadStatistics = openThreadStatistics();
const statisticsText = Buffer.alloc(64);

function openThreadStatistics(): number | undefined {
  try {
    // The main thread has the number of the process.
    return openSync(`/proc/self/task/${process.pid}/schedstat`, "r");
  } catch {
    return undefined;
  }
}

/** As `processorMs`, of the main thread alone, which is what the event loop waits for. Elsewhere than on Linux, of all threads. */
export function mainThreadMs(): number {
  if (threadStatistics === undefined) return processorMs();
  const bytes = readSync(threadStatistics, statisticsText, 0, statisticsText.length, 0);
  return Number(statisticsText.toString("latin1", 0, bytes).split(" ")[0]) / 1e6;
}

/** How many a second, by processor time. */
export async function perSecond(count: number, work: () => void | Promise<void>): Promise<number> {
  const from = processorMs();
  await work();
  return count / (Math.max(processorMs() - from, 0.001) / 1000);
}

/** How many a second, by the clock. */
export async function perSecondOfClock(count: number, work: () => void | Promise<void>): Promise<number> {
  const from = performance.now();
  await work();
  return count / ((performance.now() - from) / 1000);
}

/**
 * After a full collection, without the young generation: it doubles, from 1 to 32 MiB here, when a collection finds much
 * alive in it, whoever was at work then, and stays so. It is empty now, and nothing of a store is in it.
 */
export function residentBytes(): number {
  for (let round = 0; round < 4; round += 1) collect();
  const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
  return process.memoryUsage().rss - (young?.physical_space_size ?? 0);
}

/** A full collection. @returns the processor time it took of the main thread, milliseconds: others help it meanwhile */
export function collect(): number {
  if (globalThis.gc === undefined) throw new Error("needs --expose-gc");
  const from = mainThreadMs();
  globalThis.gc();
  return mainThreadMs() - from;
}

export interface Turns {
  /** The longest turn as a timer sees it. */
  readonly clockMs: number;
  /** The same in processor time of the main thread: leaves out other processes, and threads that help. */
  readonly processorMs: number;
}

/** Watches the turns of the event loop until it is stopped, which resolves with the longest: processor time of the main thread. */
export function watchTurns(): () => Promise<number> {
  let longestMs = 0;
  let isOver = false;
  const watch = async (): Promise<number> => {
    for (let before = mainThreadMs(); !isOver; before = mainThreadMs()) {
      await turn();
      longestMs = Math.max(longestMs, mainThreadMs() - before);
    }
    return longestMs;
  };
  const watching = watch();
  return async () => {
    isOver = true;
    return await watching;
  };
}

/** The longest turn of the event loop while `work` is under way. */
export async function longestTurn(work: () => Promise<unknown>): Promise<Turns> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  for (let index = 0; index < 20; index += 1) await turn();
  delay.reset();
  const stop = watchTurns();
  await work();
  const longestMs = await stop();
  // The last turn counts as well.
  for (let index = 0; index < 20; index += 1) await turn();
  delay.disable();
  return { clockMs: delay.max / 1e6, processorMs: longestMs };
}
