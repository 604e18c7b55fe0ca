import { describe, expect, test } from "vitest";
import { DecodeError } from "../../../src/codec/bytes.ts";
import { checkKey, decodeKey, encodeKey, KeyScratch, keyBytes } from "../../../src/codec/keys.ts";
import { ReplicaError } from "../../../src/errors.ts";

const scratch = new KeyScratch();

/** What the scratch has of a key: a copy. */
function scratched(key: unknown, bytesMax: number): Uint8Array {
  const length = scratch.encode(key, bytesMax);
  return scratch.bytes.slice(0, length);
}

describe("checkKey, keyBytes and KeyScratch", () => {
  test.each(["a".repeat(10), "\u00e9".repeat(5), "\u20ac\u20ac\u20aca", "\u{1f600}\u{1f600}ab", "__proto__", "\0"])(
    "accept %j up to and including the limit",
    (key) => {
      expect(checkKey(key, 10)).toBe(key);
      expect(keyBytes(key, 10)).toEqual(new Uint8Array(Buffer.from(key)));
      expect(scratched(key, 10)).toEqual(new Uint8Array(Buffer.from(key)));
    },
  );

  test.each<[unknown, string]>([
    ["a".repeat(11), "11 bytes"],
    [`${"\u00e9".repeat(5)}a`, "11 bytes"],
    ["\u20ac".repeat(4), "12 bytes"],
    ["", "one byte"],
    ["\ud800", "well-formed"],
    ["a\udc00b", "well-formed"],
    [1, "number"],
    [null, "null"],
    [undefined, "undefined"],
    [["a"], "an array"],
    [Object("a"), "object"],
    [new Proxy(["a"], {}), "an array"],
    [{ length: 1, charCodeAt: () => 97, isWellFormed: () => true }, "object"],
  ])("refuse %j", (key, message) => {
    for (const read of [checkKey, keyBytes, scratched]) {
      expect(() => read(key, 10)).toThrow(ReplicaError);
      expect(() => read(key, 10)).toThrow(message);
    }
  });

  // Around the lengths at which the way of encoding changes, and that of the memory that is used again.
  test.each([1, 23, 24, 25, 84, 85, 86, 127, 128, 129, 255, 256, 257, 300])("agree on %i characters", (length) => {
    for (const last of ["a", "\x7f", "\u0080", "\u07ff", "\u0800", "\uffff", "\ud800", "\udc00", "\u{10000}"]) {
      for (const key of ["a".repeat(length - 1) + last, last + "a".repeat(length - 1), last.repeat(length)]) {
        const expected = new Uint8Array(Buffer.from(key));
        for (const read of [keyBytes, scratched]) {
          if (key.isWellFormed()) {
            expect(read(key, expected.length)).toEqual(expected);
            expect(() => read(key, expected.length - 1)).toThrow(expected.length === 1 ? "at most" : ReplicaError);
          } else expect(() => read(key, 1000)).toThrow("well-formed");
        }
      }
    }
  });

  test("a refused key leaves nothing of itself to the next one", () => {
    expect(scratched("b".repeat(30), 100)).toHaveLength(30);
    expect(() => scratched("\ud800", 100)).toThrow(ReplicaError);
    expect(() => scratched("c".repeat(101), 100)).toThrow(ReplicaError);
    expect(decodeKey(scratched("ab", 100))).toBe("ab");
  });
});

describe("keys and bytes", () => {
  test.each([1, 12, 13, 16, 17, 24, 25, 1024, 5000])("of %i characters", (length) => {
    for (const character of ["a", "\x7f", "\u0080", "\u20ac", "\u{10ffff}", "\ufffd"]) {
      const key = character.repeat(length);
      const bytes = encodeKey(key);
      expect(Buffer.compare(bytes, Buffer.from(key))).toBe(0);
      expect(decodeKey(bytes)).toBe(key);
      const mixed = "a".repeat(length - 1) + character;
      expect(decodeKey(encodeKey(mixed))).toBe(mixed);
    }
  });

  test("do not share memory with each other", () => {
    const keys = Array.from({ length: 5000 }, (_, i) => `key ${i}`);
    const bytes = keys.map(encodeKey);
    expect(bytes.map(decodeKey)).toEqual(keys);
  });

  test.each(["ff", "61c3", `${"61".repeat(30)}ff`, "eda080", `efbfbd${"61".repeat(20)}80`])("refuses %s", (hex) => {
    expect(() => decodeKey(Buffer.from(hex, "hex"))).toThrow(DecodeError);
  });
});
