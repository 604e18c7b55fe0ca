/**
 * The bytes of one message, op and value of each kind. They are in logs and on the wire: a change here
 * is a change of format, and needs a new version of the frame or of the segment.
 */
import { describe, expect, test } from "vitest";
import { ByteWriter } from "../../src/codec/bytes.ts";
import { decodeMessage, encodeMessage } from "../../src/codec/messages.ts";
import { decodeOps, encodeOps } from "../../src/codec/ops.ts";
import { decodeValue, encodeValue } from "../../src/codec/values.ts";
import type { StateOp } from "../../src/core/ops.ts";
import type { Message } from "../../src/sync/messages.ts";
import { makeOrigin, type Epoch, type NodeId } from "../../src/types.ts";

const A = makeOrigin("a" as NodeId, "0123456789abcdef" as Epoch);
const B = makeOrigin("b\u00e9" as NodeId, "fedcba9876543210" as Epoch);
const STAMP = 1_700_000_000_000 * 2048;
const key = new Uint8Array([0x6b]);
const entries = [
  { key, value: new Uint8Array([0x2a]), stamp: STAMP, origin: A, seq: 1, expiresAt: 0 },
  { key, value: null, stamp: STAMP, origin: A, seq: 2, expiresAt: 0 },
  { key, value: new Uint8Array(0), stamp: STAMP - 100, origin: B, seq: 300, expiresAt: 1_700_000_000_000 },
];

const messages: readonly [Message, string][] = [
  [
    {
      type: "hello",
      versionMin: 1,
      versionMax: 2,
      clusterId: "prod",
      nodeId: "a" as NodeId,
      epoch: "0123456789abcdef" as Epoch,
      incarnation: "00000000000000ff",
      vector: [
        [A, 5],
        [B, 2 ** 40],
      ],
      addresses: ["ws://h:1"],
      links: ["c" as NodeId],
      wallClock: 1_700_000_000_000.5,
      frontier: [[A, 3]],
      features: 1,
    },
    "57015f94ffb4ac020101020470726f6401610123456789abcdef00000000000000ff020001610123456789abcdef05010362c3a9fedcba9876543210808080808020010877733a2f2f683a3101016300088056febc784201000301",
  ],
  [{ type: "page", entries, last: true, runFrom: 0, runTo: 2, mark: [[B, 300]], ackNow: false }, "570105d93644ac020203000203080001610123456789abcdef808080b4e59faf0c016b012a1d016b02010362c3a9fedcba9876543210ac04e40180d095ffbc31016b000101ac02"],
  [{ type: "ack", frames: 7, vector: [[A, 128]], kept: 5 }, "570178dcc605ac020307010001610123456789abcdef800105"],
  [{ type: "links", links: ["c" as NodeId, "d" as NodeId] }, "5701d288e778ac02040201630164"],
  [{ type: "probe", digest: "0011223344556677", wallClock: 1000 }, "570160101914ac020500112233445566770000000000408f40"],
  [
    {
      type: "digests",
      list: true,
      bulk: true,
      buckets: [
        { index: 0, sum: "0011223344556677" },
        { index: 2047, sum: "ffffffffffffffff" },
      ],
    },
    "57013015ead3ac02070302000011223344556677ff0fffffffffffffffff",
  ],
  [
    {
      type: "listing",
      differing: [0, 2047],
      listed: [2047],
      entries: [{ key, value: null, stamp: STAMP, origin: A, seq: 2, expiresAt: 0 }],
      busy: [key],
      size: 300,
    },
    "570101582afdac02080200ff0f01ff0f01010001610123456789abcdef02808080b4e59faf0c016b01016bac02",
  ],
  [{ type: "round", number: 300, members: ["c" as NodeId], low: [[A, 2]], high: [[A, 5], [B, 1]] }, "5701f7ffc750ac0209ac02010163010001610123456789abcdef02020005010362c3a9fedcba987654321001"],
  [{ type: "frontier", vector: [[A, 2]] }, "5701252ea9faac020a010001610123456789abcdef02"],
  [
    {
      type: "ephemeral",
      taken: 300,
      held: [{ nodeId: "c" as NodeId, generation: 1_700_000_000_000, incarnation: "00000000000000ff", version: 7 }],
      news: [
        {
          nodeId: "d" as NodeId,
          generation: 0,
          incarnation: "0123456789abcdef",
          version: 400,
          from: 5,
          leaseMs: 10_000,
          ageMs: 250,
          closed: true,
          cells: [
            { key: "p/k", value: new Uint8Array([0x2a]), version: 6 },
            { key: "p/\u20ac", value: null, version: 300 },
            { key: "e", value: new Uint8Array(0), version: 400 },
          ],
        },
      ],
    },
    "570195ef7bbdac020bac0201016380d095ffbc3100000000000000ff07010164000123456789abcdef900305904efa01010303702f6b01022a05702fe282aca6020001656401",
  ],
  [{ type: "supply", prune: ["a" as NodeId, "b\u20ac" as NodeId], graft: ["c" as NodeId] }, "570159f0c079ac020c0201610462e282ac010163"],
  [{ type: "bye", code: "internal", detail: "x" }, "5701fa8e7969ac0206000178"],
  [{ type: "bye", code: "closing", detail: "" }, "570111f7621dac02060100"],
  [{ type: "bye", code: "protocol-version", detail: "" }, "5701ff58d70fac02060200"],
  [{ type: "bye", code: "cluster-mismatch", detail: "" }, "57019a3f6bb7ac02060300"],
  [{ type: "bye", code: "identity-clash", detail: "" }, "57012307bc2aac02060400"],
  [{ type: "bye", code: "duplicate", detail: "" }, "570146600092ac02060500"],
  [{ type: "bye", code: "self", detail: "" }, "5701a8cfb580ac02060600"],
  [{ type: "bye", code: "bad-frame", detail: "" }, "5701cda80938ac02060700"],
  [{ type: "bye", code: "silent", detail: "" }, "57019bb86a60ac02060800"],
  [{ type: "bye", code: "too-many-peers", detail: "" }, "5701fedfd6d8ac02060900"],
];

