/**
 * Puts the content of files together: from chunks that are in the folder already, from those that others send, and from what
 * an earlier process had got of it. Whole files only leave this room, checked once more as they are on the disk.
 */
import type { FileHandle } from "node:fs/promises";
import type { ChunkExchange } from "./chunk-exchange.ts";
import { CHUNK_BYTES, type ChunkHash, chunkBytes, type FileContent, hashOf, isSameContent } from "./content.ts";
import type { LocalChunks } from "./local-chunks.ts";
import type { PrivateDirectory } from "./private-directory.ts";

export interface DownloadProgress {
  readonly path: string;
  readonly bytes: number;
  readonly totalBytes: number;
  /** When it began, on the clock of `nowMs`; and how many bytes it had then. */
  readonly sinceMs: number;
  readonly firstBytes: number;
}

interface Download {
  readonly content: FileContent;
  readonly paths: Set<string>;
  readonly sinceMs: number;
  /** Which chunks are missing, and where they belong. */
  readonly missing: Map<ChunkHash, number[]>;
  /** Whether it is known what is missing. */
  isBegun: boolean;
  part: FileHandle | undefined;
  bytes: number;
  firstBytes: number;
  isSound: boolean;
  /** One thing at a time. */
  busy: Promise<unknown>;
}

const NOT_BEGUN = { isBegun: false, part: undefined, isSound: false, busy: Promise.resolve() };

export interface DownloadsOptions {
  readonly directory: PrivateDirectory;
  readonly local: LocalChunks;
  readonly exchange: ChunkExchange;
  readonly nowMs: () => number;
  /** Told of a path that `prepare` can go on with. */
  readonly onReady: (path: string) => void;
}

/** Each has an open file. More of them wait. */
const DOWNLOADS_MAX = 32;

export class Downloads {
  readonly #options: DownloadsOptions;
  /** By the hash of the content. */
  readonly #downloads = new Map<string, Download>();
  readonly #downloadOf = new Map<string, Download>();
  /** Files of one chunk: nothing of them is kept but who waits for what. */
  readonly #waiting = new Map<ChunkHash, Set<string>>();
  readonly #waitsFor = new Map<string, ChunkHash>();
  /** Paths that wait for another download to end. */
  readonly #queued = new Set<string>();

