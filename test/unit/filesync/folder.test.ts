import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CHUNK_BYTES, describeBytes, INLINE_BYTES_MAX } from "../../../demo/filesync/content.ts";
import { Folder, type Outcome } from "../../../demo/filesync/folder.ts";
import { PRIVATE_DIRECTORY } from "../../../demo/filesync/paths.ts";

let outside: string;
let root: string;
let folder: Folder;
const at = (path: string): string => join(root, path);
const bytes = (text: string): Buffer => Buffer.from(text);

beforeEach(async () => {
  outside = await mkdtemp(join(tmpdir(), "filesync-test-"));
  root = join(outside, "folder");
  await mkdir(root);
  ({ folder } = await Folder.open(root));
});
afterEach(() => rm(outside, { recursive: true }));

async function fingerprint(path: string): Promise<string> {
  const look = await folder.look(path);
  if (look.type !== "file") throw new Error(`${path} is ${look.type}`);
  return look.fingerprint;
}

test("tells a folder that was in use from one that was not, and sweeps what was half made", async () => {
  await writeFile(at(`${PRIVATE_DIRECTORY}/left-over`), "half");
  expect((await Folder.open(root)).known).toBe(true);
  expect(await readdir(at(PRIVATE_DIRECTORY))).toEqual([]);
  expect(await folder.isPresent()).toBe(true);
  await rm(at(PRIVATE_DIRECTORY), { recursive: true });
  expect(await folder.isPresent()).toBe(false);
  expect((await Folder.open(root)).known).toBe(false);
});

test("a private directory that is a link is refused", async () => {
  await rm(at(PRIVATE_DIRECTORY), { recursive: true });
  await symlink(outside, at(PRIVATE_DIRECTORY));
  await expect(Folder.open(root)).rejects.toThrow("EEXIST");
});

describe("scan", () => {
  test("finds what is there at any depth, and passes over links that lead out, pipes and bad names", async () => {
    await mkdir(at("a/b"), { recursive: true });
    await writeFile(at("a/b/deep"), "1");
    await writeFile(at("top"), "2");
    await writeFile(join(outside, "secret"), "s");
    await symlink(join(outside, "secret"), at("link"));
    await symlink("..", at("link-to-directory"));
    await symlink("top", at("inside"));
    await mkdir(at("empty"));
    await writeFile(Buffer.concat([bytes(`${root}/bad-`), Buffer.from([0xff])]), "");
    await writeFile(at("back\\slash"), "");
    execFileSync("mkfifo", [at("pipe")]);
    const { files, emptyDirectories, skipped } = await folder.scan();
    expect([...files.keys()].sort()).toEqual(["a/b/deep", "inside", "top"]);
    expect([...emptyDirectories]).toEqual(["empty"]);
    expect(skipped.map(({ reason }) => reason).sort()).toEqual([
      "has a backslash",
      "is a link that is not relative",
      "is a link that leads out of the folder",
      "is a special file",
      "is not valid Unicode",
    ]);
  });
});

/** As a peer's file comes in. */
async function place(path: string, content: string, seen?: string, executable = false): Promise<Outcome> {
  return await folder.placeFile(path, { from: bytes(content), mtimeMs: 1_000_000, executable }, seen);
}

