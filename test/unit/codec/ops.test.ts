import { describe, expect, test } from "vitest";
import { ByteReader, ByteWriter, DecodeError } from "../../../src/codec/bytes.ts";
import { decodeEntries, encodeEntries } from "../../../src/codec/entries.ts";
import { decodeOps, encodeOps } from "../../../src/codec/ops.ts";
import type { StateOp } from "../../../src/core/ops.ts";
import { type Entry, type Epoch, makeOrigin, type NodeId } from "../../../src/types.ts";

const A = makeOrigin("a" as NodeId, "0000000000000001" as Epoch);
const B = makeOrigin("b" as NodeId, "fedcba9876543210" as Epoch);
const MAX = Number.MAX_SAFE_INTEGER;

function entry(change: Partial<Entry> = {}): Entry {
  return { key: Buffer.from("k"), value: Buffer.from("v"), stamp: 1, origin: A, seq: 1, expiresAt: 0, ...change };
}

function block(entries: readonly Entry[]): Uint8Array {
  const writer = new ByteWriter();
  encodeEntries(writer, entries);
  return writer.copy();
}

function record(ops: readonly StateOp[]): Uint8Array {
  const writer = new ByteWriter();
  encodeOps(writer, ops);
  return writer.copy();
}

function readBlock(bytes: Uint8Array): Entry[] {
  return decodeEntries(new ByteReader(bytes));
}

function comparable(entries: readonly Entry[]): unknown[] {
  return entries.map((e) => ({ ...e, key: Buffer.from(e.key), value: e.value === null ? null : Buffer.from(e.value) }));
}

describe("a block of entries", () => {
  test.each<[string, Entry[]]>([
    ["none", []],
    ["a tombstone beside an empty value", [entry({ value: null }), entry({ value: new Uint8Array(0) })]],
    ["the extremes", [entry({ stamp: MAX, seq: MAX, expiresAt: MAX }), entry(), entry({ stamp: MAX, seq: MAX })]],
    ["origins by turns", [1, 2, 3].flatMap((seq) => [entry({ seq }), entry({ origin: B, seq: seq + 5, stamp: 9 })])],
    ["one stamp, as in a batch", [1, 2, 3].map((seq) => entry({ seq, stamp: 2 ** 50 }))],
    ["the longest key", [entry({ key: new Uint8Array(65_535).fill(1) })]],
  ])("with %s comes back", (_name, entries) => {
    expect(comparable(readBlock(block(entries)))).toEqual(comparable(entries));
  });

  test("is small where entries follow each other", () => {
    const entries = Array.from({ length: 100 }, (_, i) => entry({ seq: i + 1, stamp: 2 ** 50 + i }));
    // Flags, stamp, two lengths, key and value: 6 bytes.
    expect(block(entries).length).toBeLessThan(100 * 6 + 30);
  });

  test("gives views into the bytes", () => {
    const bytes = block([entry()]);
    const [back] = readBlock(bytes);
    expect(back?.key.buffer).toBe(bytes.buffer);
    expect(back?.value?.buffer).toBe(bytes.buffer);
  });

  const origin = `00 01 61 0000000000000001`;
  test.each([
    ["01", "cut off behind the count"],
    ["ffffffffffffff0f 00", "a count beyond the bytes"],
    [`01 20 ${origin} 01 01 016b 0176`, "an unknown flag"],
    ["01 04 01 01 016b 0176", "the origin before, and none before"],
    [`01 00 01 0161 0000000000000001 01 01 016b 0176`, "an origin out of order"],
    [`01 00 00 00 0000000000000001 01 01 016b 0176`, "an empty nodeId"],
    [`01 00 00 01 0a 0000000000000001 01 01 016b 0176`, "a nodeId with a control character"],
    [`01 00 00 01 ff 0000000000000001 01 01 016b 0176`, "a nodeId that is not UTF-8"],
    [`01 00 ${origin} 00 01 016b 0176`, "seq 0"],
    [`01 00 ${origin} 41 01 016b 0176`, "seq -1"],
    [`01 00 ${origin} 01 00 016b 0176`, "stamp 0"],
    [`01 00 ${origin} 01 41 016b 0176`, "stamp -1"],
    [`02 00 ${origin} bfffffffffffff3f 01 016b 0176 0c 00 016b 0176`, "seq 2^53"],
    [`01 02 ${origin} 01 01 00 016b 0176`, "an expiry of 0"],
    [`01 00 ${origin} 01 01 00 0176`, "an empty key"],
    [`01 00 ${origin} 01 01 808004 ${"00".repeat(70_000)}`, "a key of 65,536 bytes"],
    [`01 00 ${origin} 01 01 ffffffff0f 6b 0176`, "a key length beyond the bytes"],
    [`01 00 ${origin} 01 01 016b ffffffff07 76`, "a value length beyond the bytes"],
    [`01 00 ${origin} 01 01 016b 02 76`, "a value cut off by a byte"],
  ])("%# is refused: %s", (text) => {
    expect(() => readBlock(Buffer.from(text.replaceAll(" ", ""), "hex"))).toThrow(DecodeError);
  });

  test("the block that the refused ones differ from is good", () => {
    const text = `01 00 ${origin} 01 01 016b 0176`;
    expect(comparable(readBlock(Buffer.from(text.replaceAll(" ", ""), "hex")))).toEqual(comparable([entry()]));
  });

  test.each<[string, Partial<Entry>]>([
    ["no key", { key: new Uint8Array(0) }],
    ["a key of 65,536 bytes", { key: new Uint8Array(65_536) }],
    ["seq 0", { seq: 0 }],
    ["stamp 0", { stamp: 0 }],
    ["half a stamp", { stamp: 1.5 }],
    ["a negative expiry", { expiresAt: -1 }],
  ])("an entry with %s is our own bug", (_name, change) => {
    expect(() => block([entry(change)])).toThrow("wavekv bug");
  });
});

