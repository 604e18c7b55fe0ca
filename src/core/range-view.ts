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
import { NO_SLOT, type Slot } from "./rows.ts";

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
  /** The highest lsn so far. */
  readonly lastLsn: () => Lsn;
}

/** What is read of an entry in a hurry: key and value are views, good until the next change of the table. */
export type Row = Pick<Entry, "key" | "value" | "expiresAt">;

/** The part of a view that its table holds on to. */
export class Ahead {
  /** Entries that have changed since, as they were. */
  readonly saved: Heap<Entry>;
  readonly reverse: boolean;
  readonly asOf: Lsn;
  readonly #records: Records;
  /** See `bounds`; as of when the last key was taken. */
  #low: Bound | undefined;
  #high: Bound | undefined;
  /** The row that was shown since. Before it changes, `covers` is asked about it, which takes its key. */
  #shown: Slot = NO_SLOT;

  constructor(range: Range, asOf: Lsn, records: Records) {
    this.asOf = asOf;
    this.#records = records;
    this.reverse = range.reverse === true;
    this.#low = lowerBound(range);
    this.#high = upperBound(range, this.#low);
    this.saved = new Heap(this.reverse ? (a, b) => compareBytes(b.key, a.key) : (a, b) => compareBytes(a.key, b.key));
  }

  /** Between which keys everything is that is still to come. */
  bounds(): { readonly low: Bound | undefined; readonly high: Bound | undefined } {
    if (this.#shown !== NO_SLOT) this.pass(this.#records.keyAt(this.#shown).slice());
    return { low: this.#low, high: this.#high };
  }

  /** Whether the version with this lsn was there when the view was made. */
  includes(lsn: Lsn): boolean {
    return lsn <= this.asOf;
  }

  /** Whether a key is in the range and not passed yet. */
  covers(key: Uint8Array): boolean {
    const { low, high } = this.bounds();
    return (low === undefined || isAbove(key, low)) && (high === undefined || !isAbove(key, high));
  }

  /** A row is shown. Its key is copied only when something is about to change. */
  show(slot: Slot): void {
    this.#shown = slot;
  }

  /** What is up to `key` is behind us. */
  pass(key: Uint8Array): void {
    this.#shown = NO_SLOT;
    const passed = { key, above: !this.reverse };
    if (this.reverse) this.#high = passed;
    else this.#low = passed;
  }
}

/** @typeParam R  an entry, or as much of it as `take` makes of a row */
export class RangeView<R extends Row> implements IterableIterator<R | Entry> {
  readonly #source: Source;
  readonly #ahead: Ahead;
  readonly #take: (records: Records, slot: Slot) => R;
  readonly #release: () => void;
  /** The positions that are ahead, for one version of the order. */
  #version = -1;
  #from: Position = 0;
  #to: Position = 0;
  #done = false;

  constructor(source: Source, ahead: Ahead, take: (records: Records, slot: Slot) => R, release: () => void) {
    this.#source = source;
    this.#ahead = ahead;
    this.#take = take;
    this.#release = release;
  }

  next(): IteratorResult<R | Entry> {
    const value = this.#done ? undefined : this.#next();
    return value === undefined ? this.return() : { done: false, value };
  }

  return(): IteratorResult<R | Entry> {
    if (!this.#done) this.#release();
    this.#done = true;
    return { done: true, value: undefined };
  }

  [Symbol.iterator](): this {
    return this;
  }

  /** The next entry: the nearer one of what has changed and what has not. */
  #next(): R | Entry | undefined {
    const { records } = this.#source;
    const { saved, reverse } = this.#ahead;
    const position = this.#nearest();
    const slot = position === undefined ? undefined : this.#source.order.slotAt(position);
    const changed = saved.peek();
    if (changed !== undefined) {
      const order = slot === undefined ? 1 : records.compareKey(slot, changed.key, 0);
      if (slot === undefined || (reverse ? order < 0 : order > 0)) {
        this.#ahead.pass(changed.key);
        return saved.pop();
      }
    }
    if (position === undefined || slot === undefined) return undefined;
    this.#pass(position);
    this.#ahead.show(slot);
    return this.#take(records, slot);
  }

  /** The position of the next entry that is still what it was; undefined if there is none. */
  #nearest(): Position | undefined {
    const { order, records } = this.#source;
    if (this.#version !== order.version) this.#locate();
    // Most often nothing has: then no row has to be asked, each of which is far away in memory.
    const hasChanged = this.#source.lastLsn() > this.#ahead.asOf;
    while (this.#from < this.#to) {
      const position = this.#ahead.reverse ? order.before(this.#to) : this.#from;
      if (!hasChanged || this.#ahead.includes(records.rows.lsnAt(order.slotAt(position)))) return position;
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
    const { low, high } = this.#ahead.bounds();
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

  /** Of entries as they are now, each as a copy of its own. */
  open(source: Source, range: Range): RangeView<Entry> {
    const copies = new EntryCopies();
    return this.#view(source, range, (records, slot) => copies.take(records, slot));
  }

  /** As `open`, of rows that are read before anything changes. */
  openRows(source: Source, range: Range): RangeView<Row> {
    return this.#view(source, range, rowAt);
  }

  #view<R extends Row>(source: Source, range: Range, take: (records: Records, slot: Slot) => R): RangeView<R> {
    const ahead = new Ahead(range, source.lastLsn(), source.records);
    this.#open.add(ahead);
    const view = new RangeView(source, ahead, take, () => {
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

/** No stamp, and no copy: what is in another place of memory is left alone. */
function rowAt(records: Records, slot: Slot): Row {
  return { key: records.keyAt(slot), value: records.valueAt(slot), expiresAt: records.expiresAt(slot) };
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
