import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BaseFile } from "../../../demo/filesync/base.ts";
import { CHUNK_BYTES, FILE_BYTES_MAX, FileStore, hashOf, type Manifest } from "../../../demo/filesync/file-store.ts";
import { Folder } from "../../../demo/filesync/folder.ts";
import { type FileEvent, FolderSync } from "../../../demo/filesync/folder-sync.ts";
import { STABLE_MS } from "../../../demo/filesync/local-files.ts";
import { conflictPath, fileKey } from "../../../demo/filesync/paths.ts";
import { MemoryStore } from "./memory-store.ts";

let outside: string;
let root: string;
let store: MemoryStore;
let files: FileStore;
let sync: FolderSync;
let nowMs: number;
let isCaughtUp: boolean;
let events: FileEvent[];
let notices: string[];

const at = (path: string): string => join(root, path);
const read = (path: string): Promise<string> => readFile(at(path), "utf8");

/** A start of the process: everything anew, but for folder, store and base file. */
async function start(): Promise<void> {
  const { folder, known } = await Folder.open(root);
  const base = await BaseFile.open(join(outside, "base.json"), () => "epoch", known);
  events = [];
  notices = [];
  sync = new FolderSync({
    folder,
    base,
    store: files,
    nodeId: "self",
    isCaughtUp: () => isCaughtUp,
    nowMs: () => nowMs,
    report: (event) => events.push(event),
    notice: (text) => notices.push(text),
  });
}

/** Scans and settles until nothing is due any more, in virtual time. */
async function settle(): Promise<void> {
  for (let round = 0; round < 3; round++) {
    await sync.scan();
    for (let steps = 0; sync.nextDueMs !== undefined; steps++) {
      if (steps > 100) throw new Error("does not come to rest");
      nowMs = Math.max(nowMs, sync.nextDueMs);
      await sync.settleDue();
    }
  }
  nowMs += 1000;
  await sync.settleDue();
}

/** A peer writes a file. */
async function putRemotely(path: string, content: string | Buffer, ancestors: string[] = []): Promise<void> {
  const data = Buffer.from(content);
  const chunks: string[] = [];
  for (let from = 0; from < data.length; from += CHUNK_BYTES) {
    const chunk = data.subarray(from, from + CHUNK_BYTES);
    chunks.push(hashOf(chunk));
    await store.batch([{ type: "put", key: `chunk/${hashOf(chunk)}`, value: new Uint8Array(chunk) }], "peer");
  }
  const value: Manifest = { hash: hashOf(data), size: data.length, mtimeMs: 1000, chunks, ancestors };
  await store.batch([{ type: "put", key: fileKey(path), value }], "peer");
}

/** A peer deletes a file, having seen what is there. */
async function deleteRemotely(path: string): Promise<void> {
  const { hash, ancestors } = store.get(fileKey(path)) as Manifest;
  const note = { type: "put", key: `gone/${path}`, value: { hash, ancestors } } as const;
  await store.batch([note, { type: "del", key: fileKey(path) }], "peer");
}

function manifestOf(size: number): Manifest {
  const chunks = new Array<string>(Math.ceil(size / CHUNK_BYTES)).fill("0".repeat(64));
  return { hash: "0".repeat(64), size, mtimeMs: 0, chunks, ancestors: [] };
}

const ancestor = (content: string): string => hashOf(Buffer.from(content)).slice(0, 16);
const copyOf = (path: string, content: string): string => conflictPath(path, hashOf(Buffer.from(content)));

beforeEach(async () => {
  outside = await mkdtemp(join(tmpdir(), "filesync-test-"));
  root = join(outside, "folder");
  await mkdir(root);
  store = new MemoryStore();
  files = new FileStore(store, "self");
  nowMs = 0;
  isCaughtUp = true;
  await start();
});
afterEach(() => rm(outside, { recursive: true }));

