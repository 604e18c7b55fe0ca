/**
 * Which writes of others a peer may be told to have, ahead of the marks.
 *
 * A mark waits for everything that waits. Where each of two relays holds back for a peer what the other one supplies, marks
 * alone would wait for each other in a circle (PROTOCOL.md, "Why runs are needed"). But of one origin more is known: when
 * every write with a seq in (from, to] has become durable here as it was written, each was sent to the peer, came from it,
 * is covered by it, or is on the waiting list. So once none of this origin is on that list, and the peer has what
 * lies before, it has all of them. A write that never came by, since a later one of another origin had beaten it, leaves
 * a gap, and only a mark claims what lies beyond.
 */
import type { VersionVector } from "../core/version-vector.ts";
import type { Entry, Origin, Seq } from "../types.ts";

interface Run {
  readonly from: Seq;
  to: Seq;
}

export class RelayedRuns {
  /** Of each origin the run that goes on, while not all of it is known to be had by the peer. */
  readonly #runs = new Map<Origin, Run>();

  get isEmpty(): boolean {
    return this.#runs.size === 0;
  }

  /** These, none of them our own, have become durable, and were passed on or wait. */
  pass(entries: readonly Entry[]): void {
    let last: Origin | undefined;
    let run: Run | undefined;
    for (const { origin, seq } of entries) {
      if (origin !== last) run = this.#runs.get(origin);
      last = origin;
      if (run !== undefined && seq <= run.to && seq > run.from) continue;
      if (run?.to === seq - 1) run.to = seq;
      else {
        run = { from: seq - 1, to: seq };
        this.#runs.set(origin, run);
      }
    }
  }

  /** Nothing of what has passed is known any more. */
  clear(): void {
    this.#runs.clear();
  }

  /**
   * Takes out what may be claimed, and forgets what the peer has.
   *
   * @param reached  up to where the peer covers an origin, or was told that it may
   * @param covered  our own coverage, durably: nobody is told more
   * @param mayClaim  whether nothing of that origin waits
   */
  take(
    reached: (origin: Origin) => Seq,
    covered: VersionVector,
    mayClaim: (origin: Origin) => boolean,
  ): [Origin, Seq][] {
    const claims: [Origin, Seq][] = [];
    for (const [origin, { from, to }] of this.#runs) {
      const has = reached(origin);
      if (has >= to) this.#runs.delete(origin);
      if (has >= to || has < from || !mayClaim(origin)) continue;
      const upTo = Math.min(to, covered.get(origin));
      if (upTo > has) claims.push([origin, upTo]);
    }
    return claims;
  }
}
