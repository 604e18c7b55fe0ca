/** Ranges that are neither a key nor a prefix: found without looking at the others. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { byteRange, isInRange, type KeyRange } from "../../../src/data/key-ranges.ts";
import { IntervalTree } from "../../../src/watch/interval-tree.ts";

const text = fc.string({ unit: fc.constantFrom("a", "b", "é"), maxLength: 3 });
const range: fc.Arbitrary<KeyRange> = fc.oneof(
  text.map((prefix) => ({ prefix })),
  fc.record({ gte: text, lt: text }, { requiredKeys: [] }),
);
const command = fc.record({ add: fc.boolean(), range, item: fc.nat(3) });

test("after any adds and removes it finds what a list finds", () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 80, size: "max" }), fc.array(text), (commands, keys) => {
      const index = new IntervalTree<number>();
      const list = new Map<string, { range: KeyRange; item: number }>();
      for (const { add, range, item } of commands) {
        const bytes = byteRange(range);
        const name = `${Buffer.from(bytes.gte).toString("hex")} ${Buffer.from(bytes.lt).toString("hex")} ${item}`;
        if (add === list.has(name)) continue;
        if (add) list.set(name, { range, item });
        else list.delete(name);
        index[add ? "add" : "remove"](bytes, item);
        expect(index.size).toBe(list.size);
      }
      expect([...index].sort()).toEqual([...list.values()].map(({ item }) => item).sort());
      for (const key of keys) {
        const bytes = Buffer.from(key);
        const found: number[] = [];
        index.visit(bytes, (item) => found.push(item));
        const expected = [...list.values()].filter(({ range }) => isInRange(bytes, byteRange(range)));
        expect(found.sort()).toEqual(expected.map(({ item }) => item).sort());
      }
    }),
    { numRuns: 500 },
  );
});

test.each([["in order"], ["backwards"], ["shuffled"]])(
  "of 10,000 distinct prefixes, added %s, a key costs fewer than 120 comparisons, and 10,000 removes leave nothing",
  (order) => {
    let comparisons = 0;
    const index = new IntervalTree<number>((a, b) => {
      comparisons += 1;
      return a < b;
    });
    const numbers = Array.from({ length: 10_000 }, (_, i) => (order === "shuffled" ? (i * 7919) % 10_000 : i));
    if (order === "backwards") numbers.reverse();
    const rangeOf = (n: number) => byteRange({ prefix: `user/${n}/` });
    for (const n of numbers) index.add(rangeOf(n), n);
    let worst = 0;
    for (let n = 0; n < 10_000; n += 7) {
      comparisons = 0;
      const found: number[] = [];
      index.visit(Buffer.from(`user/${n}/name`), (item) => found.push(item));
      expect(found).toEqual([n]);
      worst = Math.max(worst, comparisons);
    }
    // log2(10,000) is 13; each node on the way costs up to 3 comparisons, and a treap is about twice as deep as it could be.
    expect(worst).toBeLessThan(120);
    for (const n of numbers) index.remove(rangeOf(n), n);
    expect([index.size, [...index]]).toEqual([0, []]);
  },
);
