/**
 * The bytes of all keys and values: records, appended to slabs of up to 1 MiB. What an overwritten or
 * removed record leaves is counted as dead; once a fifth of everything is dead, the emptiest slab is
 * emptied, a few records at a time, and its memory used again.
 *
 * A record is a 4-byte header, the key, the value, rounded up to 4 bytes. The header names the slot, or
 * gives the length of a dead stretch: so a slab can be walked. A record above 32 KiB has an allocation
 * of its own, which need never be moved.
 */
import { assert, present } from "../invariant.ts";
import type { EntryRun } from "./entry-run.ts";
import type { Slot } from "./rows.ts";

/** Where a record is. Opaque; fits 32 bits. */
export type Place = number;

/** The place of every record that has an allocation of its own. */
const OWN: Place = 0xffff_ffff;
const HEADER_BYTES = 4;
const SLAB_BYTES_MIN = 4096;
const SLAB_BYTES_MAX = 1024 * 1024;
const OWN_BYTES_MIN = 32 * 1024;
/** A place is the number of the slab, then the offset in units of 4 bytes. */
const OFFSET_BITS = 18;
const OFFSET_MASK = 2 ** OFFSET_BITS - 1;
const SLABS_MAX = 2 ** 14 - 1;
const DEAD_FLAG = 0x8000_0000;
const SPARE_SLABS_MAX = 2;
/** Bytes moved at most per change, beyond four times the bytes of the change itself. */
const MOVE_BYTES = 512;

/** Share of a slab that must be dead to make emptying it worth while. */
const VICTIM_DEAD_MIN = 0.1;

interface Slab {
  /** Asking a view for it takes longer than making another view. */
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Up to here there are records. */
  end: number;
  dead: number;
}

/** What the slabs must know of the rows when they move a record. */
export interface Placed {
  /** Length of the slot's key and value. */
  lengthAt(slot: Slot): number;
  moved(slot: Slot, place: Place): void;
}

const NOTHING = newSlab(0);

export class Slabs {
  readonly #slabs: Slab[] = [];
  readonly #numbersFree: number[] = [];
  readonly #spares: Slab[] = [];
  readonly #own = new Map<Slot, Slab>();
  /** Number of the slab that takes new records. */
  #open = -1;
  /** The slab that is being emptied, and how far. */
  #victim = -1;
  #victimAt = 0;
  /** Of all slabs, not of own allocations. */
  #usedBytes = 0;
  #deadBytes = 0;

