/** Another folder that is connected, and what is under way between it and us. */

import { CHUNK_BYTES, type ChunkHash } from "./content.ts";
import type { Link } from "./content-transport.ts";

/** What is under way at one time: of all requests, and of gifts to one neighbour. */
export const WINDOW_BYTES = 8 * 1024 * 1024;
/** An answer within the first lets more be under way, one after the second less. */
const FAST_MS = 300;
const SLOW_MS = 2000;

/**
 * How much may be under way, from how long answers take. Content shares its connection with the index, whose signs of life must not
 * wait behind more than a few seconds of it.
 */
export class Pace {
  #usedBytes = 0;
  #limitBytes = 2 * CHUNK_BYTES;

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Whether so much more may be sent. One chunk always may when nothing is under way. */
  hasRoom(bytes: number): boolean {
    return this.#usedBytes + bytes <= this.#limitBytes;
  }

  begin(bytes: number): void {
    this.#usedBytes += bytes;
  }

  /** @param tookMs undefined if it says nothing about the way */
  end(bytes: number, tookMs?: number): void {
    this.#usedBytes -= bytes;
    if (tookMs === undefined) return;
    if (tookMs <= FAST_MS) this.#limitBytes = Math.min(WINDOW_BYTES, this.#limitBytes + bytes);
    if (tookMs >= SLOW_MS) this.#limitBytes = Math.max(CHUNK_BYTES, this.#limitBytes / 2);
  }
}

export class Neighbour {
  readonly link: Link;
  /** Of what we have asked for, and of what we have given unasked. */
  readonly asked = new Pace();
  readonly given = new Pace();
  /** Gifts that it has not taken yet. */
  readonly gifts = new Map<ChunkHash, { readonly bytes: number; readonly sinceMs: number }>();
  /** What it wants, and is to be answered. */
  readonly queue: ChunkHash[] = [];
  /** When it last said something. */
  heardMs: number;

  constructor(link: Link, nowMs: number) {
    this.link = link;
    this.heardMs = nowMs;
  }
}
