/** Everything encoded comes back; nothing that is thrown at a decoder does more than be refused. */

import { isDeepStrictEqual } from "node:util";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteReader, ByteWriter, DecodeError } from "../../src/codec/bytes.ts";
import { decodeEntries } from "../../src/codec/entries.ts";
import { decodeKey, encodeKey } from "../../src/codec/keys.ts";
import { decodeMessage, encodeBody, encodeMessage, frameOf } from "../../src/codec/messages.ts";
import { decodeOps, encodeOps } from "../../src/codec/ops.ts";
import { decodeValue, encodeValue, isValue } from "../../src/codec/values.ts";
import type { StateOp } from "../../src/core/ops.ts";
import { frameNumber, message, ops, value } from "../models/arbitrary-codec.ts";

describe("round trips", () => {
  test("keys", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 60 }), (key) => {
        expect(decodeKey(encodeKey(key))).toBe(key);
      }),
      { numRuns: 500 },
    );
  });

  test("values, and equal ones have equal bytes", () => {
    fc.assert(
      fc.property(value, (original) => {
        const bytes = encodeValue(original);
        expect(isValue(bytes)).toBe(true);
        const back = decodeValue(bytes);
        // (toStrictEqual takes a field named "constructor" for the class.)
        expect(isDeepStrictEqual(back, original)).toBe(true);
        expect(hex(encodeValue(back))).toBe(hex(bytes));
      }),
      { numRuns: 1000 },
    );
  });

  test("ops", () => {
    fc.assert(
      fc.property(ops, (original) => {
        expect(plain(decodeOps(encodedOps(original)))).toBe(plain(original));
      }),
      { numRuns: 200 },
    );
  });

  test("messages, whichever way the frame is made", () => {
    fc.assert(
      fc.property(message, frameNumber, (original, number) => {
        const frame = encodeMessage(original, number);
        const decoded = decodeMessage(frame);
        expect(plain(decoded)).toBe(plain({ type: "message", number, message: original }));
        const body = encodeBody(original);
        frameOf(body, number + 1 <= Number.MAX_SAFE_INTEGER ? number + 1 : 0);
        expect(hex(frameOf(body, number))).toBe(hex(frame));
      }),
      { numRuns: 300 },
    );
  });
});

describe("garbage", () => {
  const garbage = fc.uint8Array({ maxLength: 120, size: "max" });
  // Bytes that mean something to the decoders, so that they get deep.
  const heads = [
    0x00, 0x01, 0x7f, 0x80, 0x81, 0x82, 0x91, 0x92, 0xa1, 0xc0, 0xc4, 0xc7, 0xc9, 0xcb, 0xd7, 0xd9, 0xdd, 0xdf,
  ];
  const telling = fc
    .array(fc.oneof(fc.constantFrom(...heads, 0xff), fc.nat(255)), { maxLength: 60, size: "max" })
    .map((list) => new Uint8Array(list));

  test("as a value is read or refused, and both walks agree", () => {
    fc.assert(
      fc.property(fc.oneof(garbage, telling), (bytes) => {
        const good = isValue(bytes);
        const result = attempt(() => decodeValue(bytes));
        expect(result.type).toBe(good ? "read" : "refused");
        // What was read can be written: no decoder makes values that we would refuse.
        if (result.type === "read") expect(isValue(encodeValue(result.value))).toBe(true);
      }),
      { numRuns: 10_000 },
    );
  });

  test("as ops and entries", () => {
    fc.assert(
      fc.property(fc.oneof(garbage, telling), (bytes) => {
        const read = attempt(() => decodeOps(bytes));
        if (read.type === "read") expect(plain(decodeOps(encodedOps(read.value)))).toBe(plain(read.value));
        attempt(() => decodeEntries(new ByteReader(bytes)));
        attempt(() => decodeKey(bytes));
      }),
      { numRuns: 5000 },
    );
  });

  test("as a frame, with and without a good checksum", () => {
    fc.assert(
      fc.property(fc.nat(14), fc.oneof(garbage, telling), (kind, bytes) => {
        expect(decodeMessage(bytes).type).toBe("bad");
        const decoded = decodeMessage(frameAround(Buffer.from([kind, ...bytes])));
        if (kind === 0 || kind > 12) expect(decoded.type).toBe("unknown");
        else expect(decoded.type).not.toBe("unknown");
      }),
      { numRuns: 5000 },
    );
  });
});

