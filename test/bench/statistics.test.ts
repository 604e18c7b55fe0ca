import { expect, test } from "vitest";
import { Zipf } from "../../scripts/bench/inputs.ts";
import { median, percentile, ratioOf } from "../../scripts/bench/statistics.ts";

test("a median is in the middle, whatever the order", () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(() => median([])).toThrow("no samples");
});

test("a percentile lies between two neighbours in proportion", () => {
  expect(percentile([10, 20, 30, 40, 50], 0)).toBe(10);
  expect(percentile([10, 20, 30, 40, 50], 1)).toBe(50);
  expect(percentile([10, 20, 30, 40, 50], 0.9)).toBeCloseTo(46);
});

test("a ratio is taken within rounds", () => {
  // The machine is three times as slow in the second round; the ratio of the medians would be 2 / 3.
  expect(ratioOf([10, 30, 20], [20, 60, 30])).toBe(0.5);
  // A round that the other one did not finish does not count.
  expect(ratioOf([10, 30, 1000], [20, 60])).toBe(0.5);
  expect(ratioOf([1], [])).toBeNaN();
});

test("a few numbers are picked often, all of them below the bound", () => {
  const zipf = new Zipf(1000, 1);
  const counts = new Map<number, number>();
  for (let round = 0; round < 10_000; round += 1) {
    const rank = zipf.rank();
    expect(rank).toBeGreaterThanOrEqual(0);
    expect(rank).toBeLessThan(1000);
    counts.set(rank, (counts.get(rank) ?? 0) + 1);
  }
  // With 0.99 and 1,000 the first of them is asked for about every eighth time.
  expect(counts.get(0)).toBeGreaterThan(1000);
  expect(counts.get(0)).toBeLessThan(1700);
  expect(counts.get(0)).toBeGreaterThan(counts.get(10) ?? 0);
});
