/**
 * What a peer may be told that it has been sent: marks, runs, and when. PROTOCOL.md, "Claims", says why they are sound.
 * Marks are taken from cuts, oldest first, and from relayed runs; no claim is ever taken back.
 */
import { type VectorPairs, VersionVector } from "../core/version-vector.ts";
import type { Entry, Lsn, Origin, Seq } from "../types.ts";
import type { Ready } from "./committed.ts";
import type { Durable } from "./durable.ts";
import { RelayedRuns } from "./relayed-runs.ts";
import type { WaitingList } from "./waiting.ts";

/** The claims of one transfer, as in Page. */
export interface TransferClaims {
  readonly mark: VectorPairs | null;
  readonly runFrom: Seq;
  readonly runTo: Seq;
}

/** A moment that may be claimed once nothing at or before it waits. */
interface Cut {
  readonly lsn: Lsn;
  readonly pairs: VectorPairs;
  /** Claims everything that we cover, not only what is new: ends a catch-up. */
  readonly whole: boolean;
}

/** Beyond this many cuts the newest ones are joined. */
const CUTS_MAX = 512;

export class Claims {
  /** What the peer covers durably, and what waits: of the session, which changes them. */
  readonly #acked: VersionVector;
  readonly #waiting: WaitingList;
  /** What we have claimed in this session. */
  readonly #claimed: VersionVector;
  readonly #relayed = new RelayedRuns();
  #cuts: Cut[] = [];
  /** Live, but the cut that ends the catch-up is still to come: once this lsn is durable. */
  #cutFrom: Lsn | undefined;
  /** Every own write behind what is claimed of our origin was sent as it was written. */
  #runUnbroken = false;

  /** @param acked  as the peer's hello says */
  constructor(acked: VersionVector, waiting: WaitingList) {
    this.#acked = acked;
    this.#waiting = waiting;
    this.#claimed = acked.clone();
  }

  /**
   * A catch-up has sent all that is durable. All may be claimed once `lsn`, up to which memory reached at that moment, is
   * durable: what the walk did not meet has been forwarded by then.
   */
  begin(lsn: Lsn, durable: Durable): void {
    this.breakOff();
    this.#cutFrom = lsn;
    if (durable.lsn >= this.#cutFrom) this.#cutWhole(durable);
  }

  /** What becomes durable is not passed on any more. */
  breakOff(): void {
    this.#runUnbroken = false;
    this.#relayed.clear();
    this.#cuts = [];
    this.#cutFrom = undefined;
  }

  /** These, of others, are being passed on, or wait. Before the `cut` of their record. */
  relayed(entries: readonly Entry[]): void {
    this.#relayed.pass(entries);
  }

  /** The record was passed on; `durable` includes it. */
  cut(ready: Ready, durable: Durable): void {
    if (this.#cutFrom !== undefined) {
      if (durable.lsn >= this.#cutFrom) this.#cutWhole(durable);
      return;
    }
    if (ready.coverage.length === 0) return;
    const newest = this.#cuts.at(-1);
    if (newest !== undefined && this.#cuts.length >= CUTS_MAX) {
      const joined = new VersionVector(newest.pairs);
      for (const [origin, seq] of ready.coverage) joined.raise(origin, seq);
      this.#cuts[this.#cuts.length - 1] = { ...newest, lsn: durable.lsn, pairs: [...joined] };
    } else {
      this.#cuts.push({ lsn: durable.lsn, pairs: ready.coverage, whole: false });
    }
  }

  /** What may be claimed now and was not yet; `null` if nothing. The cut that ends a catch-up is claimed even if empty. */
  takeMark(durable: Durable): VectorPairs | null {
    if (this.#cuts.length === 0 && this.#relayed.isEmpty) return null;
    const limit = this.#waiting.firstLsn;
    const released = new VersionVector();
    let whole = false;
    for (let cut = this.#cuts[0]; cut !== undefined && cut.lsn < limit; cut = this.#cuts[0]) {
      this.#cuts.shift();
      whole ||= cut.whole;
      for (const [origin, seq] of cut.pairs) {
        if (this.#claimed.raise(origin, seq) && !this.#acked.covers(origin, seq)) released.raise(origin, seq);
      }
    }
    if (whole) this.#runUnbroken = true;
    if (this.#runUnbroken) this.#takeRelayed(durable, released);
    return whole || released.size > 0 ? [...released] : null;
  }

  /** Also what of `own`, our origin, waits for nothing, since we have sent it ourselves. */
  take(own: Origin, durable: Durable): TransferClaims {
    const runFrom = this.#claimed.get(own);
    const mark = this.takeMark(durable);
    const runTo = this.#runUnbroken ? durable.coverage.get(own) : 0;
    return this.#claimed.raise(own, runTo) ? { mark, runFrom, runTo } : { mark, runFrom: 0, runTo: 0 };
  }

  #cutWhole(durable: Durable): void {
    this.#cuts = [{ lsn: durable.lsn, pairs: durable.coverage.above(this.#claimed), whole: true }];
    this.#cutFrom = undefined;
  }

  /** Of single origins more can be claimed, whatever waits of others. */
  #takeRelayed({ coverage }: Durable, released: VersionVector): void {
    const reached = (origin: Origin): Seq => Math.max(this.#claimed.get(origin), this.#acked.get(origin));
    for (const [origin, seq] of this.#relayed.take(reached, coverage, (origin) => !this.#waiting.holds(origin))) {
      this.#claimed.raise(origin, seq);
      released.raise(origin, seq);
    }
  }
}
