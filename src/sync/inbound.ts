/**
 * The peer's direction of a session: what it has sent and what of its claims we may adopt.
 * Stages a transfer until it is whole, keeps aside what was refused, and holds back claims as long as
 * anything refused is neither accepted nor superseded.
 */
import { beats } from "../core/lww.ts";
import { type VectorPairs, VersionVector } from "../core/version-vector.ts";
import { QUARANTINE_BYTES_MAX, QUARANTINE_ENTRIES_MAX } from "../limits.ts";
import type { Entry, Origin, Seq } from "../types.ts";
import type { FlowLimits } from "./flow.ts";
import type { Page } from "./messages.ts";
import { bytesToText } from "./text.ts";

/** Entries to apply in one step, whole batches, and whether the transfer they belong to is complete with them. */
export interface Transfer {
  readonly entries: readonly Entry[];
  readonly complete: boolean;
}

export class Inbound {
  readonly #flow: FlowLimits;
  #staged: Entry[] = [];
  #stagedBytes = 0;
  /** Of how many pages something is staged. */
  #stagedPages = 0;
  /** Refused entries by key, the newest of each key. */
  readonly #refused = new Map<string, Entry>();
  #refusedBytes = 0;
  #refusedTooMany = false;
  #marks = new VersionVector();
  #runFrom: Seq = 0;
  #runTo: Seq = 0;
  #live = false;
  /**
   * We lack tombstones that the peer has collected: its claims are kept until we have settled, since what
   * we hold may be dead.
   */
  isStale = false;

  constructor(flow: FlowLimits) {
    this.#flow = flow;
  }

  /** Whether the peer has said that it sent everything it had. */
  get live(): boolean {
    return this.#live;
  }

  /** Refused entries waiting for another try. */
  get refused(): IterableIterator<Entry> {
    return this.#refused.values();
  }

  get refusedCount(): number {
    return this.#refused.size;
  }

  /** Whether anything of this session is refused, or was and could not be kept. */
  get isRefusing(): boolean {
    return this.#refused.size > 0 || this.#refusedTooMany;
  }

  /** Takes a page; returns what is now to be applied, or `undefined` while more is to come. */
  stage(page: Page): Transfer | undefined {
    const before = this.#staged.length;
    if (page.entries.length > 0) this.#stagedPages += 1;
    for (const entry of page.entries) {
      this.#staged.push(entry);
      this.#stagedBytes += entryBytes(entry);
    }
    if (page.mark !== null) {
      this.#live = true;
      for (const [origin, seq] of page.mark) this.#marks.raise(origin, seq);
    }
    if (page.runTo > 0) {
      if (page.runFrom !== this.#runTo || this.#runTo === 0) this.#runFrom = page.runFrom;
      this.#runTo = page.runTo;
    }
    const { partBytes, partEntries, stagedBytes, stagedEntries } = this.#flow;
    const tooMuch = this.#stagedBytes > stagedBytes || this.#staged.length > stagedEntries;
    if (page.last || tooMuch) return { entries: this.#takeStaged(this.#staged.length), complete: page.last };
    if (this.#stagedBytes < partBytes && this.#staged.length < partEntries) return undefined;
    // More of the last batch may be to come.
    const end = lastBatchAt(this.#staged);
    if (end === 0) return undefined;
    const entries = this.#takeStaged(end);
    if (end >= before) this.#stagedPages = 1;
    return { entries, complete: false };
  }

  /** Whether a transfer has begun and not ended. */
  get isStaging(): boolean {
    return this.#staged.length > 0;
  }

  /** Of how many pages, the last ones that came, something is staged. */
  get stagedPages(): number {
    return this.#stagedPages;
  }

  /** The first `count` entries that are staged, which are not any more. */
  #takeStaged(count: number): readonly Entry[] {
    const taken = this.#staged;
    this.#staged = taken.splice(count);
    this.#stagedBytes = this.#staged.reduce((sum, entry) => sum + entryBytes(entry), 0);
    if (this.#staged.length === 0) this.#stagedPages = 0;
    return taken;
  }

  /** Keeps a refused entry for another try, in place of an older one of its key. */
  refuse(entry: Entry): void {
    this.#drop(entry);
    const bytes = entryBytes(entry);
    if (this.#refused.size >= QUARANTINE_ENTRIES_MAX || this.#refusedBytes + bytes > QUARANTINE_BYTES_MAX) {
      // What is not kept cannot be tried again: only a new session, which sends it again, can adopt claims.
      this.#refusedTooMany = true;
      return;
    }
    const present = this.#refused.get(bytesToText(entry.key));
    if (present !== undefined) return;
    this.#refused.set(bytesToText(entry.key), entry);
    this.#refusedBytes += bytes;
  }

  /** The key now holds `entry`: a refusal that it dominates does not matter any more. */
  accept(entry: Entry): void {
    if (this.#refused.size > 0) this.#drop(entry);
  }

  #drop(dominator: Entry): void {
    const name = bytesToText(dominator.key);
    const present = this.#refused.get(name);
    if (present === undefined || beats(present, dominator)) return;
    this.#refused.delete(name);
    this.#refusedBytes -= entryBytes(present);
  }

  /**
   * Takes the claims that may be adopted now.
   *
   * @param peer  the origin whose own run the peer may claim
   * @param covered  our coverage: a run is adopted only where it continues it
   */
  takeClaims(peer: Origin, covered: VersionVector): VectorPairs {
    if (this.isRefusing || this.isStale) return [];
    const claims = [...this.#marks];
    const reached = Math.max(covered.get(peer), this.#marks.get(peer));
    if (this.#runTo > 0 && this.#runFrom <= reached) claims.push([peer, this.#runTo]);
    this.#marks = new VersionVector();
    this.#runFrom = 0;
    this.#runTo = 0;
    return claims;
  }
}

/** Where the last batch begins: its writes have one stamp, and stand side by side. */
function lastBatchAt(entries: readonly Entry[]): number {
  const last = entries.at(-1);
  let at = entries.length;
  while (at > 0 && entries[at - 1]?.stamp === last?.stamp && entries[at - 1]?.origin === last?.origin) at -= 1;
  return at;
}

function entryBytes(entry: Entry): number {
  return entry.key.length + (entry.value?.length ?? 0);
}
