/** One watch in progress: what it has still to deliver, bounded. */
import type { ByteRange } from "../data/key-ranges.ts";
import { WATCH_QUEUE_BYTES_MAX, WATCH_QUEUE_MAX } from "../limits.ts";
import type { Change } from "../sync/committed.ts";
import type { Entry, Lsn, Millis, Origin } from "../types.ts";
import { eventOf, eventOfEntry, type WatchEvent } from "./watch-events.ts";
import { bytesOf, type Missed } from "./watch-history.ts";

export interface WatchSource {
  /** Entries in the range that are visible now, a stable view. */
  readonly view: (range: ByteRange) => IterableIterator<Entry>;
  /** The end of the change log, and what resolves when it is durable. */
  readonly lsn: () => Lsn;
  readonly durable: (lsn: Lsn) => Promise<unknown>;
  /** The number of the last change that memory has made, and of the last one that was published. */
  readonly changeNumber: () => number;
  readonly publishedNumber: () => number;
  /** The time by which entries expire. */
  readonly now: () => Millis;
  readonly isLocal: (origin: Origin) => boolean;
  /** A watcher has fallen behind, and changes were dropped. */
  readonly onLagged: () => void;
}

/** How a watch begins: with what is new from now on, with the present entries, where another one ended, or lost. */
export type Start = "now" | "initial" | "unknown" | Missed;

const LAGGED: WatchEvent = { type: "lagged" };
const READY: WatchEvent = { type: "ready" };

export class Watcher {
  readonly range: ByteRange;
  readonly #source: WatchSource;
  readonly #initial: boolean;
  readonly #release: () => void;
  /** Changes up to this number, and expiries up to this moment, were visible when the watch or its last view began. */
  #since: { number: number; now: Millis };
  /** What is to be delivered before any change. */
  #opening: Iterator<WatchEvent> | undefined;
  /** Memory may be ahead of the disk: nobody may see what is not durable yet. */
  #openingIsDurable = false;
  #changes: Change[] = [];
  #from = 0;
  #bytes = 0;
  #lagged = false;
  #ended: { readonly thrown: unknown } | "quietly" | undefined;
  #wakeUp: (() => void) | undefined;

  /** @param initial  whether the present entries are delivered after `lagged`, and `ready` after them */
  constructor(source: WatchSource, range: ByteRange, initial: boolean, start: Start, release: () => void) {
    this.range = range;
    this.#source = source;
    this.#initial = initial;
    this.#release = release;
    this.#since = { number: source.changeNumber(), now: source.now() };
    if (start === "initial") this.#openView();
    else if (start === "unknown" && initial) this.#lagged = true;
    else if (start === "unknown") this.#openWith([LAGGED].values(), Promise.resolve());
    else if (start !== "now") this.#resume(start);
  }

  /** Changes that wait for the consumer. */
  get queued(): number {
    return this.#changes.length - this.#from;
  }