describe("ops", () => {
  test("in any order come back in that order", () => {
    const ops: StateOp[] = [
      { type: "cover", origin: B, seq: 0 },
      { type: "set", entry: entry() },
      { type: "set", entry: entry({ seq: 2 }) },
      { type: "cover", origin: A, seq: 2 },
      { type: "set", entry: entry({ origin: B, seq: 7 }) },
      { type: "lease", stamp: 0 },
      { type: "lease", stamp: MAX },
      { type: "ack", peer: "\u20ac" as NodeId, origin: B, seq: MAX },
      { type: "expire", key: Buffer.from("k"), origin: A, seq: 3 },
      { type: "rotate", epoch: "00000000000000ff" as Epoch },
      { type: "set", entry: entry({ seq: 3 }) },
    ];
    const text = (list: readonly StateOp[]) =>
      JSON.stringify(list, (_name, x: unknown) => (x instanceof Uint8Array ? Buffer.from(x).toString("hex") : x));
    const hexed = ops.map((op) =>
      op.type === "set"
        ? {
            ...op,
            entry: { ...op.entry, key: new Uint8Array(op.entry.key), value: new Uint8Array(op.entry.value ?? []) },
          }
        : op.type === "expire"
          ? { ...op, key: new Uint8Array(op.key) }
          : op,
    );
    expect(text(decodeOps(record(ops)))).toBe(text(hexed));
  });

  test("none are no bytes", () => {
    expect(record([])).toHaveLength(0);
    expect(decodeOps(new Uint8Array(0))).toEqual([]);
  });

  test.each(["00", "07", "ff", "01", "0100 02", "02 01", "02 00 0161 0000000000000001", "06 00", "05 00", "04 81"])(
    "%s is refused",
    (text) => {
      expect(() => decodeOps(Buffer.from(text.replaceAll(" ", ""), "hex"))).toThrow(DecodeError);
    },
  );
});
