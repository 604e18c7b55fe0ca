/**
 * How content gets from the folder that has it to the one that lacks it: by way of the store, but without staying there.
 *
 * A replica writes down which chunks it wants next (`want/<replica>`, a window of WINDOW_BYTES). Whoever has one in its folder puts it
 * (`chunk/<sha256>`), and deletes it when nobody asks for it any more. So the store holds the index of a folder of any size, and of
 * its content only what is on its way: a window per replica that is behind. What passes serves everybody: of a new file each
 * replica is sent each chunk once, relays included. The price: a chunk that one replica lacks is sent to the others as well.
 *
 * New content of a few megabytes is given unasked, with the manifest that names it: it arrives a round trip earlier, and is safe with
 * the others at once, whatever happens to the folder it came from.
 *
 * Of several that have a chunk one should answer. They agree without a word: each waits for its place in an order that follows from
 * the chunk and the names of those that are connected, and answers if nobody before it has. So the work is also divided evenly.
 *
 * Nothing here is trusted: what arrives under a chunk's name is its hash's content, or is removed. Wants and chunks expire, so that a
 * replica that has gone leaves nothing behind.
 */
import {
  CHUNK_BYTES,
  type ChunkHash,
  chunkBytes,
  type FileContent,
  hashOf,
  packHashes,
  unpackHashes,
} from "./content.ts";
import type { Store, StoreOperation } from "./file-store.ts";
import type { LocalChunks } from "./local-chunks.ts";

export interface ChunkExchangeOptions {
  readonly store: Store;
  readonly local: LocalChunks;
  readonly nodeId: string;
  /** Who is connected. */
  readonly neighbours: () => readonly string[];
  readonly nowMs: () => number;
  readonly notice: (text: string) => void;
}

/** What a replica asks for at one time, and what one gives at one time: bytes, and number of chunks. */
export const WINDOW_BYTES = 8 * 1024 * 1024;
export const WINDOW_CHUNKS = 512;
const GIVEN_BYTES_MAX = 2 * WINDOW_BYTES;
/** What is given unasked: of one file, of all; and for how long it stays when nobody asks. */
const UNASKED_FILE_BYTES_MAX = 4 * 1024 * 1024;
const UNASKED_BYTES_MAX = WINDOW_BYTES;
const UNASKED_MS = 5000;
const BATCH_BYTES = 2 * 1024 * 1024;
const WANT_TTL_MS = 30_000;
const CHUNK_TTL_MS = 120_000;
/** How often wants are written down anew, at most. */
const PUBLISH_EVERY_MS = 100;
/** For how long a holder waits for each one that comes before it. */
const TURN_MS = 400;
const WORK_EVERY_MS = 100;
const IDLE_EVERY_MS = 5000;
const WANT_PREFIX = "want/";
const CHUNK_PREFIX = "chunk/";

const chunkKey = (chunk: ChunkHash): string => CHUNK_PREFIX + chunk;

/** The chunk that a key is about, undefined for another kind of key. */
export function chunkOfKey(key: string): ChunkHash | undefined {
  return key.startsWith(CHUNK_PREFIX) ? key.slice(CHUNK_PREFIX.length) : undefined;
}

export function isWantKey(key: string): boolean {
  return key.startsWith(WANT_PREFIX);
}

export class ChunkExchange {
  readonly #options: ChunkExchangeOptions;
  /** What we lack, in the order in which it is wanted, with its bytes. */
  readonly #wanted = new Map<ChunkHash, number>();
  /** What we have put and not yet deleted, with its bytes. */
  readonly #given = new Map<ChunkHash, number>();
  /** What we have put unasked, and until when it stays. */
  readonly #unasked = new Map<ChunkHash, { readonly bytes: number; readonly untilMs: number }>();
  #unaskedBytes = 0;
  /** Since when others have been asking for what we have. */
  readonly #askedSinceMs = new Map<ChunkHash, number>();
  #published = "";
  #publishedAtMs = -Infinity;
  #dueMs = 0;
  #isBusy = false;
  #isHinted = false;

