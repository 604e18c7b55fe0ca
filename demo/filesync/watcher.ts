/**
 * Hints from the operating system. They come late, twice, merged or not at all; the full scan makes up for that, so trouble
 * here only costs time.
 *
 * Linux watches directories one by one, and which there are the scan finds out; elsewhere one watch covers a whole tree.
 */
import { type FSWatcher, lstatSync, watch } from "node:fs";
import { join, sep } from "node:path";
import { codeOf } from "./file-errors.ts";
import { PRIVATE_DIRECTORY, pathProblem } from "./paths.ts";

export interface FolderHints {
  /** A directory that need not be watched. */
  readonly ignores: (path: string) => boolean;
  /** Something happened to a file. */
  readonly onPath: (path: string) => void;
  /** Something happened to a directory: anything below it may have changed. */
  readonly onDirectory: () => void;
  /** Hints will be missing. */
  readonly onTrouble: (reason: string) => void;
}

const WATCHES_TREES = process.platform === "darwin" || process.platform === "win32";

export class FolderWatcher {
  readonly #root: string;
  readonly #hints: FolderHints;
  /** By the path of the directory, "" for the folder. */
  readonly #watchers = new Map<string, FSWatcher>();
  #isTroubled = false;

  constructor(root: string, hints: FolderHints) {
    this.#root = root;
    this.#hints = hints;
    this.#add("");
  }

  /** Watches these directories below the folder, and no others any more: those that a scan has found. */
  follow(directories: ReadonlySet<string>): void {
    if (WATCHES_TREES) return;
    for (const [path, watcher] of this.#watchers) {
      if (path === "" || directories.has(path)) continue;
      watcher.close();
      this.#watchers.delete(path);
    }
    let isNew = false;
    for (const path of directories) if (this.#add(path)) isNew = true;
    // Something may have happened in there after it was looked at.
    if (isNew) this.#hints.onDirectory();
  }

  close(): void {
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  /** @returns whether it is watched from now on */
  #add(directory: string): boolean {
    if (this.#watchers.has(directory)) return false;
    try {
      const watcher = watch(join(this.#root, directory), { recursive: WATCHES_TREES });
      watcher.on("change", (event, name) => this.#noted(directory, event, String(name ?? "")));
      watcher.on("error", (error) => this.#trouble(error));
      this.#watchers.set(directory, watcher);
      return true;
    } catch (error) {
      this.#trouble(error);
      return false;
    }
  }

  #noted(directory: string, event: string, name: string): void {
    const path = (directory === "" ? name : `${directory}/${name}`).split(sep).join("/");
    if (path === PRIVATE_DIRECTORY || path.startsWith(`${PRIVATE_DIRECTORY}/`)) return;
    if (name === "" || pathProblem(path) !== undefined) return this.#hints.onDirectory();
    if (event === "rename" && this.#isDirectory(path)) {
      if (this.#hints.ignores(path)) return;
      if (!WATCHES_TREES) this.#add(path);
      return this.#hints.onDirectory();
    }
    // A directory that is no more.
    if (this.#watchers.has(path)) this.#hints.onDirectory();
    this.#hints.onPath(path);
  }

  #isDirectory(path: string): boolean {
    try {
      return lstatSync(join(this.#root, path)).isDirectory();
    } catch {
      return false;
    }
  }

  /** Told once: there may be one for every directory. */
  #trouble(error: unknown): void {
    // Gone before it could be watched.
    if (this.#isTroubled || codeOf(error) === "ENOENT") return;
    this.#isTroubled = true;
    this.#hints.onTrouble(error instanceof Error ? error.message : String(error));
  }
}
