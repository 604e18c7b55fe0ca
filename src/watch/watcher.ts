/** One watch in progress: what it has still to deliver, bounded. */
import type { ByteRange } from "../data/key-ranges.ts";
import { WATCH_QUEUE_BYTES_MAX, WATCH_QUEUE_MAX } from "../limits.ts";
import type { Change } from "../sync/committed.ts";
import type { Entry, Lsn, Millis, Origin } from "../types.ts";
import { bytesOf, ChangeQueue } from "./change-queue.ts";
import { Delivery, type DeliveryOptions, type EventQueue } from "./delivery.ts";
import { eventOf, eventOfEntry, type WatchEvent } from "./watch-events.ts";
import type { Missed } from "./watch-history.ts";

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

export interface WatcherOptions extends DeliveryOptions {
  readonly range: ByteRange;
  /** Whether the present entries are delivered after `lagged`, and `ready` after them. */
  readonly initial: boolean;
  readonly start: Start;
}

const LAGGED: WatchEvent = { type: "lagged" };
const READY: WatchEvent = { type: "ready" };

export class Watcher implements EventQueue<WatchEvent> {
  readonly range: ByteRange;
  readonly delivery: Delivery<WatchEvent>;
  readonly #source: WatchSource;
  readonly #initial: boolean;
  /** Changes up to this number, and expiries up to this moment, were visible when the watch or its last view began. */
  #since: { number: number; now: Millis };
  /** What is to be delivered before any change. */
  #opening: Iterator<WatchEvent> | undefined;
  /** Memory may be ahead of the disk: nobody may see what is not durable yet. */
  #openingIsDurable = false;
  /** A change on its way to a consumer that waits for it. */
  #handed: Change | undefined;
  readonly #changes = new ChangeQueue();
  #lagged = false;

  constructor(source: WatchSource, { range, initial, start, ...options }: WatcherOptions) {
    this.range = range;
    this.delivery = new Delivery(this, options);
    this.#source = source;
    this.#initial = initial;
    this.#since = { number: source.changeNumber(), now: source.now() };
    if (start === "initial") this.#openView();
    else if (start === "unknown" && initial) this.#lagged = true;
    else if (start === "unknown") this.#openWith([LAGGED].values(), Promise.resolve());
    else if (start !== "now") this.#resume(start);
  }

  /** Changes that wait for the consumer. */
  get queued(): number {
    return this.#changes.size;
  }

  push(change: Change): void {
    if (this.#lagged) return;
    if (this.delivery.isAwaited && this.#opening === undefined) {
      this.#handed = change;
      this.delivery.wake();
    } else if (this.queued < WATCH_QUEUE_MAX && this.#changes.bytes + bytesOf(change) <= WATCH_QUEUE_BYTES_MAX) {
      this.#changes.push(change);
    } else {
      this.#changes.clear();
      this.#lagged = true;
      this.#source.onLagged();
    }
  }

  take(): WatchEvent | undefined {
    if (this.#opening !== undefined) {
      if (!this.#openingIsDurable) return undefined;
      const next = this.#opening.next();
      if (next.done !== true) return next.value;
      this.#opening = undefined;
    }
    for (let change = this.#takeChange(); change !== undefined; change = this.#takeChange()) {
      const event = this.#isNews(change) ? eventOf(change) : undefined;
      if (event !== undefined) return event;
    }
    if (!this.#lagged) return undefined;
    // From now on changes are kept again.
    this.#lagged = false;
    if (this.#initial) this.#openView();
    return LAGGED;
  }

  discard(): void {
    this.#changes.clear();
    this.#lagged = false;
    this.#opening?.return?.();
    this.#opening = undefined;
  }

  #takeChange(): Change | undefined {
    const change = this.#handed;
    this.#handed = undefined;
    return change ?? this.#changes.shift();
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
        this.delivery.wake();
      },
      (error: unknown) => this.delivery.abort(error),
    );
  }

  /** Whether the consumer could not see it when the watch or its view began. */
  #isNews({ kind, entry, number }: Change): boolean {
    return kind === "expire" ? entry.expiresAt > this.#since.now : number > this.#since.number;
  }
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
