/**
 * Finds out by digests in what two replicas differ, whatever their vectors say. PROTOCOL.md, "Settling",
 * says why it is sound.
 *
 * The side that wants to know asks, one question at a time: first in which buckets the digests differ, then
 * what the peer holds in them. Each side judges its own entries only. What a peer covers and does not hold,
 * nor anything that beats it, was deleted there and the tombstone is gone: the entry is dead.
 *
 * Answering needs no memory of the question before, so a broken settling starts again with what still differs.
 */
import type { CoreState } from "../core/core-state.ts";
import { compareOrders } from "../core/lww.ts";
import type { Slot } from "../core/table.ts";
import type { VersionVector } from "../core/version-vector.ts";
import { DIGEST_BUCKETS } from "../limits.ts";
import type { Entry, Lsn } from "../types.ts";
import type { Durable } from "./durable.ts";
import type { FlowLimits } from "./flow.ts";
import type { BucketDigest, Digests, Listing } from "./messages.ts";
import { bytesToText } from "./text.ts";

/**
 * Why we ask. "stale": the peer has collected tombstones that we have not seen, so what we hold may be
 * dead. "bulk": the peer lacks much, by its vector. "repair": the digests of two quiet replicas differ.
 */
export type SettleGoal = "stale" | "bulk" | "repair";

/** What an answer says about our entries. */
export interface Verdict {
  /** Entries of ours, told without their values, that were deleted where the peer covers them. */
  readonly dead: readonly Entry[];
  /** Entries of ours that the peer neither covers nor holds, nor anything that beats them. */
  readonly lacking: readonly Slot[];
  /** What to ask next; `undefined`: that was all. */
  readonly next: Digests | undefined;
}

const NOTHING: readonly never[] = [];
/** Telling of so many entries, without their values, costs about as much as sending one. */
const LISTED_FOR_SENT = 3;
/** A backlog is counted so far only: some milliseconds. */
const COUNTED_MAX = 50_000;

/** One side's questions to one peer. */
export class Settling {
  readonly goal: SettleGoal;
  readonly #state: CoreState;
  readonly #flow: FlowLimits;
  /** What the peer is known to hold as we do: see `isHeld`. */
  readonly #equal = new Uint8Array(DIGEST_BUCKETS);
  readonly #held = new Set<Lsn>();
  readonly #asOf: Lsn;
  /** Still to be asked about; `undefined` until the first answer. */
  #differing: number[] | undefined;
  #asked: readonly number[] = NOTHING;
  /** What has entered here since the question left, the peer may have written since it answered. */
  #askedAt: Lsn;
  #differences = 0;

  constructor(goal: SettleGoal, state: CoreState, flow: FlowLimits) {
    this.goal = goal;
    this.#state = state;
    this.#flow = flow;
    this.#asOf = state.lsn;
    this.#askedAt = state.lsn;
  }

  /** Values that were dead or lacking so far. */
  get differences(): number {
    return this.#differences;
  }

  /** The first question: in which of the buckets that are not empty here the peer holds something else. */
  begin(): Digests {
    const { table } = this.#state;
    const buckets: BucketDigest[] = [];
    for (let index = 0; index < DIGEST_BUCKETS; index += 1) {
      const sum = table.digestBucket(index);
      if (sum === EMPTY_SUM) continue;
      buckets.push({ index, sum });
      // Until the answer says otherwise.
      this.#equal[index] = 1;
    }
    return { type: "digests", list: false, bulk: this.goal === "bulk", buckets };
  }

