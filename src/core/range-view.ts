/**
 * Iterations over ranges of keys, each a stable view as of when it was made. One that somebody drops
 * without return() is collected as garbage, and the table forgets its part (see `Views`).
 */
import type { Entry } from "../types.ts";
import { EntryCopies } from "./entry-copies.ts";
import { Ahead, type Range, RangeWalk, type Source } from "./range-walk.ts";
import type { Records } from "./records.ts";
import { RowCursor } from "./row-cursor.ts";
import type { Slot } from "./rows.ts";

/** Entries, each as a copy of its own. */
class RangeView implements IterableIterator<Entry> {
  readonly #walk: RangeWalk;
  readonly #records: Records;
  readonly #copies = new EntryCopies();
  readonly #release: () => void;
  #done = false;

  constructor(source: Source, ahead: Ahead, release: () => void) {
    this.#walk = new RangeWalk(source, ahead);
    this.#records = source.records;
    this.#release = release;
  }

  next(): IteratorResult<Entry> {
    const next = this.#done ? undefined : this.#walk.next();
    if (next === undefined) return this.return();
    return { done: false, value: typeof next === "number" ? this.#copies.take(this.#records, next) : next };
  }

  return(): IteratorResult<Entry> {
    if (!this.#done) this.#release();
    this.#done = true;
    return { done: true, value: undefined };
  }

  [Symbol.iterator](): this {
    return this;
  }
}

/** Views that are not watched for being dropped yet. */
const UNWATCHED_MAX = 64;

/** The open views of one table. */
export class Views {
  readonly #open = new Set<Ahead>();
  readonly #copies = new EntryCopies();
  /** For views that are dropped without return(): the collector says so, some time later. */
  readonly #dropped = new FinalizationRegistry<Ahead>((ahead) => this.#open.delete(ahead));
  /**
   * Most views are done with before anything changes, and to watch one costs more than to read a row: these are kept alive until
   * there is something that they would keep, or there are too many.
   */
  readonly #unwatched = new Map<Ahead, object>();

  /** How many views take memory. */
  get size(): number {
    return this.#open.size;
  }

  /** Of entries, each as a copy of its own. */
  open(source: Source, range: Range): IterableIterator<Entry> {
    const ahead = new Ahead(range, source.lastLsn(), source.records);
    return this.#add(ahead, new RangeView(source, ahead, () => this.#close(ahead)));
  }

  /** As `open`, of rows that are read before anything changes. */
  openRows(source: Source, range: Range): RowCursor {
    const ahead = new Ahead(range, source.lastLsn(), source.records);
    return this.#add(ahead, new RowCursor(source, ahead, () => this.#close(ahead)));
  }

  /** To be called before the value of a slot changes: the views that have yet to show it take a copy, one for all. */
  save(records: Records, slot: Slot): void {
    this.#watchAll();
    let copy: Entry | undefined;
    const lsn = records.rows.lsnAt(slot);
    const key = records.keyAt(slot);
    for (const ahead of this.#open) {
      if (!ahead.includes(lsn) || !ahead.covers(key)) continue;
      copy ??= this.#copies.take(records, slot);
      ahead.saved.push(copy);
    }
  }

  #add<V extends object>(ahead: Ahead, view: V): V {
    if (this.#unwatched.size === UNWATCHED_MAX) this.#watchAll();
    this.#open.add(ahead);
    this.#unwatched.set(ahead, view);
    return view;
  }

  #close(ahead: Ahead): void {
    this.#open.delete(ahead);
    if (!this.#unwatched.delete(ahead)) this.#dropped.unregister(ahead);
  }

  #watchAll(): void {
    for (const [ahead, view] of this.#unwatched) this.#dropped.register(view, ahead, ahead);
    this.#unwatched.clear();
  }
}
