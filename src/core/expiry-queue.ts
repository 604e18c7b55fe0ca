/**
 * When entries expire, and which do so next. Most entries never expire: only the pages of slots that
 * have one that does take memory. A binary heap that knows where each slot is, so that an overwrite
 * moves or removes it at once.
 */
import { present } from "../invariant.ts";
import type { Millis } from "../types.ts";
import { Heap } from "./heap.ts";
import type { Slot } from "./rows.ts";

const PAGE_BITS = 10;
const PAGE_SLOTS = 2 ** PAGE_BITS;
const PAGE_MASK = PAGE_SLOTS - 1;

interface Page {
  readonly expiresAt: Float64Array;
  /** Index in the heap + 1; 0 if it is not in it. */
  readonly heapIndex: Uint32Array;
}

export class ExpiryQueue {
  readonly #pages: (Page | undefined)[] = [];
  /** The heap, in pages, since one huge array would stall the process as it grows. */
  readonly #heap: Uint32Array[] = [];
  #size = 0;

  /** When the slot expires; 0: never. */
  at(slot: Slot): Millis {
    const page = this.#pages[slot >>> PAGE_BITS];
    return page === undefined ? 0 : page.expiresAt[slot & PAGE_MASK]!;
  }

  /** @param pending  whether it has yet to expire, that is, has a value */
  set(slot: Slot, expiresAt: Millis, pending: boolean): void {
    let page = this.#pages[slot >>> PAGE_BITS];
    if (page === undefined) {
      if (expiresAt === 0) return;
      page = this.#addPage(slot >>> PAGE_BITS);
    }
    const queued = page.heapIndex[slot & PAGE_MASK]! > 0;
    if (!pending || expiresAt === 0) {
      if (queued) this.cancel(slot);
      page.expiresAt[slot & PAGE_MASK] = expiresAt;
      return;
    }
    const earlier = !queued || expiresAt < page.expiresAt[slot & PAGE_MASK]!;
    page.expiresAt[slot & PAGE_MASK] = expiresAt;
    if (!queued) this.#write(this.#size++, slot);
    this.#restore(page.heapIndex[slot & PAGE_MASK]! - 1, earlier);
  }

  /** The slot no longer waits for its expiry; `at` stays what it is. */
  cancel(slot: Slot): void {
    const page = this.#pages[slot >>> PAGE_BITS];
    const index = (page?.heapIndex[slot & PAGE_MASK] ?? 0) - 1;
    if (page === undefined || index < 0) return;
    page.heapIndex[slot & PAGE_MASK] = 0;
    this.#size -= 1;
    if (index === this.#size) return;
    this.#write(index, this.#slotAt(this.#size));
    this.#restore(index, true);
    this.#restore(index, false);
  }

  /** Slots that wait and expire at or before `now`, soonest first, at most `max`. Takes none of them out. */
  due(now: Millis, max: number): Slot[] {
    const due: Slot[] = [];
    /** Indexes whose parents are in `due`: the next one is among them. */
    const frontier = new Heap<number>((a, b) => this.at(this.#slotAt(a)) - this.at(this.#slotAt(b)));
    const offer = (index: number): void => {
      if (index < this.#size && this.at(this.#slotAt(index)) <= now) frontier.push(index);
    };
    offer(0);
    while (due.length < max) {
      const index = frontier.pop();
      if (index === undefined) break;
      due.push(this.#slotAt(index));
      offer(2 * index + 1);
      offer(2 * index + 2);
    }
    return due;
  }

  /** Brings the slot at `index` to where it belongs, towards the front or away from it. */
  #restore(index: number, towardsFront: boolean): void {
    const slot = this.#slotAt(index);
    const expiresAt = this.at(slot);
    let at = index;
    if (towardsFront) {
      while (at > 0) {
        const parent = this.#slotAt((at - 1) >>> 1);
        if (this.at(parent) <= expiresAt) break;
        this.#write(at, parent);
        at = (at - 1) >>> 1;
      }
    } else {
      for (;;) {
        let child = 2 * at + 1;
        if (child >= this.#size) break;
        if (child + 1 < this.#size && this.at(this.#slotAt(child + 1)) < this.at(this.#slotAt(child))) child += 1;
        const childSlot = this.#slotAt(child);
        if (this.at(childSlot) >= expiresAt) break;
        this.#write(at, childSlot);
        at = child;
      }
    }
    this.#write(at, slot);
  }

  #slotAt(index: number): Slot {
    return this.#heap[index >>> PAGE_BITS]![index & PAGE_MASK]!;
  }

  #write(index: number, slot: Slot): void {
    let page = this.#heap[index >>> PAGE_BITS];
    if (page === undefined) {
      page = new Uint32Array(PAGE_SLOTS);
      this.#heap[index >>> PAGE_BITS] = page;
    }
    page[index & PAGE_MASK] = slot;
    present(this.#pages[slot >>> PAGE_BITS], "a slot that waits has a page").heapIndex[slot & PAGE_MASK] = index + 1;
  }

  #addPage(number: number): Page {
    // Filled up to here, or the array of pages would turn into a dictionary.
    while (this.#pages.length < number) this.#pages.push(undefined);
    const page = { expiresAt: new Float64Array(PAGE_SLOTS), heapIndex: new Uint32Array(PAGE_SLOTS) };
    this.#pages[number] = page;
    return page;
  }
}
