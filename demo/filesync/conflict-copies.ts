/**
 * Keeps what lost: the folder's file moves to a name that follows from its content, so that every replica that keeps the same loser
 * keeps it once, and a copy of a copy is named after the original. The newest few per file stay.
 */
import type { BaseFile } from "./base.ts";
import { isSameContent } from "./content.ts";
import type { Hash } from "./decide.ts";
import type { Folder, Outcome } from "./folder.ts";
import type { LocalFile } from "./local-files.ts";
import { conflictPath, isConflictCopy, originalOf, pathProblem } from "./paths.ts";

/** Copies of one file. With one more, the oldest goes. */
export const COPIES_MAX = 10;
const HASH_DIGITS = [8, 16, 64];

/** `free`: the path is free now; otherwise the file is still there, and its content elsewhere too. */
export type Kept =
  | { readonly type: "kept"; readonly keptAs: string; readonly free: boolean; readonly dropped: readonly string[] }
  | { readonly type: "no-name" }
  | { readonly type: "not-now"; readonly outcome: Outcome };

export class ConflictCopies {
  readonly #folder: Folder;
  readonly #base: BaseFile;

  constructor(folder: Folder, base: BaseFile) {
    this.#folder = folder;
    this.#base = base;
  }

  /** Moves a file aside, unless its content is kept already. */
  async keep(path: string, file: LocalFile): Promise<Kept> {
    for (const digits of HASH_DIGITS) {
      const keptAs = conflictPath(path, file.hash, digits);
      if (keptAs === path || pathProblem(keptAs) !== undefined) continue;
      const look = await this.#folder.look(keptAs);
      if (look.type === "absent") {
        const outcome = await this.#folder.move(path, file.fingerprint, keptAs);
        if (outcome.type !== "done") return { type: "not-now", outcome };
        return { type: "kept", keptAs, free: true, dropped: await this.#dropOldest(keptAs) };
      }
      if (look.type !== "file") continue;
      const present = await this.#hashOf(keptAs, look.fingerprint, look.executable);
      if (present !== undefined && isSameContent(present, file.hash))
        return { type: "kept", keptAs, free: false, dropped: [] };
    }
    return { type: "no-name" };
  }

  async #hashOf(path: string, fingerprint: string, executable: boolean): Promise<Hash | undefined> {
    const known = this.#base.get(path);
    if (known?.fingerprint === fingerprint) return known.hash;
    return (await this.#folder.describe(path, fingerprint, executable))?.content.hash;
  }

  /** @returns what was removed */
  async #dropOldest(newest: string): Promise<string[]> {
    const original = originalOf(newest);
    const copies: { path: string; fingerprint: string; mtimeMs: number }[] = [];
    for (const path of await this.#folder.siblings(newest)) {
      if (path === newest || !isConflictCopy(path) || originalOf(path) !== original) continue;
      const look = await this.#folder.look(path);
      if (look.type === "file") copies.push({ path, fingerprint: look.fingerprint, mtimeMs: look.mtimeMs });
    }
    copies.sort((a, b) => b.mtimeMs - a.mtimeMs || (a.path < b.path ? -1 : 1));
    const dropped: string[] = [];
    for (const { path, fingerprint } of copies.slice(COPIES_MAX - 1))
      if ((await this.#folder.remove(path, fingerprint, () => true)).type === "done") dropped.push(path);
    return dropped;
  }
}
