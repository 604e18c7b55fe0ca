/**
 * The place, inside the folder and so on its file system, where files are made before they are moved in. Holds three kinds: files in
 * the making, parts of content that is still arriving (kept over restarts, so that a transfer goes on where it was), and removed
 * files, kept for a while because what was removed here may turn up elsewhere under another name.
 */
import { randomUUID } from "node:crypto";
import {
  type BigIntStats,
  closeSync,
  fchmodSync,
  fstatSync,
  fsync,
  futimesSync,
  open as openByNumber,
  writeFileSync,
} from "node:fs";
import { type FileHandle, lstat, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { codeOf } from "./file-errors.ts";

const PART = /^[0-9a-f]{64}\.part$/;
const PART_MS_MAX = 24 * 3600 * 1000;
const sync = promisify(fsync);
const openFile = promisify(openByNumber);

export class PrivateDirectory {
  readonly #path: string;
  /** Whether files here keep the bit that says that they can be run. */
  readonly holdsModes: boolean;
  /** Whether `a` and `A` are two files here. */
  readonly isCaseSensitive: boolean;

  private constructor(path: string, holdsModes: boolean, isCaseSensitive: boolean) {
    this.#path = path;
    this.holdsModes = holdsModes;
    this.isCaseSensitive = isCaseSensitive;
  }

  /** Makes it if needed and removes what is of no use any more. @returns `known` is whether it was there */
  static async open(path: string): Promise<{ directory: PrivateDirectory; known: boolean }> {
    const known = !(await make(path));
    for (const name of await readdir(path))
      if (!(await isUsable(path, name))) await rm(join(path, name), { force: true });
    const probe = join(path, `Probe-${randomUUID()}`);
    try {
      await using file = await open(probe, "wx", 0o600);
      await file.chmod(0o700);
      const holdsModes = ((await file.stat()).mode & 0o100) !== 0 && process.platform !== "win32";
      const isCaseSensitive = !(await exists(join(path, probe.slice(path.length + 1).toLowerCase())));
      return { directory: new PrivateDirectory(path, holdsModes, isCaseSensitive), known };
    } finally {
      await rm(probe, { force: true });
    }
  }

  async isPresent(): Promise<boolean> {
    return await lstat(this.#path).then(
      (stats) => stats.isDirectory(),
      () => false,
    );
  }

  /** The absolute path of something in it. */
  at(name: string): string {
    return join(this.#path, name);
  }

  /** The part file of some content: what has arrived of it, each chunk at its place. Made if absent. */
  async openPart(hash: string): Promise<FileHandle> {
    const path = this.at(`${hash}.part`);
    try {
      return await open(path, "wx+", 0o600);
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
      return await open(path, "r+");
    }
  }

  /** The part is whole: it gets a name of its own. @returns its absolute path */
  async takePart(hash: string): Promise<string> {
    const path = this.at(randomUUID());
    await rename(this.at(`${hash}.part`), path);
    return path;
  }

  /**
   * Makes a file durable, with its mode and time of change. What waits for the disk is left to the thread pool, a new name in a directory
   * too; the rest changes the memory of the system only, and a trip for each of it costs more.
   *
   * @param source  its absolute path, or what it shall hold; then it is made
   * @returns its absolute path, and what it is now
   */
  async finish(
    source: string | Uint8Array,
    mode: number,
    mtimeMs: number,
  ): Promise<{ readonly path: string; readonly stats: BigIntStats }> {
    const path = typeof source === "string" ? source : this.at(randomUUID());
    const file = await openFile(path, typeof source === "string" ? "r+" : "wx", 0o600);
    try {
      if (typeof source !== "string") writeFileSync(file, source);
      fchmodSync(file, mode);
      futimesSync(file, mtimeMs / 1000, mtimeMs / 1000);
      await sync(file);
      return { path, stats: fstatSync(file, { bigint: true }) };
    } catch (error) {
      await this.drop(path);
      throw error;
    } finally {
      closeSync(file);
    }
  }

  /** Removes a file of it, by name or absolute path. */
  async drop(name: string): Promise<void> {
    await rm(name.startsWith(this.#path) ? name : this.at(name), { force: true });
  }
}

async function isUsable(path: string, name: string): Promise<boolean> {
  if (!PART.test(name)) return false;
  const stats = await lstat(join(path, name));
  return stats.isFile() && Date.now() - stats.mtimeMs < PART_MS_MAX;
}

/** @returns whether it was not there before */
async function make(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 });
    return true;
  } catch (error) {
    // lstat: a link to a directory is not one.
    if (codeOf(error) === "EEXIST" && (await lstat(path)).isDirectory()) return false;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}
