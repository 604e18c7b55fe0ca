/**
 * Files as entries of a replica.
 *
 * | key | value |
 * |---|---|
 * | `file/<path>` | manifest: hash, size, mtimeMs, chunks, ancestors |
 * | `chunk/<sha256>` | up to CHUNK_BYTES of content |
 * | `gone/<path>` | note of a deletion: hash of the last content, ancestors; expires |
 *
 * Content is addressed by its hash: equal files, renames and conflict copies cost no second transfer, and a file may be larger
 * than the store's limit for one value. Chunks are put before the manifest that names them. A note is put in one batch with the
 * delete it speaks of: a store that has no file and no note has never had the file, or not for weeks.
 *
 * A change states what it replaces, and is not made when that is no longer there. The check is sound because the store takes a
 * write within the call: nothing of a peer's can slip in between.
 *
 * Collecting chunks that nobody names is a race by nature (another replica may be about to name one), so it need not be
 * exact: a chunk is left alone for a while, and whoever holds the file puts a missing one back.
 */
import { createHash } from "node:crypto";
import type { Hash, Stored } from "./decide.ts";
import { fileKey, filePrefix, goneKey, pathOfKey } from "./paths.ts";

/** What a file needs of a replica. */
export interface Store {
  get(key: string): unknown;
  has(key: string): boolean;
  entry(key: string): { readonly value: unknown; readonly version: string; readonly nodeId: string } | undefined;
  entries(options: { prefix: string; limit?: number }): Iterable<readonly [string, unknown]>;
  keys(options: { prefix: string; limit?: number }): Iterable<string>;
  put(key: string, value: unknown): Promise<unknown>;
  delete(key: string): Promise<unknown>;
  batch(operations: readonly StoreOperation[]): Promise<unknown>;
}

export type StoreOperation =
  | { readonly type: "put"; readonly key: string; readonly value: unknown; readonly ttlMs?: number }
  | { readonly type: "del"; readonly key: string };

export interface Manifest {
  readonly hash: Hash;
  /** Bytes. */
  readonly size: number;
  readonly mtimeMs: number;
  /** The hashes of its parts, in order; none for an empty file. */
  readonly chunks: readonly Hash[];
  readonly ancestors: readonly string[];
}

/** What the store holds about a path. `version` is what a change must replace, null for nothing. */
export interface StoredFile {
  readonly state: Stored;
  readonly manifest?: Manifest;
  readonly version: string | null;
  /** The replica that wrote it. */
  readonly nodeId?: string;
}

export const CHUNK_BYTES = 512 * 1024;
export const FILE_BYTES_MAX = 64 * 1024 * 1024;
const CHUNK_PREFIX = "chunk/";
const ANCESTORS_MAX = 32;
const ANCESTOR_DIGITS = 16;
const GONE_TTL_MS = 60 * 24 * 3600 * 1000;
/** How long a chunk that nobody names is left alone: by the replica that wrote it, and by the others. */
const CHUNK_GRACE_MS = 60_000;
const CHUNK_GRACE_OTHERS_MS = 600_000;

export class FileStore {
  readonly #store: Store;
  readonly #nodeId: string;
  /** Chunks that nobody names, and since when we know. */
  readonly #unnamedSinceMs = new Map<Hash, number>();

  constructor(store: Store, nodeId: string) {
    this.#store = store;
    this.#nodeId = nodeId;
  }

