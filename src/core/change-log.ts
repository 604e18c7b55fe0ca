/**
 * The slots of a table in the order of their lsn, one position each: what catch-up and snapshots walk.
 *
 * Positions sit in chunks. One counts as long as its lsn is still that of its slot, so an overwrite only
 * counts down the chunk that it leaves; a chunk that is less than half alive is squeezed, and joined with
 * its neighbour if both fit into one. A chunk that is full knows the highest seq of every origin in it:
 * catch-up passes by whole chunks that the peer covers.
 */
import { present } from "../invariant.ts";
import type { Lsn, Seq } from "../types.ts";
import type { EntryRun } from "./entry-run.ts";
import type { Records } from "./records.ts";
import { NO_SLOT, type Slot } from "./rows.ts";
import type { VersionVector } from "./version-vector.ts";

const CHUNK_POSITIONS = 1024;
const CHUNK_POSITIONS_MIN = 16;
const OFFSET_MAX = 2 ** 32 - 1;

interface Chunk {
  /** The lsn of a position is `base` plus its offset. */
  readonly base: Lsn;
  offsets: Uint32Array;
  slots: Uint32Array;
  /** Positions in use, dead ones included. */
  length: number;
  alive: number;
  /** By number of the origin. `undefined` while the chunk still fills. May be too high, never too low. */
  highest: Map<number, Seq> | undefined;
}

export class ChangeLog {
  readonly #records: Records;
  readonly #chunks: Chunk[] = [];
  /** The bases of the chunks again, for searching. */
  readonly #bases: Lsn[] = [];

  constructor(records: Records) {
    this.#records = records;
  }

  /** Positions that memory is held for. */
  get capacity(): number {
    return this.#chunks.reduce((sum, chunk) => sum + chunk.slots.length, 0);
  }

  /** Adds a position at the end. The slot has its new lsn already, which is above all others. */
  append(slot: Slot, lsn: Lsn): void {
    const chunk = this.#chunkFor(lsn);
    if (chunk.length === chunk.slots.length) resize(chunk, chunk.length * 2);
    chunk.offsets[chunk.length] = lsn - chunk.base;
    chunk.slots[chunk.length] = slot;
    chunk.length += 1;
    chunk.alive += 1;
    // A chunk that was squeezed may have become the last one, and fill up again.
    chunk.highest = undefined;
  }

  /** As `append`, of all entries of a run. */
  appendRun({ count, lsns, slots }: EntryRun): void {
    for (let index = 0; index < count; ) {
      const chunk = this.#chunkFor(lsns[index]!);
      const { base, length } = chunk;
      const positions = Math.min(count - index, CHUNK_POSITIONS - length);
      if (length + positions > chunk.slots.length) resize(chunk, capacityFor(length + positions));
      const { offsets } = chunk;
      let at = length;
      for (; at < length + positions; at += 1) {
        const offset = lsns[index + at - length]! - base;
        if (offset > OFFSET_MAX) break;
        offsets[at] = offset;
      }
      chunk.slots.set(slots.subarray(index, index + at - length), length);
      index += at - length;
      chunk.alive += at - length;
      chunk.length = at;
      chunk.highest = undefined;
    }
  }

