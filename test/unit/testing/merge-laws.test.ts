/** The checker of merge laws finds what breaks each of them, and nothing in what is lawful. */
import { expect, test } from "vitest";
import { checkMergeLaws } from "../../../src/testing/merge-laws.ts";

const sets = [[], [1], [2], [1, 2], [2, 3]];
const union = (a: number[], b: number[]): number[] => [...new Set([...a, ...b])].sort((x, y) => x - y);

test("lawful merges pass", () => {
  checkMergeLaws(union, sets);
  checkMergeLaws(Math.max, [-1, 0, 0.5, 7]);
  checkMergeLaws(() => 1, [1]);
});

test.each<[string, (a: number[], b: number[]) => number[]]>([
  ["merge(a, a) is a", (a, b) => [...a, ...b]],
  ["merge(a, b) is merge(b, a)", (a) => a],
  // The longer one, else the middle of both: commutative and idempotent.
  ["merge(merge(a, b), c) is merge(a, merge(b, c))", ([a = 0], [b = 0]) => (a === b ? [a] : [(a + b) / 2])],
  [
    "merge must not change its arguments",
    (a, b) => {
      const joined = union(a, b);
      a.push(...b);
      return joined;
    },
  ],
])("%s", (law, merge) => {
  const values = law.startsWith("merge(merge") ? [[1], [2], [3]] : sets;
  expect(() => checkMergeLaws(merge, values)).toThrow(law);
});

test("takes so many values that it ends", () => {
  expect(() => checkMergeLaws(Math.max, Array(61).fill(1))).toThrow(RangeError);
});