  push(change: Change): void {
    if (this.#lagged) return;
    const bytes = bytesOf(change);
    if (this.queued >= WATCH_QUEUE_MAX || this.#bytes + bytes > WATCH_QUEUE_BYTES_MAX) {
      this.#dropChanges();
      this.#lagged = true;
      this.#source.onLagged();
    } else {
      this.#changes.push(change);
      this.#bytes += bytes;
    }
    this.#wake();
  }

  /** No more is coming; what is here is still delivered. */
  end(error?: Error): void {
    this.#ended ??= error === undefined ? "quietly" : { thrown: error };
    this.#release();
    this.#wake();
  }

  /** Nothing is delivered any more. */
  abort(reason: unknown): void {
    this.#ended = { thrown: reason };
    this.#discard();
  }

  /** The consumer has gone. */
  leave(): void {
    this.#ended = "quietly";
    this.#discard();
  }

  /**
   * The next event; `undefined` at the end, `"wait"` if there is none yet (see `more`).
   * @throws what the watch has ended with
   */
  take(): WatchEvent | "wait" | undefined {
    if (this.#opening !== undefined) {
      if (!this.#openingIsDurable) return this.#endOrWait();
      const next = this.#opening.next();
      if (next.done !== true) return next.value;
      this.#opening = undefined;
    }
    for (let change = this.#shift(); change !== undefined; change = this.#shift()) {
      const event = this.#isNews(change) ? eventOf(change) : undefined;
      if (event !== undefined) return event;
    }
    if (!this.#lagged) return this.#endOrWait();
    // From now on changes are kept again.
    this.#lagged = false;
    if (this.#initial) this.#openView();
    return LAGGED;
  }

  /** Resolves when `take` may have more to say. */
  async more(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wakeUp = resolve;
    });
  }

  #endOrWait(): "wait" | undefined {
    if (this.#ended === undefined) return "wait";
    if (this.#ended === "quietly") return undefined;
    const { thrown } = this.#ended;
    this.#ended = "quietly";
    throw thrown;
  }

  #openView(): void {
    this.#since = { number: this.#source.changeNumber(), now: this.#source.now() };
    const durable = this.#source.durable(this.#source.lsn());
    this.#openWith(this.#events(this.#source.view(this.range), this.#ofEntry), durable);
  }

  /** Goes on behind what was missed: then everything that is published from now on is news, expiries too. */
  #resume(missed: Missed): void {
    const { durable, lsn, changeNumber, publishedNumber } = this.#source;
    const isPublished = missed.type === "changes";
    this.#since = { number: isPublished ? publishedNumber() : changeNumber(), now: Number.NEGATIVE_INFINITY };
    if (isPublished) this.#openWith(this.#events(missed.changes.values(), eventOf), Promise.resolve());
    else this.#openWith(this.#events(missed.entries.values(), this.#ofEntry), durable(lsn()));
  }

  readonly #ofEntry = (entry: Entry): WatchEvent => eventOfEntry(entry, this.#source.isLocal(entry.origin));

  #events<T>(items: IterableIterator<T>, of: (item: T) => WatchEvent | undefined): IterableIterator<WatchEvent> {
    return eventsFrom(items, of, this.#initial ? READY : undefined);
  }

  /** @param durable  the opening is for nobody's eyes before it resolves */
  #openWith(events: Iterator<WatchEvent>, durable: Promise<unknown>): void {
    this.#opening = events;
    this.#openingIsDurable = false;
    durable.then(
      () => {
        this.#openingIsDurable = true;
        this.#wake();
      },
      (error: unknown) => this.abort(error),
    );
  }

  /** Whether the consumer could not see it when the watch or its view began. */
  #isNews({ kind, entry, number }: Change): boolean {
    return kind === "expire" ? entry.expiresAt > this.#since.now : number > this.#since.number;
  }

  #shift(): Change | undefined {
    const change = this.#changes[this.#from];
    if (change === undefined) return undefined;
    this.#from += 1;
    this.#bytes -= bytesOf(change);
    if (this.#from === this.#changes.length) this.#dropChanges();
    return change;
  }

  #dropChanges(): void {
    this.#changes = [];
    this.#from = 0;
    this.#bytes = 0;
  }

  #discard(): void {
    this.#dropChanges();
    this.#lagged = false;
    this.#opening?.return?.();
    this.#opening = undefined;
    this.#release();
    this.#wake();
  }

  #wake(): void {
    this.#wakeUp?.();
    this.#wakeUp = undefined;
  }
}

/** What an iteration is made of, see the members of Watcher. */
interface EventSource<Event extends object> {
  take(): Event | "wait" | undefined;
  more(): Promise<void>;
  leave(): void;
}

/** A watcher as users hold it. */
export function iterationOf<Event extends object>(watcher: EventSource<Event>): AsyncIterableIterator<Event> {
  const events = eventsOf(watcher);
  return {
    next: () => events.next(),
    // Leaves first: a generator that waits would only see its return once something has happened.
    return: async (value?: unknown) => {
      watcher.leave();
      return await events.return(value as undefined);
    },
    throw: async (error: unknown) => {
      watcher.leave();
      return await events.throw(error);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/** Written out, since a generator that was never started does not pass `return` on. */
function eventsFrom<T>(
  items: IterableIterator<T>,
  of: (item: T) => WatchEvent | undefined,
  last: WatchEvent | undefined,
): IterableIterator<WatchEvent> {
  let due = last;
  return {
    next() {
      for (let next = items.next(); next.done !== true; next = items.next()) {
        const event = of(next.value);
        if (event !== undefined) return { done: false, value: event };
      }
      if (due === undefined) return { done: true, value: undefined };
      const value = due;
      due = undefined;
      return { done: false, value };
    },
    return() {
      due = undefined;
      items.return?.();
      return { done: true, value: undefined };
    },
    [Symbol.iterator]() {
      return this;
    },
  };
}

async function* eventsOf<Event extends object>(watcher: EventSource<Event>): AsyncGenerator<Event, undefined> {
  for (let event = watcher.take(); event !== undefined; event = watcher.take()) {
    if (event === "wait") await watcher.more();
    else yield event;
  }
  return undefined;
}
