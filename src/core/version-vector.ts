import type { Origin, Seq } from "../types.ts";

/** Pairs of a vector, as they travel. */
export type VectorPairs = readonly (readonly [Origin, Seq])[];

/**
 * A map from origin to the highest sequence number up to which everything of that origin is had.
 * An origin that is not in it counts as 0: nothing.
 */
export class VersionVector {
  readonly #seqs = new Map<Origin, Seq>();
  #revision = 0;

  constructor(pairs: Iterable<readonly [Origin, Seq]> = []) {
    for (const [origin, seq] of pairs) this.raise(origin, seq);
  }

  get size(): number {
    return this.#seqs.size;
  }

  /** Grows with every change: what was found out about a vector holds for as long as this is the same. */
  get revision(): number {
    return this.#revision;
  }

  get(origin: Origin): Seq {
    return this.#seqs.get(origin) ?? 0;
  }

  /** Whether write number `seq` of `origin` is included. */
  covers(origin: Origin, seq: Seq): boolean {
    return seq <= this.get(origin);
  }

  /** Whether everything in `other` is included. */
  dominates(other: VersionVector): boolean {
    for (const [origin, seq] of other.#seqs) if (!this.covers(origin, seq)) return false;
    return true;
  }

  /** Raises one component; a lower `seq` changes nothing. Returns whether it moved. */
  raise(origin: Origin, seq: Seq): boolean {
    if (seq <= this.get(origin)) return false;
    this.#seqs.set(origin, seq);
    this.#revision += 1;
    return true;
  }

  /** Sets one component, also to less than it was. */
  replace(origin: Origin, seq: Seq): void {
    if (seq > 0) this.#seqs.set(origin, seq);
    else this.#seqs.delete(origin);
    this.#revision += 1;
  }

  clone(): VersionVector {
    return new VersionVector(this.#seqs);
  }

  /** What both include: of each component the lower one. */
  meet(other: VersionVector): VersionVector {
    const pairs: [Origin, Seq][] = [];
    for (const [origin, seq] of this.#seqs) {
      const lower = Math.min(seq, other.get(origin));
      if (lower > 0) pairs.push([origin, lower]);
    }
    return new VersionVector(pairs);
  }

  /** Raises every component to that of `pairs`. */
  join(pairs: Iterable<readonly [Origin, Seq]>): void {
    for (const [origin, seq] of pairs) this.raise(origin, seq);
  }

  /** The components that are above those of `base`. */
  above(base: VersionVector): [Origin, Seq][] {
    const pairs: [Origin, Seq][] = [];
    for (const [origin, seq] of this.#seqs) if (!base.covers(origin, seq)) pairs.push([origin, seq]);
    return pairs;
  }

  [Symbol.iterator](): IterableIterator<[Origin, Seq]> {
    return this.#seqs.entries();
  }
}