describe("no echo", () => {
  test("what is received is not sent, in this run and after a restart", async () => {
    await putRemotely("a/f", "hello");
    await settle();
    expect(await read("a/f")).toBe("hello");
    sync.hint("a/f");
    await settle();
    await start();
    await settle();
    expect(store.writes).toBe(0);
    expect(events).toEqual([]);
  });

  test("what is sent is sent once, whatever hints follow", async () => {
    await writeFile(at("f"), "hello");
    await settle();
    expect(events).toEqual([{ type: "put", path: "f", bytes: 5 }]);
    const { writes } = store;
    for (let time = 0; time < 3; time++) sync.hint("f");
    await settle();
    await start();
    await settle();
    expect(store.writes).toBe(writes);
  });

  test("a file whose time changes but not its content is not sent", async () => {
    await writeFile(at("f"), "hello");
    await settle();
    const { writes } = store;
    await utimes(at("f"), 1, 1);
    await settle();
    expect(store.writes).toBe(writes);
  });

  test("a remote deletion writes nothing", async () => {
    await putRemotely("d/f", "x");
    await settle();
    await deleteRemotely("d/f");
    await settle();
    expect(existsSync(at("d"))).toBe(false);
    expect(store.writes).toBe(0);
  });
});

describe("downtime", () => {
  test("tells edits made here from edits made elsewhere", async () => {
    for (const name of ["edited", "deleted", "changed", "removed"]) await putRemotely(name, "old");
    await settle();
    await writeFile(at("edited"), "new");
    await rm(at("deleted"));
    await putRemotely("changed", "new", [ancestor("old")]);
    await deleteRemotely("removed");
    await start();
    await settle();
    expect((store.get(fileKey("edited")) as Manifest).hash).toBe(hashOf(Buffer.from("new")));
    expect(store.has(fileKey("deleted"))).toBe(false);
    expect(await read("changed")).toBe("new");
    expect(existsSync(at("removed"))).toBe(false);
    expect((await readdir(root)).sort()).toEqual([".filesync-tmp", "changed", "edited"]);
  });

  test("a wiped data directory adopts, follows and keeps, and revives nothing", async () => {
    for (const name of ["same", "old", "gone", "edit"]) await putRemotely(name, name);
    await settle();
    await putRemotely("old", "newer", [ancestor("old")]);
    await deleteRemotely("gone");
    await writeFile(at("edit"), "edited while wiped");
    await writeFile(at("brand-new"), "b");
    await rm(join(outside, "base.json"));
    await start();
    await settle();
    expect(await read("old")).toBe("newer");
    expect(existsSync(at("gone"))).toBe(false);
    expect(store.has(fileKey("gone"))).toBe(false);
    expect(await read("edit")).toBe("edit");
    expect(await read(copyOf("edit", "edited while wiped"))).toBe("edited while wiped");
    expect(store.has(fileKey("brand-new"))).toBe(true);
    expect(events.map(({ type }) => type).sort()).toEqual([
      "conflict",
      "put",
      "put",
      "received",
      "received",
      "removed",
    ]);
  });

  test("a wiped replica waits for a peer before it concludes anything from absence", async () => {
    await writeFile(at("f"), "x");
    isCaughtUp = false;
    await start();
    await settle();
    await putRemotely("f2", "y");
    await writeFile(at("g"), "made later, so it is new");
    await settle();
    expect(store.has(fileKey("f"))).toBe(false);
    expect(store.has(fileKey("g"))).toBe(true);
    expect(notices).toHaveLength(1);
    // The peer knew of a deletion.
    await putRemotely("f", "x");
    await deleteRemotely("f");
    isCaughtUp = true;
    await settle();
    expect(existsSync(at("f"))).toBe(false);
  });

  test("a folder that lost its mark is refilled, not taken for emptied", async () => {
    await writeFile(at("f"), "x");
    await settle();
    await rm(root, { recursive: true });
    await mkdir(root);
    await expect(sync.scan()).rejects.toThrow("gone away");
    await start();
    await settle();
    expect(await read("f")).toBe("x");
    expect(store.has(fileKey("f"))).toBe(true);
  });
});

