/** Time that passes when a test says so: the double of both ports in src/clock.ts. */
import type { Timers, WallClock } from "../../src/clock.ts";

interface Timer {
  readonly dueMs: number;
  /** Of two that are due at one moment the older goes first. */
  readonly order: number;
  readonly callback: () => void;
}

export class VirtualTime implements Timers, WallClock {
  readonly #timers = new Set<Timer>();
  #nowMs: number;
  #order = 0;

  /** @param startMs  what `now` says first. Default: 14 November 2023, so that the numbers look like real ones */
  constructor(startMs = 1_700_000_000_000) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  /** Timers that are waiting: 0 once everything has been stopped. */
  get pending(): number {
    return this.#timers.size;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Lets `ms` milliseconds pass, and calls what falls due meanwhile, in order, each at its own moment. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    while (this.#callNext(untilMs));
    this.#nowMs = untilMs;
  }

  /** As `advance`, and lets promises settle before the first and after every call: for code that awaits. */
  async run(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    do await settle();
    while (this.#callNext(untilMs));
    this.#nowMs = untilMs;
  }

  #callNext(untilMs: number): boolean {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (next === undefined || timer.dueMs < next.dueMs || (timer.dueMs === next.dueMs && timer.order < next.order)) {
        next = timer;
      }
    }
    if (next === undefined || next.dueMs > untilMs) return false;
    this.#timers.delete(next);
    this.#nowMs = next.dueMs;
    next.callback();
    return true;
  }
}

/** All promise reactions have run by the time an immediate does. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