describe("placing a file", () => {
  test("makes parents, sets time and mode, and leaves nothing behind", async () => {
    const placed = await place("a/b/c", "new", undefined, true);
    expect(placed).toEqual({ type: "done", fingerprint: await fingerprint("a/b/c") });
    expect(await readFile(at("a/b/c"), "utf8")).toBe("new");
    const { mtimeMs, mode } = await stat(at("a/b/c"));
    expect([mtimeMs, mode & 0o777]).toEqual([1_000_000, 0o755]);
    expect(await readdir(at(PRIVATE_DIRECTORY))).toEqual([]);
  });

  test("replaces what was seen, in one step: whoever has the old file open keeps it whole", async () => {
    await writeFile(at("f"), "old", { mode: 0o750 });
    const { ino } = await stat(at("f"));
    expect(await place("f", "new", await fingerprint("f"))).toMatchObject({ type: "done" });
    expect(await readFile(at("f"), "utf8")).toBe("new");
    expect((await stat(at("f"))).ino).not.toBe(ino);
    expect((await stat(at("f"))).mode & 0o777).toBe(0o640);
  });

  test("leaves a file alone that has changed since it was seen, even to one of the same size", async () => {
    await writeFile(at("f"), "old");
    const seen = await fingerprint("f");
    await writeFile(at("g"), "mod");
    await rename(at("g"), at("f"));
    expect(await place("f", "new", seen)).toEqual({ type: "changed" });
    expect(await readFile(at("f"), "utf8")).toBe("mod");
    expect(await readdir(at(PRIVATE_DIRECTORY))).toEqual([]);
  });

  test("leaves a file alone that was not there when looked", async () => {
    await writeFile(at("f"), "old");
    expect(await place("f", "new")).toEqual({ type: "changed" });
    expect(await readFile(at("f"), "utf8")).toBe("old");
  });

  test("does not bring back a file that is gone", async () => {
    await writeFile(at("f"), "old");
    const seen = await fingerprint("f");
    await rm(at("f"));
    expect(await place("f", "new", seen)).toEqual({ type: "changed" });
    expect(existsSync(at("f"))).toBe(false);
  });

  test("never goes through a link", async () => {
    await symlink(outside, at("way-out"));
    expect(await place("way-out/f", "x")).toMatchObject({ type: "refused" });
    expect(await place("way-out/new/f", "x")).toMatchObject({ type: "refused" });
    expect(await folder.placeDirectory("way-out/new")).toMatchObject({ type: "refused" });
    expect(await folder.placeLink("way-out/new", "f")).toMatchObject({ type: "refused" });
    expect((await readdir(outside)).sort()).toEqual(["folder"]);
    await writeFile(join(outside, "victim"), "v");
    await symlink(join(outside, "victim"), at("link"));
    expect(await place("link", "x")).toEqual({ type: "changed" });
    expect(await readFile(join(outside, "victim"), "utf8")).toBe("v");
  });

  test.runIf(process.platform === "linux")("a link that is swapped in while it writes leads nobody out", async () => {
    await mkdir(at("d"));
    const elsewhere = join(outside, "elsewhere");
    await mkdir(elsewhere);
    // The last thing before the file is moved in.
    const finish = folder.private.finish.bind(folder.private);
    folder.private.finish = async (...args) => {
      const made = await finish(...args);
      await rename(at("d"), at("moved"));
      await symlink(elsewhere, at("d"));
      return made;
    };
    await folder.placeFile("d/f", { from: bytes("x"), mtimeMs: 0, executable: false });
    expect(await readdir(elsewhere)).toEqual([]);
    expect(await readdir(at("moved"))).toEqual(["f"]);
  });

  test("refuses below a file and over a directory", async () => {
    await writeFile(at("f"), "");
    await mkdir(at("d"));
    expect(await place("f/x", "x")).toMatchObject({ type: "refused" });
    expect(await place("d", "x")).toMatchObject({ type: "refused" });
  });
});

describe("reading and removing", () => {
  test("describes what was seen, and nothing else", async () => {
    await writeFile(at("f"), "one");
    const seen = await fingerprint("f");
    const described = { content: describeBytes(bytes("one")), bytes: bytes("one") };
    expect(await folder.describe("f", seen, false)).toEqual(described);
    await writeFile(at("f"), "three");
    expect(await folder.describe("f", seen, false)).toBeUndefined();
    await rm(at("f"));
    expect(await folder.describe("f", seen, false)).toBeUndefined();
  });

  test.each([0, 1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES])(
    "a file of %i bytes is described from the disk as from memory, and read in parts",
    async (size) => {
      const content = Buffer.alloc(size, "content ");
      await writeFile(at("f"), content);
      const described = await folder.describe("f", await fingerprint("f"), true);
      expect(described?.content).toEqual(describeBytes(content, true));
      expect(described?.content.inline === undefined).toBe(size > INLINE_BYTES_MAX);
      expect(described?.content.chunks).toHaveLength(Math.ceil(size / CHUNK_BYTES));
      expect(described?.bytes).toEqual(size > CHUNK_BYTES ? undefined : content);
      if (size > 0) expect(await folder.readPart("f", size - 1, 1)).toEqual(content.subarray(size - 1));
      expect(await folder.readPart("f", size, 1)).toBeUndefined();
    },
  );

  test("neither reads nor removes through a link", async () => {
    await mkdir(join(outside, "elsewhere"));
    await writeFile(join(outside, "elsewhere/f"), "secret");
    await mkdir(at("d"));
    await rename(join(outside, "elsewhere/f"), at("d/f"));
    const seen = await fingerprint("d/f");
    // The very same file, now reached by way of a link.
    await rename(at("d"), join(outside, "d"));
    await symlink(join(outside, "d"), at("d"));
    expect(await folder.look("d/f")).toMatchObject({ type: "blocked" });
    expect(await folder.describe("d/f", seen, false)).toBeUndefined();
    expect(await folder.readPart("d/f", 0, 1)).toBeUndefined();
    expect(await folder.remove("d/f", seen, () => false)).toMatchObject({ type: "refused" });
    expect(await readFile(join(outside, "d/f"), "utf8")).toBe("secret");
  });

  test("removes what was seen, and the directories that this empties, but for those that are wanted", async () => {
    await mkdir(at("a/b/c"), { recursive: true });
    await writeFile(at("a/b/c/f"), "x");
    expect(await folder.remove("a/b/c/f", await fingerprint("a/b/c/f"), (path) => path === "a")).toEqual({
      type: "done",
    });
    expect(await readdir(at("a"))).toEqual([]);
    await writeFile(at("a/g"), "x");
    const seen = await fingerprint("a/g");
    await writeFile(at("a/g"), "longer");
    expect(await folder.remove("a/g", seen, () => false)).toEqual({ type: "changed" });
    expect(existsSync(at("a/g"))).toBe(true);
  });
});
