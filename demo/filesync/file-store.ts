/**
 * Files as entries of a replica.
 *
 * | key | value |
 * |---|---|
 * | `file/<path>` | manifest: content.ts |
 * | `gone/<path>` | note of a deletion: hash of the last content, ancestors; expires |
 * | `life/<replica>` | a count, see store-life.ts |
 *
 * The store is the index; content stays in the folders: chunk-exchange.ts. A note is put in one batch with the delete it speaks of: a store that has no file and no note has never had the file, or not for weeks.
 *
 * A change states what it replaces, and is not made when that is no longer there. The check is sound because the store takes a
 * write within the call: nothing of a peer's can slip in between.
 */
import { ancestorsAfter, type Content, encodeManifest, type Manifest, parseGone, parseManifest } from "./content.ts";
import type { Stored } from "./decide.ts";
import { fileKey, filePrefix, goneKey, pathOfKey } from "./paths.ts";

/** What a file needs of a replica. */
export interface Store {
  get(key: string): unknown;
  has(key: string): boolean;
  entry(key: string): { readonly value: unknown; readonly version: string; readonly nodeId: string } | undefined;
  entries(options: { prefix: string; limit?: number }): Iterable<readonly [string, unknown]>;
  keys(options: { prefix: string; limit?: number }): Iterable<string>;
  put(key: string, value: unknown, options?: { ttlMs?: number }): Promise<unknown>;
  delete(key: string): Promise<unknown>;
  batch(operations: readonly StoreOperation[]): Promise<unknown>;
}

export type StoreOperation =
  | { readonly type: "put"; readonly key: string; readonly value: unknown; readonly ttlMs?: number }
  | { readonly type: "del"; readonly key: string };

/** What the store holds about a path. `version` is what a change must replace, null for nothing. */
export interface StoredFile {
  readonly state: Stored;
  readonly manifest?: Manifest;
  readonly version: string | null;
  /** The replica that wrote it. */
  readonly nodeId?: string;
}

const GONE_TTL_MS = 60 * 24 * 3600 * 1000;

export class FileStore {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
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

  /** Every path that the store has something for, unchecked; undefined for what is not a manifest. */
  *list(): Generator<readonly [path: string, manifest: Manifest | undefined]> {
    for (const [key, value] of this.#store.entries({ prefix: filePrefix() }))
      yield [pathOfKey(key) ?? key, parseManifest(value)];
  }

  /** Whether the store has anything below a path. */
  isDirectory(path: string): boolean {
    for (const _ of this.#store.keys({ prefix: filePrefix(path), limit: 1 })) return true;
    return false;
  }

  /** Whether the store has a path, or anything below it. */
  has(path: string): boolean {
    return this.#store.has(fileKey(path)) || this.isDirectory(path);
  }

  /** Puts something in place of what `replaces` says. @returns false, and nothing was done, when that is gone by now */
  async put(path: string, content: Content, mtimeMs: number, replaces: StoredFile): Promise<boolean> {
    if (!this.#isStill(path, replaces)) return false;
    const { state } = replaces;
    const isKnown = state.type === "file" || state.type === "deleted";
    const ancestors = isKnown ? ancestorsAfter(state.hash, state.ancestors) : [];
    await this.#store.put(fileKey(path), encodeManifest({ ...content, mtimeMs, ancestors }));
    return true;
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
    const value = encodeManifest({ ...file.manifest, ancestors: [] });
    const put: StoreOperation = { type: "put", key: fileKey(to), value };
    await this.#store.batch([...(this.#store.has(put.key) ? [] : [put]), ...deletion(from, file.manifest)]);
    return true;
  }

  #isStill(path: string, seen: StoredFile): boolean {
    return (this.#store.entry(fileKey(path))?.version ?? null) === seen.version;
  }
}

function deletion(path: string, { hash, ancestors }: Manifest): StoreOperation[] {
  return [
    { type: "put", key: goneKey(path), value: { hash, ancestors }, ttlMs: GONE_TTL_MS },
    { type: "del", key: fileKey(path) },
  ];
}
