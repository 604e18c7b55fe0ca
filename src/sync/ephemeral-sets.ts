/**
 * The ephemeral entries of all living processes, as this one knows them. Nothing here is ever on a disk.
 *
 * Every process is the only author of its own set of keys, so there is nothing to merge: of one process the higher
 * version is right. Two processes may have the same key; then both have it, and readers of the key get the value that
 * was set last (by a logical clock: who sets a key goes above all versions of it that it has seen), and once that one
 * has gone, the other.
 *
 * Whether a process lives is told by its versions, which it raises now and then. Each replica counts by its own ticks
 * since when it has heard no higher one, and by nobody's clock; what is passed on is passed on with its age, or it would
 * live for ever between two relays that tell each other. Ticks do not pass while a replica is stopped, so one
 * that was asleep does not take everybody else for dead when it wakes up.
 */
import {
  EPHEMERAL_BYTES_MAX,
  EPHEMERAL_ENTRIES_MAX,
  EPHEMERAL_TOTAL_BYTES_MAX,
  EPHEMERAL_TOTAL_ENTRIES_MAX,
  PEERS_MAX,
} from "../limits.ts";
import type { Millis, NodeId } from "../types.ts";
import { compareAuthors, EphemeralSet, isSameProcess, sizeOf } from "./ephemeral-set.ts";
import type { AuthorNews, AuthorVersion, EphemeralCell } from "./messages.ts";

export interface EphemeralOptions {
  /** For how long our entries outlive us. */
  readonly leaseMs: Millis;
  /** When the process began, by its clock. Only to be above its predecessor; should it not be, it is raised. */
  readonly generation: number;
  /** Whether a value can be shown: what later versions write is passed on, and hidden. */
  readonly isReadable: (value: Uint8Array) => boolean;
  /** For tests. Default: see limits.ts. */
  readonly totals?: EphemeralTotals;
}

/** Bounds on what all processes together may have here. */
export interface EphemeralTotals {
  readonly authors: number;
  readonly entries: number;
  readonly bytes: number;
}

/** Why an entry has gone: its process removed it, closed, or was not heard of for longer than its lease (or was restarted). */
export type EphemeralCause = "deleted" | "closed" | "lost";

/** One key of one process is other than it was. */
export interface EphemeralChange {
  readonly key: string;
  readonly nodeId: NodeId;
  /** Whether it was there before. */
  readonly existed: boolean;
  /** What it is now. */
  readonly value: Uint8Array | EphemeralCause;
}

/** An entry as readers get it. The value is encoded. */
export interface EphemeralHolding {
  readonly nodeId: NodeId;
  readonly value: Uint8Array;
}

/**
 * What became of news: `taken`, known already (`old`), not understood without what came before (`behind`), more than there
 * is room for (`full`), impossible (`absurd`), of another process of our name (`namesake`), or of a process that seems to be
 * older than one of its name that is gone (`superseded`): a clock was set back, and it does not know.
 */
export type EphemeralOutcome = "taken" | "old" | "behind" | "full" | "absurd" | "namesake" | "superseded";

const TOTALS: EphemeralTotals = {
  authors: PEERS_MAX,
  entries: EPHEMERAL_TOTAL_ENTRIES_MAX,
  bytes: EPHEMERAL_TOTAL_BYTES_MAX,
};
/** A generation or a version that nobody reaches. */
const ABSURD = 2 ** 50;

export class EphemeralSets {
  readonly #options: EphemeralOptions;
  readonly #totals: EphemeralTotals;
  readonly #tickMs: Millis;
  readonly #own: EphemeralSet;
  readonly #sets = new Map<NodeId, EphemeralSet>();
  /** What was last known of processes that have gone: nothing older is taken again. The oldest first. */
  readonly #gone = new Map<NodeId, AuthorVersion & { readonly closed: boolean }>();
  readonly #holders = new Map<string, Map<NodeId, EphemeralCell>>();
  #entries = 0;
  #bytes = 0;
  #changes: EphemeralChange[] = [];
  #isListening = false;