  /**
   * Judges our entries by an answer.
   * @param isBacklogAbove  whether more than so many entries of ours are not covered by the peer
   * @param covered  what the peer covers durably: as of the answer or earlier, but for what it has written itself
   */
  receive(listing: Listing, covered: VersionVector, isBacklogAbove: (count: number) => boolean): Verdict {
    if (this.#differing === undefined) {
      for (const index of listing.differing) this.#equal[index] = 0;
      // What would be listed to us: a peer is sent what it may lack sooner than asked for much more than that. One that
      // holds nothing but what it covers, and says so by a size of 0, holds none of it, only what may beat it.
      const listed = (listing.size * listing.differing.length) / DIGEST_BUCKETS;
      const isWorthwhile =
        this.goal !== "bulk" ||
        (listing.size * 2 >= this.#state.table.live && isBacklogAbove(Math.min(listed / LISTED_FOR_SENT, COUNTED_MAX)));
      this.#differing = isWorthwhile ? [...listing.differing] : [];
      return { dead: NOTHING, lacking: NOTHING, next: this.#ask() };
    }
    const held = new Map<string, Entry | null>();
    for (const entry of listing.entries) held.set(bytesToText(entry.key), entry);
    for (const key of listing.busy) held.set(bytesToText(key), null);
    const dead: Entry[] = [];
    const lacking: Slot[] = [];
    for (const index of listing.listed) this.#judge(index, held, covered, dead, lacking);
    // What does not differ any more needs no look. What was not listed, because the answer was full, is asked again.
    const answered = new Set(listing.listed);
    const again = new Set(listing.differing.filter((index) => !answered.has(index)));
    this.#differing.unshift(...this.#asked.filter((index) => again.has(index) && answered.size > 0));
    this.#differences += dead.length + lacking.length;
    return { dead, lacking, next: this.#ask() };
  }

  /** Whether the peer holds this very version, so that it need not be sent. */
  isHeld(slot: Slot, bucket: number): boolean {
    const { table } = this.#state;
    const lsn = table.lsnAt(slot);
    if (lsn > this.#asOf) return false;
    return this.#held.has(lsn) || (this.#equal[bucket] === 1 && !table.isTombstone(slot));
  }

  #judge(
    index: number,
    held: ReadonlyMap<string, Entry | null>,
    covered: VersionVector,
    dead: Entry[],
    lacking: Slot[],
  ): void {
    const { table } = this.#state;
    for (const slot of table.slotsOfBucket(index)) {
      if (table.lsnAt(slot) > this.#askedAt) continue;
      const theirs = held.get(bytesToText(table.keyAt(slot)));
      if (theirs === null) continue;
      const ours = table.entryAt(slot);
      const order = theirs === undefined ? -1 : compareOrders(theirs, ours);
      if (order === 0 && this.#held.size < this.#flow.heldEntries) this.#held.add(table.lsnAt(slot));
      if (order >= 0) continue;
      if (!covered.covers(ours.origin, ours.seq)) lacking.push(slot);
      // A tombstone stays until every member covers it.
      else if (ours.value !== null) dead.push({ ...ours, key: ours.key.slice(), value: null });
    }
  }

  #ask(): Digests | undefined {
    const { table } = this.#state;
    this.#asked = this.#differing?.splice(0, this.#batch()) ?? NOTHING;
    this.#askedAt = this.#state.lsn;
    if (this.#asked.length === 0) return undefined;
    const buckets = this.#asked.map((index) => ({ index, sum: table.digestBucket(index) }));
    return { type: "digests", list: true, bulk: false, buckets };
  }

  #batch(): number {
    return Math.max(1, Math.floor((DIGEST_BUCKETS * this.#flow.questionEntries) / Math.max(1, this.#state.table.size)));
  }
}

/**
 * The answer to a question: computed from the state as it is, and sent at once. It tells of no version that is
 * not durable; that it leaves out what such a version has replaced, it says.
 */
export function answer(state: CoreState, durable: Durable, question: Digests, listingBytes: number): Listing {
  const { table } = state;
  const differing = question.buckets.filter(({ index, sum }) => table.digestBucket(index) !== sum).map((b) => b.index);
  const listed: number[] = [];
  const entries: Entry[] = [];
  const busy: Uint8Array[] = [];
  let bytes = 0;
  for (const index of question.list ? differing : NOTHING) {
    if (bytes > listingBytes) break;
    listed.push(index);
    for (const slot of table.slotsOfBucket(index)) {
      const { stamp, origin, seq, ...entry } = table.entryAt(slot);
      const key = entry.key.slice();
      bytes += key.length + ORDER_BYTES;
      if (table.lsnAt(slot) > durable.lsn) busy.push(key);
      else entries.push({ key, value: null, stamp, origin, seq, expiresAt: 0 });
    }
  }
  return { type: "listing", differing, listed, entries, busy, size: table.isWithin(durable.coverage) ? 0 : table.live };
}

const EMPTY_SUM = "0".repeat(16);
/** What an order costs in a frame, about. */
const ORDER_BYTES = 16;
