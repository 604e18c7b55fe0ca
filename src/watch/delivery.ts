/**
 * The consumer's side of a watch: an async iterator, written out. An event that waits is handed out at once, and one that
 * is waited for resolves the very promise that the consumer holds; an async generator would put a few promises and turns
 * of the microtask queue between, for each event.
 *
 * Who takes one event after the other that is there takes no turn of the event loop: of a million, nothing else in the
 * process would happen for seconds. So after some hundreds the next one comes in the next turn.
 */
import { rejection } from "../arguments.ts";
import type { Timers } from "../clock.ts";
import { WATCH_EVENTS_A_TURN } from "../limits.ts";

/** What a watch has to say. */
export interface EventQueue<Event> {
  /** The next event; `undefined` if there is none yet, or none any more. */
  take(): Event | undefined;
  /** Nobody will take anything any more. May be called twice. */
  discard(): void;
}

export interface DeliveryOptions {
  readonly timers: Timers;
  /** The watch ends when it aborts, with its reason. */
  readonly signal: AbortSignal | undefined;
  /** Called when nothing new is wanted any more. May be called twice. */
  readonly release: () => void;
}

type Result<Event> = IteratorResult<Event, undefined>;
type Tell<Event> = (answer: Result<Event> | Promise<never>) => void;

export class Delivery<Event extends object> {
  readonly #queue: EventQueue<Event>;
  readonly #options: DeliveryOptions;
  /** Whom to answer first, since it has asked for more than there is; and those who asked while it waited, mostly nobody. */
  #asking: Tell<Event> | undefined;
  readonly #behind: Tell<Event>[] = [];
  /** What follows the events that are left. */
  #end: { readonly thrown: unknown } | "quiet" | undefined;
  /** The consumer has left, or knows of the end. */
  #isOver = false;
  /** How many were handed out since the consumer had to wait. */
  #atOnce = 0;
  /** Until the next turn nothing is handed out. */
  #isPausing = false;
  readonly #onAbort = (): void => this.abort(this.#options.signal?.reason);

  constructor(queue: EventQueue<Event>, options: DeliveryOptions) {
    this.#queue = queue;
    this.#options = options;
  }

  /** Listens to the signal; one that has aborted already ends the watch now. */
  listen(): void {
    const { signal } = this.#options;
    if (signal?.aborted === true) this.#onAbort();
    else signal?.addEventListener("abort", this.#onAbort);
  }

  /** Whether the consumer waits: it has taken all there was. */
  get isAwaited(): boolean {
    return this.#asking !== undefined && !this.#isPausing;
  }

  /** There may be more to take. */
  wake(): void {
    if (this.#isPausing) return;
    for (let tell = this.#asking; tell !== undefined; tell = this.#asking) {
      if (this.#mustPause()) return;
      const answer = this.#answer();
      if (answer === undefined) return;
      this.#atOnce += 1;
      this.#asking = this.#behind.shift();
      tell(answer);
    }
  }

  /** No more is coming; what is here is still delivered. */
  end(error?: Error): void {
    this.#end ??= error === undefined ? "quiet" : { thrown: error };
    this.#release();
    this.wake();
  }

  /** Nothing is delivered any more but this error. */
  abort(reason: unknown): void {
    this.#end = { thrown: reason };
    this.#letGo();
    this.#goOn();
  }

  /** The watch as users hold it. */
  iteration(): AsyncIterableIterator<Event> {
    return {
      next: () => this.#ask(),
      return: async (value?: unknown) => {
        this.#leave();
        return { done: true, value: (await value) as undefined };
      },
      throw: async (error: unknown) => {
        this.#leave();
        throw error;
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  #ask(): Promise<Result<Event>> {
    if (this.#asking === undefined && !this.#mustPause()) {
      const answer = this.#answer();
      this.#atOnce = answer === undefined ? 0 : this.#atOnce + 1;
      if (answer !== undefined) return Promise.resolve(answer);
    }
    return new Promise((resolve) => {
      if (this.#asking === undefined) this.#asking = resolve;
      else this.#behind.push(resolve);
    });
  }

  /** After too many for one turn, goes on in the next one. */
  #mustPause(): boolean {
    if (this.#atOnce < WATCH_EVENTS_A_TURN) return false;
    this.#isPausing = true;
    // A loop that has more to take keeps the process alive.
    this.#options.timers.after(0, () => this.#goOn(), true);
    return true;
  }

  /** Ends the pause, if there is one. */
  #goOn(): void {
    this.#atOnce = 0;
    this.#isPausing = false;
    this.wake();
  }

  /** `undefined`: not yet. */
  #answer(): Result<Event> | Promise<never> | undefined {
    const value = this.#isOver ? undefined : this.#take();
    if (value !== undefined) return { done: false, value };
    if (!this.#isOver && this.#end === undefined) return undefined;
    const end = this.#isOver ? "quiet" : this.#end;
    this.#isOver = true;
    return typeof end === "object" ? rejection(end.thrown) : { done: true, value: undefined };
  }

  #take(): Event | undefined {
    try {
      return this.#queue.take();
    } catch (error) {
      // Told where it is read, as an end: what published the change has nothing to do with it.
      this.#end = { thrown: error };
      this.#letGo();
      return undefined;
    }
  }

  #leave(): void {
    this.#isOver = true;
    this.#letGo();
    this.#goOn();
  }

  #letGo(): void {
    this.#queue.discard();
    this.#release();
  }

  #release(): void {
    const { signal, release } = this.#options;
    signal?.removeEventListener("abort", this.#onAbort);
    release();
  }
}
