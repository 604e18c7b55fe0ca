import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { DecodeError } from "../../../src/codec/bytes.ts";
import { decodeValue, encodeValue, isValue, knownValue } from "../../../src/codec/values.ts";
import { ReplicaError } from "../../../src/errors.ts";

function there(value: unknown): unknown {
  const bytes = encodeValue(value);
  expect(isValue(bytes)).toBe(true);
  const decoded = decodeValue(bytes);
  // As in a table: between other bytes, which have no say.
  const table = new Uint8Array(bytes.length + 3).fill(0xff);
  table.set(bytes, 1);
  expect(Buffer.compare(encodeValue(knownValue(table, 1, 1 + bytes.length)), bytes)).toBe(0);
  return decoded;
}

function refusal(value: unknown, bytesMax?: number): ReplicaError {
  try {
    encodeValue(value, bytesMax);
  } catch (error) {
    if (error instanceof ReplicaError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

function nested(levels: number): unknown {
  let value: unknown = [];
  for (let i = 1; i < levels; i++) value = [value];
  return value;
}

describe("a value comes back as what it was", () => {
  const integers = [0, 0x1f, 0x20, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000];
  const edges = [2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 2 ** 53, 2 ** 63, 2 ** 64];
  const numbers = [...integers, ...edges].flatMap((n) => [n - 1, n, n + 1]).flatMap((n) => [n, -n]);
  const floats = [0.1, -1.5, 5e-324, 1.7976931348623157e308, Infinity, -Infinity, NaN, -0];
  test.each([...numbers, ...floats])("number %s", (value) => {
    expect(there(value)).toBe(value);
  });

  const bigints = [0n, 5n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n];
  test.each([...bigints, ...bigints.map((n) => -n).filter((n) => n >= -(2n ** 63n))])("bigint %s", (value) => {
    expect(there(value)).toBe(value);
  });

  test.each([0, 1, 15, 16, 17, 31, 32, 33, 255, 256, 65_535, 65_536])("strings and bytes of %i bytes", (length) => {
    const ascii = "a".repeat(length);
    expect(there(ascii)).toBe(ascii);
    const accented = "\u00e9".repeat(length);
    expect(there(accented)).toBe(accented);
    expect(there({ [ascii]: accented })).toEqual({ [ascii]: accented });
    const bytes = new Uint8Array(length).fill(7);
    expect(Buffer.compare(there(bytes) as Uint8Array, bytes)).toBe(0);
  });

  test.each(["\0", "\ufffd", "\ufeffx", "x\ufffdy".repeat(9), "\u{10ffff}", "\ud7ff\ue000", `${"a".repeat(15)}\u20ac`])(
    "string %j",
    (value) => {
      expect(there(value)).toBe(value);
    },
  );

  test.each([31, 32, 33, 255, 256])("the limit counts a string of %i characters with its head", (length) => {
    for (const value of ["a".repeat(length), `${"a".repeat(length - 1)}\u0080`]) {
      const bytes = encodeValue(value);
      expect(encodeValue(value, bytes.length)).toEqual(bytes);
      expect(refusal(value, bytes.length - 1).code).toBe("ERR_LIMIT");
    }
    expect(refusal(`${"a".repeat(length - 1)}\ud800`).code).toBe("ERR_VALUE");
  });

  test.each([0, 1, 63, 64, 65, 100, 5000])("%i bytes are the reader's own, to change and to transfer", (length) => {
    const bytes = encodeValue(new Uint8Array(length).fill(7));
    const read = (): Uint8Array => knownValue(bytes, 0, bytes.length) as Uint8Array;
    const [first, second] = [read(), read()];
    expect([first.constructor, first.byteOffset, first.buffer.byteLength]).toEqual([Uint8Array, 0, length]);
    first.fill(9);
    structuredClone(first, { transfer: [first.buffer as ArrayBuffer] });
    expect(first).toHaveLength(0);
    for (const other of [second, read()]) expect(other).toEqual(new Uint8Array(length).fill(7));
  });

  test.each([0, 1, 15, 16, 65_535, 65_536])("arrays, objects and Maps of %i members", (length) => {
    const array = Array.from({ length }, (_, i) => i);
    expect((there(array) as number[]).join()).toBe(array.join());
    const map = new Map(array.map((i) => [i, null]));
    // Comparing Maps as such takes quadratic time.
    expect([...(there(map) as typeof map)].join()).toBe([...map].join());
    const object = Object.fromEntries(array.map((i) => [`f${i}`, i]));
    expect(Object.entries(there(object) as object).join()).toBe(Object.entries(object).join());
  });

  const dates = [0, 1, -1, 999, 1000, -1000, 1.7e12 + 123, 2 ** 34 * 1000 - 1, 2 ** 34 * 1000, 8.64e15, -8.64e15, NaN];
  test.each(dates)("Date %s", (millis) => {
    const date = there(new Date(millis));
    expect(date).toBeInstanceOf(Date);
    expect((date as Date).getTime()).toBe(millis);
  });

  test("null, booleans and a mix of everything", () => {
    const mix = {
      none: null,
      yes: true,
      no: false,
      map: new Map<unknown, unknown>([
        [{ object: "key" }, [1n, 1]],
        [new Map([[NaN, -0]]), new Date(5)],
        [1n, "bigint"],
        [1, "number"],
        [null, new Uint8Array([1, 2])],
      ]),
    };
    expect(there(mix)).toStrictEqual(mix);
    expect(there(null)).toBeNull();
    expect(there(true)).toBe(true);
    expect(there(false)).toBe(false);
  });

  test("an empty Map is no empty object", () => {
    expect(there(new Map())).toStrictEqual(new Map());
    expect(there({})).toStrictEqual({});
    expect(there([])).toStrictEqual([]);
  });

  test.each(["__proto__", "constructor", "toString", "hasOwnProperty", "", "0", "length"])("field %j", (name) => {
    const value = Object.fromEntries([[name, { polluted: true }]]);
    const back = there(value) as Record<string, unknown>;
    expect(Object.getOwnPropertyNames(back)).toEqual([name]);
    expect(Object.getOwnPropertyDescriptor(back, name)).toEqual({
      value: { polluted: true },
      writable: true,
      enumerable: true,
      configurable: true,
    });
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false);
  });

  test("objects without a prototype, and of another realm", () => {
    expect(there(Object.assign(Object.create(null), { a: 1 }))).toStrictEqual({ a: 1 });
    expect(there(runInNewContext("({ a: [1, { b: new Uint8Array([3]) }] })"))).toStrictEqual({
      a: [1, { b: new Uint8Array([3]) }],
    });
  });

  test("a Buffer comes back as Uint8Array", () => {
    const back = there(Buffer.from([1, 2, 3]));
    expect(Object.getPrototypeOf(back)).toBe(Uint8Array.prototype);
    expect(back).toEqual(new Uint8Array([1, 2, 3]));
  });

  test.each([3, 33, 5000])("nothing aliases %i bytes", (length) => {
    const original = new Uint8Array(length).fill(1);
    const bytes = encodeValue(original);
    const encoded = Buffer.from(bytes).toString("hex");
    original.fill(2);
    expect(Buffer.from(bytes).toString("hex")).toBe(encoded);
    const view = Buffer.from(bytes);
    const back = decodeValue(view) as Uint8Array;
    view.fill(0);
    expect(back).toEqual(new Uint8Array(length).fill(1));
    // The embedder may hand its ArrayBuffer over to a worker.
    expect(back.buffer.byteLength).toBe(length);
  });
});

describe("undefined fields are left out", () => {
  test.each([
    [1, 15],
    [2, 15],
    [1, 16],
    [10, 16],
    [1, 65_535],
    [1, 65_536],
    [65_536, 0],
  ])("%i of them beside %i others", (missing, present) => {
    const kept = Object.fromEntries(Array.from({ length: present }, (_, i) => [`k${i}`, i]));
    const gone = Object.fromEntries(Array.from({ length: missing }, (_, i) => [`u${i}`, undefined]));
    const bytes = encodeValue([{ ...gone, ...kept }, "behind"]);
    expect(Buffer.compare(bytes, encodeValue([kept, "behind"]))).toBe(0);
  });
});

describe("what cannot be stored is refused, with its place", () => {
  class Thing {
    field = 1;
  }
  const cycle: Record<string, unknown> = { wide: "x".repeat(1_000_000) };
  cycle.self = { cycle };
  test.each<[string, unknown, string]>([
    ["undefined", undefined, "undefined, at value"],
    ["a function", { a: { b: () => 1 } }, "a function, at value.a.b"],
    ["a symbol", [0, Symbol("s")], "a symbol, at value[1]"],
    ["an undefined element", { list: [1, undefined] }, "undefined, at value.list[1]"],
    ["a hole", Object.assign([1], { 2: 3 }), "undefined, at value[1]"],
    ["a class instance", new Thing(), "an object of the kind Thing, at value"],
    ["a Set", { "odd name": new Set() }, 'an object of the kind Set, at value["odd name"]'],
    ["a RegExp", /x/, "the kind RegExp"],
    ["an Error", new Error("x"), "the kind Error"],
    ["a Promise", Promise.resolve(), "the kind Promise"],
    ["a WeakMap", new WeakMap(), "the kind WeakMap"],
    ["a boxed number", Object(1), "the kind Number"],
    ["an ArrayBuffer", new ArrayBuffer(1), "the kind ArrayBuffer"],
    ["another typed array", new Uint16Array(1), "the kind Uint16Array"],
    ["a clamped array", new Uint8ClampedArray(1), "the kind Uint8ClampedArray"],
    ["a DataView", new DataView(new ArrayBuffer(1)), "the kind DataView"],
    ["a derived Map", new (class Mine extends Map {})(), "the kind Mine"],
    ["a derived Date", new (class Mine extends Date {})(), "the kind Mine"],
    ["a derived array", new (class Mine extends Array {})(), "the kind Mine"],
    ["an object with inherited fields", Object.create({ inherited: 1 }), "an object of the kind"],
    ["a false Date", Object.create(Date.prototype), "at value"],
    ["in a Map", new Map([["k", undefined]]), 'undefined, at value.get("k")'],
    ["as a key of a Map", new Map([[undefined, 1]]), "undefined, at value.keys()"],
    ["a large bigint", 2n ** 64n, "a bigint beyond 64 bits"],
    ["a small bigint", -(2n ** 63n) - 1n, "a bigint beyond 64 bits"],
    ["a short ill-formed string", ["\ud800"], "lone surrogates, at value[0]"],
    ["a long ill-formed string", `${"x".repeat(100)}\udc00`, "lone surrogates"],
    ["an ill-formed name", { a: { "\ud800": 1 } }, "lone surrogates"],
    ["a cycle, before its size", cycle, "a cycle, at value.self.cycle"],
  ])("%s", (_name, value, message) => {
    const error = refusal(value);
    expect(error.code).toBe("ERR_VALUE");
    expect(error.message).toContain(message);
  });

  test("the error of a getter is the cause", () => {
    const cause = new RangeError("mine");
    const value = {
      get a() {
        throw cause;
      },
    };
    expect(refusal(value).code).toBe("ERR_VALUE");
    expect(refusal(value).cause).toBe(cause);
  });

  test("100 levels pass, 101 do not", () => {
    expect(there(nested(100))).toEqual(nested(100));
    expect(refusal(nested(101)).message).toContain("levels of nesting");
    expect(refusal(nested(100_000)).code).toBe("ERR_VALUE");
  });

  test("the same object twice is no cycle", () => {
    const shared = { a: 1 };
    expect(there([shared, { shared }])).toEqual([shared, { shared }]);
  });

  test("a refusal leaves nothing behind for the next value", () => {
    refusal({ a: ["x", undefined] });
    expect(there({ b: 1 })).toEqual({ b: 1 });
    expect(refusal(undefined).message).toMatch(/at value$/);
  });

  test("the limit is exact, and bounds values that name one object many times", () => {
    const value = { text: "x".repeat(50), list: [1, 2, 3] };
    const { length } = encodeValue(value);
    expect(encodeValue(value, length)).toHaveLength(length);
    expect(refusal(value, length - 1).code).toBe("ERR_LIMIT");
    let doubled: unknown = "x";
    for (let i = 0; i < 90; i++) doubled = [doubled, doubled];
    expect(refusal(doubled, 100_000).code).toBe("ERR_LIMIT");
    expect(refusal(new Array(1e6).fill("x".repeat(1e6))).code).toBe("ERR_LIMIT");
  });

  test("code inside the value may encode as well", () => {
    const value = {
      a: 1,
      get b() {
        return encodeValue({ c: 2 });
      },
    };
    expect(there(value)).toEqual({ a: 1, b: encodeValue({ c: 2 }) });
  });
});

describe("hostile bytes", () => {
  test.each([
    "", // nothing
    "c1", // never used
    "ca00000000", // float 32: we do not write it
    "0000", // bytes behind
    "a1", // cut off
    "a1ff", // not UTF-8
    "a2c080", // overlong
    "a3eda080", // a surrogate
    "a4f4908080", // above U+10FFFF
    "a2e282", // cut off inside
    "8101c0", // a name that is a number
    "81a161", // no value
    "c7", // cut off
    "c70bff0000000000000000000000", // a timestamp of eleven bytes
    "d40100", // an unknown extension
    "d4ff00", // neither a timestamp nor the invalid date
    "d7ff0000000400000000", // a nanosecond
    "d7ffee6b280000000000", // a billion nanoseconds
    "c70cff000000007fffffffffffffff", // beyond dates
    "c9000000010180", // a good Map, for the next lines to differ from in one thing: see below
  ])("%s", (hex) => {
    const bytes = Buffer.from(hex, "hex");
    const good = hex === "c9000000010180";
    expect(isValue(bytes)).toBe(good);
    if (good) expect(decodeValue(bytes)).toEqual(new Map());
    else expect(() => decodeValue(bytes)).toThrow(DecodeError);
  });

  test.each(["c9000000000180", "c9000000020180", "c900000002018000", "c9000000010280", "c9000000010190"])(
    "a bad Map %s",
    (hex) => {
      expect(isValue(Buffer.from(hex, "hex"))).toBe(false);
      expect(() => decodeValue(Buffer.from(hex, "hex"))).toThrow(DecodeError);
    },
  );

  test.each(["c6", "db", "dd", "df", "c9"])("lengths beyond the bytes, type %s", (type) => {
    for (const length of ["00000100", "7fffffff", "ffffffff"]) {
      for (const tail of ["", "01", "0180", "c0".repeat(200)]) {
        const bytes = Buffer.from(type + length + tail, "hex");
        expect(isValue(bytes)).toBe(false);
        expect(() => decodeValue(bytes)).toThrow(DecodeError);
      }
    }
  });

  test("nested counts that each claim all that follows", () => {
    const levels = 90;
    const size = 1_000_000;
    const bytes = Buffer.alloc(levels * 5 + size, 0xc0);
    for (let i = 0; i < levels; i++) {
      bytes[i * 5] = 0xdd;
      bytes.writeUInt32BE(size, i * 5 + 1);
    }
    const before = process.memoryUsage().heapUsed;
    expect(() => decodeValue(bytes)).toThrow(DecodeError);
    // 90 arrays of a million slots would take 720 MB.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(200_000_000);
    expect(isValue(bytes)).toBe(false);
  });

  test.each(["91", "81a161", "c9ffffffff0181c0"])("100,000 levels of %s", (level) => {
    const bytes = Buffer.from(level.repeat(100_000), "hex");
    expect(isValue(bytes)).toBe(false);
    expect(() => decodeValue(bytes)).toThrow(DecodeError);
  });

  test("100 levels pass, 101 do not", () => {
    const bytes = Buffer.from(`${"91".repeat(99)}90`, "hex");
    expect(isValue(bytes)).toBe(true);
    expect(decodeValue(bytes)).toEqual(nested(100));
    const deeper = Buffer.from(`91${bytes.toString("hex")}`, "hex");
    expect(isValue(deeper)).toBe(false);
    expect(() => decodeValue(deeper)).toThrow("levels");
  });

  test("names that hash alike are told apart", () => {
    // 31 * "a" + "b" = 31 * "b" + "C": the same hash and length.
    const value = [{ ab: 1 }, { bC: 2 }, { ab: 3 }];
    expect(there(value)).toEqual(value);
  });
});
