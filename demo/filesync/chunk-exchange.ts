/**
 * How content gets from the folder that has it to the one that lacks it: directly, beside the index, chunk by chunk. The store holds the
 * index of a folder of any size and none of its content; what moves of content is what is lacking, once for each folder that lacks it.
 *
 * A folder asks its neighbours (chunk-requests.ts), and gives to them what it has: of its files, and of what is only just arriving, so
 * that a file passes through a line of folders without a stop at each. What is new and small is given unasked (chunk-gifts.ts).
 *
 * Nothing here is trusted: what comes under a chunk's name is its hash's content, or is refused. Only who knows the hash of a chunk is
 * given it.
 */

import { ChunkGifts } from "./chunk-gifts.ts";
import { type ChunkMessage, encodeMessage, parseMessage } from "./chunk-messages.ts";
import { ChunkRequests } from "./chunk-requests.ts";
import { type ChunkHash, type FileContent, hashOf } from "./content.ts";
import type { Link, LinkReceiver } from "./content-transport.ts";
import { Neighbour } from "./neighbour.ts";

export interface ChunkExchangeOptions {
  readonly nowMs: () => number;
  readonly notice: (text: string) => void;
}

/** The folder: where chunks are, and where they go. */
export interface ChunkUser {
  /** Whether a file of the folder has a chunk. */
  has(chunk: ChunkHash): boolean;
  /** A chunk of a file, or of what is still to become one. */
  read(chunk: ChunkHash): Promise<Uint8Array | undefined>;
  /** One that was wanted can be had with `get` now, until `unwant`. Does not throw. */
  arrived(chunk: ChunkHash): void;
}

/** What a neighbour may want at one time; an honest one wants far less. */
const QUEUE_MAX = 10_000;
/** Of how many chunks it is remembered who was told that they are not here. */
const MISSED_MAX = 10_000;

export class ChunkExchange {
  readonly #options: ChunkExchangeOptions;
  readonly #requests: ChunkRequests;
  readonly #gifts: ChunkGifts;
  readonly #neighbours = new Set<Neighbour>();
  /** Who is to be told when a chunk is here after all. */
  readonly #missed = new Map<ChunkHash, Set<Neighbour>>();
  #user: ChunkUser | undefined;
  #sentBytes = 0;
  #receivedBytes = 0;