describe("conflicts", () => {
  test("an edit that lost a race in the store is kept once", async () => {
    await putRemotely("f.txt", "base");
    await settle();
    await writeFile(at("f.txt"), "mine");
    await settle();
    await putRemotely("f.txt", "theirs", [ancestor("base")]);
    await settle();
    expect(await read("f.txt")).toBe("theirs");
    const copy = copyOf("f.txt", "mine");
    expect(await read(copy)).toBe("mine");
    expect(store.has(fileKey(copy))).toBe(true);
    expect((await readdir(root)).length).toBe(3);
  });

  test("a conflict copy that is overwritten elsewhere under its own name is kept under a longer one", async () => {
    const copy = copyOf("f.txt", "mine");
    await writeFile(at(copy), "mine");
    await putRemotely(copy, "theirs");
    await settle();
    expect(await read(copy)).toBe("theirs");
    expect(await read(conflictPath("f.txt", hashOf(Buffer.from("mine")), 16))).toBe("mine");
  });

  test("an edit from before the base was lost is still ours", async () => {
    await writeFile(at("f"), "mine");
    await settle();
    await rm(join(outside, "base.json"));
    await start();
    await settle();
    await putRemotely("f", "theirs");
    await settle();
    expect(await read(copyOf("f", "mine"))).toBe("mine");
  });

  test("what a peer writes while we are about to is not overwritten", async () => {
    await writeFile(at("f"), "mine");
    store.beforeResolve = async () => {
      delete store.beforeResolve;
      await putRemotely("f", "theirs");
    };
    await settle();
    expect(await read("f")).toBe("theirs");
    expect(await read(copyOf("f", "mine"))).toBe("mine");
  });

  test("an empty file leaves no copy", async () => {
    await writeFile(at("f"), "");
    await putRemotely("f", "theirs");
    await settle();
    expect(await read("f")).toBe("theirs");
    expect((await readdir(root)).length).toBe(2);
  });

  test("a conflict of a conflict copy is named after the original", async () => {
    const copy = copyOf("f.txt", "mine");
    await writeFile(at(copy), "mine, edited");
    await putRemotely(copy, "theirs");
    await settle();
    expect((await readdir(root)).sort()).toEqual([".filesync-tmp", copy, copyOf("f.txt", "mine, edited")].sort());
  });

  test("an edit outlives a deletion that had not seen it", async () => {
    await putRemotely("f", "base");
    await settle();
    await writeFile(at("f"), "mine");
    await settle();
    await store.batch(
      [
        { type: "put", key: "gone/f", value: { hash: hashOf(Buffer.from("base")), ancestors: [] } },
        { type: "del", key: fileKey("f") },
      ],
      "peer",
    );
    await settle();
    expect(await read("f")).toBe("mine");
    expect(store.has(fileKey("f"))).toBe(true);
  });

  test("a file yields to a directory of its name", async () => {
    await writeFile(at("x"), "file");
    await settle();
    await putRemotely("x/y", "below");
    await settle();
    expect(await read("x/y")).toBe("below");
    expect(await read(copyOf("x", "file"))).toBe("file");
  });

  test("a directory that becomes a file is no conflict, even if the file is noticed first", async () => {
    await putRemotely("x/y", "below");
    await settle();
    await rm(at("x"), { recursive: true });
    await writeFile(at("x"), "file");
    // Only the new file is noticed at first.
    sync.hint("x");
    await sync.settleDue();
    nowMs += STABLE_MS;
    await sync.settleDue();
    await settle();
    expect(store.has(fileKey("x/y"))).toBe(false);
    expect(await read("x")).toBe("file");
    expect((await readdir(root)).length).toBe(2);
    // Nobody has seen both, which would have looked like a clash.
    expect(store.log.indexOf("del file/x/y")).toBeLessThan(store.log.indexOf("put file/x"));
  });

  test("a file that becomes a directory is no conflict, even if what is in it is noticed first", async () => {
    await writeFile(at("x"), "file");
    await settle();
    await rm(at("x"));
    await mkdir(at("x"));
    await writeFile(at("x/y"), "below");
    sync.hint("x/y");
    await sync.settleDue();
    nowMs += STABLE_MS;
    await sync.settleDue();
    expect(store.has(fileKey("x/y"))).toBe(true);
    await settle();
    expect(events.at(-1)).toEqual({ type: "deleted", path: "x" });
    expect([...store.keys({ prefix: "file/" })]).toEqual(["file/x/y"]);
  });
});

