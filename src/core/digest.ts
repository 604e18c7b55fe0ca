import { DIGEST_BUCKETS } from "../limits.ts";
import type { EntryRun } from "./entry-run.ts";
import { bucketOf } from "./key-index.ts";

/**
 * Sums of the entry hashes (hash.ts) of all entries with a value: one per bucket, and one of them all.
 * Each of the two lanes is summed on its own, modulo 2^32, so the order of arrival does not matter.
 * Written as 16 hex digits: lane a, then lane b.
 */
export class Digest {
  /** Two lanes per bucket; those of the root are behind them. */
  readonly #sums = new Uint32Array((DIGEST_BUCKETS + 1) * 2);

  /** Adds an entry hash, or takes it out if both lanes are negative. */
  add(bucket: number, a: number, b: number): void {
    const sums = this.#sums;
    sums[bucket * 2]! += a;
    sums[bucket * 2 + 1]! += b;
    sums[DIGEST_BUCKETS * 2]! += a;
    sums[DIGEST_BUCKETS * 2 + 1]! += b;
  }

  /** Adds the entries of a run that have a value. */
  addRun({ count, keyHashes, valueLengths, hashes }: EntryRun): void {
    const sums = this.#sums;
    let a = 0;
    let b = 0;
    for (let index = 0; index < count; index += 1) {
      if (valueLengths[index]! < 0) continue;
      const at = bucketOf(keyHashes[index]!) * 2;
      const laneA = hashes[index * 2]!;
      const laneB = hashes[index * 2 + 1]!;
      sums[at]! += laneA;
      sums[at + 1]! += laneB;
      a = (a + laneA) | 0;
      b = (b + laneB) | 0;
    }
    sums[DIGEST_BUCKETS * 2]! += a;
    sums[DIGEST_BUCKETS * 2 + 1]! += b;
  }

  root(): string {
    return this.bucket(DIGEST_BUCKETS);
  }

  bucket(index: number): string {
    return hex(this.#sums[index * 2]!) + hex(this.#sums[index * 2 + 1]!);
  }
}

function hex(lane: number): string {
  return lane.toString(16).padStart(8, "0");
}