  constructor(options: DownloadsOptions) {
    this.#options = options;
    options.exchange.serve({
      has: (chunk) => options.local.has(chunk),
      read: async (chunk) => (await options.local.read(chunk)) ?? (await this.#read(chunk)),
      arrived: (chunk) => void this.#arrived(chunk), // Does not reject.
    });
  }

  /** Whether a path will be told ready. */
  isWaiting(path: string): boolean {
    return this.#downloadOf.has(path) || this.#waitsFor.has(path) || this.#queued.has(path);
  }

  /** How many files are not whole yet. */
  get count(): number {
    return this.#downloadOf.size + this.#waitsFor.size + this.#queued.size;
  }

  /**
   * A file with this content, for a path.
   * @returns its absolute path in the private directory, for the caller to move or drop, or the content itself if it is one chunk;
   *   undefined: ask again when told
   */
  async prepare(path: string, content: FileContent): Promise<string | Uint8Array | undefined> {
    const { nowMs } = this.#options;
    const current = this.#downloadOf.get(path)?.content.hash ?? this.#waitsFor.get(path);
    if (current !== undefined && !isSameContent(current, content.hash)) await this.forget(path);
    const [only] = content.chunks;
    if (content.inline !== undefined) return content.inline;
    if (only === undefined) return Buffer.alloc(0);
    if (content.chunks.length === 1) return await this.#prepareOne(path, only, content.size);
    let download = this.#downloads.get(keyOf(content));
    if (download === undefined) {
      if (this.#downloads.size >= DOWNLOADS_MAX) {
        this.#queued.add(path);
        return undefined;
      }
      const sinceMs = nowMs();
      download = { content, paths: new Set(), sinceMs, missing: new Map(), bytes: 0, firstBytes: 0, ...NOT_BEGUN };
      this.#downloads.set(keyOf(content), download);
      download.busy = this.#begin(download);
    } else if (download.missing.size > 0) {
      // Of something that has arrived we may not have been told.
      const known = download;
      download.busy = download.busy.then(() => this.#look(known));
    }
    this.#queued.delete(path);
    download.paths.add(path);
    this.#downloadOf.set(path, download);
    try {
      await download.busy;
      if (download.missing.size > 0 || this.#downloads.get(keyOf(content)) !== download) return undefined;
      return await this.#finish(download, path);
    } catch (error) {
      await this.#close(download);
      throw error;
    }
  }

  /** Nothing more is needed for a path. What has arrived stays, for a day, in case it is. */
  async forget(path: string): Promise<void> {
    this.#queued.delete(path);
    this.#endWait(path);
    const download = this.#downloadOf.get(path);
    if (download === undefined) return;
    this.#downloadOf.delete(path);
    download.paths.delete(path);
    if (download.paths.size === 0) await this.#close(download);
  }

  /** A chunk that was wanted has come. */
  async #arrived(chunk: ChunkHash): Promise<void> {
    const { exchange, onReady } = this.#options;
    for (const path of this.#waiting.get(chunk) ?? []) onReady(path);
    for (const download of [...this.#downloads.values()]) {
      if (!download.missing.has(chunk)) continue;
      const value = exchange.get(chunk);
      if (value === undefined) return;
      try {
        await this.#exclusively(download, async () => await this.#fill(download, chunk, value));
      } catch {
        // The disk is full, or the like: the paths are settled again, which begins anew and tells why if it fails again.
        await this.#close(download).catch(() => undefined);
      }
      if (download.missing.size === 0 || download.part === undefined) for (const path of download.paths) onReady(path);
    }
  }

  /** A chunk of what is not whole yet. */
  async #read(chunk: ChunkHash): Promise<Buffer | undefined> {
    for (const { content, part, missing, isBegun } of this.#downloads.values()) {
      const index = isBegun && !missing.has(chunk) ? content.chunks.indexOf(chunk) : -1;
      if (index === -1 || part === undefined) continue;
      const bytes = chunkBytes(content.size, index);
      const buffer = Buffer.allocUnsafe(bytes);
      const { bytesRead } = await part.read(buffer, 0, bytes, index * CHUNK_BYTES);
      if (bytesRead === bytes && hashOf(buffer) === chunk) return buffer;
    }
    return undefined;
  }

  /** What is under way, in no order. */
  *progress(): Generator<DownloadProgress> {
    for (const { content, paths, bytes, sinceMs, firstBytes } of this.#downloads.values())
      for (const path of paths) yield { path, bytes, totalBytes: content.size, sinceMs, firstBytes };
  }

  async close(): Promise<void> {
    for (const download of [...this.#downloads.values()]) await this.#close(download);
  }

  async #prepareOne(path: string, chunk: ChunkHash, bytes: number): Promise<Uint8Array | undefined> {
    const { exchange, local } = this.#options;
    const value = exchange.get(chunk) ?? (await local.read(chunk));
    if (value !== undefined && value.length === bytes) {
      this.#endWait(path);
      this.#unwant(chunk);
      return value;
    }
    this.#waitsFor.set(path, chunk);
    const paths = this.#waiting.get(chunk);
    if (paths === undefined) this.#waiting.set(chunk, new Set([path]));
    else paths.add(path);
    exchange.want(chunk, bytes);
    return undefined;
  }

  #endWait(path: string): void {
    const chunk = this.#waitsFor.get(path);
    if (chunk === undefined) return;
    this.#waitsFor.delete(path);
    const paths = this.#waiting.get(chunk);
    paths?.delete(path);
    if (paths?.size === 0) this.#waiting.delete(chunk);
    this.#unwant(chunk);
  }

  #unwant(chunk: ChunkHash): void {
    if (this.#waiting.has(chunk)) return;
    for (const { missing } of this.#downloads.values()) if (missing.has(chunk)) return;
    this.#options.exchange.unwant(chunk);
  }

  /** Takes what is there already, and asks for the rest. */
  async #begin(download: Download): Promise<void> {
    const { content, missing } = download;
    const { directory, local } = this.#options;
    const part = await directory.openPart(content.hash.slice(0, 64));
    download.part = part;
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    const { size: partBytes } = await part.stat();
    for (const [index, chunk] of content.chunks.entries()) {
      const bytes = chunkBytes(content.size, index);
      const offset = index * CHUNK_BYTES;
      // From an earlier process, and then as good as its hash.
      if (offset + bytes <= partBytes) {
        const { bytesRead } = await part.read(buffer, 0, bytes, offset);
        if (bytesRead === bytes && hashOf(buffer.subarray(0, bytes)) === chunk) {
          download.bytes += bytes;
          continue;
        }
      }
      const value = local.has(chunk) ? await local.read(chunk) : undefined;
      if (value !== undefined && value.length === bytes) {
        await part.write(value, 0, bytes, offset);
        download.bytes += bytes;
        continue;
      }
      const places = missing.get(chunk);
      if (places === undefined) missing.set(chunk, [index]);
      else places.push(index);
    }
    download.firstBytes = download.bytes;
    download.isBegun = true;
    await this.#look(download);
  }

  /** Takes what has come of what is missing, and asks for the rest. */
  async #look(download: Download): Promise<void> {
    const { content, missing } = download;
    const { exchange } = this.#options;
    for (const [chunk, [index = 0]] of [...missing]) {
      const value = exchange.get(chunk);
      if (value !== undefined) await this.#fill(download, chunk, value);
      else exchange.want(chunk, chunkBytes(content.size, index));
    }
  }

  async #fill(download: Download, chunk: ChunkHash, value: Uint8Array): Promise<void> {
    const { content, missing, part } = download;
    const places = missing.get(chunk);
    if (places === undefined || part === undefined) return;
    for (const index of places) {
      if (value.length !== chunkBytes(content.size, index)) return;
      await part.write(value, 0, value.length, index * CHUNK_BYTES);
      download.bytes += value.length;
    }
    missing.delete(chunk);
    this.#unwant(chunk);
  }

  async #finish(download: Download, path: string): Promise<string | undefined> {
    const { content, paths, part } = download;
    const { directory, onReady } = this.#options;
    await this.#exclusively(download, async () => {
      await part?.truncate(content.size);
      await part?.sync();
      // Nobody should have written into it, but it costs little to be sure.
      download.isSound = await this.#isSound(download);
    });
    const others = [...paths].filter((other) => other !== path);
    if (this.#downloads.get(keyOf(content)) !== download) return undefined;
    const file = download.isSound ? await directory.takePart(keyOf(content)) : undefined;
    await this.#close(download);
    // They find the content in the folder. If it was damaged, only what is damaged is fetched again.
    for (const other of others) onReady(other);
    return file;
  }

  async #isSound({ content, part }: Download): Promise<boolean> {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    for (const [index, chunk] of content.chunks.entries()) {
      const bytes = chunkBytes(content.size, index);
      const read = await part?.read(buffer, 0, bytes, index * CHUNK_BYTES);
      if (read?.bytesRead !== bytes || hashOf(buffer.subarray(0, bytes)) !== chunk) return false;
    }
    return true;
  }

  async #close(download: Download): Promise<void> {
    if (this.#downloads.get(keyOf(download.content)) === download) this.#downloads.delete(keyOf(download.content));
    for (const path of download.paths) if (this.#downloadOf.get(path) === download) this.#downloadOf.delete(path);
    await download.busy.catch(() => undefined);
    for (const chunk of download.missing.keys()) this.#unwant(chunk);
    const { part } = download;
    download.part = undefined;
    await part?.close();
    const [next] = this.#queued;
    if (next !== undefined) this.#options.onReady(next);
  }

  async #exclusively(download: Download, task: () => Promise<void>): Promise<void> {
    const done = download.busy.catch(() => undefined).then(task);
    download.busy = done;
    await done;
  }
}

function keyOf(content: FileContent): string {
  return content.hash.slice(0, 64);
}
