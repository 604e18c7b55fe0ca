/**
 * What this folder lacks, and whom it asks for it: one neighbour at a time for each chunk, so that no chunk comes twice. One that has
 * not got it says so, and another one is asked; when nobody has it, it is asked for again after a while, or as soon as somebody says
 * that it is there. A window bounds what is under way, and with it the memory that takes, whatever is lacking.
 */

import { LISTED_MAX } from "./chunk-messages.ts";
import type { ChunkHash } from "./content.ts";
import { type Neighbour, WINDOW_BYTES } from "./neighbour.ts";

interface Request {
  readonly bytes: number;
  /** Who has said that it is not there. */
  readonly refusedBy: Set<Neighbour>;
  asked: { readonly neighbour: Neighbour; readonly sinceMs: number } | undefined;
  /** Has arrived, and is about to be used. */
  value: Uint8Array | undefined;
}

export interface ChunkRequestsOptions {
  readonly nowMs: () => number;
  readonly ask: (neighbour: Neighbour, chunks: readonly ChunkHash[]) => void;
  readonly arrived: (chunk: ChunkHash) => void;
}

/** Requests that are under way, whatever their size. */
const WINDOW_CHUNKS = 2 * LISTED_MAX;
/** Who is silent for so long is not waited for. */
const ANSWER_MS_MAX = 30_000;
const RETRY_MS = 1000;
/** How many are looked at for one that can be asked for now. */
const LOOK_MAX = 256;

export class ChunkRequests {
  readonly #options: ChunkRequestsOptions;
  readonly #neighbours = new Set<Neighbour>();
  readonly #requests = new Map<ChunkHash, Request>();
  /** To be asked for, in this order. */
  readonly #open = new Set<ChunkHash>();
  /** What nobody has. */
  readonly #nowhere = new Set<ChunkHash>();
  #underWayBytes = 0;
  #retryAtMs = 0;
  #isScheduled = false;

  constructor(options: ChunkRequestsOptions) {
    this.#options = options;
  }