  /** @returns undefined when what is there is not a manifest: a peer's nonsense, or a later format */
  read(path: string): StoredFile | undefined {
    const entry = this.#store.entry(fileKey(path));
    if (entry !== undefined) {
      const manifest = parseManifest(entry.value);
      if (manifest === undefined) return undefined;
      const { hash, ancestors } = manifest;
      return { state: { type: "file", hash, ancestors }, manifest, version: entry.version, nodeId: entry.nodeId };
    }
    const gone = parseGone(this.#store.get(goneKey(path)));
    return { state: gone === undefined ? { type: "absent" } : { type: "deleted", ...gone }, version: null };
  }

  /** Every path that the store has a file for, unchecked, with its hash; undefined for one that is not a manifest. */
  *list(): Generator<readonly [path: string, manifest: Manifest | undefined]> {
    for (const [key, value] of this.#store.entries({ prefix: filePrefix() }))
      yield [pathOfKey(key) ?? key, parseManifest(value)];
  }

  /** Whether the store has files below a path. */
  isDirectory(path: string): boolean {
    for (const _ of this.#store.keys({ prefix: filePrefix(path), limit: 1 })) return true;
    return false;
  }

  /** Whether everything that a manifest names is here. */
  isWhole(manifest: Manifest): boolean {
    return manifest.chunks.every((chunk) => this.#store.has(CHUNK_PREFIX + chunk));
  }

  /** The content; `incomplete` when a chunk has not arrived yet, `damaged` when it is not what the manifest says. */
  content(manifest: Manifest): Buffer | "incomplete" | "damaged" {
    const parts: Uint8Array[] = [];
    for (const chunk of manifest.chunks) {
      const part = this.#store.get(CHUNK_PREFIX + chunk);
      if (part === undefined) return "incomplete";
      if (!(part instanceof Uint8Array) || part.length > CHUNK_BYTES) return "damaged";
      parts.push(part);
    }
    const content = Buffer.concat(parts);
    return content.length === manifest.size && hashOf(content) === manifest.hash ? content : "damaged";
  }

  /**
   * Puts a file in place of what `replaces` says.
   *
   * @param content at most FILE_BYTES_MAX
   * @returns false, and only chunks were put, when the store has something else there by now
   */
  async put(path: string, content: Uint8Array, mtimeMs: number, replaces: StoredFile): Promise<boolean> {
    const chunks = await this.putChunks(content);
    const ancestors = ancestorsAfter(replaces.state);
    const manifest: Manifest = { hash: hashOf(content), size: content.length, mtimeMs, chunks, ancestors };
    if (!this.#isStill(path, replaces)) return false;
    await this.#store.put(fileKey(path), manifest);
    return true;
  }

  /** Puts what is missing of a content. @returns the hashes of its chunks */
  async putChunks(content: Uint8Array): Promise<Hash[]> {
    const hashes: Hash[] = [];
    const puts: Promise<unknown>[] = [];
    for (let start = 0; start < content.length; start += CHUNK_BYTES) {
      const chunk = content.subarray(start, start + CHUNK_BYTES);
      const hash = hashOf(chunk);
      hashes.push(hash);
      this.#unnamedSinceMs.delete(hash);
      if (!this.#store.has(CHUNK_PREFIX + hash)) puts.push(this.#store.put(CHUNK_PREFIX + hash, chunk));
    }
    await Promise.all(puts);
    return hashes;
  }

  /** Deletes a file and leaves a note. @returns false, and nothing was done, when something else is there by now */
  async delete(path: string, replaces: StoredFile): Promise<boolean> {
    if (replaces.manifest === undefined || !this.#isStill(path, replaces)) return false;
    await this.#store.batch(deletion(path, replaces.manifest));
    return true;
  }

  /** Gives a file another name, unless that is taken; then it only goes. @returns as `delete` */
  async move(from: string, to: string, file: StoredFile): Promise<boolean> {
    if (file.manifest === undefined || !this.#isStill(from, file)) return false;
    const manifest: Manifest = { ...file.manifest, ancestors: [] };
    const put: StoreOperation = { type: "put", key: fileKey(to), value: manifest };
    await this.#store.batch([...(this.#store.has(put.key) ? [] : [put]), ...deletion(from, file.manifest)]);
    return true;
  }

  #isStill(path: string, seen: StoredFile): boolean {
    return (this.#store.entry(fileKey(path))?.version ?? null) === seen.version;
  }

  /** Deletes chunks that no file has named for a while. Called now and then. */
  async collect(nowMs: number): Promise<void> {
    const named = new Set<Hash>();
    for (const [, manifest] of this.list()) for (const chunk of manifest?.chunks ?? []) named.add(chunk);
    const present = new Set<Hash>();
    for (const key of this.#store.keys({ prefix: CHUNK_PREFIX })) present.add(key.slice(CHUNK_PREFIX.length));
    for (const hash of this.#unnamedSinceMs.keys())
      if (named.has(hash) || !present.has(hash)) this.#unnamedSinceMs.delete(hash);
    for (const hash of present) {
      if (named.has(hash)) continue;
      const sinceMs = this.#unnamedSinceMs.get(hash);
      if (sinceMs === undefined) {
        this.#unnamedSinceMs.set(hash, nowMs);
        continue;
      }
      const isOwn = this.#store.entry(CHUNK_PREFIX + hash)?.nodeId === this.#nodeId;
      if (nowMs - sinceMs >= (isOwn ? CHUNK_GRACE_MS : CHUNK_GRACE_OTHERS_MS))
        await this.#store.delete(CHUNK_PREFIX + hash);
    }
  }
}

export function hashOf(content: Uint8Array): Hash {
  return createHash("sha256").update(content).digest("hex");
}

export function isChunkKey(key: string): boolean {
  return key.startsWith(CHUNK_PREFIX);
}

function deletion(path: string, { hash, ancestors }: Manifest): StoreOperation[] {
  return [
    { type: "put", key: goneKey(path), value: { hash, ancestors }, ttlMs: GONE_TTL_MS },
    { type: "del", key: fileKey(path) },
  ];
}

function ancestorsAfter(state: Stored): readonly string[] {
  if (state.type !== "file" && state.type !== "deleted") return [];
  return [state.hash.slice(0, ANCESTOR_DIGITS), ...state.ancestors].slice(0, ANCESTORS_MAX);
}

function parseManifest(value: unknown): Manifest | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { hash, size, mtimeMs, chunks, ancestors } = value as Partial<Record<keyof Manifest, unknown>>;
  if (!isHash(hash) || !isWithin(size, FILE_BYTES_MAX) || !Number.isInteger(size)) return undefined;
  if (!isWithin(mtimeMs, 8.64e15) || !isList(chunks, isHash) || !isList(ancestors, isAncestor)) return undefined;
  if (chunks.length !== Math.ceil(size / CHUNK_BYTES) || ancestors.length > ANCESTORS_MAX) return undefined;
  return { hash, size, mtimeMs, chunks, ancestors };
}

function parseGone(value: unknown): { hash: Hash; ancestors: readonly string[] } | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { hash, ancestors } = value as Partial<Record<keyof Manifest, unknown>>;
  return isHash(hash) && isList(ancestors, isAncestor) ? { hash, ancestors } : undefined;
}

function isHash(value: unknown): value is Hash {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
}

function isAncestor(value: unknown): value is string {
  return typeof value === "string" && value.length === ANCESTOR_DIGITS && /^[0-9a-f]+$/.test(value);
}

function isWithin(value: unknown, max: number): value is number {
  return typeof value === "number" && value >= 0 && value <= max;
}

function isList<T>(value: unknown, isMember: (member: unknown) => member is T): value is T[] {
  return Array.isArray(value) && value.every(isMember);
}
