/** Reads files of the folder once they are at rest, and no file twice. */
import type { Agreement } from "./base.ts";
import type { Hash } from "./decide.ts";
import { FILE_BYTES_MAX, hashOf } from "./file-store.ts";
import type { Fingerprint, Folder, Look } from "./folder.ts";

/** A file is read only after it has looked the same for this long: somebody may still be writing it. */
export const STABLE_MS = 60;

export interface LocalFile {
  readonly type: "file";
  readonly hash: Hash;
  readonly fingerprint: Fingerprint;
  /** Absent when the hash is known without reading. */
  readonly content?: Buffer;
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
   * The file at a path.
   *
   * @param look      what is there
   * @param agreement what was last agreed on: a file with its fingerprint has its hash
   */
  async read(path: string, look: Look, agreement: Agreement | undefined): Promise<Local> {
    if (look.type !== "file") {
      this.#firstSeen.delete(path);
      return { type: "none" };
    }
    const { fingerprint, size } = look;
    if (agreement?.fingerprint === fingerprint) return { type: "file", hash: agreement.hash, fingerprint };
    if (size > FILE_BYTES_MAX) return { type: "too-large" };
    const nowMs = this.#nowMs();
    const first = this.#firstSeen.get(path);
    if (first?.fingerprint !== fingerprint) this.#firstSeen.set(path, { fingerprint, atMs: nowMs });
    const restMs = first?.fingerprint === fingerprint ? nowMs - first.atMs : 0;
    if (restMs < STABLE_MS) return { type: "later", delayMs: STABLE_MS - restMs };
    const content = await this.#folder.read(path, fingerprint);
    if (content === undefined) return { type: "later", delayMs: STABLE_MS };
    this.#firstSeen.delete(path);
    return { type: "file", hash: hashOf(content), fingerprint, content };
  }
}
