/**
 * The watched folder: looking, reading, writing and removing, without ever leaving it.
 *
 * Paths are relative, with `/` between segments, and have passed `pathProblem`. A symbolic link on the way is refused, so that a
 * link in the folder cannot lead a peer's file out of it, nor one of ours into the cluster: directory-walk.ts.
 *
 * Nothing is written in place: a file is made in a private directory of the same file system, made durable, checked and moved in.
 * What is replaced or removed must still be what the caller has seen; what changed meanwhile is left alone.
 */
import type { BigIntStats } from "node:fs";
import { constants, fstatSync, linkSync, lstatSync, renameSync, unlinkSync } from "node:fs";
import { open, readdir, readlink, rename, rmdir, symlink, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CHUNK_BYTES, type FileContent, fileOf, hashOf, INLINE_BYTES_MAX } from "./content.ts";
import { inDirectory, isObstacle } from "./directory-walk.ts";
import { codeOf, reasonOf } from "./file-errors.ts";
import { linkProblem, PRIVATE_DIRECTORY, parentsOf, pathProblem } from "./paths.ts";
import { PrivateDirectory } from "./private-directory.ts";

/** Differs whenever a file may have been changed: size, times of change, inode and mode. */
export type Fingerprint = string;

export type Look =
  | { readonly type: "absent" }
  | {
      readonly type: "file";
      readonly fingerprint: Fingerprint;
      readonly size: number;
      readonly mtimeMs: number;
      readonly executable: boolean;
    }
  /** A symbolic link that stays inside. Never followed. */
  | { readonly type: "link"; readonly fingerprint: Fingerprint; readonly target: string }
  | { readonly type: "directory" }
  /** Another link, a device, or something that may not be looked at. Neither read nor replaced, and not a deletion either. */
  | { readonly type: "blocked"; readonly reason: string };

/** What came of a change to the folder. `changed`: the file was not what the caller had seen, nothing was done. */
export type Outcome =
  /** `fingerprint`: of a file that was placed, if it cannot have been changed since. */
  | { readonly type: "done"; readonly fingerprint?: Fingerprint }
  | { readonly type: "changed" }
  | { readonly type: "refused"; readonly reason: string };

export interface Scan {
  /** Files and links. */
  readonly files: ReadonlyMap<string, Fingerprint>;
  /** All that were looked into, without the folder itself. */
  readonly directories: ReadonlySet<string>;
  readonly emptyDirectories: ReadonlySet<string>;
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

/** A file that was read. */
export interface Described {
  readonly content: FileContent;
  readonly bytes?: Uint8Array;
}

/** What a file that is moved in shall be. */
export interface Placement {
  /** A file in the private directory, which is moved if all goes well; or what the file shall hold. */
  readonly from: string | Uint8Array;
  readonly mtimeMs: number;
  readonly executable: boolean;
}

const SYNCS_MAX = 16;
const DONE: Outcome = { type: "done" };
const CHANGED: Outcome = { type: "changed" };
/** Neither follow a link nor wait for the other end of a pipe that took the file's place. */
const READ_FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

export class Folder {
  /** Where files are made. */
  readonly private: PrivateDirectory;
  readonly #root: string;
  /** Directories in which something was moved or removed since `syncDirectories`. */
  readonly #changed = new Set<string>();

  private constructor(root: string, privateDirectory: PrivateDirectory) {
    this.#root = root;
    this.private = privateDirectory;
  }

  /**
   * Takes a folder into use and removes what an earlier process left half made.
   *
   * @returns `known` is whether the folder had been in use before: false for one that was replaced, or not mounted
   */
  static async open(root: string): Promise<{ folder: Folder; known: boolean }> {
    const { directory, known } = await PrivateDirectory.open(join(root, PRIVATE_DIRECTORY));
    return { folder: new Folder(root, directory), known };
  }

  /** Whether the folder is still the one that was opened: an unmounted one looks empty, which must not read as deletions. */
  async isPresent(): Promise<boolean> {
    return await this.private.isPresent();
  }

