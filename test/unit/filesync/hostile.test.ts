/** A member gone bad: a raw replica that writes what it likes, over the real store, against a folder with things beside it. */
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openReplica, type Replica } from "wavekv";
import { inProcessNetwork } from "wavekv/transports/in-process";
import { BaseFile } from "../../../demo/filesync/base.ts";
import { ChunkExchange } from "../../../demo/filesync/chunk-exchange.ts";
import { type ChunkMessage, encodeMessage, parseMessage } from "../../../demo/filesync/chunk-messages.ts";
import { describeBytes, encodeManifest, linkTo } from "../../../demo/filesync/content.ts";
import type { LinkReceiver } from "../../../demo/filesync/content-transport.ts";
import { FileStore } from "../../../demo/filesync/file-store.ts";
import { Folder } from "../../../demo/filesync/folder.ts";
import { FolderSync } from "../../../demo/filesync/folder-sync.ts";
import { IgnoreRules } from "../../../demo/filesync/ignore-rules.ts";
import { LocalChunks } from "../../../demo/filesync/local-chunks.ts";
import { StoreLife } from "../../../demo/filesync/store-life.ts";

const SECRET = Buffer.alloc(4096, "not to be read");
const EVIL = Buffer.from("evil");

let outside: string;
let root: string;
let victim: Replica;
let mallory: Replica;
let sync: FolderSync;
let exchange: ChunkExchange;
/** What the exchange hears from mallory, what it has sent her, and whether it is through with her. */
let chunks: LinkReceiver;
let sent: ChunkMessage[];
let isClosed: boolean;
let notices: string[];
let nowMs: number;

beforeEach(async () => {
  outside = await mkdtemp(join(tmpdir(), "filesync-hostile-"));
  root = join(outside, "folder");
  await mkdir(root);
  await writeFile(join(outside, "secret"), SECRET);
  await mkdir(join(outside, "beside"));
  await writeFile(join(outside, "beside/f"), "beside");
  const network = inProcessNetwork();
  victim = await openReplica({ nodeId: "victim", transport: network.transport() });
  mallory = await openReplica({ nodeId: "mallory", transport: network.transport() });
  notices = [];
  nowMs = 0;
  const { folder } = await Folder.open(root);
  const local = new LocalChunks(folder);
  const notice = (text: string): void => void notices.push(text);
  const common = { local, nodeId: "victim", nowMs: () => nowMs, notice };
  exchange = new ChunkExchange(common);
  sent = [];
  isClosed = false;
  chunks = exchange.opened({
    nodeId: "mallory",
    send: (frame) => sent.push(parseMessage(frame)!),
    close: () => {
      isClosed = true;
    },
  });
  sync = new FolderSync({
    ...common,
    folder,
    exchange,
    base: await BaseFile.open(join(outside, "base.json"), new StoreLife(victim, "victim")),
    store: new FileStore(victim),
    ignores: await IgnoreRules.open(root),
    isCaughtUp: () => true,
    report: () => undefined,
  });
});
afterEach(async () => {
  await sync.downloads.close();
  await Promise.all([victim.close(), mallory.close()]);
  await rm(outside, { recursive: true });
});

/** What mallory has written has come, and been dealt with. */
async function settle(): Promise<void> {
  await mallory.settled({ peers: ["victim"] });
  for (let round = 0; round < 3; round++) {
    await sync.scan();
    for (let steps = 0; sync.nextDueMs !== undefined && steps < 50; steps++) {
      nowMs = Math.max(nowMs + 1, sync.nextDueMs);
      await sync.settleDue();
    }
    nowMs += 1000;
    exchange.tick();
  }
}

/** Everything below the place that holds the folder, and what the files outside of it hold. */
async function surroundings(): Promise<unknown> {
  const names = (await readdir(outside, { recursive: true })).filter((name) => !/^folder\/|^base\.json/.test(name));
  return [
    names.sort(),
    await readFile(join(outside, "secret"), "utf8"),
    await readFile(join(outside, "beside/f"), "utf8"),
  ];
}

const putFile = (path: string): Promise<unknown> =>
  mallory.put(`file/${path}`, encodeManifest({ ...describeBytes(EVIL), mtimeMs: 0, ancestors: [] }));

