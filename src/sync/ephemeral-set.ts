/**
 * The ephemeral entries of one process, as that process has them or as another one has heard: its keys, in the order in
 * which it has changed them, so that what has happened since some version can be told.
 */
import type { Millis } from "../types.ts";
import type { AuthorNews, AuthorVersion, EphemeralCell } from "./messages.ts";

/** Of so many removed keys it is remembered that they were; who is further behind is sent everything. */
const REMOVED_MAX = 1024;
/** Superseded cells are cleared away once there are more than this, and more than cells in use. */
const STALE_MIN = 64;

export class EphemeralSet {
  /** Who it is of, and how far it is known. */
  author: AuthorVersion;
  leaseMs: Millis;
  /** The process has said goodbye. */
  closed = false;
  /** When the last sign of life was heard. */
  heardTick: number;
  /** Whether others have been asked, since the last sign of life. */
  isDoubted = false;
  /** A younger process of that name, as somebody has told; it may be long gone. */
  rival: AuthorVersion | undefined;
  #bytes = 0;
  #removed = 0;
  readonly #cells = new Map<string, EphemeralCell>();
  /** All cells by version, superseded ones among them: a cell counts if `#cells` has that very one. */
  #log: EphemeralCell[] = [];
  /** What was removed up to this version is forgotten. */
  #floor = 0;

  constructor(author: AuthorVersion, leaseMs: Millis, tick: number) {
    this.author = author;
    this.leaseMs = leaseMs;
    this.heardTick = tick;
  }

  /** Keys that are there. */
  get size(): number {
    return this.#cells.size - this.#removed;
  }

  /** Of their keys and values. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The cell of a key that is there. */
  get(key: string): EphemeralCell | undefined {
    const cell = this.#cells.get(key);
    return cell?.value === null ? undefined : cell;
  }

  *cells(): IterableIterator<EphemeralCell> {
    for (const cell of this.#cells.values()) if (cell.value !== null) yield cell;
  }

  /** @param cell  of a version above all others; its value is kept as it is */
  set(cell: EphemeralCell): void {
    const before = this.#cells.get(cell.key);
    // Nothing to remove, and nobody has to hear of it.
    if (before === undefined && cell.value === null) return;
    this.#bytes += sizeOf(cell) - (before === undefined ? 0 : sizeOf(before));
    this.#removed += (cell.value === null ? 1 : 0) - (before?.value === null ? 1 : 0);
    this.#cells.set(cell.key, cell);
    this.#log.push(cell);
    if (this.#log.length > 2 * this.#cells.size + STALE_MIN || this.#removed > REMOVED_MAX) this.#clear();
  }

  /** From now on nothing can be told of what was before this version but all that there is. */
  forgetBefore(version: number): void {
    this.#floor = version;
  }

  /**
   * What has happened since a version that somebody knows, or everything.
   *
   * @param known  `undefined`: nothing is known
   * @param ageMs  since the last sign of life
   * @returns `undefined` if they know this or more
   */
  newsSince(known: AuthorVersion | undefined, ageMs: Millis): AuthorNews | undefined {
    const { author, leaseMs, closed } = this;
    if (known !== undefined && compareAuthors(known, author) >= 0) return undefined;
    // Who knows nothing of it needs not hear that there is nothing.
    if (known === undefined && this.size === 0) return undefined;
    const isContinued = known !== undefined && isSameProcess(known, author) && known.version >= this.#floor;
    const from = isContinued ? known.version : 0;
    return { ...author, from, leaseMs, ageMs, closed, cells: this.#since(from) };
  }

  #since(version: number): EphemeralCell[] {
    const news: EphemeralCell[] = [];
    for (let i = this.#log.length - 1; i >= 0; i -= 1) {
      const cell = this.#log[i];
      if (cell === undefined || cell.version <= version) break;
      const isRemoval = cell.value === null;
      if (this.#cells.get(cell.key) === cell && !(isRemoval && version === 0)) news.push(cell);
    }
    return news.reverse();
  }

  #clear(): void {
    let surplus = this.#removed > REMOVED_MAX ? this.#removed - REMOVED_MAX / 2 : 0;
    this.#log = this.#log.filter((cell) => {
      if (this.#cells.get(cell.key) !== cell) return false;
      if (cell.value !== null || surplus === 0) return true;
      surplus -= 1;
      this.#removed -= 1;
      this.#bytes -= sizeOf(cell);
      this.#cells.delete(cell.key);
      this.#floor = cell.version;
      return false;
    });
  }
}

/** Whether two versions are of one process. */
export function isSameProcess(a: AuthorVersion, b: AuthorVersion): boolean {
  return a.generation === b.generation && a.incarnation === b.incarnation;
}

/** Of one nodeId: below 0 if `a` is of an older process than `b`, or of the same one and older. */
export function compareAuthors(a: AuthorVersion, b: AuthorVersion): number {
  if (a.generation !== b.generation) return a.generation - b.generation;
  if (a.incarnation !== b.incarnation) return a.incarnation < b.incarnation ? -1 : 1;
  return a.version - b.version;
}

/** Bytes of key and value; none if it is removed. */
export function sizeOf({ key, value }: EphemeralCell): number {
  return value === null ? 0 : Buffer.byteLength(key) + value.length;
}
