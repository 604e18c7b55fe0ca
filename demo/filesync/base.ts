/**
 * What folder and store last agreed on, path by path, kept in one file: with it a start after any downtime tells an edit made
 * here from one made elsewhere. It speaks of one store: it is bound to the epoch of the replica's data, so that a wiped or
 * restored store makes it void instead of making every file look deleted.
 */
import { open, readFile, rename } from "node:fs/promises";
import type { Base, Hash } from "./decide.ts";
import type { Fingerprint } from "./folder.ts";

export interface Agreement {
  readonly hash: Hash;
  /** Whether this replica had put the content into the store. */
  readonly own: boolean;
  /** Of the file that had the content: while it stays the same the file need not be read again. */
  readonly fingerprint?: Fingerprint;
}

const FORMAT_VERSION = 1;

export class BaseFile {
  readonly #path: string;
  readonly #epoch: () => string;
  readonly #agreements: Map<string, Agreement>;
  /** Files of which nobody remembers whether they were there before, until each is settled. */
  readonly #unknown = new Set<string>();
  #complete: boolean;
  #dirty = false;

  private constructor(path: string, epoch: () => string, agreements: Map<string, Agreement>, complete: boolean) {
    this.#path = path;
    this.#epoch = epoch;
    this.#agreements = agreements;
    this.#complete = complete;
  }

  /**
   * Reads the file. One that is absent, damaged or of another epoch counts as lost.
   *
   * @param epoch  the present one of the replica
   * @param usable false starts anew whatever the file says
   */
  static async open(path: string, epoch: () => string, usable = true): Promise<BaseFile> {
    const loaded = usable ? parse(await readOrEmpty(path), epoch()) : undefined;
    return new BaseFile(path, epoch, loaded?.agreements ?? new Map<string, Agreement>(), loaded?.complete ?? false);
  }

  /** Whether every path without an agreement is known to have had no file. */
  get isComplete(): boolean {
    return this.#complete;
  }

  /**
   * Told what is in the folder at the start, once. If the base was lost, these files may be old or new; whatever appears
   * later is new.
   */
  begin(paths: Iterable<string>): void {
    if (this.#complete) return;
    for (const path of paths) if (!this.#agreements.has(path)) this.#unknown.add(path);
    this.#completeIfSettled();
  }

  get paths(): Iterable<string> {
    return this.#agreements.keys();
  }

  /** How many files of the start are still to be settled. */
  get unknownCount(): number {
    return this.#unknown.size;
  }

  get(path: string): Agreement | undefined {
    return this.#agreements.get(path);
  }

  /** In the words of the decision. */
  baseOf(path: string): Base {
    const agreement = this.#agreements.get(path);
    if (agreement !== undefined) return { type: "agreed", hash: agreement.hash, own: agreement.own };
    return this.#unknown.has(path) ? { type: "lost" } : { type: "none" };
  }

  /** Remembers an agreement; undefined: on there being no file. In memory until `save`. */
  set(path: string, agreement: Agreement | undefined): void {
    if (agreement === undefined) this.#dirty = this.#agreements.delete(path) || this.#dirty;
    else {
      this.#agreements.set(path, agreement);
      this.#dirty = true;
    }
    if (this.#unknown.delete(path)) this.#completeIfSettled();
  }

  #completeIfSettled(): void {
    if (this.#unknown.size > 0) return;
    this.#complete = true;
    this.#dirty = true;
  }

  /** Writes the file if anything has changed, whole or not at all. */
  async save(): Promise<void> {
    if (!this.#dirty) return;
    this.#dirty = false;
    const files = Array.from(this.#agreements, ([path, { hash, own, fingerprint }]) => [path, hash, own, fingerprint]);
    const text = JSON.stringify({ version: FORMAT_VERSION, epoch: this.#epoch(), complete: this.#complete, files });
    const temporary = `${this.#path}.new`;
    {
      await using file = await open(temporary, "w", 0o600);
      await file.writeFile(text);
      await file.sync();
    }
    await rename(temporary, this.#path);
  }
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  }
}

function parse(text: string, epoch: string): { agreements: Map<string, Agreement>; complete: boolean } | undefined {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof document !== "object" || document === null) return undefined;
  if (!("version" in document) || document.version !== FORMAT_VERSION) return undefined;
  if (!("epoch" in document) || document.epoch !== epoch) return undefined;
  if (!("complete" in document) || !("files" in document) || !Array.isArray(document.files)) return undefined;
  const agreements = new Map<string, Agreement>();
  for (const row of document.files as readonly unknown[]) {
    if (!Array.isArray(row)) return undefined;
    const [path, hash, own, fingerprint] = row as readonly unknown[];
    if (typeof path !== "string" || typeof hash !== "string" || typeof own !== "boolean") return undefined;
    agreements.set(path, { hash, own, ...(typeof fingerprint === "string" && { fingerprint }) });
  }
  return { agreements, complete: document.complete === true };
}
