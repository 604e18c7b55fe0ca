/**
 * New content of a few megabytes is given unasked, before the manifest that names it is put: it arrives a round trip earlier, and is
 * safe with the others at once, whatever happens to the folder it came from. Who is given it keeps it in memory until the manifest has
 * come and it is used, and says so then: more than a window of it is never under way, and what does not fit is asked for.
 */

import type { ChunkMessage } from "./chunk-messages.ts";
import { CHUNK_BYTES, type ChunkHash, chunkBytes, type FileContent, hashOf } from "./content.ts";
import type { Neighbour } from "./neighbour.ts";

export interface ChunkGiftsOptions {
  readonly nowMs: () => number;
  /** Whether the folder has a chunk. */
  readonly isKnown: (chunk: ChunkHash) => boolean;
  readonly send: (neighbour: Neighbour, message: ChunkMessage) => void;
}

/** Of one file. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;
/** What we keep of all that we are given, and for how long. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024;
const KEPT_MS = 15_000;

export class ChunkGifts {
  readonly #options: ChunkGiftsOptions;
  readonly #neighbours = new Set<Neighbour>();
  /** What we were given, the oldest first. */
  readonly #kept = new Map<
    ChunkHash,
    { readonly value: Uint8Array; readonly from: Neighbour; readonly untilMs: number }
  >();
  #keptBytes = 0;

  constructor(options: ChunkGiftsOptions) {
    this.#options = options;
  }

  opened(neighbour: Neighbour): void {
    this.#neighbours.add(neighbour);
  }

  closed(neighbour: Neighbour): void {
    this.#neighbours.delete(neighbour);
  }

  /**
   * Gives what is new of some content to every neighbour that has room for it.
   * @param content of a file in the folder; what the folder had of it elsewhere is known to others, and left out
   */
  async give(
    content: FileContent,
    read: (offset: number, bytes: number) => Promise<Uint8Array | undefined>,
  ): Promise<void> {
    if (content.inline !== undefined) return;
    const places = new Map<ChunkHash, { readonly offset: number; readonly bytes: number }>();
    let totalBytes = 0;
    for (const [index, chunk] of content.chunks.entries()) {
      if (this.#options.isKnown(chunk) || places.has(chunk)) continue;
      const bytes = chunkBytes(content.size, index);
      places.set(chunk, { offset: index * CHUNK_BYTES, bytes });
      totalBytes += bytes;
      if (totalBytes > FILE_BYTES_MAX) return;
    }
    const takers = [...this.#neighbours].filter(({ given }) => given.hasRoom(totalBytes));
    if (takers.length === 0) return;
    for (const [chunk, { offset, bytes }] of places) {
      const value = await read(offset, bytes);
      if (value === undefined || hashOf(value) !== chunk) return;
      for (const neighbour of takers) {
        if (neighbour.gifts.has(chunk)) continue;
        neighbour.gifts.set(chunk, { bytes, sinceMs: this.#options.nowMs() });
        neighbour.given.begin(bytes);
        this.#options.send(neighbour, { type: "gift", chunk, value });
      }
    }
  }

  /** A neighbour has room again. */
  taken(chunk: ChunkHash, neighbour: Neighbour): void {
    const gift = neighbour.gifts.get(chunk);
    if (gift === undefined) return;
    neighbour.gifts.delete(chunk);
    neighbour.given.end(gift.bytes, this.#options.nowMs() - gift.sinceMs);
  }

  get(chunk: ChunkHash): Uint8Array | undefined {
    return this.#kept.get(chunk)?.value;
  }

  /** We were given a chunk. Its hash has been checked. */
  keep(chunk: ChunkHash, value: Uint8Array, from: Neighbour): void {
    this.drop(chunk);
    this.#kept.set(chunk, { value, from, untilMs: this.#options.nowMs() + KEPT_MS });
    this.#keptBytes += value.length;
    for (const [oldest] of this.#kept) {
      if (this.#keptBytes <= KEPT_BYTES_MAX) break;
      this.drop(oldest);
    }
  }

  /** It has been used, or will not be. */
  drop(chunk: ChunkHash): void {
    const gift = this.#kept.get(chunk);
    if (gift === undefined) return;
    this.#kept.delete(chunk);
    this.#keptBytes -= gift.value.length;
    this.#options.send(gift.from, { type: "taken", chunks: [chunk] });
  }

  /** Drops what has not been used for long. Called now and then. */
  expire(): void {
    const nowMs = this.#options.nowMs();
    for (const [chunk, { untilMs }] of this.#kept) {
      if (untilMs > nowMs) break;
      this.drop(chunk);
    }
  }
}
