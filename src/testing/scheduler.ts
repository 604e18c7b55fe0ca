/**
 * The one loop of a simulation. Whatever a simulated process waits for (a disk call, a frame, a timer) is an
 * event with a moment; the loop releases one event after the other, and lets all promises settle in between.
 * Promises settle in an order that the language fixes, so one seed gives one history, bit by bit.
 */
import type { Millis } from "../types.ts";

/** Whose events they are: they wait while it is paused and never come once it has ended. */
export interface Owner {
  readonly name: string;
  readonly alive: boolean;
  /** It does nothing before that moment. */
  readonly pausedUntilMs: Millis;
}

interface Event {
  readonly owner: Owner | undefined;
  readonly label: string;
  readonly run: () => void;
  /** Of two events of one moment the older goes first. */
  readonly order: number;
  dueMs: Millis;
  cancelled: boolean;
}

/** After so many events the real event loop gets a turn, so that a simulation without an end can be stopped. */
const EVENTS_PER_TURN = 4096;
const settled = Promise.resolve();

export class Scheduler {
  /** Virtual time, milliseconds since the simulation began. */
  nowMs: Millis = 0;
  /** Events released so far. */
  released = 0;
  /** Called when an event has been released and all promises have settled. What it throws ends the run. */
  afterEvent: (owner: Owner | undefined) => void = () => undefined;
  /** Called before each event. */
  onEvent: ((owner: Owner | undefined, label: string) => void) | undefined;
  readonly #heap: Event[] = [];
  readonly #held = new Map<Owner, Event[]>();
  readonly #labels = new Map<string, number>();
  #order = 0;
  #hashLow = 0x811c9dc5;
  #hashHigh = 0x9e3779b9;
  #sinceTurn = 0;
  #isRunning = false;

  /** Sixteen hex digits over all events so far, with their moments, and all notes. */
  get traceHash(): string {
    return (this.#hashHigh >>> 0).toString(16).padStart(8, "0") + (this.#hashLow >>> 0).toString(16).padStart(8, "0");
  }

  /** Events that wait for an owner and whose label begins like this. */
  pending(owner: Owner, label = ""): number {
    return this.#heap.filter((event) => !event.cancelled && event.owner === owner && event.label.startsWith(label))
      .length;
  }

  /** Runs `run` when `delayMs` have passed. @returns cancels it */
  after(delayMs: Millis, owner: Owner | undefined, label: string, run: () => void): () => void {
    const event: Event = {
      owner,
      label,
      run,
      order: this.#order++,
      dueMs: this.nowMs + Math.max(0, delayMs),
      cancelled: false,
    };
    this.#push(event);
    return () => {
      event.cancelled = true;
    };
  }

  /** What was set aside while the owner was paused comes now, in order. Called by itself at the end of a pause. */
  resume(owner: Owner): void {
    const held = this.#held.get(owner) ?? [];
    this.#held.delete(owner);
    for (const event of held) {
      event.dueMs = this.nowMs;
      this.#push(event);
    }
  }

  /** Makes a number part of the trace hash. */
  note(value: number): void {
    this.#hashLow = Math.imul(this.#hashLow ^ (value | 0), 0x01000193);
    this.#hashHigh = (Math.imul(this.#hashHigh ^ this.#hashLow, 0x85ebca6b) + (this.#hashLow >>> 13)) | 0;
  }

  /**
   * Releases events until `isDone`, which is asked between events, or until `deadlineMs` of virtual time or the last
   * event has passed. One run at a time.
   *
   * @returns whether `isDone` @throws what an event or `afterEvent` throws
   */
  async run(isDone: () => boolean, deadlineMs: Millis): Promise<boolean> {
    if (this.#isRunning) throw new Error("time passes already: await one call before the next, or join them in one");
    this.#isRunning = true;
    try {
      return await this.#loop(isDone, deadlineMs);
    } finally {
      this.#isRunning = false;
    }
  }

  #loop(isDone: () => boolean, deadlineMs: Millis): Promise<boolean> {
    return new Promise((resolve, reject) => {
      let owner: Owner | undefined;
      let hasRun = false;
      const turn = (): void => {
        try {
          if (hasRun) this.afterEvent(owner);
          if (isDone()) return resolve(true);
          const event = this.#next(deadlineMs);
          if (event === undefined) {
            this.nowMs = Math.max(this.nowMs, Number.isFinite(deadlineMs) ? deadlineMs : this.nowMs);
            return resolve(false);
          }
          owner = event.owner;
          hasRun = true;
          this.#release(event);
        } catch (error) {
          return reject(error instanceof Error ? error : new Error(String(error)));
        }
        this.#sinceTurn += 1;
        if (this.#sinceTurn % EVENTS_PER_TURN === 0) setImmediate(turn);
        else settle(turn);
      };
      settle(turn);
    });
  }

  #release(event: Event): void {
    this.nowMs = event.dueMs;
    this.released += 1;
    let label = this.#labels.get(event.label);
    if (label === undefined) {
      label = this.#labels.size;
      this.#labels.set(event.label, label);
    }
    this.note(label);
    this.note(Math.round(event.dueMs * 1000));
    this.onEvent?.(event.owner, event.label);
    event.run();
  }

  /** The next event that may be released, taken out; `undefined` if there is none up to `deadlineMs`. */
  #next(deadlineMs: Millis): Event | undefined {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (first.cancelled || first.owner?.alive === false) {
        this.#pop();
        continue;
      }
      if (first.dueMs > deadlineMs) return undefined;
      this.#pop();
      const { owner } = first;
      if (owner === undefined || owner.pausedUntilMs <= first.dueMs) return first;
      this.#hold(owner, first);
    }
    return undefined;
  }

  /** Sets an event of a paused owner aside until it goes on. */
  #hold(owner: Owner, event: Event): void {
    const held = this.#held.get(owner);
    if (held !== undefined) {
      held.push(event);
      return;
    }
    this.#held.set(owner, [event]);
    this.after(owner.pausedUntilMs - this.nowMs, undefined, "resume", () => this.resume(owner));
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      if (left === undefined) break;
      const isLeft = right === undefined || isBefore(left, right);
      const child = isLeft ? left : right;
      if (!isBefore(child, last)) break;
      heap[at] = child;
      at = 2 * at + (isLeft ? 1 : 2);
    }
    heap[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.dueMs !== b.dueMs ? a.dueMs < b.dueMs : a.order < b.order;
}

/**
 * Calls back when all promise reactions have run, however many follow from each other. Node.js empties the queue of
 * reactions before it takes the next tick, so a tick asked for by a reaction comes behind all of them, and costs a
 * fraction of an immediate.
 */
function settle(callback: () => void): void {
  void settled.then(() => process.nextTick(callback));
}