/** The hello above as versions without `features` send it. */
const HELLO_WITHOUT_FEATURES =
  "5701935487d1ac020101020470726f6401610123456789abcdef00000000000000ff020001610123456789abcdef05010362c3a9fedcba9876543210808080808020010877733a2f2f683a3101016300088056febc7842010003";

const ops: readonly [StateOp[], string][] = [
  [entries.map((entry) => ({ type: "set", entry })), "0103080001610123456789abcdef808080b4e59faf0c016b012a1d016b02010362c3a9fedcba9876543210ac04e40180d095ffbc31016b00"],
  [[{ type: "cover", origin: A, seq: 5 }], "020001610123456789abcdef05"],
  [[{ type: "uncover", origin: A, seq: 5 }], "090001610123456789abcdef05"],
  [[{ type: "ack", peer: "p" as NodeId, origin: A, seq: 128 }], "0301700001610123456789abcdef8001"],
  [[{ type: "lease", stamp: STAMP }], "04808080daf2cf9706"],
  [[{ type: "expire", key, origin: A, seq: 1 }], "05016b0001610123456789abcdef01"],
  [[{ type: "collect", key, origin: A, seq: 1 }], "07016b0001610123456789abcdef01"],
  [[{ type: "frontier", origin: A, seq: 5 }], "080001610123456789abcdef05"],
  [[{ type: "rotate", epoch: "fedcba9876543210" as Epoch }], "06fedcba9876543210"],
];

const values: readonly [unknown, string][] = [
  [null, "c0"],
  [false, "c2"],
  [true, "c3"],
  [127, "7f"],
  [200, "ccc8"],
  [-32, "e0"],
  [-33, "d0df"],
  [40_000, "cd9c40"],
  [-40_000, "d2ffff63c0"],
  [2 ** 32 - 1, "ceffffffff"],
  [2 ** 32, "cb41f0000000000000"],
  [-0, "cb8000000000000000"],
  [1.5, "cb3ff8000000000000"],
  [Number.NaN, "cb7ff8000000000000"],
  [Number.NEGATIVE_INFINITY, "cbfff0000000000000"],
  [5n, "d30000000000000005"],
  [-1n, "d3ffffffffffffffff"],
  [2n ** 64n - 1n, "cfffffffffffffffff"],
  ["\u20ac", "a3e282ac"],
  ["x".repeat(40), "d92878787878787878787878787878787878787878787878787878787878787878787878787878787878"],
  [new Uint8Array([1, 2]), "c4020102"],
  [[1, [2]], "92019102"],
  [{ b: 1, a: { c: null } }, "82a16201a16181a163c0"],
  [new Map<unknown, unknown>([[1, "a"], [[], new Map()]]), "c90000000c018201a16190c9000000010180"],
  [new Date(1_700_000_000_123), "d7ff1d5353006553f100"],
  [new Date(-1), "c70cff3b8b87c0ffffffffffffffff"],
  [new Date(Number.NaN), "d4ffff"],
];

describe("golden bytes", () => {
  const named = messages.map(([message, bytes]) => [message.type, bytes, message] as const);
  test.each(named)("message %s %s", (_type, bytes, message) => {
    expect(hex(encodeMessage(message, 300))).toBe(bytes);
    const decoded = decodeMessage(Buffer.from(bytes, "hex"));
    expect(plain(decoded)).toBe(plain({ type: "message", number: 300, message }));
  });

  test("hello of a version that knows no features", () => {
    const decoded = decodeMessage(Buffer.from(HELLO_WITHOUT_FEATURES, "hex"));
    const hello = messages[0]?.[0];
    expect(plain(decoded)).toBe(plain({ type: "message", number: 300, message: { ...hello, features: 0 } }));
  });

  test.each(ops.map(([list, bytes]) => [list[0]?.type, bytes, list] as const))("op %s %s", (_type, bytes, list) => {
    const writer = new ByteWriter();
    encodeOps(writer, list);
    expect(hex(writer.bytes())).toBe(bytes);
    expect(plain(decodeOps(Buffer.from(bytes, "hex")))).toBe(plain(list));
  });

  test.each(values)("value %s", (value, bytes) => {
    expect(hex(encodeValue(value))).toBe(bytes);
    expect(decodeValue(Buffer.from(bytes, "hex"))).toStrictEqual(value);
  });
});

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}

function plain(data: unknown): string {
  return JSON.stringify(data, (_name, member: unknown) => (member instanceof Uint8Array ? hex(member) : member));
}
