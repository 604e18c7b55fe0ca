import { describe, expect, test } from "vitest";
import { DecodeError } from "../../../src/codec/bytes.ts";
import { checkKey, decodeKey, encodeKey } from "../../../src/codec/keys.ts";
import { ReplicaError } from "../../../src/errors.ts";

describe("checkKey", () => {
  test.each(["a".repeat(10), "\u00e9".repeat(5), "\u20ac\u20ac\u20aca", "\u{1f600}\u{1f600}ab", "__proto__", "\0"])(
    "accepts %j up to and including the limit",
    (key) => {
      expect(checkKey(key, 10)).toBe(key);
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
  ])("refuses %j", (key, message) => {
    expect(() => checkKey(key, 10)).toThrow(ReplicaError);
    expect(() => checkKey(key, 10)).toThrow(message);
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
