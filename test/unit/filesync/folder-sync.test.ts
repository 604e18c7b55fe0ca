import { existsSync } from "node:fs";
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BaseFile } from "../../../demo/filesync/base.ts";
import { ChunkExchange } from "../../../demo/filesync/chunk-exchange.ts";
import { type ChunkMessage, encodeMessage, parseMessage } from "../../../demo/filesync/chunk-messages.ts";
import { COPIES_MAX } from "../../../demo/filesync/conflict-copies.ts";
import {
  CHUNK_BYTES,
  type ChunkHash,
  type Content,
  DIRECTORY,
  describeBytes,
  encodeManifest,
  FILE_BYTES_MAX,
  hashOf,
  linkTo,
  parseManifest,
} from "../../../demo/filesync/content.ts";
import type { LinkReceiver } from "../../../demo/filesync/content-transport.ts";
import { MASS_FILES } from "../../../demo/filesync/deletion-guard.ts";
import { FileStore } from "../../../demo/filesync/file-store.ts";
import { Folder } from "../../../demo/filesync/folder.ts";
import { type FileEvent, FolderSync } from "../../../demo/filesync/folder-sync.ts";
import { IgnoreRules } from "../../../demo/filesync/ignore-rules.ts";
import { LocalChunks } from "../../../demo/filesync/local-chunks.ts";
import { STABLE_MS } from "../../../demo/filesync/local-files.ts";
import { conflictPath, fileKey } from "../../../demo/filesync/paths.ts";
import { type Life, StoreLife } from "../../../demo/filesync/store-life.ts";
import { MemoryStore } from "./memory-store.ts";

let outside: string;
let root: string;
let store: MemoryStore;
let files: FileStore;
let sync: FolderSync;
let exchange: ChunkExchange;
/** What the exchange hears from a peer, and what it has sent it. */
let peer: LinkReceiver;
let sent: ChunkMessage[];
let allowsMassDelete: boolean;
let nowMs: number;
let isCaughtUp: boolean;
let events: FileEvent[];
let notices: string[];

const at = (path: string): string => join(root, path);
const read = (path: string): Promise<string> => readFile(at(path), "utf8");

/** A start of the process: everything anew, but for folder, store and base file. */
async function start(): Promise<void> {
  const { folder, known } = await Folder.open(root);
  const base = await BaseFile.open(join(outside, "base.json"), life("one"), known);
  events = [];
  notices = [];
  const local = new LocalChunks(folder);
  exchange = new ChunkExchange({ nowMs: () => nowMs, notice: (text) => notices.push(text) });
  sent = [];
  peer = exchange.opened({ nodeId: "peer", send: (frame) => sent.push(parseMessage(frame)!), close: () => undefined });
  sync = new FolderSync({
    folder,
    base,
    local,
    exchange,
    ignores: await IgnoreRules.open(root),
    allowsMassDelete,
    store: files,
    nodeId: "self",
    isCaughtUp: () => isCaughtUp,
    nowMs: () => nowMs,
    report: (event) => events.push(event),
    notice: (text) => notices.push(text),
  });
}

/** A store that has lived up to whatever it was told. */
const life = (id: string): Life => ({
  covers: (mark) => mark.id === id,
  next: async () => ({ id, count: 1 }),
});

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
  const description = describeBytes(data);
  if (description.inline === undefined) await giveRemotely(data);
  await describeRemotely(path, description, ancestors);
}

/** A peer gives content, asked or not. */
async function giveRemotely(data: Buffer): Promise<void> {
  for (let from = 0; from < data.length; from += CHUNK_BYTES) {
    const value = data.subarray(from, from + CHUNK_BYTES);
    peer.frame(encodeMessage({ type: "gift", chunk: hashOf(value), value }));
  }
}

/** What the peer has been asked for since the last call. */
function asked(): ChunkHash[] {
  return sent.splice(0).flatMap((message) => (message.type === "want" ? message.chunks : []));
}

/** What the peer has been sent since the last call. */
function given(): ChunkMessage[] {
  return sent.splice(0).filter(({ type }) => type !== "want" && type !== "taken");
}

/** A chunk, as a message. */
function chunkOf(type: "chunk" | "gift", value: Uint8Array): ChunkMessage {
  return { type, chunk: hashOf(value), value: Buffer.from(value) };
}

async function describeRemotely(path: string, content: Content, ancestors: string[] = []): Promise<void> {
  const value = encodeManifest({ ...content, mtimeMs: 1000, ancestors });
  await store.batch([{ type: "put", key: fileKey(path), value }], "peer");
}