  /**
   * Everything, at any depth, and what was passed over. A directory that cannot be read is passed over.
   * @param ignores what to leave out without a word
   */
  async scan(ignores: (path: string, isDirectory: boolean) => boolean = () => false): Promise<Scan> {
    const files = new Map<string, Fingerprint>();
    const found = new Set<string>();
    const emptyDirectories = new Set<string>();
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
      if (directory !== "") found.add(directory);
      if (names.length === 0 && directory !== "") emptyDirectories.add(directory);
      for (const bytes of names) {
        const name = bytes.toString();
        const path = directory === "" ? name : `${directory}/${name}`;
        if (path === PRIVATE_DIRECTORY) continue;
        // Replacement characters: the name as text would be another file's.
        const problem = Buffer.from(name).equals(bytes) ? pathProblem(path) : "is not valid Unicode";
        if (problem === undefined && ignores(path, false)) continue;
        const look = problem === undefined ? await this.#lookAt(path) : { type: "blocked" as const, reason: problem };
        if (look.type === "file" || look.type === "link") files.set(path, look.fingerprint);
        else if (look.type === "directory" && !ignores(path, true)) directories.push(path);
        else if (look.type === "blocked") skipped.push({ path, reason: look.reason });
      }
    }
    return { files, directories: found, emptyDirectories, skipped };
  }

  /** What is at a path now. */
  async look(path: string): Promise<Look> {
    for (const parent of parentsOf(path)) {
      const look = await this.#lookAt(parent);
      if (look.type === "blocked") return { type: "blocked", reason: `${parent} ${look.reason}` };
      if (look.type === "link") return { type: "blocked", reason: `${parent} is a symbolic link` };
      if (look.type !== "directory") return { type: "absent" };
    }
    return await this.#lookAt(path);
  }

