/** The ports for time. Everything that asks for the time or waits for it asks one of these. */
import type { Millis } from "./types.ts";

/** The wall clock, milliseconds since 1970. May jump. */
export interface WallClock {
  now(): Millis;
}

/** Calls back later. */
export interface Timers {
  /**
   * Calls `callback` once, not before `delayMs` have passed, and never within this call.
   * @param keepsAlive  whether the process does not end before that. Default: false
   * @returns cancels the call; does nothing afterwards or twice
   */
  after(delayMs: number, callback: () => void, keepsAlive?: boolean): () => void;
}

export const systemClock: WallClock = { now: () => Date.now() };

export const systemTimers: Timers = {
  after(delayMs, callback, keepsAlive = false) {
    if (delayMs === 0) {
      // A timer would wait for a millisecond.
      const immediate = setImmediate(callback);
      if (!keepsAlive) immediate.unref();
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(callback, delayMs);
    if (!keepsAlive) timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Milliseconds since some moment, with fractions. Never jumps: for durations. */
export function systemStopwatch(): number {
  return performance.now();
}

/** Resolves in the next turn of the event loop, once others have had theirs. Keeps the process alive until then. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