test.each([
  ["up", "../escape"],
  ["up, from below", "a/../../escape"],
  ["absolute", "/tmp/filesync-escape"],
  ["the folder itself", "."],
  ["backslashes", "..\\escape"],
  ["a drive", "C:/escape"],
  ["a drive, relative", "c:escape"],
  ["a stream of a file", "C:"],
  ["NUL", "a\0b"],
  ["a line feed", "a\nb"],
  ["too long a part", "x".repeat(300)],
  ["a device", "aux"],
  ["a device with an extension", "d/NUL.txt"],
  ["a dot at the end", "a."],
  ["a space at the end", "a /b"],
  ["an empty part", "a//b"],
  ["the private directory", ".filesync-tmp/x"],
  ["the private directory, in capitals", ".FILESYNC-TMP/x"],
])("a hostile name is refused and shown, and nothing is touched: %s", async (_, path) => {
  const before = await surroundings();
  await putFile(path);
  await mallory.put(`gone/${path}`, { hash: "0".repeat(64), ancestors: [] });
  await settle();
  expect(await surroundings()).toEqual(before);
  expect(await readdir(root)).toEqual([".filesync-tmp"]);
  expect(await readdir(join(root, ".filesync-tmp"))).toEqual([]);
  expect(notices).toEqual([expect.stringMatching(/^refused /)]);
  expect(Array.from(sync.notices.problems, (problem) => problem.path)).toEqual([path]);
  // And no less when it is deleted.
  await mallory.delete(`file/${path}`);
  await settle();
  expect(await surroundings()).toEqual(before);
});

test("case twins: one comes in, the other is refused and shown", async () => {
  await putFile("Twin");
  await putFile("TWIN");
  await settle();
  expect((await readdir(root)).sort()).toEqual([".filesync-tmp", "TWIN"]);
  expect(notices).toEqual([expect.stringMatching(/^refused "Twin": it differs from "TWIN" in case or accents only/)]);
});

test("a link of ours is no way out, whatever is written, replaced or deleted below it", async () => {
  await symlink("../beside", join(root, "way"));
  const before = await surroundings();
  await putFile("way/new");
  await putFile("way/f");
  await settle();
  await mallory.delete("file/way/f");
  await mallory.put("gone/way/f", { hash: describeBytes(Buffer.from("beside")).hash, ancestors: [] });
  await settle();
  expect(await surroundings()).toEqual(before);
  expect(notices.filter((text) => text.includes("way"))).not.toEqual([]);
});

test("a link of theirs is no way out either: it comes only if it stays inside, and nothing is written through it", async () => {
  const before = await surroundings();
  for (const [path, target] of [
    ["out", "../beside"],
    ["absolute", outside],
    ["in", "d"],
  ] as const)
    await mallory.put(`file/${path}`, encodeManifest({ ...linkTo(target), mtimeMs: 0, ancestors: [] }));
  await putFile("d/f");
  await putFile("out/evil");
  await putFile("in/evil");
  await settle();
  expect(await surroundings()).toEqual(before);
  expect(await readFile(join(root, "d/f"), "utf8")).toBe("evil");
  expect(await readdir(join(root, "d"))).toEqual(["f"]);
});

test("what is outside cannot be asked for, even by who knows its hash", async () => {
  await symlink("../secret", join(root, "link"));
  await settle();
  chunks.frame(encodeMessage({ type: "want", chunks: describeBytes(SECRET).chunks }));
  await settle();
  expect(sent).toEqual([{ type: "none", chunks: describeBytes(SECRET).chunks }]);
});

test("chunks that nobody wanted, and such as are not what they claim to be, are not written", async () => {
  const [chunk] = describeBytes(SECRET).chunks;
  chunks.frame(encodeMessage({ type: "gift", chunk: chunk!, value: EVIL }));
  chunks.frame(encodeMessage({ type: "chunk", chunk: describeBytes(EVIL).hash, value: EVIL }));
  await mallory.put("file/f", encodeManifest({ ...describeBytes(SECRET), mtimeMs: 0, ancestors: [] }));
  await settle();
  expect(await readdir(root)).toEqual([".filesync-tmp"]);
  expect(notices).toEqual(["refused a chunk from mallory: it is not what its name says"]);
});

test.each([
  ["nothing", Buffer.alloc(0)],
  ["an unknown kind", Buffer.of(99)],
  ["half a hash", Buffer.alloc(17)],
  ["a chunk without content", Buffer.from([4, ...Buffer.alloc(32)])],
  ["more hashes than there may be", Buffer.alloc(1 + 513 * 32)],
])("a message that is nonsense ends the connection: %s", async (_, bytes) => {
  chunks.frame(bytes);
  expect(isClosed).toBe(true);
  expect(notices).toEqual(["refused a message from mallory: it is about no chunk"]);
});

test("who wants more than anybody can is cut off", async () => {
  const list = Array.from({ length: 512 }, (_, index) => index.toString(16).padStart(64, "0"));
  for (let count = 0; count < 19; count++) chunks.frame(encodeMessage({ type: "want", chunks: list }));
  expect(isClosed).toBe(false);
  chunks.frame(encodeMessage({ type: "want", chunks: list }));
  expect(isClosed).toBe(true);
  chunks.closed();
});
