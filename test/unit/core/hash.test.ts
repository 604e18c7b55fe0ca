import { expect, test } from "vitest";
import { hashEntry, hashKey } from "../../../src/core/hash.ts";

// Published vectors of MurmurHash3 x86 32, seed 0; every length of the last word.
test.each([
  ["", 0],
  ["test", 0xba6bd213],
  ["Hello, world!", 0xc0363e43],
  ["The quick brown fox jumps over the lazy dog", 0x2e4ff723],
])("the key hash of %j is that of MurmurHash3", (text, expected) => {
  expect(hashKey(Buffer.from(text))).toBe(expected);
});

test("the entry hash stays what it is: replicas of all versions compare it", () => {
  const view = new DataView(new ArrayBuffer(16));
  for (let at = 0; at < 16; at += 1) view.setUint8(at, at * 17);
  const lanes = new Uint32Array(4);
  hashEntry(lanes, 2, Number.MAX_SAFE_INTEGER, 2 ** 33 + 5, 7, 0xdeadbeef, view, 4, 3, 6);
  expect([...lanes]).toEqual([0, 0, 0xed5dcf58, 0x1f257f30]);
});
