/**
 * What folder and store last agreed on, path by path, kept in one file: with it a start after any downtime tells an edit made
 * here from one made elsewhere. It speaks of one store: it is bound to the epoch of the replica's data, so that a wiped or
 * restored store makes it void instead of making every file look deleted.
 */
import { open, readFile, rename } from "node:fs/promises";
import type { Base, Hash } from "./decide.ts";
import type { Fingerprint } from "./folder.ts";
import { parentsOf } from "./paths.ts";

export interface Agreement {
  readonly hash: Hash;
  /** Whether this replica had put the content into the store. */
  readonly own: boolean;
  /** Of the file that had the content: while it stays the same the file need not be read again. */
  readonly fingerprint?: Fingerprint;
}

const FORMAT_VERSION = 2;
const SAVE_EVERY_MS = 500;
/** A large base is written less often: nothing else would be done. */
const SAVE_PAUSE_FACTOR = 20;

export class BaseFile {
  readonly #path: string;
  readonly #epoch: () => string;
  readonly #agreements: Map<string, Agreement>;
  /** Files of which nobody remembers whether they were there before, until each is settled. */
  readonly #unknown = new Set<string>();
  /** How many agreements there are below a directory. */
  readonly #below = new Map<string, number>();
  #complete: boolean;
  #dirty = false;
  #saveEveryMs = SAVE_EVERY_MS;

  private constructor(path: string, epoch: () => string, agreements: Map<string, Agreement>, complete: boolean) {
    this.#path = path;
    this.#epoch = epoch;
    this.#agreements = agreements;
    this.#complete = complete;
    for (const agreed of agreements.keys()) this.#count(agreed, 1);
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

  get size(): number {
    return this.#agreements.size;
  }

  /** Whether anything below a path has been agreed on. */
  isDirectory(path: string): boolean {
    return this.#below.has(path);
  }

  /** How long to wait between two calls of `save`. */
  get saveEveryMs(): number {
    return this.#saveEveryMs;
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
    const had = this.#agreements.has(path);
    if (agreement === undefined) this.#agreements.delete(path);
    else this.#agreements.set(path, agreement);
    if (had !== (agreement !== undefined)) this.#count(path, had ? -1 : 1);
    this.#dirty ||= had || agreement !== undefined;
    if (this.#unknown.delete(path)) this.#completeIfSettled();
  }

  #count(path: string, change: 1 | -1): void {
    for (const parent of parentsOf(path)) {
      const count = (this.#below.get(parent) ?? 0) + change;
      if (count > 0) this.#below.set(parent, count);
      else this.#below.delete(parent);
    }
  }

  #completeIfSettled(): void {
    if (this.#unknown.size > 0) return;
    this.#complete = true;
    this.#dirty = true;
  }

  /**
   * Writes the file if anything has changed, whole or not at all. One call at a time.
   * @param before called once what is to be written is fixed, and awaited before it is
   */
  async save(before: () => Promise<void> = async () => undefined): Promise<void> {
    if (!this.#dirty) return await before();
    this.#dirty = false;
    const startMs = performance.now();
    const files = Array.from(this.#agreements, ([path, { hash, own, fingerprint }]) => [path, hash, own, fingerprint]);
    const text = JSON.stringify({ version: FORMAT_VERSION, epoch: this.#epoch(), complete: this.#complete, files });
    await before();
    const temporary = `${this.#path}.new`;
    {
      await using file = await open(temporary, "w", 0o600);
      await file.writeFile(text);
      await file.sync();
    }
    await rename(temporary, this.#path);
    this.#saveEveryMs = Math.max(SAVE_EVERY_MS, (performance.now() - startMs) * SAVE_PAUSE_FACTOR);
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