  /** Memory that the slabs take, spare ones and own allocations included. */
  get allocatedBytes(): number {
    let bytes = 0;
    for (const slabs of [this.#slabs, this.#spares, this.#own.values()]) {
      for (const slab of slabs) bytes += slab.bytes.length;
    }
    return bytes;
  }

  /** Stores a record. `value` of null takes no space. */
  add(slot: Slot, key: Uint8Array, value: Uint8Array | null): Place {
    const length = key.length + (value?.length ?? 0);
    const size = sizeOf(length);
    const place = this.#reserve(slot, size);
    const { bytes, view } = this.#slab(place, slot);
    const at = startOf(place);
    view.setUint32(at - HEADER_BYTES, slot, true);
    copy(key, bytes, at);
    if (value !== null) copy(value, bytes, at + key.length);
    return place;
  }

  /**
   * Stores the records of a run in slots from `first` on: whole stretches of them with one copy.
   * @param places  gets the place of each
   */
  addRun(first: Slot, { bytes, starts, count }: EntryRun, places: Uint32Array): void {
    for (let index = 0; index < count; ) {
      const from = starts[index]!;
      const size = starts[index + 1]! - from;
      const place = this.#reserve(first + index, size);
      const slab = this.#slab(place, first + index);
      const shift = startOf(place) - HEADER_BYTES - from;
      const begin = index;
      places[index++] = place;
      if (place !== OWN) {
        // What follows and fits goes along.
        const fitting = slab.bytes.length - shift;
        for (; index < count && starts[index + 1]! <= fitting; index += 1) {
          if (starts[index + 1]! - starts[index]! > OWN_BYTES_MIN) break;
          places[index] = place + (starts[index]! - from) / 4;
        }
        this.#usedBytes += starts[index]! + shift - slab.end;
        slab.end = starts[index]! + shift;
      }
      slab.bytes.set(bytes.subarray(from, starts[index]), from + shift);
      for (let at = begin; at < index; at += 1) slab.view.setUint32(starts[at]! + shift, first + at, true);
    }
  }

  /**
   * Replaces the value of a record, in its place if it fits there.
   * @param length  of key and value so far
   */
  replace(place: Place, slot: Slot, keyLength: number, length: number, value: Uint8Array | null): Place {
    const newLength = keyLength + (value?.length ?? 0);
    const spareBytes = sizeOf(length) - sizeOf(newLength);
    const { bytes } = this.#slab(place, slot);
    const at = startOf(place);
    if (place === OWN ? spareBytes === 0 : spareBytes >= 0) {
      if (value !== null) copy(value, bytes, at + keyLength);
      if (spareBytes > 0) this.#bury(place, at - HEADER_BYTES + sizeOf(newLength), spareBytes);
      return place;
    }
    const key = bytes.slice(at, at + keyLength);
    this.remove(place, slot, length);
    return this.add(slot, key, value);
  }

  /** @param length  of key and value */
  remove(place: Place, slot: Slot, length: number): void {
    if (place === OWN) this.#own.delete(slot);
    else this.#bury(place, startOf(place) - HEADER_BYTES, sizeOf(length));
  }

  /** The bytes that the record is in: its key begins at `startOf(place)`, its value right behind. */
  bytesAt(place: Place, slot: Slot): Uint8Array {
    return this.#slab(place, slot).bytes;
  }

  /** What `bytesAt` is all of. */
  bufferAt(place: Place, slot: Slot): ArrayBuffer {
    return this.#slab(place, slot).buffer;
  }

  /** As `bytesAt`. Readable up to the next multiple of 4 behind the record. */
  viewAt(place: Place, slot: Slot): DataView {
    return this.#slab(place, slot).view;
  }

  /**
   * Moves some records out of the emptiest slab, if there is much dead space. To be called with every
   * change: the work is a small multiple of it.
   *
   * @param length  of key and value that the change wrote or removed
   */
  tidy(length: number, placed: Placed): void {
    if (this.#victim < 0) {
      if (this.#deadBytes * 5 <= this.#usedBytes || this.#deadBytes < SLAB_BYTES_MIN) return;
      this.#chooseVictim();
      if (this.#victim < 0) return;
    }
    const number = this.#victim;
    const slab = present(this.#slabs[number], "the victim is a slab");
    let budget = 4 * Math.min(length, OWN_BYTES_MIN) + MOVE_BYTES;
    let at = this.#victimAt;
    while (at < slab.end && budget > 0) {
      const header = slab.view.getUint32(at, true);
      if (header >= DEAD_FLAG) {
        at += header - DEAD_FLAG;
        // Walking has a price too, though a small one.
        budget -= 16;
        continue;
      }
      const size = sizeOf(placed.lengthAt(header));
      const place = this.#reserve(header, size);
      this.#slab(place, header).bytes.set(slab.bytes.subarray(at, at + size), startOf(place) - HEADER_BYTES);
      placed.moved(header, place);
      // If the walk pauses here, the rest of this slab may still be changed and counted.
      slab.dead += size;
      this.#deadBytes += size;
      at += size;
      budget -= size;
    }
    this.#victimAt = at;
    if (at >= slab.end) this.#discard(number, slab);
  }

  #slab(place: Place, slot: Slot): Slab {
    const slab = place === OWN ? this.#own.get(slot) : this.#slabs[place >>> OFFSET_BITS];
    return present(slab, "a place is in a slab");
  }

  #reserve(slot: Slot, size: number): Place {
    if (size > OWN_BYTES_MIN) {
      this.#own.set(slot, { ...newSlab(size), end: size });
      return OWN;
    }
    let slab = this.#slabs[this.#open];
    if (slab === undefined || slab.end + size > slab.bytes.length) slab = this.#openSlab(size);
    const place = ((this.#open << OFFSET_BITS) | (slab.end >>> 2)) >>> 0;
    slab.end += size;
    this.#usedBytes += size;
    return place;
  }

  #openSlab(size: number): Slab {
    const previous = this.#slabs[this.#open];
    // The tail that the record does not fit into stays unused: it counts as dead, or nobody would reclaim it.
    if (previous !== undefined && previous.end < previous.bytes.length) {
      const tail = previous.bytes.length - previous.end;
      previous.view.setUint32(previous.end, DEAD_FLAG + tail, true);
      previous.end += tail;
      previous.dead += tail;
      this.#usedBytes += tail;
      this.#deadBytes += tail;
    }
    const number = this.#numbersFree.pop() ?? this.#slabs.length;
    assert(number < SLABS_MAX, "the small records of a store fit into 16 GiB");
    const slab = this.#spares.pop() ?? newSlab(Math.max(size, slabBytes(this.#usedBytes)));
    this.#slabs[number] = slab;
    this.#open = number;
    return slab;
  }

  #bury(place: Place, at: number, size: number): void {
    const slab = present(this.#slabs[place >>> OFFSET_BITS], "a place is in a slab");
    slab.view.setUint32(at, DEAD_FLAG + size, true);
    slab.dead += size;
    this.#deadBytes += size;
  }

  #chooseVictim(): void {
    let most = VICTIM_DEAD_MIN;
    for (let number = 0; number < this.#slabs.length; number += 1) {
      const slab = this.#slabs[number];
      if (slab === undefined || number === this.#open || slab.end === 0) continue;
      const share = slab.dead / slab.end;
      if (share <= most) continue;
      most = share;
      this.#victim = number;
    }
    this.#victimAt = 0;
  }

  #discard(number: number, slab: Slab): void {
    this.#usedBytes -= slab.end;
    this.#deadBytes -= slab.dead;
    this.#slabs[number] = NOTHING;
    this.#numbersFree.push(number);
    this.#victim = -1;
    if (slab.bytes.length < SLAB_BYTES_MAX || this.#spares.length >= SPARE_SLABS_MAX) return;
    slab.end = 0;
    slab.dead = 0;
    this.#spares.push(slab);
  }
}

/** Where the key of a record begins in its bytes. */
export function startOf(place: Place): number {
  return place === OWN ? HEADER_BYTES : (place & OFFSET_MASK) * 4 + HEADER_BYTES;
}

function sizeOf(length: number): number {
  return (HEADER_BYTES + length + 3) & ~3;
}

/** Slabs grow with the store, so that a small one stays small. */
function slabBytes(usedBytes: number): number {
  let bytes = SLAB_BYTES_MIN;
  while (bytes < SLAB_BYTES_MAX && bytes * 4 < usedBytes) bytes *= 2;
  return bytes;
}

function newSlab(size: number): Slab {
  const buffer = new ArrayBuffer(size);
  return { buffer, bytes: new Uint8Array(buffer), view: new DataView(buffer), end: 0, dead: 0 };
}

/** For a few bytes a loop beats the call of `set`. */
function copy(source: Uint8Array, target: Uint8Array, at: number): void {
  const length = source.length;
  if (length > 48) {
    target.set(source, at);
    return;
  }
  for (let index = 0; index < length; index += 1) target[at + index] = source[index]!;
}