describe("content", () => {
  test("a file larger than a value travels in chunks, and equal content once", async () => {
    const large = Buffer.alloc(2 * CHUNK_BYTES + 1, "large");
    await writeFile(at("large"), large);
    await settle();
    expect((store.get(fileKey("large")) as Manifest).chunks).toHaveLength(3);
    const { writes } = store;
    await writeFile(at("copy"), large);
    await settle();
    expect(store.writes).toBe(writes + 1);
  });

  test("waits for what has not arrived, and writes nothing until then", async () => {
    await putRemotely("f", "hello");
    const key = `chunk/${hashOf(Buffer.from("hello"))}`;
    const chunk = store.get(key);
    await store.batch([{ type: "del", key }], "peer");
    await settle();
    expect(existsSync(at("f"))).toBe(false);
    await store.batch([{ type: "put", key, value: chunk }], "peer");
    sync.hintChunk();
    await sync.settleDue();
    expect(await read("f")).toBe("hello");
  });

  test("whoever has the file puts a collected chunk back", async () => {
    await putRemotely("f", "hello");
    await settle();
    const key = `chunk/${hashOf(Buffer.from("hello"))}`;
    await store.batch([{ type: "del", key }], "peer");
    await settle();
    expect(store.has(key)).toBe(true);
  });

  test("collects chunks that nobody names any more, after a while", async () => {
    await writeFile(at("f"), "one");
    await settle();
    await writeFile(at("f"), "three");
    await settle();
    const old = `chunk/${hashOf(Buffer.from("one"))}`;
    await files.collect(100_000);
    await files.collect(159_999);
    expect(store.has(old)).toBe(true);
    await files.collect(160_000);
    expect(store.has(old)).toBe(false);
    expect(store.has(`chunk/${hashOf(Buffer.from("three"))}`)).toBe(true);
  });

  test("a file is not read before it has been at rest", async () => {
    await writeFile(at("f"), "half");
    sync.hint("f");
    await sync.settleDue();
    nowMs += STABLE_MS - 1;
    await writeFile(at("f"), "half done");
    await sync.settleDue();
    sync.hint("f");
    await sync.settleDue();
    nowMs += STABLE_MS - 1;
    sync.hint("f");
    await sync.settleDue();
    expect(store.writes).toBe(0);
    nowMs += 1;
    await sync.settleDue();
    expect(events).toEqual([{ type: "put", path: "f", bytes: 9 }]);
  });
});

describe("hostile peers", () => {
  test.each(["../escape", "/tmp/escape", "a/../../escape", "a\\b", ".filesync-tmp/x", "a\0b", "con"])(
    "the path %j touches nothing, and is told once",
    async (path) => {
      await putRemotely(path, "evil");
      await settle();
      await settle();
      expect((await readdir(outside)).filter((name) => name !== "base.json")).toEqual(["folder"]);
      expect(await readdir(root)).toEqual([".filesync-tmp"]);
      expect(notices).toHaveLength(1);
    },
  );

  test("a link in the folder leads nobody out", async () => {
    await symlink(outside, at("way-out"));
    await putRemotely("way-out/f", "evil");
    await settle();
    expect(existsSync(join(outside, "f"))).toBe(false);
  });

  test.each([
    ["no manifest", "text"],
    ["null", null],
    ["a size that is not the chunks'", { hash: "0".repeat(64), size: 1, mtimeMs: 0, chunks: [], ancestors: [] }],
    ["a size beyond the limit", manifestOf(FILE_BYTES_MAX + 1)],
    ["another content", { hash: "0".repeat(64), size: 0, mtimeMs: 0, chunks: [], ancestors: [] }],
  ])("%s is ignored", async (_, value) => {
    await store.batch([{ type: "put", key: fileKey("f"), value }], "peer");
    await settle();
    expect(existsSync(at("f"))).toBe(false);
    expect(notices).toHaveLength(1);
    expect(store.writes).toBe(0);
  });
});

test("a base file of another epoch, or a damaged one, counts as lost", async () => {
  const path = join(outside, "other.json");
  const base = await BaseFile.open(path, () => "one");
  base.begin([]);
  base.set("__proto__", { hash: "h", own: true });
  await base.save();
  const again = await BaseFile.open(path, () => "one");
  expect(again.get("__proto__")).toEqual({ hash: "h", own: true });
  expect(again.isComplete).toBe(true);
  expect((await BaseFile.open(path, () => "two")).isComplete).toBe(false);
  await writeFile(path, (await readFile(path)).subarray(0, -1));
  expect((await BaseFile.open(path, () => "one")).isComplete).toBe(false);
});
