import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Folder } from "../../../demo/filesync/folder.ts";
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
  test("finds files at any depth, and passes over links, pipes and bad names", async () => {
    await mkdir(at("a/b"), { recursive: true });
    await writeFile(at("a/b/deep"), "1");
    await writeFile(at("top"), "2");
    await writeFile(join(outside, "secret"), "s");
    await symlink(join(outside, "secret"), at("link"));
    await symlink(outside, at("link-to-directory"));
    await writeFile(Buffer.concat([bytes(`${root}/bad-`), Buffer.from([0xff])]), "");
    await writeFile(at("back\\slash"), "");
    execFileSync("mkfifo", [at("pipe")]);
    const { files, skipped } = await folder.scan();
    expect([...files.keys()].sort()).toEqual(["a/b/deep", "top"]);
    expect(skipped.map(({ reason }) => reason).sort()).toEqual([
      "has a backslash",
      "is a special file",
      "is a symbolic link",
      "is a symbolic link",
      "is not valid Unicode",
    ]);
  });
});

describe("write", () => {
  test("makes parents, sets the time, and leaves nothing behind", async () => {
    expect(await folder.write("a/b/c", bytes("new"), undefined, 1_000_000)).toEqual({ type: "done" });
    expect(await readFile(at("a/b/c"), "utf8")).toBe("new");
    expect((await stat(at("a/b/c"))).mtimeMs).toBe(1_000_000);
    expect(await readdir(at(PRIVATE_DIRECTORY))).toEqual([]);
  });

  test("replaces what was seen, in one step: whoever has the old file open keeps it whole", async () => {
    await writeFile(at("f"), "old", { mode: 0o755 });
    const { ino } = await stat(at("f"));
    expect(await folder.write("f", bytes("new"), await fingerprint("f"))).toEqual({ type: "done" });
    expect(await readFile(at("f"), "utf8")).toBe("new");
    expect((await stat(at("f"))).ino).not.toBe(ino);
    expect((await stat(at("f"))).mode & 0o777).toBe(0o755);
  });

  test("leaves a file alone that has changed since it was seen, even to one of the same size", async () => {
    await writeFile(at("f"), "old");
    const seen = await fingerprint("f");
    await writeFile(at("g"), "mod");
    await rename(at("g"), at("f"));
    expect(await folder.write("f", bytes("new"), seen)).toEqual({ type: "changed" });
    expect(await readFile(at("f"), "utf8")).toBe("mod");
    expect(await readdir(at(PRIVATE_DIRECTORY))).toEqual([]);
  });

  test("leaves a file alone that was not there when looked", async () => {
    await writeFile(at("f"), "old");
    expect(await folder.write("f", bytes("new"))).toEqual({ type: "changed" });
    expect(await readFile(at("f"), "utf8")).toBe("old");
  });

  test("does not bring back a file that is gone", async () => {
    await writeFile(at("f"), "old");
    const seen = await fingerprint("f");
    await rm(at("f"));
    expect(await folder.write("f", bytes("new"), seen)).toEqual({ type: "changed" });
    expect(existsSync(at("f"))).toBe(false);
  });

  test("never goes through a link", async () => {
    await symlink(outside, at("way-out"));
    expect(await folder.write("way-out/f", bytes("x"))).toMatchObject({ type: "refused" });
    expect(await folder.write("way-out/new/f", bytes("x"))).toMatchObject({ type: "refused" });
    expect((await readdir(outside)).sort()).toEqual(["folder"]);
    await writeFile(join(outside, "victim"), "v");
    await symlink(join(outside, "victim"), at("link"));
    expect(await folder.write("link", bytes("x"))).toEqual({ type: "changed" });
    expect(await readFile(join(outside, "victim"), "utf8")).toBe("v");
  });

  test("refuses below a file and over a directory", async () => {
    await writeFile(at("f"), "");
    await mkdir(at("d"));
    expect(await folder.write("f/x", bytes("x"))).toMatchObject({ type: "refused" });
    expect(await folder.write("d", bytes("x"))).toMatchObject({ type: "refused" });
  });
});

describe("read and remove", () => {
  test("reads what was seen, and nothing else", async () => {
    await writeFile(at("f"), "one");
    const seen = await fingerprint("f");
    expect(String(await folder.read("f", seen))).toBe("one");
    await writeFile(at("f"), "three");
    expect(await folder.read("f", seen)).toBeUndefined();
    await rm(at("f"));
    expect(await folder.read("f", seen)).toBeUndefined();
  });

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
    expect(await folder.read("d/f", seen)).toBeUndefined();
    expect(await folder.remove("d/f", seen)).toEqual({ type: "changed" });
    expect(await readFile(join(outside, "d/f"), "utf8")).toBe("secret");
  });

  test("removes what was seen, and the directories that this empties", async () => {
    await mkdir(at("a/b"), { recursive: true });
    await writeFile(at("a/b/f"), "x");
    await writeFile(at("a/g"), "x");
    expect(await folder.remove("a/b/f", await fingerprint("a/b/f"))).toEqual({ type: "done" });
    expect(await readdir(at("a"))).toEqual(["g"]);
    const seen = await fingerprint("a/g");
    await writeFile(at("a/g"), "longer");
    expect(await folder.remove("a/g", seen)).toEqual({ type: "changed" });
    expect(existsSync(at("a/g"))).toBe(true);
  });
});
