/** Reads files of the folder once they are at rest, and no file twice. */
import type { Agreement } from "./base.ts";
import type { Content } from "./content.ts";
import { DIRECTORY, FILE_BYTES_MAX, linkTo } from "./content.ts";
import type { Hash } from "./decide.ts";
import type { Fingerprint, Folder, Look } from "./folder.ts";

/** A file is read only after it has looked the same for this long: somebody may still be writing it. */
export const STABLE_MS = 60;
/** What stands for a fingerprint where there is no file. */
const DIRECTORY_FINGERPRINT = "directory";

export interface LocalFile {
  readonly type: "file";
  readonly hash: Hash;
  readonly fingerprint: Fingerprint;
  readonly mtimeMs: number;
  readonly executable: boolean;
  /** Absent when the hash is known without reading. */
  readonly content?: Content;
  /** All of it, of a file of one chunk that was read. */
  readonly bytes?: Uint8Array;
}

export type Local =
  | LocalFile
  | { readonly type: "none" }
  /** Not at rest: look again after so long. */
  | { readonly type: "later"; readonly delayMs: number }
  | { readonly type: "too-large" };

export class LocalFiles {
  readonly #folder: Folder;
  readonly #nowMs: () => number;
  readonly #firstSeen = new Map<string, { fingerprint: Fingerprint; atMs: number }>();

  constructor(folder: Folder, nowMs: () => number) {
    this.#folder = folder;
    this.#nowMs = nowMs;
  }

  /**
   * What is at a path.
   *
   * @param look      what is there
   * @param agreement what was last agreed on: a file with its fingerprint has its hash
   * @param isStored  whether the store has a directory there
   */
  async read(path: string, look: Look, agreement: Agreement | undefined, isStored: boolean): Promise<Local> {
    if (look.type !== "file") this.#firstSeen.delete(path);
    if (look.type === "directory") {
      // One with something in it is told by that; it counts by itself where it has been agreed on, or is empty.
      const counts = isStored || agreement?.hash === DIRECTORY.hash || (await this.#folder.isEmptyDirectory(path));
      if (!counts) return { type: "none" };
      return entity(DIRECTORY, DIRECTORY_FINGERPRINT);
    }
    if (look.type === "link") return entity(linkTo(look.target), look.fingerprint);
    if (look.type !== "file") return { type: "none" };
    const { fingerprint, size, mtimeMs } = look;
    // Where the file system has no such bit, it is what it was.
    const executable = this.#folder.private.holdsModes ? look.executable : (agreement?.hash.endsWith("x") ?? false);
    if (agreement?.fingerprint === fingerprint)
      return { type: "file", hash: agreement.hash, fingerprint, mtimeMs, executable };
    if (size > FILE_BYTES_MAX) return { type: "too-large" };
    const nowMs = this.#nowMs();
    const first = this.#firstSeen.get(path);
    if (first?.fingerprint !== fingerprint) this.#firstSeen.set(path, { fingerprint, atMs: nowMs });
    const restMs = first?.fingerprint === fingerprint ? nowMs - first.atMs : 0;
    if (restMs < STABLE_MS) return { type: "later", delayMs: STABLE_MS - restMs };
    const described = await this.#folder.describe(path, fingerprint, executable);
    if (described === undefined) return { type: "later", delayMs: STABLE_MS };
    this.#firstSeen.delete(path);
    return { type: "file", hash: described.content.hash, fingerprint, mtimeMs, executable, ...described };
  }

  /** The description of a file whose hash is known already; undefined if it has changed. */
  async describe(path: string, file: LocalFile): Promise<Content | undefined> {
    return file.content ?? (await this.#folder.describe(path, file.fingerprint, file.executable))?.content;
  }
}

function entity(content: Content, fingerprint: Fingerprint): LocalFile {
  return { type: "file", hash: content.hash, fingerprint, mtimeMs: 0, executable: false, content };
}
