/**
 * Changes that are kept until somebody asks for them, oldest first. They are kept as bytes: as objects, the thousands
 * that wait for a slow consumer or to be resumed behind would outlive the young generation, so that the garbage collector
 * charges for each put a second time, and a value of ten bytes would hold on to the buffer of 64 KiB that it lies in.
 *
 * A record, little-endian: stamp, seq, expiresAt, number (f64 each), the lengths of key, value and previous value (i32
 * each, -1: null), the index of the origin in its chunk (u16), flags (u8), nothing (u8); then the bytes of the three.
 */
import { present } from "../invariant.ts";
import type { Change } from "../sync/committed.ts";
import type { Entry, Origin, Stamp } from "../types.ts";

export class ChangeQueue {
  /** The oldest chunk, and the one that is written to. */
  #first: Chunk | undefined;
  #last: Chunk | undefined;
  /** One that has been emptied, for when the next one is needed. */
  #spare: Chunk | undefined;
  #size = 0;
  #bytes = 0;

  /** How many changes there are. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of their keys, values and previous values. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Copies the bytes. */
  push(change: Change): void {
    const bytes = bytesOf(change);
    const length = HEADER_BYTES + bytes;
    const last = this.#last;
    const chunk = last?.hasRoom(length) === true ? last : this.#addChunk(length);
    chunk.push(change, length);
    this.#size += 1;
    this.#bytes += bytes;
  }

  /** Takes the oldest change. Its key and values are views, good until the next change of the queue. */
  shift(): Change | undefined {
    const chunk = this.#first;
    if (chunk === undefined) return undefined;
    const change = chunk.changeAt(chunk.start);
    this.#leave(chunk, bytesOf(change));
    return change;
  }

  /** Forgets the oldest change. */
  drop(): void {
    const chunk = this.#first;
    if (chunk !== undefined) this.#leave(chunk, chunk.lengthAt(chunk.start) - HEADER_BYTES);
  }

  clear(): void {
    this.#first = undefined;
    this.#last = undefined;
    this.#spare = undefined;
    this.#size = 0;
    this.#bytes = 0;
  }

  /** The changes from the first one with this stamp on. Key and values as those of `shift`. */
  *from(stamp: Stamp): IterableIterator<Change> {
    let isFound = false;
    for (let chunk = this.#first; chunk !== undefined; chunk = chunk.next) {
      for (let at = chunk.start; at < chunk.end; at += chunk.lengthAt(at)) {
        isFound ||= chunk.stampAt(at) === stamp;
        if (isFound) yield chunk.changeAt(at);
      }
    }
  }

