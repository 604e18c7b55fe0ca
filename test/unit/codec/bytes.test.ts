import { describe, expect, test } from "vitest";
import { allocate } from "../../../src/codec/allocate.ts";
import { ByteReader, ByteWriter, DecodeError } from "../../../src/codec/bytes.ts";
import { isUtf8 } from "../../../src/codec/utf8.ts";

const EDGES = [0, 1, 63, 64, 127, 128, 2 ** 13, 2 ** 14, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 49, 2 ** 53 - 1];
const AROUND = EDGES.flatMap((n) => [n - 1, n, n + 1]).filter((n) => n >= 0 && Number.isSafeInteger(n));

describe("numbers", () => {
  test.each(AROUND)("%i", (value) => {
    const writer = new ByteWriter();
    writer.varint(value);
    writer.signedVarint(value);
    writer.signedVarint(-value);
    const reader = new ByteReader(writer.bytes());
    expect(reader.varint()).toBe(value);
    expect(reader.signedVarint()).toBe(value);
    expect(reader.signedVarint()).toBe(value === 0 ? 0 : -value);
    expect(reader.remaining).toBe(0);
  });

  test.each([-1, 1.5, NaN, 2 ** 53, Infinity])("%s is no varint", (value) => {
    expect(() => new ByteWriter().varint(value)).toThrow("safe integer");
  });

  test.each([
    "ffffffffffffff20", // 2^53
    "ffffffffffffff7f",
    "ffffffffffffffff00", // nine bytes
    "80", // cut off
    "",
  ])("the varint %s is refused", (hex) => {
    expect(() => new ByteReader(Buffer.from(hex, "hex")).varint()).toThrow(DecodeError);
  });

  test("the largest varint", () => {
    expect(new ByteReader(Buffer.from("ffffffffffffff0f", "hex")).varint()).toBe(2 ** 53 - 1);
  });

  test("fixed widths, little-endian", () => {
    const writer = new ByteWriter();
    writer.u8(0x12);
    writer.u16(0x3456);
    writer.u32(0x789abcde);
    writer.f64(-0);
    expect(Buffer.from(writer.bytes()).toString("hex")).toBe("125634debc9a780000000000000080");
    const reader = new ByteReader(writer.bytes());
    expect([reader.u8(), reader.u16(), reader.u32(), reader.f64()]).toEqual([0x12, 0x3456, 0x789abcde, -0]);
  });
});

describe("a writer", () => {
  test("grows, and starts again after a reset", () => {
    const writer = new ByteWriter();
    const big = new Uint8Array(3_000_000).fill(5);
    writer.string("a");
    writer.raw(big);
    writer.hex("00ff");
    expect(writer.length).toBe(2 + big.length + 2);
    const reader = new ByteReader(writer.copy());
    expect(reader.string(1)).toBe("a");
    expect(Buffer.compare(reader.bytes(big.length), big)).toBe(0);
    expect(reader.hex(2)).toBe("00ff");
    writer.reset();
    writer.u8(1);
    expect(writer.bytes()).toEqual(new Uint8Array([1]));
  });

  test("patches and cuts", () => {
    const writer = new ByteWriter();
    writer.skip(4);
    writer.raw(new Uint8Array([1, 2, 3, 4]));
    writer.patch(0, 0xfedcba98, 4);
    writer.cut(5, 2);
    expect(writer.bytes()).toEqual(new Uint8Array([0xfe, 0xdc, 0xba, 0x98, 1, 4]));
  });

  test("writes nothing where a string is not ASCII", () => {
    const writer = new ByteWriter();
    expect(writer.ascii("ab\u00e9")).toBe(false);
    expect(writer.length).toBe(0);
    expect(writer.ascii("ab")).toBe(true);
    expect(writer.length).toBe(2);
  });

  test("copies that do not change", () => {
    const writer = new ByteWriter();
    writer.raw(new Uint8Array(100).fill(1));
    const copy = writer.copy();
    writer.reset();
    writer.raw(new Uint8Array(100).fill(2));
    expect(copy).toEqual(new Uint8Array(100).fill(1));
  });
});

describe("a reader", () => {
  test("reads views within a larger buffer, and nothing around them", () => {
    const outer = Buffer.from(`${"ff".repeat(8)}0161${"ff".repeat(8)}`, "hex");
    const reader = new ByteReader(outer.subarray(8, 10));
    expect(reader.bytes(2)).toEqual(new Uint8Array([1, 0x61]));
    expect(new ByteReader(outer.subarray(8, 10)).string(1)).toBe("a");
    expect(() => reader.u8()).toThrow(DecodeError);
    expect(() => new ByteReader(outer.subarray(8, 10)).f64()).toThrow(DecodeError);
  });

  test("refuses strings that are too long, cut off or not UTF-8", () => {
    expect(() => new ByteReader(Buffer.from("026161", "hex")).string(1)).toThrow(DecodeError);
    expect(() => new ByteReader(Buffer.from("0261", "hex")).string(9)).toThrow(DecodeError);
    expect(() => new ByteReader(Buffer.from("01ff", "hex")).string(9)).toThrow(DecodeError);
  });

  test("refuses counts that the bytes cannot hold", () => {
    expect(new ByteReader(Buffer.from("020000", "hex")).count(2, 1)).toBe(2);
    expect(() => new ByteReader(Buffer.from("020000", "hex")).count(1, 1)).toThrow(DecodeError);
    expect(() => new ByteReader(Buffer.from("020000", "hex")).count(2, 2)).toThrow(DecodeError);
  });
});

test("isUtf8 agrees with the platform around every boundary", () => {
  const platform = new TextDecoder("utf-8", { fatal: true });
  for (let lead = 0; lead < 256; lead++) {
    for (const second of [0, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff]) {
      for (const tail of [[], [0x80], [0x80, 0xbf], [0x80, 0xc0], [0xbf, 0x80, 0x61]]) {
        const bytes = new Uint8Array([lead, second, ...tail]);
        let good = true;
        try {
          platform.decode(bytes);
        } catch {
          good = false;
        }
        if (isUtf8(bytes, 0, bytes.length) !== good) expect.fail(`differs on ${Buffer.from(bytes).toString("hex")}`);
      }
    }
  }
});

test("isUtf8 finds a bad byte wherever it is, and looks at nothing outside its bounds", () => {
  for (let length = 0; length <= 40; length++) {
    const bytes = new Uint8Array(length + 2).fill(0x61);
    bytes[0] = 0xff;
    bytes[length + 1] = 0xff;
    expect(isUtf8(bytes, 1, length + 1)).toBe(true);
    for (let at = 1; at <= length; at++) {
      bytes[at] = 0x80;
      if (isUtf8(bytes, 1, length + 1)) expect.fail(`a bad byte at ${at} of ${length}`);
      bytes[at] = 0x61;
    }
  }
});

test("allocated bytes are zero and never overlap", () => {
  const all = Array.from({ length: 500 }, (_, i) => allocate(i));
  for (const bytes of all) expect(bytes.every((byte) => byte === 0)).toBe(true);
  for (const [i, bytes] of all.entries()) bytes.fill(i);
  for (const [i, bytes] of all.entries()) expect(bytes.every((byte) => byte === i % 256)).toBe(true);
});
