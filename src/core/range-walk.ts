/**
 * Walks a range of keys as it was when the walk began.
 *
 * It follows the order of the keys as it is now, and leaves out what has changed since (its lsn tells).
 * What such entries were, the table hands in before it changes them, if they are still ahead: these wait
 * in a heap and are merged in by key. So a walk costs memory for changed entries only, and nothing is
 * pinned. The table knows no walk, only its {@link Ahead}.
 */
import { RESERVED_PREFIX_BYTE } from "../limits.ts";
import type { Entry, Lsn } from "../types.ts";
import { Heap } from "./heap.ts";
import { compareBytes } from "./low-keys.ts";
import type { OrderedKeys, Position } from "./ordered-keys.ts";
import type { Records } from "./records.ts";
import { NO_SLOT, type Slot } from "./rows.ts";

/** A part of the key space, by bytes, which must not change. Without an upper bound it ends before the reserved keys, unless it begins there. */
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

/** What a walk needs of the table. */
export interface Source {
  readonly records: Records;
  readonly order: OrderedKeys;
  /** The highest lsn so far. */
  readonly lastLsn: () => Lsn;
  /** Differs after every change. */
  readonly revision: () => number;
}

/** The part of a walk that its table holds on to. */
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

  /** Whether the version with this lsn was there when the walk began. */
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

export class RangeWalk {
  readonly #source: Source;
  readonly #ahead: Ahead;
  /** The positions that are ahead, for one version of the order. */
  #version = -1;
  #from: Position = 0;
  #to: Position = 0;

  constructor(source: Source, ahead: Ahead) {
    this.#source = source;
    this.#ahead = ahead;
  }

  /** The next entry, the nearer one of what has changed and what has not: its slot, or a copy. `undefined` at the end. */
  next(): Slot | Entry | undefined {
    const { records, order } = this.#source;
    const { saved, reverse } = this.#ahead;
    const position = this.#nearest();
    const slot = position === undefined ? undefined : order.slotAt(position);
    const changed = saved.peek();
    if (changed !== undefined) {
      const side = slot === undefined ? 1 : records.compareKey(slot, changed.key, 0);
      if (slot === undefined || (reverse ? side < 0 : side > 0)) {
        this.#ahead.pass(changed.key);
        return saved.pop();
      }
    }
    if (position === undefined || slot === undefined) return undefined;
    this.#pass(position);
    this.#ahead.show(slot);
    return slot;
  }

  /** As long as nothing has changed: passes the next slots, as many as `slots` has room for, and says how many. It shows none. */
  passMany(slots: Int32Array): number {
    const { order } = this.#source;
    if (this.#version !== order.version) this.#locate();
    let count = 0;
    while (count < slots.length && this.#from < this.#to) {
      const position = this.#ahead.reverse ? order.before(this.#to) : this.#from;
      slots[count++] = order.slotAt(position);
      this.#pass(position);
    }
    return count;
  }

  /** Goes back to behind what was shown. */
  rewind(): void {
    this.#version = -1;
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

const RESERVED: Bound = { key: Uint8Array.of(RESERVED_PREFIX_BYTE), above: false };

function lowerBound({ gt, gte }: Range): Bound | undefined {
  if (gt !== undefined && (gte === undefined || compareBytes(gt, gte) >= 0)) return { key: gt, above: true };
  return gte === undefined ? undefined : { key: gte, above: false };
}

function upperBound({ lt, lte }: Range, low: Bound | undefined): Bound | undefined {
  if (lt !== undefined && (lte === undefined || compareBytes(lt, lte) <= 0)) return { key: lt, above: false };
  if (lte !== undefined) return { key: lte, above: true };
  return low === undefined || low.key[0] !== RESERVED_PREFIX_BYTE ? RESERVED : undefined;
}

function isAbove(key: Uint8Array, bound: Bound): boolean {
  const order = compareBytes(key, bound.key);
  return bound.above ? order > 0 : order >= 0;
}
