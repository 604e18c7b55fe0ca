/**
 * The order of the keys in a snapshot: which entry of the file, by its running number, has the first key, the second
 * and so on. It is what takes longest to find when a store opens, and is known when the snapshot is written.
 */
import { DecodeError } from "../codec/bytes.ts";
import type { KeyOrder } from "../codec/snapshots.ts";
import type { EntryRun } from "../core/entry-run.ts";
import type { EntryTable, Slot } from "../core/table.ts";
import type { Lsn } from "../types.ts";

const PAGE_BITS = 12;
const PAGE_SLOTS = 2 ** PAGE_BITS;
const PAGE_MASK = PAGE_SLOTS - 1;

interface Page {
  /** Number + 1; 0 if there is none. */
  readonly numbers: Uint32Array;
  left: number;
}

/** The numbers of the entries in the file by their slots, as long as they have no place in the order. */
export class EntryNumbers {
  readonly #pages = new Map<number, Page>();
  #next = 0;

  /** Numbers the entries of a run, which goes into the file next. Tombstones have no place in the order. */
  add(run: EntryRun): void {
    for (let index = 0; index < run.count; index += 1) {
      this.#next += 1;
      if ((run.valueLengths[index] ?? -1) >= 0) this.#set(run.slots[index] ?? 0, this.#next);
    }
  }

  /**
   * Replaces the slots of cells by numbers, for good: a number is taken once. Leaves out slots that have changed since
   * `cutLsn`, which may have another key by now, and moves up what remains.
   *
   * @returns how many words of `into` are filled
   */
  take(cells: Uint32Array, table: EntryTable, cutLsn: Lsn, into: Uint32Array): number {
    let length = 0;
    for (let at = 0; at < cells.length; at += 2) {
      const slot = cells[at + 1] ?? 0;
      const page = this.#pages.get(slot >>> PAGE_BITS);
      const number = (page?.numbers[slot & PAGE_MASK] ?? 0) - 1;
      if (page === undefined || number < 0 || table.lsnAt(slot) > cutLsn) continue;
      into[length] = cells[at] ?? 0;
      into[length + 1] = number;
      length += 2;
      page.numbers[slot & PAGE_MASK] = 0;
      page.left -= 1;
    }
    return length;
  }

  /** The numbers that nobody took, a bounded part at a time. */
  *rest(): IterableIterator<number[]> {
    for (const { numbers, left } of this.#pages.values()) {
      if (left > 0) yield [...numbers.filter((number) => number > 0)].map((number) => number - 1);
    }
  }

  #set(slot: Slot, value: number): void {
    let page = this.#pages.get(slot >>> PAGE_BITS);
    if (page === undefined) {
      page = { numbers: new Uint32Array(PAGE_SLOTS), left: 0 };
      this.#pages.set(slot >>> PAGE_BITS, page);
    }
    page.numbers[slot & PAGE_MASK] = value;
    page.left += 1;
  }
}

/** Puts the entries of a table that was just loaded in order: there an entry's number is its slot. */
export class OrderLoader {
  readonly #table: EntryTable;
  /** A bit each: so few bytes that they stay close at hand. */
  #waiting = new Uint8Array(PAGE_SLOTS / 8);
  #left = 0;

  constructor(table: EntryTable) {
    this.#table = table;
  }

  /** Takes note of entries that were loaded. */
  expect(run: EntryRun): void {
    for (let index = 0; index < run.count; index += 1) {
      if ((run.valueLengths[index] ?? -1) < 0) continue;
      const slot = run.slots[index] ?? 0;
      if (slot >= this.#waiting.length * 8) this.#grow();
      this.#waiting[slot >>> 3] = (this.#waiting[slot >>> 3] ?? 0) | (1 << (slot & 7));
      this.#left += 1;
    }
  }

  /** Entries with a value that have no place yet. */
  get left(): number {
    return this.#left;
  }

  /** @throws DecodeError if it cannot be */
  add({ sharedLength, cells }: KeyOrder): void {
    for (let at = 1; at < cells.length; at += 2) this.#place(cells[at] ?? 0);
    if (!this.#table.loadOrder(sharedLength, cells)) throw new DecodeError("keys out of order");
  }

  /** @throws DecodeError if it cannot be */
  addUnordered(numbers: Uint32Array): void {
    for (const slot of numbers) {
      this.#place(slot);
      this.#table.loadUnordered(slot);
    }
  }

  #place(slot: Slot): void {
    const bits = this.#waiting[slot >>> 3] ?? 0;
    if ((bits & (1 << (slot & 7))) === 0) throw new DecodeError("an entry has no place there");
    this.#waiting[slot >>> 3] = bits & ~(1 << (slot & 7));
    this.#left -= 1;
  }

  #grow(): void {
    const waiting = this.#waiting;
    this.#waiting = new Uint8Array(waiting.length * 2);
    this.#waiting.set(waiting);
  }
}