  /** Whether a path is a directory with nothing in it. */
  async isEmptyDirectory(path: string): Promise<boolean> {
    try {
      return (await readdir(join(this.#root, path))).length === 0;
    } catch {
      return false;
    }
  }

  /**
   * Reads the file that `look` has seen, and describes it; undefined if it is no longer that.
   * @returns `bytes`: all of it, if it is one chunk
   */
  async describe(path: string, seen: Fingerprint, executable: boolean): Promise<Described | undefined> {
    return await this.#reading(path, async (file) => {
      const stats = fstatSync(file.fd, { bigint: true });
      if (fingerprintOf(stats) !== seen) return undefined;
      const chunks: string[] = [];
      // One byte more than a small file has shows that it has no more.
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Number(stats.size) + 1));
      let size = 0;
      for (let bytes = 1; bytes > 0 && size < stats.size; ) {
        bytes = await readFully(file, buffer, size);
        if (bytes === 0) break;
        const part = buffer.subarray(0, bytes);
        chunks.push(hashOf(part));
        size += bytes;
      }
      if (fingerprintOf(fstatSync(file.fd, { bigint: true })) !== seen) return undefined;
      const whole = chunks.length <= 1 ? buffer.subarray(0, size) : undefined;
      const content = fileOf(size, executable, chunks, size <= INLINE_BYTES_MAX ? whole : undefined);
      return { content, ...(whole !== undefined && { bytes: whole }) };
    });
  }

  /** A part of a file, or undefined if it has no such part. */
  async readPart(path: string, offset: number, bytes: number): Promise<Buffer | undefined> {
    return await this.#reading(path, async (file) => {
      const buffer = Buffer.allocUnsafe(bytes);
      return (await readFully(file, buffer, offset)) === bytes ? buffer : undefined;
    });
  }

  /**
   * Moves a finished file in, and makes its parents as needed.
   * @param replaces what `look` has seen at the path, undefined for nothing
   */
  async placeFile(path: string, { from, mtimeMs, executable }: Placement, replaces?: Fingerprint): Promise<Outcome> {
    return await this.#change(path, true, async (target) => {
      const present = lstatOrUndefined(target);
      if (present?.isDirectory() === true) return { type: "refused", reason: "a directory has that name" };
      if (!isStill(present, replaces)) return CHANGED;
      const mode = present?.isFile() === true ? Number(present.mode) & 0o666 : 0o644;
      const made = await this.private.finish(from, executable ? mode | ((mode & 0o444) >> 2) : mode, mtimeMs);
      try {
        if (replaces === undefined) moveToNew(made.path, target);
        else renameSync(made.path, target);
      } catch (error) {
        await this.private.drop(made.path);
        throw error;
      }
      const placed = lstatOrUndefined(target);
      return { type: "done", ...(isUntouched(placed, made.stats) && { fingerprint: fingerprintOf(placed) }) };
    });
  }

  /** Makes a symbolic link. @param replaces as for `placeFile` */
  async placeLink(path: string, to: string, replaces?: Fingerprint): Promise<Outcome> {
    return await this.#change(path, true, async (target) => {
      const present = lstatOrUndefined(target);
      if (present?.isDirectory() === true) return { type: "refused", reason: "a directory has that name" };
      if (!isStill(present, replaces)) return CHANGED;
      if (replaces !== undefined) await unlink(target);
      await symlink(to, target);
      return DONE;
    });
  }

  /** Makes a directory. @param replaces as for `placeFile` */
  async placeDirectory(path: string, replaces?: Fingerprint): Promise<Outcome> {
    if (replaces !== undefined) {
      const removed = await this.remove(path, replaces, () => true);
      if (removed.type !== "done") return removed;
    }
    return await this.#change(`${path}/.`, true, async () => DONE);
  }

  /** Gives a file another name in the same directory, which must be free. */
  async move(path: string, seen: Fingerprint, to: string): Promise<Outcome> {
    return await this.#change(path, false, async (target) => {
      if (!isStill(lstatOrUndefined(target), seen)) return CHANGED;
      moveToNew(target, join(dirname(target), basename(to)));
      return DONE;
    });
  }

  /**
   * Removes the file or link that `look` has seen, and the directories that this leaves empty.
   *
   * @param isKept whether a directory stays although it is empty
   * @param keepAs a name in the private directory under which the file is kept, to be reused
   */
  async remove(path: string, seen: Fingerprint, isKept: (path: string) => boolean, keepAs?: string): Promise<Outcome> {
    const outcome = await this.#change(path, false, async (target) => {
      if (!isStill(lstatOrUndefined(target), seen)) return CHANGED;
      await (keepAs === undefined ? unlink(target) : rename(target, this.private.at(keepAs)));
      return DONE;
    });
    if (outcome.type !== "done") return outcome;
    for (const parent of parentsOf(path).reverse()) {
      if (isKept(parent) || !(await this.removeEmptyDirectory(parent))) break;
    }
    return outcome;
  }

  /** @returns whether the directory is gone: not when it holds something */
  async removeEmptyDirectory(path: string): Promise<boolean> {
    const outcome = await this.#change(path, false, async (target) => {
      await rmdir(target);
      return DONE;
    });
    return outcome.type === "done";
  }

  /** The names in the directory of a path. */
  async siblings(path: string): Promise<string[]> {
    const directory = dirname(path);
    try {
      const names = await readdir(join(this.#root, directory));
      return directory === "." ? names : names.map((name) => `${directory}/${name}`);
    } catch (error) {
      if (codeOf(error) === "ENOENT") return [];
      throw error;
    }
  }

  /** Makes durable what was moved and removed since the last call. */
  async syncDirectories(): Promise<void> {
    if (process.platform === "win32") return this.#changed.clear(); // Directories cannot be opened there.
    const paths = [...this.#changed];
    this.#changed.clear();
    // Several at a time: the disk takes them as one.
    const work = async (): Promise<void> => {
      for (let path = paths.pop(); path !== undefined; path = paths.pop()) await this.#syncDirectory(path);
    };
    await Promise.all(Array.from({ length: SYNCS_MAX }, work));
  }

  async #syncDirectory(path: string): Promise<void> {
    try {
      await using directory = await open(join(this.#root, path), "r");
      await directory.sync();
    } catch (error) {
      if (codeOf(error) !== "ENOENT" && codeOf(error) !== "ENOTDIR") throw error;
    }
  }

  /** Does something to a path by way of its directory. Whatever turns out to be gone meanwhile means `changed`. */
  async #change(path: string, create: boolean, change: (target: string) => Promise<Outcome>): Promise<Outcome> {
    const segments = path.split("/");
    const name = segments.pop() ?? "";
    try {
      const result = await inDirectory(this.#root, segments, create, (directory) => change(join(directory, name)));
      if (!isObstacle(result)) {
        if (result.type === "done") this.#changed.add(segments.join("/"));
        return result;
      }
      if (result.code === "ENOENT") return CHANGED;
      const look = await this.#lookAt(result.at);
      const what =
        look.type === "blocked" ? look.reason : look.type === "link" ? "is a symbolic link" : "is a file here";
      return { type: "refused", reason: `${result.at} ${what}` };
    } catch (error) {
      // EEXIST: somebody has created the target since we looked. ENOENT: somebody has removed it.
      if (["EEXIST", "ENOENT", "ENOTEMPTY", "ENOTDIR"].includes(codeOf(error))) return CHANGED;
      throw error;
    }
  }

  async #reading<T>(path: string, use: (file: Awaited<ReturnType<typeof open>>) => Promise<T>): Promise<T | undefined> {
    if (!path.startsWith(`${PRIVATE_DIRECTORY}/`) && (await this.look(path)).type !== "file") return undefined;
    try {
      await using file = await open(join(this.#root, path), READ_FLAGS);
      return await use(file);
    } catch (error) {
      if (["ENOENT", "ELOOP", "ENOTDIR"].includes(codeOf(error))) return undefined;
      throw error;
    }
  }

  /** As `look`, for a path whose parents are known to be directories. */
  async #lookAt(path: string): Promise<Look> {
    try {
      const full = join(this.#root, path);
      const stats = lstatOrUndefined(full);
      if (stats === undefined) return { type: "absent" };
      const fingerprint = fingerprintOf(stats);
      if (stats.isDirectory()) return { type: "directory" };
      if (stats.isFile()) {
        const mtimeMs = Math.max(0, Number(stats.mtimeNs / 1_000_000n));
        const executable = (Number(stats.mode) & 0o100) !== 0;
        return { type: "file", fingerprint, size: Number(stats.size), mtimeMs, executable };
      }
      if (!stats.isSymbolicLink()) return { type: "blocked", reason: "is a special file" };
      const target = await readlink(full);
      const problem = linkProblem(path, target);
      return problem === undefined ? { type: "link", fingerprint, target } : { type: "blocked", reason: problem };
    } catch (error) {
      return { type: "blocked", reason: reasonOf(error) };
    }
  }
}

function isStill(stats: BigIntStats | undefined, seen: Fingerprint | undefined): boolean {
  return stats === undefined ? seen === undefined : fingerprintOf(stats) === seen;
}

function fingerprintOf(stats: BigIntStats): Fingerprint {
  return `${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}:${stats.ino}:${stats.mode}`;
}

/** Synchronous: the answer is in the memory of the system as a rule, and a trip to the thread pool costs twenty times as much. */
function lstatOrUndefined(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true });
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

/** @returns how many bytes were there, less than the buffer takes at the end of the file only */
async function readFully(file: Awaited<ReturnType<typeof open>>, buffer: Buffer, position: number): Promise<number> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

/**
 * Whether a file that was moved is still the one that was made. An edit in the same tick of the clock could leave the time of the move
 * as it is, but not the file's own time, which is that of its content, set by us.
 */
function isUntouched(stats: BigIntStats | undefined, made: BigIntStats): stats is BigIntStats {
  return stats?.ino === made.ino && stats.size === made.size && stats.mtimeNs === made.mtimeNs;
}

/** Moves a file to a name that must be free; a hard link fails on a taken one where a rename would replace it. */
function moveToNew(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    // A file system without hard links: the look just before has to do.
    if (!["EPERM", "ENOTSUP", "ENOSYS", "EMLINK"].includes(codeOf(error))) throw error;
    return renameSync(from, to);
  }
  unlinkSync(from);
}
