/** Several writers at once, each of which waits for its own write before the next. */
import { setImmediate as turn } from "node:timers/promises";

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