  /** The slot that was at `lsn` has moved on, or is gone. */
  leave(lsn: Lsn): void {
    const index = this.#indexOf(lsn);
    const chunk = present(this.#chunks[index], "an lsn has a chunk");
    chunk.alive -= 1;
    if (chunk.alive * 2 < chunk.length) this.#squeeze(index);
  }

  /** The first slot with an lsn above `after` whose write `vector` does not cover; NO_SLOT if there is none. */
  next(after: Lsn, vector: VersionVector | undefined): Slot {
    let index = Math.max(this.#indexOf(after), 0);
    for (; index < this.#chunks.length; index += 1) {
      const chunk = this.#chunks[index]!;
      // In the middle of a chunk the rest is walked: asking its summary again at every step would cost more.
      if (after < chunk.base && vector !== undefined && this.#isCovered(chunk, vector)) continue;
      const slot = this.#nextIn(chunk, after, vector);
      if (slot !== NO_SLOT) return slot;
    }
    return NO_SLOT;
  }

  #nextIn(chunk: Chunk, after: Lsn, vector: VersionVector | undefined): Slot {
    const { rows } = this.#records;
    // The origin asked for last, and up to where it is covered.
    let origin = -1;
    let covered = 0;
    for (let at = firstAbove(chunk, after); at < chunk.length; at += 1) {
      const slot = chunk.slots[at]!;
      if (rows.lsnAt(slot) !== chunk.base + chunk.offsets[at]!) continue;
      if (vector === undefined) return slot;
      if (rows.originAt(slot) !== origin) {
        origin = rows.originAt(slot);
        covered = vector.get(this.#records.originAt(slot));
      }
      if (rows.seqAt(slot) > covered) return slot;
    }
    return NO_SLOT;
  }

  #isCovered(chunk: Chunk, vector: VersionVector): boolean {
    if (chunk.highest === undefined) return false;
    for (const [number, seq] of chunk.highest) {
      const origin = this.#records.originOf(number);
      // The number of an origin without entries: what the summary counted has left the chunk.
      if (origin !== undefined && !vector.covers(origin, seq)) return false;
    }
    return true;
  }

  /** The last chunk, or a new one if `lsn` does not go into it. */
  #chunkFor(lsn: Lsn): Chunk {
    const last = this.#chunks.at(-1);
    if (last !== undefined && last.length < CHUNK_POSITIONS && lsn - last.base <= OFFSET_MAX) return last;
    if (last !== undefined) this.#seal(last);
    const chunk = newChunk(lsn, last === undefined ? CHUNK_POSITIONS_MIN : CHUNK_POSITIONS);
    this.#chunks.push(chunk);
    this.#bases.push(lsn);
    return chunk;
  }

  /** The last chunk that begins at or before `lsn`; -1 if there is none. */
  #indexOf(lsn: Lsn): number {
    let low = 0;
    let high = this.#bases.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#bases[middle]! <= lsn) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #seal(chunk: Chunk): Map<number, Seq> {
    const { rows } = this.#records;
    const highest = new Map<number, Seq>();
    let origin = -1;
    let seqMax = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const slot = chunk.slots[at]!;
      if (rows.lsnAt(slot) !== chunk.base + chunk.offsets[at]!) continue;
      if (rows.originAt(slot) !== origin) {
        if (origin >= 0) highest.set(origin, seqMax);
        origin = rows.originAt(slot);
        seqMax = highest.get(origin) ?? 0;
      }
      seqMax = Math.max(seqMax, rows.seqAt(slot));
    }
    if (origin >= 0) highest.set(origin, seqMax);
    chunk.highest = highest;
    return highest;
  }

  #squeeze(index: number): void {
    const chunk = this.#chunks[index]!;
    const isLast = index === this.#chunks.length - 1;
    this.#dropDead(chunk);
    if (chunk.alive === 0) {
      this.#chunks.splice(index, 1);
      this.#bases.splice(index, 1);
      return;
    }
    // The last chunk still fills: it is left as it is.
    if (isLast) return;
    this.#seal(chunk);
    if (!this.#join(index - 1)) this.#join(index);
  }

  /** Leaves a chunk that does not fill any more without dead positions. Looks at none of its rows if it has none. */
  #tidy(chunk: Chunk): Map<number, Seq> {
    if (chunk.alive === chunk.length && chunk.highest !== undefined) return chunk.highest;
    this.#dropDead(chunk);
    return this.#seal(chunk);
  }

  #dropDead(chunk: Chunk): void {
    const { rows } = this.#records;
    let kept = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const slot = chunk.slots[at]!;
      const offset = chunk.offsets[at]!;
      if (rows.lsnAt(slot) !== chunk.base + offset) continue;
      chunk.slots[kept] = slot;
      chunk.offsets[kept] = offset;
      kept += 1;
    }
    chunk.length = kept;
  }

  /** Moves the chunk behind `index` into the one at `index`, if both are full or squeezed and fit. */
  #join(index: number): boolean {
    const into = this.#chunks[index];
    const from = this.#chunks[index + 1];
    if (into === undefined || from?.highest === undefined) return false;
    const shift = from.base - into.base;
    if (into.alive + from.alive > CHUNK_POSITIONS) return false;
    if (shift + (from.offsets[from.length - 1] ?? 0) > OFFSET_MAX) return false;
    const highest = this.#tidy(into);
    const others = this.#tidy(from);
    if (into.slots.length < into.length + from.length) resize(into, CHUNK_POSITIONS);
    for (let at = 0; at < from.length; at += 1) {
      into.slots[into.length + at] = from.slots[at]!;
      into.offsets[into.length + at] = from.offsets[at]! + shift;
    }
    into.length += from.length;
    into.alive += from.alive;
    this.#chunks.splice(index + 1, 1);
    this.#bases.splice(index + 1, 1);
    for (const [origin, seq] of others) highest.set(origin, Math.max(seq, highest.get(origin) ?? 0));
    return true;
  }
}

function newChunk(base: Lsn, capacity: number): Chunk {
  return {
    base,
    offsets: new Uint32Array(capacity),
    slots: new Uint32Array(capacity),
    length: 0,
    alive: 0,
    highest: undefined,
  };
}

/** What doubling comes to. */
function capacityFor(positions: number): number {
  let capacity = CHUNK_POSITIONS_MIN;
  while (capacity < positions) capacity *= 2;
  return capacity;
}

function resize(chunk: Chunk, capacity: number): void {
  const { offsets, slots } = chunk;
  chunk.offsets = new Uint32Array(capacity);
  chunk.slots = new Uint32Array(capacity);
  chunk.offsets.set(offsets.subarray(0, chunk.length));
  chunk.slots.set(slots.subarray(0, chunk.length));
}

/** Index of the first position with an lsn above `after`. */
function firstAbove(chunk: Chunk, after: Lsn): number {
  if (after < chunk.base) return 0;
  let low = 0;
  let high = chunk.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (chunk.base + chunk.offsets[middle]! <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
