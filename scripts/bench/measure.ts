/** Time, memory and the event loop of the process that measures. */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as turn } from "node:timers/promises";

/** Time on the processor of all threads of this process: what other processes do to it is left out. */
export function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
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

/** After a full collection. */
export function residentBytes(): number {
  for (let round = 0; round < 4; round += 1) collect();
  return process.memoryUsage().rss;
}

/** A full collection. @returns the processor time it took, milliseconds, of all threads */
export function collect(): number {
  if (globalThis.gc === undefined) throw new Error("needs --expose-gc");
  const from = processorMs();
  globalThis.gc();
  return processorMs() - from;
}

export interface Turns {
  /** The longest turn as a timer sees it. */
  readonly clockMs: number;
  /** The same in processor time of the process: leaves out other processes, and counts our own other threads. */
  readonly processorMs: number;
}

/** The longest turn of the event loop while `work` is under way. */
export async function longestTurn(work: () => Promise<unknown>): Promise<Turns> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  for (let index = 0; index < 20; index += 1) await turn();
  delay.reset();
  let longestMs = 0;
  let isOver = false;
  const watch = async (): Promise<void> => {
    for (let before = processorMs(); !isOver; before = processorMs()) {
      await turn();
      longestMs = Math.max(longestMs, processorMs() - before);
    }
  };
  const watching = watch();
  await work();
  isOver = true;
  await watching;
  // The last turn counts as well.
  for (let index = 0; index < 20; index += 1) await turn();
  delay.disable();
  return { clockMs: delay.max / 1e6, processorMs: longestMs };
}
