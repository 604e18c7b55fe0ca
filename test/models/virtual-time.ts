/** Time that passes when a test says so: the double of both ports in src/clock.ts. */
import type { Timers, WallClock } from "../../src/clock.ts";
import { Heap } from "../../src/core/heap.ts";

interface Timer {
  dueMs: number;
  /** Of two that are due at one moment the older goes first. */
  readonly order: number;
  /** Forgotten once it was called or cancelled. */
  callback: (() => void) | undefined;
}

export class VirtualTime implements Timers, WallClock {
  /** Cancelled ones stay until they would be due. */
  readonly #timers = new Heap<Timer>((a, b) => a.dueMs - b.dueMs || a.order - b.order);
  #pending = 0;
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
    return this.#pending;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, callback };
    this.#timers.push(timer);
    this.#pending += 1;
    return () => void this.#take(timer);
  }

  /** Lets `ms` milliseconds pass, and calls what falls due meanwhile, in order, each at its own moment. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    while (this.#callNext(untilMs));
    this.#nowMs = untilMs;
  }

  /** Calls what was to be called in the next turn of the event loop, and not what comes in the one after it. */
  oneTurn(): void {
    const next = this.#order;
    for (let first = this.#timers.peek(); first !== undefined && first.order < next; first = this.#timers.peek()) {
      if (!this.#callNext(this.#nowMs)) return;
    }
  }

  /** As `advance`, and lets promises settle before the first and after every call: for code that awaits. */
  async run(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    do await settle();
    while (this.#callNext(untilMs));
    this.#nowMs = untilMs;
  }

  /** The clock shows a later time, while nothing falls due any sooner or more often: all were away. */
  leap(ms: number): void {
    this.#nowMs += ms;
    const timers: Timer[] = [];
    for (let next = this.#timers.pop(); next !== undefined; next = this.#timers.pop()) timers.push(next);
    for (const timer of timers) {
      timer.dueMs += ms;
      this.#timers.push(timer);
    }
  }

  #callNext(untilMs: number): boolean {
    for (let next = this.#timers.peek(); next !== undefined && next.dueMs <= untilMs; next = this.#timers.peek()) {
      this.#timers.pop();
      const callback = this.#take(next);
      if (callback === undefined) continue;
      this.#nowMs = next.dueMs;
      callback();
      return true;
    }
    return false;
  }

  #take(timer: Timer): (() => void) | undefined {
    const { callback } = timer;
    if (callback !== undefined) this.#pending -= 1;
    timer.callback = undefined;
    return callback;
  }
}

/** All promise reactions have run by the time an immediate does. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