  constructor(options: ChunkExchangeOptions) {
    this.#options = options;
    const { nowMs } = options;
    this.#requests = new ChunkRequests({
      nowMs,
      ask: (neighbour, chunks) => this.#send(neighbour, { type: "want", chunks }),
      arrived: (chunk) => {
        this.announce([chunk]);
        this.#user?.arrived(chunk);
      },
    });
    this.#gifts = new ChunkGifts({
      nowMs,
      isKnown: (chunk) => this.#user?.has(chunk) === true,
      send: (neighbour, message) => this.#send(neighbour, message),
    });
  }

  /** Says once what the folder is. Until then nothing is found in it. */
  serve(user: ChunkUser): void {
    this.#user = user;
  }

  /** Bytes and number of the chunks that are still to come. */
  get lacking(): { readonly bytes: number; readonly chunks: number } {
    return this.#requests.lacking;
  }

  /** How many chunks others are waiting for us to send. */
  get queued(): number {
    let count = 0;
    for (const { queue } of this.#neighbours) count += queue.length;
    return count;
  }

  /** Bytes of content and of what is said about it, since the start. */
  get traffic(): { readonly bytesSent: number; readonly bytesReceived: number } {
    return { bytesSent: this.#sentBytes, bytesReceived: this.#receivedBytes };
  }

  want(chunk: ChunkHash, bytes: number): void {
    this.#requests.want(chunk, bytes);
    const gift = this.#gifts.get(chunk);
    if (gift !== undefined) this.#requests.arrived(chunk, gift);
  }

  /** It has been used, or is not needed any more. */
  unwant(chunk: ChunkHash): void {
    this.#requests.unwant(chunk);
    this.#gifts.drop(chunk);
  }

  /** A chunk that has come and was not let go with `unwant`. */
  get(chunk: ChunkHash): Uint8Array | undefined {
    return this.#requests.get(chunk) ?? this.#gifts.get(chunk);
  }

  /** Gives content that nobody can have asked for yet, before the manifest that names it is put. See chunk-gifts.ts. */
  async giveUnasked(
    content: FileContent,
    read: (offset: number, bytes: number) => Promise<Uint8Array | undefined>,
  ): Promise<void> {
    await this.#gifts.give(content, read);
  }

  /** Chunks are here now: tells those that have asked for them in vain. */
  announce(chunks: readonly ChunkHash[]): void {
    if (this.#missed.size === 0) return;
    for (const chunk of chunks) {
      const waiting = this.#missed.get(chunk) ?? [];
      this.#missed.delete(chunk);
      for (const neighbour of waiting) this.#send(neighbour, { type: "have", chunks: [chunk] });
    }
  }

  /** Another folder is connected. */
  opened(link: Link): LinkReceiver {
    const neighbour = new Neighbour(link, this.#options.nowMs());
    this.#neighbours.add(neighbour);
    this.#gifts.opened(neighbour);
    this.#requests.opened(neighbour);
    return {
      frame: (bytes) => this.#receive(bytes, neighbour),
      closed: () => {
        this.#neighbours.delete(neighbour);
        neighbour.queue.length = 0;
        for (const [chunk, waiting] of this.#missed)
          if (waiting.delete(neighbour) && waiting.size === 0) this.#missed.delete(chunk);
        this.#gifts.closed(neighbour);
        this.#requests.closed(neighbour);
      },
    };
  }

  /** What only time brings about. To be called every second or so. */
  tick(): void {
    this.#gifts.expire();
    this.#requests.retry();
  }

  #send(neighbour: Neighbour, message: ChunkMessage): void {
    const frame = encodeMessage(message);
    this.#sentBytes += frame.length;
    neighbour.link.send(frame);
  }

  #receive(bytes: Uint8Array, neighbour: Neighbour): void {
    this.#receivedBytes += bytes.length;
    neighbour.heardMs = this.#options.nowMs();
    const message = parseMessage(bytes);
    switch (message?.type) {
      case undefined:
        this.#options.notice(`refused a message from ${neighbour.link.nodeId}: it is about no chunk`);
        return neighbour.link.close();
      case "want":
        if (neighbour.queue.length + message.chunks.length > QUEUE_MAX) return neighbour.link.close();
        neighbour.queue.push(...message.chunks);
        if (neighbour.queue.length === message.chunks.length) void this.#answer(neighbour);
        return;
      case "none":
        for (const chunk of message.chunks) this.#requests.refused(chunk, neighbour);
        return;
      case "have":
        for (const chunk of message.chunks) this.#requests.available(chunk, neighbour);
        return;
      case "taken":
        for (const chunk of message.chunks) this.#gifts.taken(chunk, neighbour);
        return;
      case "chunk":
      case "gift": {
        const { type, chunk, value } = message;
        if (hashOf(value) !== chunk) {
          this.#options.notice(`refused a chunk from ${neighbour.link.nodeId}: it is not what its name says`);
          return this.#requests.refused(chunk, neighbour);
        }
        if (type === "gift") this.#gifts.keep(chunk, value, neighbour);
        return this.#requests.arrived(chunk, value);
      }
    }
  }

  /** Sends a neighbour what it wants, one after the other, until nothing is left. */
  async #answer(neighbour: Neighbour): Promise<void> {
    const { queue } = neighbour;
    for (let chunk = queue[0]; chunk !== undefined; queue.shift(), chunk = queue[0]) {
      const value = await this.#find(chunk);
      if (!this.#neighbours.has(neighbour)) return;
      if (value === undefined) this.#miss(chunk, neighbour);
      this.#send(neighbour, value === undefined ? { type: "none", chunks: [chunk] } : { type: "chunk", chunk, value });
    }
  }

  async #find(chunk: ChunkHash): Promise<Uint8Array | undefined> {
    try {
      return this.get(chunk) ?? (await this.#user?.read(chunk));
    } catch {
      // It cannot be read: whoever wants it asks somebody else.
      return undefined;
    }
  }

  #miss(chunk: ChunkHash, neighbour: Neighbour): void {
    const waiting = this.#missed.get(chunk);
    if (waiting !== undefined) waiting.add(neighbour);
    else if (this.#missed.size < MISSED_MAX) this.#missed.set(chunk, new Set([neighbour]));
  }
}