  constructor(options: ChunkExchangeOptions) {
    this.#options = options;
    // What this replica had given before it was restarted.
    for (const key of options.store.keys({ prefix: CHUNK_PREFIX }))
      if (options.store.entry(key)?.nodeId === options.nodeId)
        this.#given.set(key.slice(CHUNK_PREFIX.length), CHUNK_BYTES);
  }

  /** When `work` has something to do. */
  get dueMs(): number {
    return this.#dueMs;
  }

  /** Bytes and number of the chunks that are still to come. */
  get lacking(): { readonly bytes: number; readonly chunks: number } {
    let bytes = 0;
    for (const size of this.#wanted.values()) bytes += size;
    return { bytes, chunks: this.#wanted.size };
  }

  /** Bytes that are being given to others. */
  get givingBytes(): number {
    let bytes = 0;
    for (const size of this.#given.values()) bytes += size;
    return bytes;
  }

  want(chunk: ChunkHash, bytes: number): void {
    if (this.#wanted.has(chunk)) return;
    this.#wanted.set(chunk, bytes);
    this.hint();
  }

  /** It has arrived, or is not needed any more. */
  unwant(chunk: ChunkHash): void {
    if (this.#wanted.delete(chunk)) this.hint();
  }

  /** Something was asked for, or is not any more. */
  hint(): void {
    this.#isHinted = true;
    this.#dueMs = Math.min(this.#dueMs, this.#options.nowMs());
  }

  /**
   * Gives what nobody can have asked for yet, if it is not much, before the manifest that names it is put.
   * @param content of a file in the folder; what the folder had of it elsewhere is known to others, and left out
   */
  async giveUnasked(
    content: FileContent,
    read: (offset: number, bytes: number) => Promise<Uint8Array | undefined>,
  ): Promise<void> {
    const { store, local, nowMs } = this.#options;
    if (content.inline !== undefined) return;
    const puts: StoreOperation[] = [];
    let fileBytes = 0;
    for (const [index, chunk] of content.chunks.entries()) {
      if (local.has(chunk) || store.has(chunkKey(chunk))) continue;
      const bytes = chunkBytes(content.size, index);
      fileBytes += bytes;
      if (fileBytes > UNASKED_FILE_BYTES_MAX || this.#unaskedBytes + bytes > UNASKED_BYTES_MAX) break;
      const value = await read(index * CHUNK_BYTES, bytes);
      if (value === undefined || hashOf(value) !== chunk || this.#unasked.has(chunk)) continue;
      this.#unasked.set(chunk, { bytes, untilMs: nowMs() + UNASKED_MS });
      this.#unaskedBytes += bytes;
      puts.push({ type: "put", key: chunkKey(chunk), value, ttlMs: CHUNK_TTL_MS });
    }
    if (puts.length > 0) await store.batch(puts);
    this.hint();
  }

  /** A chunk that the store holds. What is there under its name and is not it is removed, so that the right one can come. */
  get(chunk: ChunkHash): Uint8Array | undefined {
    const { store, notice } = this.#options;
    const value = store.get(chunkKey(chunk));
    if (value === undefined) return undefined;
    if (value instanceof Uint8Array && value.length <= CHUNK_BYTES && hashOf(value) === chunk) return value;
    const author = store.entry(chunkKey(chunk))?.nodeId ?? "?";
    notice(`refused a chunk from ${author}: it is not what its name says`);
    void store.delete(chunkKey(chunk)).catch(() => undefined); // Told by the replica itself.
    return undefined;
  }

  /** Writes down what we want, gives what others want, takes back what nobody wants. */
  async work(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    this.#isHinted = false;
    try {
      await this.#publish();
      const asked = this.#asked();
      await this.#takeBack(asked);
      await this.#give(asked);
      const isQuiet = [this.#wanted, asked, this.#given, this.#unasked].every(({ size }) => size === 0);
      // A hint that came meanwhile may have come too late for this round.
      this.#dueMs = this.#options.nowMs() + (isQuiet && !this.#isHinted ? IDLE_EVERY_MS : WORK_EVERY_MS);
    } finally {
      this.#isBusy = false;
    }
  }

  async #publish(): Promise<void> {
    const { store, nodeId, nowMs } = this.#options;
    const window: ChunkHash[] = [];
    let windowBytes = 0;
    for (const [chunk, bytes] of this.#wanted) {
      if (window.length >= WINDOW_CHUNKS || (windowBytes + bytes > WINDOW_BYTES && window.length > 0)) break;
      window.push(chunk);
      windowBytes += bytes;
    }
    const text = window.join("");
    const ageMs = nowMs() - this.#publishedAtMs;
    if (text === this.#published ? text === "" || ageMs < WANT_TTL_MS / 3 : ageMs < PUBLISH_EVERY_MS) return;
    this.#published = text;
    this.#publishedAtMs = nowMs();
    const key = WANT_PREFIX + nodeId;
    if (window.length === 0) await store.delete(key);
    else await store.put(key, packHashes(window), { ttlMs: WANT_TTL_MS });
  }

  /** What the others ask for, and who does. */
  #asked(): Map<ChunkHash, Set<string>> {
    const { store, nodeId } = this.#options;
    const asked = new Map<ChunkHash, Set<string>>();
    for (const [key, value] of store.entries({ prefix: WANT_PREFIX })) {
      const wanter = key.slice(WANT_PREFIX.length);
      if (wanter === nodeId) continue;
      for (const chunk of unpackHashes(value)?.slice(0, WINDOW_CHUNKS) ?? []) {
        const wanters = asked.get(chunk);
        if (wanters === undefined) asked.set(chunk, new Set([wanter]));
        else wanters.add(wanter);
      }
    }
    for (const chunk of this.#askedSinceMs.keys()) if (!asked.has(chunk)) this.#askedSinceMs.delete(chunk);
    return asked;
  }

  async #takeBack(asked: ReadonlyMap<ChunkHash, unknown>): Promise<void> {
    const { store, nowMs } = this.#options;
    const deletes: StoreOperation[] = [];
    for (const [chunk, { bytes, untilMs }] of this.#unasked) {
      if (nowMs() < untilMs) continue;
      this.#unasked.delete(chunk);
      this.#unaskedBytes -= bytes;
      this.#given.set(chunk, bytes);
    }
    for (const chunk of this.#given.keys()) {
      if (asked.has(chunk) && store.has(chunkKey(chunk))) continue;
      this.#given.delete(chunk);
      if (store.has(chunkKey(chunk)) && !this.#wanted.has(chunk)) deletes.push({ type: "del", key: chunkKey(chunk) });
    }
    if (deletes.length > 0) await store.batch(deletes);
  }

  async #give(asked: ReadonlyMap<ChunkHash, ReadonlySet<string>>): Promise<void> {
    const { store, local, nowMs } = this.#options;
    let room = GIVEN_BYTES_MAX - this.givingBytes;
    let puts: StoreOperation[] = [];
    let putBytes = 0;
    const flush = async (): Promise<void> => {
      if (puts.length > 0) await store.batch(puts);
      puts = [];
      putBytes = 0;
    };
    for (const [chunk, wanters] of asked) {
      if (store.has(chunkKey(chunk)) || !local.has(chunk)) continue;
      const sinceMs = this.#askedSinceMs.get(chunk) ?? nowMs();
      this.#askedSinceMs.set(chunk, sinceMs);
      if (nowMs() - sinceMs < this.#turn(chunk, wanters) * TURN_MS) continue;
      if (room < (local.bytesOf(chunk) ?? 0)) break;
      const value = await local.read(chunk);
      if (value === undefined) continue;
      room -= value.length;
      putBytes += value.length;
      this.#given.set(chunk, value.length);
      puts.push({ type: "put", key: chunkKey(chunk), value, ttlMs: CHUNK_TTL_MS });
      if (putBytes >= BATCH_BYTES) await flush();
    }
    await flush();
  }

  /** How many of those that may have a chunk come before us. */
  #turn(chunk: ChunkHash, wanters: ReadonlySet<string>): number {
    const { nodeId, neighbours } = this.#options;
    const score = (name: string): string => hashOf(Buffer.from(`${chunk} ${name}`));
    const own = score(nodeId);
    return neighbours().filter((name) => !wanters.has(name) && score(name) < own).length;
  }
}
