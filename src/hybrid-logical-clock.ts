/**
 * Hybrid logical clock after Kulkarni, Demirbas, Madappa, Avva, Leone: "Logical Physical Clocks and
 * Consistent Snapshots in Globally Distributed Databases" (2014).
 *
 * A stamp is one safe integer, `milliseconds x 2048 + counter`. Packing both into a number makes
 * comparison `<`, fits a Float64Array, and lets the counter carry into the milliseconds by plain
 * addition, which is what the paper's bound on drift needs: a burst of more than 2,048 events within
 * a millisecond runs ahead of the wall clock by a millisecond and waits for nobody. 42 bits of
 * milliseconds reach to the year 2109.
 */
import { assert } from "./invariant.ts";
import type { Millis, Stamp } from "./types.ts";

const COUNTS_PER_MILLI = 2 ** 11;

/** The largest milliseconds that a stamp can carry: 15 May 2109. */
export const STAMP_MILLIS_MAX: Millis = 2 ** 42 - 1;

/** The largest stamp. */
export const STAMP_MAX: Stamp = Number.MAX_SAFE_INTEGER;

/** The earliest stamp of a millisecond. `millis` is brought into range and cut to an integer. */
export function stampAt(millis: Millis): Stamp {
  return Math.min(Math.max(Math.floor(millis), 0), STAMP_MILLIS_MAX) * COUNTS_PER_MILLI;
}

/** The milliseconds in a stamp. */
export function millisOf(stamp: Stamp): Millis {
  return Math.floor(stamp / COUNTS_PER_MILLI);
}

/** Whether `value` is a stamp that any clock may issue. */
export function isStamp(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}

/**
 * Issues strictly increasing stamps, each above everything observed before it. Holds one number, asks
 * nobody for the time.
 */
export class HybridLogicalClock {
  #last: Stamp;

  /** @param last  everything issued will be above this stamp */
  constructor(last: Stamp = 0) {
    this.#last = last;
  }

  /** The highest stamp issued or observed. */
  get last(): Stamp {
    return this.#last;
  }

  /**
   * The stamp of an event that happens here, now.
   *
   * @param now  the wall clock, which may stand still or go back
   */
  tick(now: Millis): Stamp {
    const next = Math.max(stampAt(now), this.#last + 1);
    assert(Number.isSafeInteger(next), "the clock stays below the year 2109");
    this.#last = next;
    return next;
  }

  /** Takes note of a stamp from elsewhere. The caller has bounded it (see admission). */
  observe(stamp: Stamp): void {
    if (stamp > this.#last) this.#last = stamp;
  }

  /** The time by which entries expire: the wall clock, but never before what this clock has seen or issued. */
  now(now: Millis): Millis {
    return Math.max(Math.floor(now), millisOf(this.#last));
  }
}
