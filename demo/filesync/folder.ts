/**
 * The watched folder: looking, reading, writing and removing, without ever leaving it.
 *
 * Paths are relative, with `/` between segments, and have passed `pathProblem`. Every parent is looked at with lstat before use
 * and a symbolic link on the way is refused, so that a link in the folder cannot lead a peer's file out of it. (Somebody who
 * can swap a directory for a link at the very moment can write there anyway: the folder is theirs.)
 *
 * Nothing is written in place: a file is made in a private directory of the same file system, made durable and moved in.
 * What is replaced or removed must still be what the caller has seen; what changed meanwhile is left alone.
 */
import { randomUUID } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { constants } from "node:fs";
import { link, lstat, mkdir, open, readdir, rename, rm, rmdir, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { PRIVATE_DIRECTORY, pathProblem } from "./paths.ts";

/** Differs whenever a file may have been changed: size, times of change and inode. */
export type Fingerprint = string;

export type Look =
  | { readonly type: "absent" }
  | { readonly type: "file"; readonly fingerprint: Fingerprint; readonly size: number }
  | { readonly type: "directory" }
  /** A link, a device, or something that may not be looked at. Neither read nor replaced, and not a deletion either. */
  | { readonly type: "blocked"; readonly reason: string };

/** What came of a change to the folder. `changed`: the file was not what the caller had seen, nothing was done. */
export type Outcome = { readonly type: "done" | "changed" } | { readonly type: "refused"; readonly reason: string };

export interface Scan {
  readonly files: ReadonlyMap<string, Fingerprint>;
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

const DONE: Outcome = { type: "done" };
const CHANGED: Outcome = { type: "changed" };

export class Folder {
  readonly #root: string;
  readonly #private: string;

  private constructor(root: string) {
    this.#root = root;
    this.#private = join(root, PRIVATE_DIRECTORY);
  }

  /**
   * Takes a folder into use and removes what an earlier process left half made.
   *
   * @returns `known` is whether the folder had been in use before: false for one that was replaced, or not mounted
   */
  static async open(root: string): Promise<{ folder: Folder; known: boolean }> {
    const folder = new Folder(root);
    const isNew = await makeDirectory(folder.#private, 0o700);
    for (const name of await readdir(folder.#private)) await rm(join(folder.#private, name), { force: true });
    return { folder, known: !isNew };
  }

  /** Whether the folder is still the one that was opened: an unmounted one looks empty, which must not read as deletions. */
  async isPresent(): Promise<boolean> {
    return (await lstatOrUndefined(this.#private))?.isDirectory() ?? false;
  }

  /** Every regular file, at any depth, and what was passed over. A directory that cannot be read is passed over. */
  async scan(): Promise<Scan> {
    const files = new Map<string, Fingerprint>();
    const skipped: { path: string; reason: string }[] = [];
    const directories = [""];
    for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
      let names: Buffer[];
      try {
        names = await readdir(join(this.#root, directory), { encoding: "buffer" });
      } catch (error) {
        if (codeOf(error) !== "ENOENT") skipped.push({ path: directory, reason: reasonOf(error) });
        continue;
      }
      for (const bytes of names) {
        const name = bytes.toString();
        const path = directory === "" ? name : `${directory}/${name}`;
        if (path === PRIVATE_DIRECTORY) continue;
        // Replacement characters: the name as text would be another file's.
        const problem = Buffer.from(name).equals(bytes) ? pathProblem(path) : "is not valid Unicode";
        const look = problem === undefined ? await this.#lookAt(path) : { type: "blocked" as const, reason: problem };
        if (look.type === "file") files.set(path, look.fingerprint);
        else if (look.type === "directory") directories.push(path);
        else if (look.type === "blocked") skipped.push({ path, reason: look.reason });
      }
    }
    return { files, skipped };
  }

  /** What is at a path now. */
  async look(path: string): Promise<Look> {
    const parents = parentsOf(path);
    for (const parent of parents) {
      const look = await this.#lookAt(parent);
      if (look.type === "blocked") return { type: "blocked", reason: `${parent} ${look.reason}` };
      if (look.type !== "directory") return { type: "absent" };
    }
    return await this.#lookAt(path);
  }

  /** The content of the file that `look` has seen, or undefined if it is no longer that. */
  async read(path: string, seen: Fingerprint): Promise<Buffer | undefined> {
    if (!(await this.#isStill(path, seen))) return undefined;
    // Neither follow a link nor wait for the other end of a pipe that took the file's place.
    const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
    try {
      await using file = await open(join(this.#root, path), flags);
      if (fingerprintOf(await file.stat({ bigint: true })) !== seen) return undefined;
      const content = await file.readFile();
      return fingerprintOf(await file.stat({ bigint: true })) === seen ? content : undefined;
    } catch (error) {
      if (codeOf(error) === "ENOENT" || codeOf(error) === "ELOOP") return undefined;
      throw error;
    }
  }

  /**
   * Writes a file, whole or not at all, and its parents as needed.
   *
   * @param replaces what `look` has seen at the path, undefined for nothing
   * @param mtimeMs  the time of change that the file shall have; now by default
   */
  async write(path: string, content: Uint8Array, replaces?: Fingerprint, mtimeMs?: number): Promise<Outcome> {
    const refusal = await this.#makeParents(path);
    if (refusal !== undefined) return { type: "refused", reason: refusal };
    if ((await this.#lookAt(path)).type === "directory")
      return { type: "refused", reason: "a directory has that name" };
    const target = join(this.#root, path);
    const temporary = join(this.#private, randomUUID());
    try {
      const mode = replaces === undefined ? 0o644 : ((await lstatOrUndefined(target))?.mode ?? 0o644n);
      await makeFile(temporary, content, Number(mode) & 0o777, mtimeMs);
      if (!(await this.#isStill(path, replaces))) return CHANGED;
      await (replaces === undefined ? moveToNew(temporary, target) : rename(temporary, target));
      await syncDirectory(dirname(target));
      return DONE;
    } catch (error) {
      // EEXIST: somebody has created the target since we looked. ENOENT: somebody has removed its directory.
      if (codeOf(error) === "EEXIST" || codeOf(error) === "ENOENT") return CHANGED;
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
  }

  /** Removes the file that `look` has seen, and the directories that this leaves empty. */
  async remove(path: string, seen: Fingerprint): Promise<Outcome> {
    if (!(await this.#isStill(path, seen))) return CHANGED;
    await unlink(join(this.#root, path));
    for (const parent of parentsOf(path).reverse()) {
      try {
        await rmdir(join(this.#root, parent));
      } catch {
        break; // Not empty, or gone already.
      }
    }
    return DONE;
  }

  /** Makes room for a file of the same name; does nothing when the directory holds something. */
  async removeEmptyDirectory(path: string): Promise<void> {
    try {
      await rmdir(join(this.#root, path));
    } catch (error) {
      if (!["ENOTEMPTY", "EEXIST", "ENOENT"].includes(codeOf(error))) throw error;
    }
  }

  async #isStill(path: string, seen: Fingerprint | undefined): Promise<boolean> {
    const look = await this.look(path);
    return look.type === "file" ? look.fingerprint === seen : look.type === "absent" && seen === undefined;
  }

  /** @returns why it cannot be done, undefined when it was */
  async #makeParents(path: string): Promise<string | undefined> {
    for (const parent of parentsOf(path)) {
      const look = await this.#lookAt(parent);
      if (look.type === "blocked") return `${parent} ${look.reason}`;
      if (look.type === "file") return `${parent} is a file here`;
      if (look.type === "absent") await makeDirectory(join(this.#root, parent), 0o755);
    }
    return undefined;
  }

  /** As `look`, for a path whose parents are known to be directories. */
  async #lookAt(path: string): Promise<Look> {
    let stats: BigIntStats | undefined;
    try {
      stats = await lstatOrUndefined(join(this.#root, path));
    } catch (error) {
      return { type: "blocked", reason: reasonOf(error) };
    }
    if (stats === undefined) return { type: "absent" };
    if (stats.isFile()) return { type: "file", fingerprint: fingerprintOf(stats), size: Number(stats.size) };
    if (stats.isDirectory()) return { type: "directory" };
    return { type: "blocked", reason: stats.isSymbolicLink() ? "is a symbolic link" : "is a special file" };
  }
}

/** `a/b/c` -> `a`, `a/b`. */
function parentsOf(path: string): string[] {
  const segments = path.split("/").slice(0, -1);
  return segments.map((_, index) => segments.slice(0, index + 1).join("/"));
}

function fingerprintOf(stats: BigIntStats): Fingerprint {
  return `${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}:${stats.ino}`;
}

/** The time of change that a fingerprint holds. */
export function mtimeMsOf(fingerprint: Fingerprint): number {
  return Math.max(0, Number(BigInt(fingerprint.split(":")[1] ?? "0") / 1_000_000n));
}

async function lstatOrUndefined(path: string): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

/** @returns whether it was not there before */
async function makeDirectory(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    // lstat: a link to a directory is not one.
    if (codeOf(error) === "EEXIST" && (await lstatOrUndefined(path))?.isDirectory() === true) return false;
    throw error;
  }
}

async function makeFile(path: string, content: Uint8Array, mode: number, mtimeMs?: number): Promise<void> {
  await using file = await open(path, "wx", mode);
  await file.writeFile(content);
  if (mtimeMs !== undefined) await file.utimes(mtimeMs / 1000, mtimeMs / 1000);
  await file.sync();
}

/** Moves a file to a name that must be free; a hard link fails on a taken one where a rename would replace it. */
async function moveToNew(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    // A file system without hard links: the look just before has to do.
    if (!["EPERM", "ENOTSUP", "ENOSYS", "EMLINK"].includes(codeOf(error))) throw error;
    await rename(from, to);
  }
}

async function syncDirectory(path: string): Promise<void> {
  if (process.platform === "win32") return; // Directories cannot be opened there.
  await using directory = await open(path, "r");
  await directory.sync();
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

function reasonOf(error: unknown): string {
  return `cannot be read (${codeOf(error) || String(error)})`;
}
