/**
 * Puts all keys of a table in order at once. Each key finds its part of the order in a list of keys that stays close at
 * hand, the keys of a part are brought together, and sorted: a quarter of what finding each its place among a million
 * others costs, which are in no cache.
 */
import { commonLength, LowKeys } from "./low-keys.ts";
import { ORDER_RUN_MAX, OrderedKeys } from "./ordered-keys.ts";
import { type Records, wordOf } from "./records.ts";
import type { Slot } from "./rows.ts";

/** One key in so many is looked at to find where parts begin. */
const SAMPLE_STEP = 32;
/** Samples in a part: of some 320 keys, few of them above the 512 that fit a run. */
const PART_SAMPLES = 10;
/** Between two pauses: some milliseconds of work. */
const STEP_SLOTS = 8192;

/** Fills an empty order with all slots that have a value. Pauses after every few thousand of them. */
export function* sortKeys(records: Records, order: OrderedKeys): Generator<undefined, void> {
  const { end } = records.rows;
  const parts = new Parts();
  yield* sample(records, parts);
  const partOf = new Uint32Array(end);
  const words = new Uint32Array(end);
  for (let from = 0; from < end; from += STEP_SLOTS) {
    if (from > 0) yield;
    findParts(records, parts, from, Math.min(from + STEP_SLOTS, end), partOf, words);
  }
  const ends = parts.starts();
  const dealt = new Uint32Array((ends.at(-1) ?? 0) * 2);
  for (let from = 0; from < end; from += STEP_SLOTS) {
    if (from > 0) yield;
    for (let slot = from; slot < Math.min(from + STEP_SLOTS, end); slot += 1) {
      const part = partOf[slot]!;
      if (part === NO_PART) continue;
      const at = ends[part]! * 2;
      dealt[at] = words[slot]!;
      dealt[at + 1] = slot;
      ends[part]! += 1;
    }
  }
  for (let part = 0, from = 0, pause = STEP_SLOTS; part < parts.count; part += 1) {
    const to = ends[part]!;
    addPart(records, order, parts.sharedLengthOf(part), dealt.slice(from * 2, to * 2));
    from = to;
    if (to < pause) continue;
    pause = to + STEP_SLOTS;
    yield;
  }
}

const NO_PART = 2 ** 32 - 1;
const UNKNOWN = -1;

/** Stretches of the order, between keys of the sample. */
class Parts {
  readonly #lows = new LowKeys();
  /** Of the parts from the second on. */
  readonly #keys: Uint8Array[] = [];
  /** With what the keys of a part begin alike, bytes; of the first and the last nothing is known. */
  readonly #sharedLengths: number[] = [UNKNOWN];
  #sizes = new Uint32Array(1);

  get count(): number {
    return this.#keys.length + 1;
  }

  /** A part begins at `key`, behind all others. */
  add(key: Uint8Array): void {
    const last = this.#keys.at(-1);
    if (last !== undefined) this.#sharedLengths[this.#keys.length] = commonLength(last, key);
    this.#keys.push(key);
    this.#sharedLengths.push(UNKNOWN);
    this.#lows.add(this.#keys.length, key);
  }

  /** To be called once all parts are there. */
  begin(): void {
    this.#sizes = new Uint32Array(this.count + 1);
  }

  /** Counts the key. */
  take(key: Uint8Array): number {
    const part = this.#lows.chunkOf(key);
    this.#sizes[part]! += 1;
    return part;
  }

  sharedLengthOf(part: number): number {
    return this.#sharedLengths[part]!;
  }

  /** How many keys are in the parts before each; of all parts, behind the last one. */
  starts(): Uint32Array {
    const starts = new Uint32Array(this.count + 1);
    for (let part = 0; part < this.count; part += 1) starts[part + 1] = starts[part]! + this.#sizes[part]!;
    return starts;
  }
}

function* sample(records: Records, parts: Parts): Generator<undefined, void> {
  const samples = new OrderedKeys(records);
  for (let slot = 0, taken = 0; slot < records.rows.end; slot += SAMPLE_STEP) {
    if (!records.isInUse(slot) || !records.hasValue(slot)) continue;
    samples.add(slot, records.keyAt(slot));
    taken += SAMPLE_STEP / 8;
    if (taken % STEP_SLOTS === 0) yield;
  }
  let number = 0;
  for (let at = samples.start; at < samples.end; at = samples.after(at)) {
    number += 1;
    if (number % PART_SAMPLES === 0) parts.add(records.keyAt(samples.slotAt(at)).slice());
    if (number % STEP_SLOTS === 0) yield;
  }
  parts.begin();
}

function findParts(
  records: Records,
  parts: Parts,
  from: Slot,
  to: Slot,
  partOf: Uint32Array,
  words: Uint32Array,
): void {
  for (let slot = from; slot < to; slot += 1) {
    partOf[slot] = NO_PART;
    if (!records.isInUse(slot) || !records.hasValue(slot)) continue;
    const key = records.keyAt(slot);
    const part = parts.take(key);
    partOf[slot] = part;
    words[slot] = wordOf(key, Math.max(parts.sharedLengthOf(part), 0), key.length);
  }
}

/** @param cells  words and slots, in no order */
function addPart(records: Records, order: OrderedKeys, sharedLength: number, cells: Uint32Array): void {
  if (cells.length === 0) return;
  if (sharedLength !== UNKNOWN && cells.length <= ORDER_RUN_MAX * 2) order.addUnsorted(sharedLength, cells);
  else for (let at = 1; at < cells.length; at += 2) order.add(cells[at]!, records.keyAt(cells[at]!));
}