  /** Bytes and number of the chunks that are still to come. */
  get lacking(): { readonly bytes: number; readonly chunks: number } {
    let bytes = 0;
    for (const request of this.#requests.values()) bytes += request.bytes;
    return { bytes, chunks: this.#requests.size };
  }

  has(chunk: ChunkHash): boolean {
    return this.#requests.has(chunk);
  }

  /** One that has arrived. */
  get(chunk: ChunkHash): Uint8Array | undefined {
    return this.#requests.get(chunk)?.value;
  }

  want(chunk: ChunkHash, bytes: number): void {
    if (this.#requests.has(chunk)) return;
    this.#requests.set(chunk, { bytes, refusedBy: new Set(), asked: undefined, value: undefined });
    this.#reopen(chunk);
  }

  /** It has been used, or is not needed any more. */
  unwant(chunk: ChunkHash): void {
    const request = this.#requests.get(chunk);
    if (request === undefined) return;
    this.#endAsking(request);
    if (request.value !== undefined) this.#underWayBytes -= request.bytes;
    this.#requests.delete(chunk);
    this.#open.delete(chunk);
    this.#nowhere.delete(chunk);
    this.#askSoon();
  }

  /** A chunk has come, whoever sent it. Its hash has been checked. */
  arrived(chunk: ChunkHash, value: Uint8Array): void {
    const request = this.#requests.get(chunk);
    if (request === undefined || request.value !== undefined) return;
    this.#endAsking(request, true);
    this.#open.delete(chunk);
    this.#nowhere.delete(chunk);
    request.value = value;
    this.#underWayBytes += request.bytes;
    this.#options.arrived(chunk);
    this.#askSoon();
  }

  /** A neighbour has not got it, or something else by that name. */
  refused(chunk: ChunkHash, neighbour: Neighbour): void {
    const request = this.#requests.get(chunk);
    if (request === undefined || request.value !== undefined) return;
    request.refusedBy.add(neighbour);
    if (request.asked?.neighbour !== neighbour) return;
    this.#endAsking(request);
    this.#reopen(chunk);
  }

  /** A neighbour has got it by now. */
  available(chunk: ChunkHash, neighbour: Neighbour): void {
    const request = this.#requests.get(chunk);
    if (request === undefined) return;
    request.refusedBy.delete(neighbour);
    if (this.#nowhere.has(chunk)) this.#reopen(chunk);
  }

  opened(neighbour: Neighbour): void {
    this.#neighbours.add(neighbour);
    for (const chunk of [...this.#nowhere]) this.#reopen(chunk);
    this.#askSoon();
  }

  closed(neighbour: Neighbour): void {
    this.#neighbours.delete(neighbour);
    for (const [chunk, request] of this.#requests) {
      request.refusedBy.delete(neighbour);
      if (request.asked?.neighbour !== neighbour) continue;
      this.#endAsking(request);
      this.#reopen(chunk);
    }
  }

  /** Asks again for what nobody had, and somebody else for what does not come. Called now and then. */
  retry(): void {
    const nowMs = this.#options.nowMs();
    for (const [chunk, { asked }] of this.#requests) {
      if (asked === undefined || nowMs - Math.max(asked.sinceMs, asked.neighbour.heardMs) < ANSWER_MS_MAX) continue;
      this.refused(chunk, asked.neighbour);
    }
    if (nowMs < this.#retryAtMs) return;
    this.#retryAtMs = nowMs + RETRY_MS;
    for (const chunk of [...this.#nowhere]) {
      this.#requests.get(chunk)?.refusedBy.clear();
      this.#reopen(chunk);
    }
  }

  #reopen(chunk: ChunkHash): void {
    this.#nowhere.delete(chunk);
    this.#open.add(chunk);
    this.#askSoon();
  }

  #endAsking(request: Request, isAnswered = false): void {
    const { asked, bytes } = request;
    if (asked === undefined) return;
    request.asked = undefined;
    this.#underWayBytes -= bytes;
    asked.neighbour.asked.end(bytes, isAnswered ? this.#options.nowMs() - asked.sinceMs : undefined);
  }

  /** At the end of the turn, so that what is wanted in one turn is asked for in one message. */
  #askSoon(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.#ask();
    });
  }

  #ask(): void {
    const lists = new Map<Neighbour, ChunkHash[]>();
    let looked = 0;
    for (const chunk of this.#open) {
      const request = this.#requests.get(chunk);
      const underWay = this.#requests.size - this.#open.size - this.#nowhere.size;
      const isFull = this.#underWayBytes > 0 && this.#underWayBytes + (request?.bytes ?? 0) > WINDOW_BYTES;
      if (request === undefined || isFull || underWay >= WINDOW_CHUNKS || ++looked > LOOK_MAX) break;
      const holders = [...this.#neighbours].filter((neighbour) => !request.refusedBy.has(neighbour));
      if (holders.length === 0) {
        this.#open.delete(chunk);
        this.#nowhere.add(chunk);
        continue;
      }
      const neighbour = holders
        .filter(({ asked }) => asked.hasRoom(request.bytes))
        .sort((one, other) => one.asked.usedBytes - other.asked.usedBytes)[0];
      if (neighbour === undefined) continue;
      looked = 0;
      this.#open.delete(chunk);
      request.asked = { neighbour, sinceMs: this.#options.nowMs() };
      this.#underWayBytes += request.bytes;
      neighbour.asked.begin(request.bytes);
      const list = lists.get(neighbour);
      if (list === undefined) lists.set(neighbour, [chunk]);
      else list.push(chunk);
    }
    for (const [neighbour, chunks] of lists)
      for (let from = 0; from < chunks.length; from += LISTED_MAX)
        this.#options.ask(neighbour, chunks.slice(from, from + LISTED_MAX));
  }
}
