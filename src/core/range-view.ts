/**
 * Iterates a range of keys as it was when the iteration was made.
 *
 * It walks the order of the keys as it is now, and leaves out what has changed since (its lsn tells).
 * What such entries were, the table hands in before it changes them, if they are still ahead: these wait
 * in a heap and are merged in by key. So a view costs memory for changed entries only, and nothing is
 * pinned. The table knows no view, only its {@link Ahead}: a view that somebody drops without return()
 * is collected as garbage, and the table forgets its part (see `Views`).
 */
import { RESERVED_PREFIX_BYTE } from "../limits.ts";
import type { Entry, Lsn } from "../types.ts";
import { EntryCopies } from "./entry-copies.ts";
import { Heap } from "./heap.ts";
import { compareBytes } from "./low-keys.ts";
import type { OrderedKeys, Position } from "./ordered-keys.ts";
import type { Records } from "./records.ts";
import type { Slot } from "./rows.ts";

/** A part of the key space, by bytes. Without an upper bound it ends before the reserved keys, unless it begins there. */
export interface Range {
  readonly gt?: Uint8Array;
  readonly gte?: Uint8Array;
  readonly lt?: Uint8Array;
  readonly lte?: Uint8Array;
  readonly reverse?: boolean;
}

interface Bound {
  readonly key: Uint8Array;
  /** Whether the boundary is behind the key. */
  readonly above: boolean;
}

/** What the views of a table need of it. */
export interface Source {
  readonly records: Records;
  readonly order: OrderedKeys;
}

/** The part of a view that its table holds on to. */
export class Ahead {
  /** Entries that have changed since, as they were. */
  readonly saved: Heap<Entry>;
  readonly reverse: boolean;
  readonly #asOf: Lsn;
  /** What is still ahead: between the two. */
  low: Bound | undefined;
  high: Bound | undefined;

  constructor(range: Range, asOf: Lsn) {
    this.#asOf = asOf;
    this.reverse = range.reverse === true;
    this.low = lowerBound(range);
    this.high = upperBound(range, this.low);
    this.saved = new Heap(this.reverse ? (a, b) => compareBytes(b.key, a.key) : (a, b) => compareBytes(a.key, b.key));
  }

  /** Whether the version with this lsn was there when the view was made. */
  includes(lsn: Lsn): boolean {
    return lsn <= this.#asOf;
  }

  /** Whether a key is in the range and not passed yet. */
  covers(key: Uint8Array): boolean {
    return (this.low === undefined || isAbove(key, this.low)) && (this.high === undefined || !isAbove(key, this.high));
  }
}

export class RangeView implements IterableIterator<Entry> {
  readonly #source: Source;
  readonly #ahead: Ahead;
  readonly #release: () => void;
  readonly #copies = new EntryCopies();
  /** The positions that are ahead, for one version of the order. */
  #version = -1;
  #from: Position = 0;
  #to: Position = 0;
  #done = false;

  constructor(source: Source, ahead: Ahead, release: () => void) {
    this.#source = source;
    this.#ahead = ahead;
    this.#release = release;
  }

  next(): IteratorResult<Entry> {
    const entry = this.#done ? undefined : this.#take();
    if (entry === undefined) return this.return();
    const passed = { key: entry.key, above: !this.#ahead.reverse };
    if (this.#ahead.reverse) this.#ahead.high = passed;
    else this.#ahead.low = passed;
    return { done: false, value: entry };
  }

  return(): IteratorResult<Entry> {
    if (!this.#done) this.#release();
    this.#done = true;
    return { done: true, value: undefined };
  }

  [Symbol.iterator](): this {
    return this;
  }

  /** The next entry: the nearer one of what has changed and what has not. */
  #take(): Entry | undefined {
    const { records } = this.#source;
    const { saved, reverse } = this.#ahead;
    const position = this.#nearest();
    const slot = position === undefined ? undefined : this.#source.order.slotAt(position);
    const changed = saved.peek();
    if (changed !== undefined) {
      const order = slot === undefined ? 1 : records.compareKey(slot, changed.key, 0);
      if (slot === undefined || (reverse ? order < 0 : order > 0)) return saved.pop();
    }
    if (position === undefined || slot === undefined) return undefined;
    this.#pass(position);
    return this.#copies.take(records, slot);
  }

  /** The position of the next entry that is still what it was; undefined if there is none. */
  #nearest(): Position | undefined {
    const { order, records } = this.#source;
    if (this.#version !== order.version) this.#locate();
    while (this.#from < this.#to) {
      const position = this.#ahead.reverse ? order.before(this.#to) : this.#from;
      if (this.#ahead.includes(records.rows.lsnAt(order.slotAt(position)))) return position;
      this.#pass(position);
    }
    return undefined;
  }

  #pass(position: Position): void {
    if (this.#ahead.reverse) this.#to = position;
    else this.#from = this.#source.order.after(position);
  }

  #locate(): void {
    const { order } = this.#source;
    const { low, high } = this.#ahead;
    this.#version = order.version;
    this.#from = low === undefined ? order.start : order.search(low.key, low.above);
    this.#to = high === undefined ? order.end : order.search(high.key, high.above);
  }
}

/** The open views of one table. */
export class Views {
  readonly #open = new Set<Ahead>();
  readonly #copies = new EntryCopies();
  /** For views that are dropped without return(): the collector says so, some time later. */
  readonly #dropped = new FinalizationRegistry<Ahead>((ahead) => this.#open.delete(ahead));

  /** How many views take memory. */
  get size(): number {
    return this.#open.size;
  }

  open(source: Source, range: Range, asOf: Lsn): RangeView {
    const ahead = new Ahead(range, asOf);
    this.#open.add(ahead);
    const view = new RangeView(source, ahead, () => {
      this.#open.delete(ahead);
      this.#dropped.unregister(ahead);
    });
    this.#dropped.register(view, ahead, ahead);
    return view;
  }

  /** To be called before the value of a slot changes: the views that have yet to show it take a copy, one for all. */
  save(records: Records, slot: Slot): void {
    let copy: Entry | undefined;
    const lsn = records.rows.lsnAt(slot);
    const key = records.keyAt(slot);
    for (const ahead of this.#open) {
      if (!ahead.includes(lsn) || !ahead.covers(key)) continue;
      copy ??= this.#copies.take(records, slot);
      ahead.saved.push(copy);
    }
  }
}

const RESERVED: Bound = { key: Uint8Array.of(RESERVED_PREFIX_BYTE), above: false };

/** The bounds are copied: the caller may change his arrays. */
function lowerBound({ gt, gte }: Range): Bound | undefined {
  if (gt !== undefined && (gte === undefined || compareBytes(gt, gte) >= 0)) return { key: gt.slice(), above: true };
  return gte === undefined ? undefined : { key: gte.slice(), above: false };
}

function upperBound({ lt, lte }: Range, low: Bound | undefined): Bound | undefined {
  if (lt !== undefined && (lte === undefined || compareBytes(lt, lte) <= 0)) return { key: lt.slice(), above: false };
  if (lte !== undefined) return { key: lte.slice(), above: true };
  return low === undefined || low.key[0] !== RESERVED_PREFIX_BYTE ? RESERVED : undefined;
}

function isAbove(key: Uint8Array, bound: Bound): boolean {
  const order = compareBytes(key, bound.key);
  return bound.above ? order > 0 : order >= 0;
}
