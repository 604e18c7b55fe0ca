/** Several writers at once, each of which waits for its own write before the next. */
import { setImmediate as turn } from "node:timers/promises";
import { processorMs, watchTurns } from "../measure.ts";
import { percentile } from "../statistics.ts";
import type { Figure, Figures } from "../workload.ts";

/** One in so many is timed. */
const SAMPLE = 16;

export interface Written {
  readonly puts: number;
  readonly tookMs: number;
  /** Milliseconds, of a sample. */
  readonly latencies: readonly number[];
  /** The longest turn of the event loop, if it was watched. */
  readonly longestMs: number;
}

/**
 * Lets `writers` write for `ms` milliseconds.
 * @param put  resolves when the write is answered; told how many there were before
 * @param watch  watches the turns, from when all writers have begun: that they do in one, which is the caller's own
 */
export async function writeBy(
  writers: number,
  ms: number,
  put: (index: number) => unknown,
  watch?: () => () => Promise<number>,
): Promise<Written> {
  const latencies: number[] = [];
  let puts = 0;
  let isOver = false;
  const write = async (): Promise<void> => {
    while (!isOver) {
      const index = puts;
      puts += 1;
      const from = index % SAMPLE === 0 ? performance.now() : 0;
      await put(index);
      if (from !== 0) latencies.push(performance.now() - from);
    }
  };
  const from = performance.now();
  const timer = setTimeout(() => {
    isOver = true;
  }, ms);
  const writing = Promise.all(Array.from({ length: writers }, write));
  let stop: (() => Promise<number>) | undefined;
  if (watch !== undefined) {
    await turn();
    stop = watch();
  }
  await writing;
  clearTimeout(timer);
  const tookMs = performance.now() - from;
  return { puts, tookMs, latencies, longestMs: (await stop?.()) ?? 0 };
}

/** What `measureWriters` measures. */
export const WRITER_FIGURES: Readonly<Record<string, Figure>> = {
  put: { unit: "/s", better: "more" },
  "put, for each second of processor": { unit: "/s", better: "more" },
  p50: { unit: "ms", better: "less" },
  p99: { unit: "ms", better: "less" },
  "longest turn": { unit: "ms", better: "less" },
};

/** Lets them write, and once more for half as long with the turns watched, which takes time itself. */
export async function measureWriters(writers: number, ms: number, put: (index: number) => unknown): Promise<Figures> {
  const from = processorMs();
  const { puts, tookMs, latencies } = await writeBy(writers, ms, put);
  const processor = processorMs() - from;
  const { longestMs } = await writeBy(writers, ms / 2, put, watchTurns);
  return {
    put: puts / (tookMs / 1000),
    "put, for each second of processor": puts / (processor / 1000),
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    "longest turn": longestMs,
  };
}
