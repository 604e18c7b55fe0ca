/** The peers as stores. Their shapes are written down as far as they are used. */
import { loadPeer } from "../peers.ts";
import type { Store } from "./store.ts";

interface Lmdb {
  readonly open: (options: object) => LmdbDatabase;
}

interface LmdbDatabase {
  put(key: string, value: unknown): Promise<boolean>;
  batch(work: () => void): Promise<unknown>;
  get(key: string): unknown;
  getRange(range: { start: string; limit: number }): Iterable<{ key: string; value: unknown }>;
  close(): Promise<void>;
  readonly flushed: Promise<unknown>;
}

/** @param durable a put resolves when it is synced; otherwise when it is in the memory map, and nothing is synced */
export async function openLmdb(directory: string, durable: boolean): Promise<Store> {
  const { open } = await loadPeer<Lmdb>("lmdb");
  // Without overlapping syncs a commit resolves behind its sync.
  const database = open({ path: directory, noSync: !durable, overlappingSync: false, mapSize: 4 * 2 ** 30 });
  return {
    put: (key, value) => database.put(key, value),
    putAll: (entries) =>
      database.batch(() => {
        for (const [key, value] of entries) void database.put(key, value);
      }),
    get: (key) => database.get(key),
    scan(from, rows) {
      let characters = 0;
      for (const { key, value } of database.getRange({ start: from, limit: rows })) {
        characters += key.length > 0 ? (value as string).length : 0;
      }
      return characters;
    },
    close: () => database.close(),
  };
}

interface Level {
  readonly ClassicLevel: new (directory: string, options?: object) => LevelDatabase;
}

interface LevelDatabase {
  open(): Promise<void>;
  put(key: string, value: string, options: object): Promise<void>;
  batch(operations: readonly object[], options: object): Promise<void>;
  getSync(key: string): string | undefined;
  iterator(range: object): { nextv(count: number): Promise<[string, string][]>; close(): Promise<void> };
  close(): Promise<void>;
}

export interface LevelStore extends Store {
  /** Its scans are asynchronous. */
  scanLater(from: string, rows: number): Promise<number>;
}

/** @param durable every write is synced */
export async function openLevel(directory: string, durable: boolean): Promise<LevelStore> {
  const { ClassicLevel } = await loadPeer<Level>("classic-level");
  const database = new ClassicLevel(directory, { valueEncoding: "utf8", cacheSize: 256 * 2 ** 20 });
  await database.open();
  const options = { sync: durable };
  return {
    put: (key, value) => database.put(key, value as string, options),
    putAll: (entries) =>
      database.batch(
        entries.map(([key, value]) => ({ type: "put", key, value })),
        options,
      ),
    get: (key) => database.getSync(key),
    async scanLater(from, rows) {
      const iterator = database.iterator({ gte: from, limit: rows });
      let characters = 0;
      for (const [key, value] of await iterator.nextv(rows)) characters += key.length > 0 ? value.length : 0;
      await iterator.close();
      return characters;
    },
    close: () => database.close(),
  };
}

interface SortedBtree {
  readonly default: { readonly default: new () => Btree };
}

interface Btree {
  set(key: string, value: unknown): boolean;
  get(key: string): unknown;
  entries(from: string): IterableIterator<[string, unknown]>;
  clear(): void;
}

export async function openBtree(): Promise<Store> {
  const { default: module } = await loadPeer<SortedBtree>("sorted-btree");
  const tree = new module.default();
  return {
    put: (key, value) => void tree.set(key, value),
    get: (key) => tree.get(key),
    scan(from, rows) {
      let characters = 0;
      let left = rows;
      for (const [key, value] of tree.entries(from)) {
        characters += key.length > 0 ? (value as string).length : 0;
        left -= 1;
        if (left === 0) break;
      }
      return characters;
    },
    close: () => tree.clear(),
  };
}

interface Yjs {
  readonly Doc: new () => YDoc;
}

interface YDoc {
  getMap(name: string): { set(key: string, value: unknown): void; get(key: string): unknown };
  transact(work: () => void): void;
  destroy(): void;
}

export async function openYjs(): Promise<Store> {
  const { Doc } = await loadPeer<Yjs>("yjs");
  const document = new Doc();
  const map = document.getMap("store");
  return {
    put(key, value) {
      map.set(key, value);
      return undefined;
    },
    putAll(entries) {
      document.transact(() => {
        for (const [key, value] of entries) map.set(key, value);
      });
      return undefined;
    },
    get: (key) => map.get(key),
    close: () => document.destroy(),
  };
}

interface TinyBase {
  readonly createMergeableStore: (id: string) => TinyStore;
}

interface TinyStore {
  setValue(key: string, value: unknown): void;
  getValue(key: string): unknown;
  transaction(work: () => void): void;
}

/** Its values, not its tables: the cheaper of the two. */
export async function openTinyBase(): Promise<Store> {
  const { createMergeableStore } = await loadPeer<TinyBase>("tinybase");
  const store = createMergeableStore("bench");
  return {
    put(key, value) {
      store.setValue(key, value);
      return undefined;
    },
    putAll(entries) {
      store.transaction(() => {
        for (const [key, value] of entries) store.setValue(key, value);
      });
      return undefined;
    },
    get: (key) => store.getValue(key),
    close: () => undefined,
  };
}