  constructor(
    own: { readonly nodeId: NodeId; readonly incarnation: string },
    options: EphemeralOptions,
    tickMs: Millis,
  ) {
    this.#options = options;
    this.#totals = options.totals ?? TOTALS;
    this.#tickMs = tickMs;
    const { generation, leaseMs } = options;
    this.#own = new EphemeralSet({ ...own, generation, version: 0 }, leaseMs, 0);
    this.#sets.set(own.nodeId, this.#own);
  }

  // ---- reading -------------------------------------------------------------------------------

  get own(): EphemeralSet {
    return this.#own;
  }

  get sets(): ReadonlyMap<NodeId, EphemeralSet> {
    return this.#sets;
  }

  /** Processes that have entries, keys that they have, and the bytes of keys and values. */
  get totals(): EphemeralTotals {
    let authors = 0;
    for (const set of this.#sets.values()) if (set.size > 0) authors += 1;
    return { authors, entries: this.#entries, bytes: this.#bytes };
  }

  keys(): IterableIterator<string> {
    return this.#holders.keys();
  }

  /** Who has a key, the one that set it last first. */
  holdings(key: string): EphemeralHolding[] {
    const holders = [...(this.#holders.get(key) ?? [])];
    holders.sort(([a, x], [b, y]) => y.version - x.version || (a < b ? 1 : -1));
    const holdings: EphemeralHolding[] = [];
    for (const [nodeId, { value }] of holders) {
      if (value !== null && this.#options.isReadable(value)) holdings.push({ nodeId, value });
    }
    return holdings;
  }

  // ---- watching ------------------------------------------------------------------------------

  /** From now on `takeChanges` has something to say; or no more. */
  listen(isListening: boolean): void {
    this.#isListening = isListening;
    this.#changes = [];
  }

  takeChanges(): readonly EphemeralChange[] {
    const taken = this.#changes;
    if (taken.length > 0) this.#changes = [];
    return taken;
  }

  // ---- our own -------------------------------------------------------------------------------

  /** Why a key may not get a value here, or `undefined`. Changes nothing. */
  putRefusal(key: string, value: Uint8Array): string | undefined {
    const before = this.#own.get(key);
    const entries = this.#own.size + (before === undefined ? 1 : 0);
    if (entries > EPHEMERAL_ENTRIES_MAX) return `a process has ${EPHEMERAL_ENTRIES_MAX} ephemeral entries at most`;
    const bytes = this.#own.bytes + sizeOf({ key, value, version: 0 }) - (before === undefined ? 0 : sizeOf(before));
    return bytes > EPHEMERAL_BYTES_MAX
      ? `the ephemeral entries of a process take ${EPHEMERAL_BYTES_MAX} bytes at most`
      : undefined;
  }

  /** Sets a key of ours, or removes it. @returns whether there is anything to tell */
  change(key: string, value: Uint8Array | null, tick: number): boolean {
    const own = this.#own.get(key);
    if (value === null && own === undefined) return false;
    let highest = this.#own.author.version;
    for (const { version } of this.#holders.get(key)?.values() ?? []) highest = Math.max(highest, version);
    const isLast = own !== undefined && this.holdings(key)[0]?.nodeId === this.#own.author.nodeId;
    if (isLast && value !== null && own.value !== null && isEqual(own.value, value)) return false;
    this.#raise(value === null ? this.#own.author.version + 1 : highest + 1, tick);
    this.#set(this.#own, { key, value, version: this.#own.author.version }, "deleted");
    return true;
  }

  /** Shows that we live. */
  beat(tick: number): void {
    this.#raise(this.#own.author.version + 1, tick);
  }

  /** Goes above a process of our name that somebody has heard of: it is not there any more, for we are. */
  outlive(other: AuthorVersion, tick: number): void {
    const { author } = this.#own;
    const generation = other.generation < ABSURD ? Math.max(author.generation, other.generation + 1) : ABSURD;
    this.#own.author = { ...author, generation };
    this.beat(tick);
  }

  #raise(version: number, tick: number): void {
    this.#own.author = { ...this.#own.author, version };
    this.#own.heardTick = tick;
  }

  // ---- those of others -----------------------------------------------------------------------

  /** Takes in what a peer has told. */
  take(news: AuthorNews, tick: number): EphemeralOutcome {
    const { nodeId } = news;
    if (nodeId === this.#own.author.nodeId) return isSameProcess(news, this.#own.author) ? "old" : "namesake";
    if (news.generation > ABSURD || news.version > ABSURD) return "absurd";
    const gone = this.#gone.get(nodeId);
    if (gone !== undefined && isSameProcess(news, gone)) {
      if (gone.closed || news.version <= gone.version) return "old";
    } else if (gone !== undefined && compareAuthors(news, gone) < 0) return "superseded";
    const heardTick = tick - Math.ceil(news.ageMs / this.#tickMs);
    if (this.#isOver(news.leaseMs, heardTick, tick)) return "old";
    const held = this.#sets.get(nodeId);
    if (held !== undefined && compareAuthors(news, held.author) <= 0) return "old";
    const isContinued = held !== undefined && isSameProcess(news, held.author);
    // Who has said goodbye says nothing more.
    if (isContinued && held.closed) return "old";
    if (news.from > 0 && !(isContinued && news.from <= held.author.version)) return "behind";
    const outcome = news.from > 0 && held !== undefined ? this.#continue(held, news) : this.#replace(held, news, tick);
    if (outcome !== "taken") return outcome;
    const set = this.#sets.get(nodeId);
    if (set === undefined) return outcome;
    const { generation, incarnation, version } = news;
    set.author = { nodeId, generation, incarnation, version };
    set.leaseMs = news.leaseMs;
    set.closed = news.closed;
    set.heardTick = heardTick;
    set.isDoubted = false;
    this.#gone.delete(nodeId);
    return outcome;
  }

  /**
   * A process of another replica has closed. It cannot say anything more, so that whoever has heard it may raise its version
   * once. @returns whether anything was known of it
   */
  close(nodeId: NodeId, incarnation: string): boolean {
    const held = this.#sets.get(nodeId);
    if (held === undefined || held === this.#own || held.author.incarnation !== incarnation || held.closed)
      return false;
    const author = { ...held.author, version: held.author.version + 1 };
    for (const cell of held.cells()) this.#unset(held, cell, "closed");
    const closed = new EphemeralSet(author, held.leaseMs, held.heardTick);
    closed.closed = true;
    closed.forgetBefore(author.version);
    this.#sets.set(nodeId, closed);
    return true;
  }

  /** What was last known of a process that is not here any more. */
  gone(nodeId: NodeId): AuthorVersion | undefined {
    return this.#gone.get(nodeId);
  }

  /** For how long the process has not shown that it lives, as far as is known here. */
  ageMs(set: EphemeralSet, tick: number): Millis {
    return set === this.#own ? 0 : (tick - set.heardTick) * this.#tickMs;
  }

  /** Drops what has outlived its lease. @returns whose it was */
  expire(tick: number): readonly NodeId[] {
    const expired: NodeId[] = [];
    for (const [nodeId, set] of this.#sets) {
      if (set === this.#own || !this.#isOver(set.leaseMs, set.heardTick, tick)) continue;
      for (const cell of set.cells()) this.#unset(set, cell, "lost");
      this.#sets.delete(nodeId);
      this.#remember(set);
      expired.push(nodeId);
    }
    return expired;
  }

  #isOver(leaseMs: Millis, heardTick: number, tick: number): boolean {
    return (tick - heardTick) * this.#tickMs > leaseMs;
  }

  /** Puts what has changed to what is here. */
  #continue(held: EphemeralSet, news: AuthorNews): EphemeralOutcome {
    const cells = news.cells.filter(({ version }) => version > held.author.version);
    let entries = 0;
    let bytes = 0;
    for (const cell of cells) {
      const before = held.get(cell.key);
      entries += (cell.value === null ? 0 : 1) - (before === undefined ? 0 : 1);
      bytes += sizeOf(cell) - (before === undefined ? 0 : sizeOf(before));
    }
    const outcome = this.#roomFor(held.size + entries, held.bytes + bytes, entries, bytes);
    if (outcome !== "taken") return outcome;
    for (const cell of cells) this.#set(held, cell, news.closed ? "closed" : "deleted");
    return "taken";
  }

  /** Puts all that there is in the place of what is here. */
  #replace(held: EphemeralSet | undefined, news: AuthorNews, tick: number): EphemeralOutcome {
    const cells = news.cells.filter(({ value }) => value !== null);
    const bytes = cells.reduce((sum, cell) => sum + sizeOf(cell), 0);
    const outcome = this.#roomFor(cells.length, bytes, cells.length - (held?.size ?? 0), bytes - (held?.bytes ?? 0));
    if (outcome !== "taken") return outcome;
    if (held === undefined && this.#sets.size >= this.#totals.authors) return "full";
    const set = new EphemeralSet(news, news.leaseMs, tick);
    const stays = new Set(cells.map(({ key }) => key));
    const isRestart = held !== undefined && !isSameProcess(news, held.author);
    for (const cell of held?.cells() ?? []) {
      if (held !== undefined && !stays.has(cell.key)) {
        this.#unset(held, cell, news.closed ? "closed" : isRestart ? "lost" : "deleted");
      }
    }
    this.#sets.set(news.nodeId, set);
    for (const cell of cells) this.#set(set, cell, "deleted");
    set.forgetBefore(news.version);
    return "taken";
  }

  #roomFor(entries: number, bytes: number, moreEntries: number, moreBytes: number): EphemeralOutcome {
    if (entries > EPHEMERAL_ENTRIES_MAX || bytes > EPHEMERAL_BYTES_MAX) return "absurd";
    const { entries: entriesMax, bytes: bytesMax } = this.#totals;
    const isFull =
      (moreEntries > 0 && this.#entries + moreEntries > entriesMax) ||
      (moreBytes > 0 && this.#bytes + moreBytes > bytesMax);
    return isFull ? "full" : "taken";
  }

  #remember({ author, closed }: EphemeralSet): void {
    this.#gone.delete(author.nodeId);
    const [oldest] = this.#gone.keys();
    if (oldest !== undefined && this.#gone.size >= this.#totals.authors) this.#gone.delete(oldest);
    this.#gone.set(author.nodeId, { ...author, closed });
  }

  // ---- both ----------------------------------------------------------------------------------

  #set(set: EphemeralSet, cell: EphemeralCell, cause: EphemeralCause): void {
    const { nodeId } = set.author;
    if (cell.value === null) {
      const before = set.get(cell.key);
      set.set(cell);
      if (before !== undefined) this.#unset(set, before, cause);
      return;
    }
    // The bytes are a view into a frame, or somebody else's.
    const kept = { ...cell, value: cell.value.slice() };
    set.set(kept);
    let holders = this.#holders.get(cell.key);
    if (holders === undefined) {
      holders = new Map();
      this.#holders.set(cell.key, holders);
    }
    const before = holders.get(nodeId);
    holders.set(nodeId, kept);
    this.#entries += before === undefined ? 1 : 0;
    this.#bytes += sizeOf(kept) - (before === undefined ? 0 : sizeOf(before));
    const isNews = before === undefined || before.value === null || !isEqual(before.value, kept.value);
    if (isNews) this.#changed({ key: cell.key, nodeId, existed: before !== undefined, value: kept.value });
  }

  /** Takes a cell that was shown out of what is shown. */
  #unset({ author: { nodeId } }: EphemeralSet, cell: EphemeralCell, cause: EphemeralCause): void {
    const holders = this.#holders.get(cell.key);
    holders?.delete(nodeId);
    if (holders?.size === 0) this.#holders.delete(cell.key);
    this.#entries -= 1;
    this.#bytes -= sizeOf(cell);
    this.#changed({ key: cell.key, nodeId, existed: true, value: cause });
  }

  #changed(change: EphemeralChange): void {
    if (this.#isListening) this.#changes.push(change);
  }
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
