/**
 * What folder and store last agreed on, path by path, kept in one file: with it a start after any downtime tells an edit made
 * here from one made elsewhere. It speaks of one store, and a wiped or restored one makes it void instead of making every file look
 * deleted: store-life.ts.
 */
import { type BaseChange, BaseLog } from "./base-log.ts";
import type { Base, Hash } from "./decide.ts";
import type { Fingerprint } from "./folder.ts";
import { parentsOf } from "./paths.ts";
import type { Life } from "./store-life.ts";

export interface Agreement {
  readonly hash: Hash;
  /** Whether this replica had put the content into the store. */
  readonly own: boolean;
  /** Of the file that had the content: while it stays the same the file need not be read again. */
  readonly fingerprint?: Fingerprint;
}

export class BaseFile {
  readonly #log: BaseLog;
  readonly #life: Life;
  readonly #agreements: Map<string, Agreement>;
  /** Files of which nobody remembers whether they were there before, until each is settled. */
  readonly #unknown = new Set<string>();
  /** How many agreements there are below a directory. */
  readonly #below = new Map<string, number>();
  #complete: boolean;
  /** Paths whose agreement has changed since the last save. */
  readonly #changed = new Set<string>();
  #isNewlyComplete = false;

  private constructor(log: BaseLog, life: Life, agreements: Map<string, Agreement>, complete: boolean) {
    this.#log = log;
    this.#life = life;
    this.#agreements = agreements;
    this.#complete = complete;
    for (const agreed of agreements.keys()) this.#count(agreed, 1);
  }

  /**
   * Reads the file. One that is absent, damaged or of another store counts as lost.
   *
   * @param life   of the store
   * @param usable false starts anew whatever the file says
   */
  static async open(path: string, life: Life, usable = true): Promise<BaseFile> {
    const log = new BaseLog(path);
    const loaded = usable ? await log.load(life) : undefined;
    return new BaseFile(log, life, loaded?.agreements ?? new Map<string, Agreement>(), loaded?.complete ?? false);
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

  /** Whether everything is written down. */
  get isSaved(): boolean {
    return this.#changed.size === 0 && !this.#isNewlyComplete;
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
    if (had || agreement !== undefined) this.#changed.add(path);
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
    this.#isNewlyComplete = true;
  }

  /**
   * Writes down what has changed. One call at a time.
   * @param before called once what is to be written is fixed, and awaited before it is
   */
  async save(before: () => Promise<void> = async () => undefined): Promise<void> {
    const changes: BaseChange[] = Array.from(this.#changed, (path) => [path, this.#agreements.get(path)] as const);
    if (this.#isNewlyComplete) changes.push("complete");
    const { size } = this.#agreements;
    const isOutdated = this.#log.isOutdated(changes.length, size);
    const all = isOutdated ? { agreements: new Map(this.#agreements), complete: this.#complete } : undefined;
    this.#changed.clear();
    this.#isNewlyComplete = false;
    if (changes.length === 0) return await before();
    const mark = await this.#life.next();
    await before();
    await this.#log.append(changes, all, mark);
  }
}
