/** The index of watches: finds exactly those that a key concerns, without looking at the others. */
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { byteRange, isInRange, type KeyRange } from "../../../src/data/key-ranges.ts";
import { RangeIndex } from "../../../src/watch/range-index.ts";

const text = fc.string({ unit: fc.constantFrom("a", "b", "é"), maxLength: 3 });
const range: fc.Arbitrary<KeyRange> = fc.oneof(
  text.map((prefix) => ({ prefix })),
  text.map((key) => ({ gte: key, lte: key })),
  fc.record({ gte: text, lt: text }, { requiredKeys: [] }),
);
const command = fc.record({ add: fc.boolean(), range, item: fc.nat(3) });

test("after any adds and removes it finds what a list finds", () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 80, size: "max" }), fc.array(text), (commands, keys) => {
      const index = new RangeIndex<number>();
      const list = new Map<string, { range: KeyRange; item: number }>();
      for (const { add, range, item } of commands) {
        const bytes = byteRange(range);
        const name = `${Buffer.from(bytes.gte).toString("hex")} ${Buffer.from(bytes.lt).toString("hex")} ${item}`;
        if (add && list.has(name)) continue;
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

test("of 10,000 distinct prefixes and keys, one look for each length that there is", () => {
  const index = new RangeIndex<string>();
  const rangesOf = (n: number) => [byteRange({ prefix: `user/${n}/` }), byteRange({ gte: `k${n}`, lte: `k${n}` })];
  for (let n = 0; n < 10_000; n += 1) for (const range of rangesOf(n)) index.add(range, `item ${n}`);
  const looks = vi.spyOn(Map.prototype, "get");
  const found: string[] = [];
  const visit = (key: string): number => {
    looks.mockClear();
    index.visit(Buffer.from(key), (item) => found.push(item));
    return looks.mock.calls.length;
  };
  // Prefixes have 7 to 10 bytes; the key itself is the fifth look.
  const counts = ["user/1/name", "user/1234/name", "k77", "other/1/name"].map(visit);
  looks.mockRestore();
  expect(counts).toEqual([5, 5, 1, 5]);
  expect(found).toEqual(["item 1", "item 1234", "item 77"]);
  for (let n = 0; n < 10_000; n += 1) for (const range of rangesOf(n)) index.remove(range, `item ${n}`);
  expect([index.size, [...index]]).toEqual([0, []]);
});

test("bytes with the same hash are told apart", () => {
  // Found by trying half a million.
  const [a, b] = ["003pwu", "00a5fa"];
  expect(fnv1a(a)).toBe(fnv1a(b));
  const index = new RangeIndex<string>();
  for (const prefix of [a, b]) index.add(byteRange({ prefix }), prefix);
  const foundFor = (key: string): string[] => {
    const found: string[] = [];
    index.visit(Buffer.from(key), (item) => found.push(item));
    return found;
  };
  expect([foundFor(`${a}x`), foundFor(`${b}x`)]).toEqual([[a], [b]]);
  index.remove(byteRange({ prefix: b }), b);
  expect([foundFor(`${a}x`), foundFor(`${b}x`)]).toEqual([[a], []]);
  index.remove(byteRange({ prefix: a }), a);
  expect([foundFor(`${a}x`), index.size]).toEqual([[], 0]);
});

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}
