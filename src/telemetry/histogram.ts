/** Counts how often values fall into fixed ranges. */

/** Observations since the replica was opened. */
export interface Histogram {
  /** Upper ends of the ranges, both `bounds[i - 1] < value` and `value <= bounds[i]`; one range more is above the last. */
  readonly bounds: readonly number[];
  /** How many values fell into each range: one more than there are bounds. */
  readonly counts: readonly number[];
  readonly count: number;
  readonly sum: number;
}

/** From a quarter of a write to the page cache to a disk that hangs. */
export const DURATION_MS_BOUNDS: readonly number[] = [
  0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 60_000,
];
export const BYTES_BOUNDS: readonly number[] = [64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 8_388_608];
export const COUNT_BOUNDS: readonly number[] = [1, 2, 5, 10, 25, 100, 250, 1000, 2500, 10_000];

export class HistogramCounter {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #count = 0;
  #sum = 0;

  /** @param bounds  ascending */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  record(value: number): void {
    let range = 0;
    while (range < this.#bounds.length && value > (this.#bounds[range] ?? 0)) range += 1;
    this.#counts[range] = (this.#counts[range] ?? 0) + 1;
    this.#count += 1;
    this.#sum += value;
  }

  /** A copy that does not change any more. */
  snapshot(): Histogram {
    return { bounds: this.#bounds, counts: [...this.#counts], count: this.#count, sum: this.#sum };
  }
}