const hashInStore = (path: string): string | undefined => parseManifest(store.get(fileKey(path)))?.hash;

/** A peer deletes a file, having seen what is there. */
async function deleteRemotely(path: string): Promise<void> {
  const { hash, ancestors } = parseManifest(store.get(fileKey(path)))!;
  const note = { type: "put", key: `gone/${path}`, value: { hash, ancestors } } as const;
  await store.batch([note, { type: "del", key: fileKey(path) }], "peer");
}

function manifestOf(size: number): unknown {
  const chunks = new Uint8Array(32 * Math.ceil(size / CHUNK_BYTES));
  return { kind: "file", size, mtimeMs: 0, executable: false, chunks, ancestors: [] };
}

const ancestor = (content: string): string => hashOf(Buffer.from(content)).slice(0, 16);
const copyOf = (path: string, content: string): string => conflictPath(path, hashOf(Buffer.from(content)));

beforeEach(async () => {
  outside = await mkdtemp(join(tmpdir(), "filesync-test-"));
  root = join(outside, "folder");
  await mkdir(root);
  store = new MemoryStore();
  files = new FileStore(store);
  allowsMassDelete = false;
  nowMs = 0;
  isCaughtUp = true;
  await start();
});
afterEach(async () => {
  await sync.downloads.close();
  await rm(outside, { recursive: true });
});

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
    expect(hashInStore("edited")).toBe(hashOf(Buffer.from("new")));
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

  test("the newest few copies of a file stay", async () => {
    for (let index = 0; index <= COPIES_MAX; index++) {
      await writeFile(at("f"), `mine ${index}`);
      await utimes(at("f"), 1000 + index, 1000 + index);
      await putRemotely("f", `theirs ${index}`);
      await settle();
    }
    const copies = (await readdir(root)).filter((name) => name.includes("conflict"));
    expect(copies).toHaveLength(COPIES_MAX);
    expect(copies).not.toContain(copyOf("f", "mine 0"));
    expect(store.has(fileKey(copyOf("f", "mine 0")))).toBe(false);
    expect(events.filter(({ type }) => type === "dropped")).toEqual([{ type: "dropped", path: copyOf("f", "mine 0") }]);
  });

  test("a copy is made only when the content that takes its place is here", async () => {
    await writeFile(at("f"), "mine");
    const theirs = Buffer.alloc(5000, "theirs");
    await describeRemotely("f", describeBytes(theirs));
    await settle();
    expect(await readdir(root)).toEqual([".filesync-tmp", "f"]);
    await giveRemotely(theirs);
    await settle();
    expect((await readdir(root)).sort()).toEqual([".filesync-tmp", "f", copyOf("f", "mine")].sort());
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
  const large = Buffer.alloc(2 * CHUNK_BYTES + 1, "large");
  large.write("another beginning");

  test("waits for what has not arrived, asks for it, and writes nothing until then", async () => {
    const [first, second, third] = describeBytes(large).chunks;
    await describeRemotely("large", describeBytes(large));
    await settle();
    // As much as may be under way while nothing is known about the connection.
    expect(asked()).toEqual([first, second]);
    expect(existsSync(at("large"))).toBe(false);
    await giveRemotely(large.subarray(0, CHUNK_BYTES));
    await settle();
    expect(asked()).toEqual([third]);
    expect(existsSync(at("large"))).toBe(false);
    await giveRemotely(large.subarray(CHUNK_BYTES));
    await settle();
    expect((await readFile(at("large"))).equals(large)).toBe(true);
    expect((await stat(at("large"))).mtimeMs).toBe(1000);
    expect(exchange.lacking).toEqual({ bytes: 0, chunks: 0 });
    expect(asked()).toEqual([]);
  });

  test("goes on after a restart where it was", async () => {
    await describeRemotely("large", describeBytes(large));
    await settle();
    await giveRemotely(large.subarray(0, CHUNK_BYTES));
    await settle();
    await sync.downloads.close();
    await start();
    await settle();
    expect(asked()).toEqual(describeBytes(large).chunks.slice(1));
    expect([...sync.downloads.progress()]).toMatchObject([{ path: "large", bytes: CHUNK_BYTES }]);
  });

  test("a chunk that is not what its name says is refused, and asked for still", async () => {
    const [first] = describeBytes(large).chunks;
    await describeRemotely("large", describeBytes(large));
    await settle();
    asked();
    peer.frame(encodeMessage({ type: "chunk", chunk: first!, value: Buffer.from("evil") }));
    expect(notices).toEqual(["refused a chunk from peer: it is not what its name says"]);
    await giveRemotely(large.subarray(CHUNK_BYTES));
    await settle();
    asked();
    exchange.tick();
    await settle();
    expect(asked()).toEqual([first]);
    await giveRemotely(large);
    await settle();
    expect((await readFile(at("large"))).equals(large)).toBe(true);
  });

  test("a renamed file is put together from what is in the folder, whichever of its names is heard of first", async () => {
    await putRemotely("a", large);
    await settle();
    await deleteRemotely("a");
    await settle();
    expect(existsSync(at("a"))).toBe(false);
    await describeRemotely("b", describeBytes(large));
    await settle();
    expect((await readFile(at("b"))).equals(large)).toBe(true);
    expect(asked()).toEqual([]);
  });

  test("what a small change leaves as it was is not asked for", async () => {
    await putRemotely("f", large);
    await settle();
    const longer = Buffer.concat([large, Buffer.from("more")]);
    await describeRemotely("f", describeBytes(longer), [describeBytes(large).hash.slice(0, 16)]);
    await settle();
    expect(asked()).toEqual(describeBytes(longer).chunks.slice(2));
  });

  test("gives what others ask for, of what is here, and of what is only just arriving", async () => {
    const [, , last] = describeBytes(large).chunks;
    await writeFile(at("f"), large);
    await settle();
    given();
    peer.frame(encodeMessage({ type: "want", chunks: [last!, "0".repeat(64)] }));
    await settle();
    expect(given()).toEqual([
      chunkOf("chunk", large.subarray(2 * CHUNK_BYTES)),
      { type: "none", chunks: ["0".repeat(64)] },
    ]);
    const other = Buffer.alloc(3 * CHUNK_BYTES, "other");
    other.write("beginning");
    await describeRemotely("g", describeBytes(other));
    await settle();
    await giveRemotely(other.subarray(0, CHUNK_BYTES));
    await settle();
    given();
    peer.frame(encodeMessage({ type: "want", chunks: describeBytes(other).chunks.slice(0, 2) }));
    await settle();
    expect(given()).toEqual([
      chunkOf("chunk", other.subarray(0, CHUNK_BYTES)),
      { type: "none", chunks: [describeBytes(other).chunks[1]] },
    ]);
  });

  test("gives new content unasked, before it names it, but not when a file only has a new name", async () => {
    // Of two chunks: as much as may be under way while nothing is known about the connection.
    const content = large.subarray(CHUNK_BYTES);
    await writeFile(at("f"), content);
    const before: ChunkMessage[] = [];
    store.beforeResolve = async () => void before.push(...given());
    await settle();
    expect(before).toEqual([
      chunkOf("gift", content.subarray(0, CHUNK_BYTES)),
      chunkOf("gift", content.subarray(CHUNK_BYTES)),
    ]);
    await rename(at("f"), at("g"));
    store.log.length = 0;
    await settle();
    expect(given()).toEqual([]);
    expect(store.log).toEqual(["put file/g", "put gone/f", "del file/f"]);
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

describe("what is not content", () => {
  test("the bit that a file can be run travels, by itself as well, and that is no conflict with an edit", async () => {
    await writeFile(at("run"), "#!/bin/sh\n", { mode: 0o755 });
    await settle();
    expect(hashInStore("run")).toBe(`${hashOf(Buffer.from("#!/bin/sh\n"))}x`);
    await describeRemotely("run", describeBytes(Buffer.from("#!/bin/sh\n"), false));
    await settle();
    expect((await stat(at("run"))).mode & 0o777).toBe(0o644);
    await chmod(at("run"), 0o700);
    await putRemotely("run", "edited", [ancestor("#!/bin/sh\n")]);
    await settle();
    expect(await read("run")).toBe("edited");
    expect((await readdir(root)).sort()).toEqual([".filesync-tmp", "run"]);
  });

  test("an empty directory is made, kept and removed", async () => {
    await mkdir(at("mine/deep"), { recursive: true });
    await describeRemotely("theirs", DIRECTORY);
    await settle();
    expect([...store.keys({ prefix: "file/" })]).toEqual(["file/mine/deep", "file/theirs"]);
    // With something in it, and without again.
    await putRemotely("theirs/f", "x");
    await settle();
    await deleteRemotely("theirs/f");
    await settle();
    expect(await readdir(at("theirs"))).toEqual([]);
    await deleteRemotely("theirs");
    await rm(at("mine"), { recursive: true });
    await settle();
    expect(await readdir(root)).toEqual([".filesync-tmp"]);
    expect([...store.keys({ prefix: "file/" })]).toEqual([]);
  });

  test("a directory that goes elsewhere stays as long as something new is in it", async () => {
    await describeRemotely("d", DIRECTORY);
    await settle();
    await writeFile(at("d/new"), "x");
    await deleteRemotely("d");
    await settle();
    expect(await read("d/new")).toBe("x");
    expect(store.has(fileKey("d/new"))).toBe(true);
  });

  test("links that stay inside travel as links; others are told and left alone", async () => {
    await writeFile(at("f"), "x");
    await symlink("f", at("inside"));
    await symlink("../outside", at("outside"));
    await describeRemotely("theirs", linkTo("sub/../f"));
    await describeRemotely("evil", linkTo("a/../../../etc/passwd"));
    await describeRemotely("absolute", linkTo("/etc/passwd"));
    await settle();
    expect(parseManifest(store.get(fileKey("inside")))).toMatchObject({ kind: "link", target: "f" });
    expect(store.has(fileKey("outside"))).toBe(false);
    expect(await readlink(at("theirs"))).toBe("sub/../f");
    expect((await readdir(root)).sort()).toEqual([".filesync-tmp", "f", "inside", "outside", "theirs"]);
    expect(notices.sort()).toEqual([
      'refused "absolute": it is a link that is not relative',
      'refused "evil": it is a link that leads out of the folder',
      'skipped "outside": it is a link that leads out of the folder',
    ]);
  });

  test("what .syncignore names is neither sent, nor received, nor deleted", async () => {
    await writeFile(at("old.log"), "1");
    await settle();
    await writeFile(at(".syncignore"), "*.log\nbuild/\n");
    await mkdir(at("build"));
    await writeFile(at("build/out"), "2");
    await mkdir(at(".git"));
    await writeFile(at(".git/HEAD"), "3");
    await settle();
    expect([...store.keys({ prefix: "file/" })]).toEqual(["file/.syncignore", "file/old.log"]);
    await putRemotely("their.log", "4");
    await deleteRemotely("old.log");
    await settle();
    expect(existsSync(at("their.log"))).toBe(false);
    expect(await read("old.log")).toBe("1");
  });
});

describe("deletion", () => {
  /** As many files as given, agreed on. */
  async function withFiles(count: number): Promise<void> {
    for (let index = 0; index < count; index++) await putRemotely(`f${index}`, String(index));
    await settle();
  }

  test("of most files at once is held back until they are back, or the user means it", async () => {
    await withFiles(2 * MASS_FILES);
    for (let index = 0; index <= MASS_FILES; index++) await rm(at(`f${index}`));
    await sync.scan();
    for (let step = 0; step < 3; step++) {
      await sync.settleDue();
      nowMs += 2000;
    }
    expect(notices).toEqual([expect.stringContaining(`${MASS_FILES + 1} of ${2 * MASS_FILES} files`)]);
    expect([...store.keys({ prefix: "file/" })]).toHaveLength(2 * MASS_FILES);
    await writeFile(at("f0"), "0");
    sync.hint("f0");
    await settle();
    expect([...store.keys({ prefix: "file/" })]).toHaveLength(MASS_FILES);
  });

  test("of most files at once passes with the user's word", async () => {
    allowsMassDelete = true;
    await start();
    await withFiles(2 * MASS_FILES);
    for (let index = 0; index <= MASS_FILES; index++) await rm(at(`f${index}`));
    await settle();
    expect([...store.keys({ prefix: "file/" })]).toHaveLength(MASS_FILES - 1);
  });

  test("waits a moment, so that an editor which writes anew deletes nothing", async () => {
    await putRemotely("f", "1");
    await settle();
    await rm(at("f"));
    sync.hint("f");
    await sync.settleDue();
    await writeFile(at("f"), "2");
    await settle();
    expect(store.log).not.toContain("del file/f");
    expect(hashInStore("f")).toBe(hashOf(Buffer.from("2")));
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

  test("names that differ in case or accents only: the first one stays, the other is refused", async () => {
    await putRemotely("Readme", "first");
    await settle();
    await putRemotely("README", "second");
    await putRemotely("A\u0308", "decomposed");
    await putRemotely("\u00c4", "composed");
    await putRemotely("dir/f", "1");
    await putRemotely("DIR/g", "2");
    await settle();
    expect((await readdir(root)).sort()).toEqual([".filesync-tmp", "A\u0308", "DIR", "Readme"].sort());
    expect(notices).toHaveLength(3);
    for (const notice of notices) expect(notice).toContain("in case or accents only");
    await deleteRemotely("Readme");
    await settle();
    expect(await read("README")).toBe("second");
  });

  test("a link in the folder leads nobody out", async () => {
    await symlink(outside, at("way-out"));
    await putRemotely("way-out/f", "evil");
    await settle();
    expect(existsSync(join(outside, "f"))).toBe(false);
  });

  test.each([
    ["no manifest", "text"],
    ["null", null],
    ["a size that is not the chunks'", { ...(manifestOf(CHUNK_BYTES) as object), size: CHUNK_BYTES + 1 }],
    ["a size beyond the limit", manifestOf(FILE_BYTES_MAX + 1)],
    ["an unknown kind", { kind: "device", ancestors: [] }],
    ["a history without end", { kind: "directory", ancestors: Array.from({ length: 33 }, () => "0".repeat(16)) }],
  ])("%s is ignored", async (_, value) => {
    await store.batch([{ type: "put", key: fileKey("f"), value }], "peer");
    await settle();
    expect(existsSync(at("f"))).toBe(false);
    expect(notices).toHaveLength(1);
    expect(store.writes).toBe(0);
  });
});

test("a base file takes changes one by one, forgets what was half written, and does not grow for ever", async () => {
  const path = join(outside, "other.json");
  const base = await BaseFile.open(path, life("one"));
  base.begin([]);
  await base.save();
  base.set("a", { hash: "1", own: true });
  base.set("b", { hash: "2", own: false, fingerprint: "f" });
  expect(base.isSaved).toBe(false);
  await base.save();
  expect(base.isSaved).toBe(true);
  base.set("a", undefined);
  await base.save();
  const whole = await readFile(path);
  const read = async (): Promise<unknown> => Array.from((await BaseFile.open(path, life("one"))).paths);
  expect(await read()).toEqual(["b"]);
  await writeFile(path, whole.subarray(0, -1));
  expect(await read()).toEqual(["a", "b"]);
  await writeFile(path, whole);
  for (let round = 0; round < 1100; round++) {
    base.set("a", { hash: String(round), own: true });
    if (round % 100 === 0) await base.save();
  }
  for (let round = 0; round < 2000; round++)
    base.set(`c${round}`, round % 2 === 0 ? { hash: "c", own: true } : undefined);
  for (let round = 0; round < 2000; round++) base.set(`c${round}`, undefined);
  await base.save();
  expect((await readFile(path)).length).toBeLessThan(1000);
  expect(await read()).toEqual(["b", "a"]);
});

test("a base is good for the store that it was written beside, after a crash too, and for none that knows less", async () => {
  const path = join(outside, "other.json");
  const base = await BaseFile.open(path, new StoreLife(store, "self"));
  base.begin([]);
  base.set("a", { hash: "1", own: true });
  await base.save();
  const older = new Map(store.data);
  base.set("b", { hash: "2", own: true });
  await base.save();
  const open = async (): Promise<readonly string[]> =>
    Array.from((await BaseFile.open(path, new StoreLife(store, "self"))).paths);
  expect(await open()).toEqual(["a", "b"]);
  // Raised in the store, and then we died.
  await new StoreLife(store, "self").next();
  expect(await open()).toEqual(["a", "b"]);
  store.data.clear();
  for (const [key, value] of older) store.data.set(key, value);
  expect(await open()).toEqual([]);
  store.data.clear();
  expect(await open()).toEqual([]);
});

test("a base file of another store, or a damaged one, counts as lost", async () => {
  const path = join(outside, "other.json");
  const base = await BaseFile.open(path, life("one"));
  base.begin([]);
  base.set("__proto__", { hash: "h", own: true });
  await base.save();
  const again = await BaseFile.open(path, life("one"));
  expect(again.get("__proto__")).toEqual({ hash: "h", own: true });
  expect(again.isComplete).toBe(true);
  expect((await BaseFile.open(path, life("two"))).isComplete).toBe(false);
  await writeFile(path, (await readFile(path)).subarray(1));
  expect((await BaseFile.open(path, life("one"))).isComplete).toBe(false);
});