  /** Each chunk is twice as large as the one before it: a watch for which little waits is to be cheap. */
  #addChunk(length: number): Chunk {
    const last = this.#last;
    const usual = last === undefined ? CHUNK_BYTES_MIN : Math.min(last.capacity * 2, CHUNK_BYTES_MAX);
    let chunk = this.#spare;
    if (chunk === undefined || chunk.capacity < Math.max(usual, length)) chunk = new Chunk(Math.max(usual, length));
    else this.#spare = undefined;
    chunk.clear();
    this.#first ??= chunk;
    if (last !== undefined) last.next = chunk;
    this.#last = chunk;
    return chunk;
  }

  /** Goes on behind the oldest change. */
  #leave(chunk: Chunk, bytes: number): void {
    this.#size -= 1;
    this.#bytes -= bytes;
    chunk.start += HEADER_BYTES + bytes;
    if (chunk.start < chunk.end) return;
    this.#first = chunk.next;
    if (this.#first === undefined) this.#last = undefined;
    // What is empty keeps next to nothing.
    if (this.#size === 0) this.#spare = undefined;
    if (chunk.capacity === (this.#size === 0 ? CHUNK_BYTES_MIN : CHUNK_BYTES_MAX)) this.#spare = chunk;
  }
}

/** What the bytes of a change take in memory. */
export function bytesOf({ entry, previous }: Change): number {
  return entry.key.length + (entry.value?.length ?? 0) + (previous?.length ?? 0);
}

const CHUNK_BYTES_MIN = 512;
const CHUNK_BYTES_MAX = 64 * 1024;
const HEADER_BYTES = 48;
const KINDS = ["put", "delete", "expire"] as const;
const KIND_MASK = 3;
const EXISTED = 4;
const LOCAL = 8;
const DROPPED = 16;

/** Records one behind the other; those from `start` up to `end` are there. */
class Chunk {
  start = 0;
  end = 0;
  next: Chunk | undefined;
  readonly #view: DataView;
  /** Fewer than 2 ** 16: a record takes more than one of at most 65,536 bytes, or has the chunk for itself. */
  #origins: Origin[] = [];
  #recentOrigin: Origin | undefined;
  #recentIndex = 0;

  constructor(capacity: number) {
    this.#view = new DataView(new ArrayBuffer(capacity));
  }

  get capacity(): number {
    return this.#view.byteLength;
  }

  hasRoom(length: number): boolean {
    return this.end + length <= this.#view.byteLength;
  }

  clear(): void {
    this.start = 0;
    this.end = 0;
    this.next = undefined;
    this.#origins = [];
    this.#recentOrigin = undefined;
  }

  push({ kind, entry, existed, previous, local, number, dropped }: Change, length: number): void {
    const at = this.end;
    const view = this.#view;
    view.setFloat64(at, entry.stamp, true);
    view.setFloat64(at + 8, entry.seq, true);
    view.setFloat64(at + 16, entry.expiresAt, true);
    view.setFloat64(at + 24, number, true);
    view.setInt32(at + 32, entry.key.length, true);
    view.setInt32(at + 36, entry.value?.length ?? -1, true);
    view.setInt32(at + 40, previous?.length ?? -1, true);
    view.setUint16(at + 44, this.#indexOf(entry.origin), true);
    const facts = (existed ? EXISTED : 0) | (local ? LOCAL : 0) | (dropped === true ? DROPPED : 0);
    view.setUint8(at + 46, facts | KINDS.indexOf(kind));
    let end = this.#write(entry.key, at + HEADER_BYTES);
    if (entry.value !== null) end = this.#write(entry.value, end);
    if (previous !== null) this.#write(previous, end);
    this.end = at + length;
  }

  stampAt(at: number): Stamp {
    return this.#view.getFloat64(at, true);
  }

  /** Of the whole record. */
  lengthAt(at: number): number {
    const view = this.#view;
    const valueLength = Math.max(0, view.getInt32(at + 36, true));
    const previousLength = Math.max(0, view.getInt32(at + 40, true));
    return HEADER_BYTES + view.getInt32(at + 32, true) + valueLength + previousLength;
  }

  changeAt(at: number): Change {
    const view = this.#view;
    const flags = view.getUint8(at + 46);
    const keyAt = at + HEADER_BYTES;
    const keyLength = view.getInt32(at + 32, true);
    const valueLength = view.getInt32(at + 36, true);
    const previousLength = view.getInt32(at + 40, true);
    const previousAt = keyAt + keyLength + Math.max(0, valueLength);
    const entry: Entry = {
      key: this.#bytes(keyAt, keyLength),
      value: valueLength < 0 ? null : this.#bytes(keyAt + keyLength, valueLength),
      stamp: view.getFloat64(at, true),
      origin: present(this.#origins[view.getUint16(at + 44, true)], "a record has an origin"),
      seq: view.getFloat64(at + 8, true),
      expiresAt: view.getFloat64(at + 16, true),
    };
    const change: Change = {
      kind: present(KINDS[flags & KIND_MASK], "a record has a kind"),
      entry,
      existed: (flags & EXISTED) !== 0,
      previous: previousLength < 0 ? null : this.#bytes(previousAt, previousLength),
      local: (flags & LOCAL) !== 0,
      number: view.getFloat64(at + 24, true),
    };
    return (flags & DROPPED) === 0 ? change : { ...change, dropped: true };
  }

  #indexOf(origin: Origin): number {
    if (this.#recentOrigin === origin) return this.#recentIndex;
    const found = this.#origins.indexOf(origin);
    this.#recentIndex = found < 0 ? this.#origins.push(origin) - 1 : found;
    this.#recentOrigin = origin;
    return this.#recentIndex;
  }

  /** Returns where the bytes end. */
  #write(bytes: Uint8Array, at: number): number {
    const { length } = bytes;
    if (length > SHORT_BYTES_MAX) this.#bytes(at, length).set(bytes);
    else for (let i = 0; i < length; i += 1) this.#view.setUint8(at + i, bytes[i] ?? 0);
    return at + length;
  }

  #bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.#view.buffer, at, length);
  }
}

/** Up to here a loop is faster than a call that copies. */
const SHORT_BYTES_MAX = 32;