describe("damage", () => {
  const samples = fc.sample(message, { numRuns: 12, seed: 7 }).map((sample) => encodeMessage(sample, 300));

  test("a frame is bad at every shorter length", () => {
    for (const frame of samples) {
      const step = Math.ceil(frame.length / 400);
      for (let length = 0; length < frame.length; length += step) {
        expect(decodeMessage(frame.subarray(0, length)).type).toBe("bad");
      }
    }
  });

  test("a frame is bad with any one bit flipped", () => {
    for (const frame of samples) {
      const bits = frame.length * 8;
      const step = Math.ceil(bits / 600);
      for (let bit = 0; bit < bits; bit += step) {
        const damaged = Uint8Array.from(frame);
        damaged[bit >> 3]! ^= 1 << (bit & 7);
        expect(decodeMessage(damaged).type).toBe("bad");
      }
    }
  });

  test("behind a good checksum a changed body is read or refused, never more", () => {
    const bodies = fc
      .sample(message, { numRuns: 60, seed: 11 })
      .map((sample) => Buffer.from(encodeBody(sample).subarray(4)));
    fc.assert(
      fc.property(fc.constantFrom(...bodies), fc.nat(), fc.nat(255), fc.nat(), (body, place, byte, cut) => {
        const changed = Buffer.from(body);
        changed[place % body.length] = byte;
        decodeMessage(frameAround(changed));
        decodeMessage(frameAround(changed.subarray(0, 1 + (cut % body.length))));
      }),
      { numRuns: 4000 },
    );
  });

  test("ops cut at any length are fewer ops, or refused", () => {
    fc.assert(
      fc.property(ops, fc.nat(), (original, cut) => {
        const bytes = encodedOps(original);
        const read = attempt(() => decodeOps(bytes.subarray(0, cut % (bytes.length + 1))));
        if (read.type === "read") expect(plain(read.value)).toBe(plain(original.slice(0, read.value.length)));
      }),
      { numRuns: 300 },
    );
  });

  test("values cut at any length are refused", () => {
    fc.assert(
      fc.property(value, fc.nat(), (original, cut) => {
        const bytes = encodeValue(original);
        expect(isValue(bytes.subarray(0, cut % bytes.length))).toBe(false);
      }),
      { numRuns: 500 },
    );
  });
});

function attempt<T>(read: () => T): { type: "read"; value: T } | { type: "refused" } {
  try {
    return { type: "read", value: read() };
  } catch (error) {
    if (error instanceof DecodeError) return { type: "refused" };
    throw error;
  }
}

function encodedOps(list: readonly StateOp[]): Uint8Array {
  const writer = new ByteWriter();
  encodeOps(writer, list);
  return writer.copy();
}

/** A frame with a good checksum, made without the code under test. */
function frameAround(body: Uint8Array): Uint8Array {
  const frame = Buffer.alloc(7 + body.length);
  frame.set([0x57, 1]);
  frame.writeUInt32LE(crc32(Buffer.concat([body, Buffer.from([5])])), 2);
  frame[6] = 5;
  frame.set(body, 7);
  return frame;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}

/** Comparable text: bytes as hex, -0 apart from 0. */
function plain(data: unknown): string {
  return JSON.stringify(data, (_name, member: unknown) => {
    if (member instanceof Uint8Array) return hex(member);
    return Object.is(member, -0) ? "-0" : member;
  });
}
