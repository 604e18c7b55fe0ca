import { crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import { decodeMessage, encodeBody, encodeMessage, frameOf } from "../../../src/codec/messages.ts";
import type { Bye, Hello, Message, Page } from "../../../src/sync/messages.ts";
import { type Epoch, makeOrigin, type NodeId, type Origin } from "../../../src/types.ts";

const EPOCH = "0123456789abcdef" as Epoch;
const hello: Hello = {
  type: "hello",
  versionMin: 1,
  versionMax: 1,
  clusterId: "default",
  nodeId: "a" as NodeId,
  epoch: EPOCH,
  incarnation: "0000000000000002",
  vector: [],
  addresses: [],
  links: [],
  wallClock: 0,
  frontier: [],
  features: 0,
};
const page: Page = { type: "page", entries: [], last: false, runFrom: 0, runTo: 0, mark: null, ackNow: false };

function back(message: Message): Message {
  const decoded = decodeMessage(encodeMessage(message, 0));
  if (decoded.type !== "message") throw new Error(JSON.stringify(decoded));
  return decoded.message;
}

/** A frame with a good checksum, made without the code under test. */
function frame(body: string, number = "00", head = "5701"): Uint8Array {
  const [bodyBytes, numberBytes] = [body, number].map((text) => Buffer.from(text.replaceAll(" ", ""), "hex"));
  if (bodyBytes === undefined || numberBytes === undefined) throw new Error("unreachable");
  const crc = Buffer.alloc(4);
  crc.writeUInt32LE(crc32(Buffer.concat([bodyBytes, numberBytes])));
  return Buffer.concat([Buffer.from(head, "hex"), crc, numberBytes, bodyBytes]);
}

describe("frames", () => {
  test.each([0, 1, 127, 128, 2 ** 32, Number.MAX_SAFE_INTEGER])("number %i", (number) => {
    const decoded = decodeMessage(frameOf(encodeBody(page), number));
    expect(decoded).toEqual({ type: "message", number, message: page });
  });

  test("of one body differ in the number only, and do not share bytes", () => {
    const body = encodeBody(page);
    const first = frameOf(body, 1);
    const second = frameOf(body, 2);
    first.fill(0);
    encodeBody(hello);
    expect(decodeMessage(second)).toEqual({ type: "message", number: 2, message: page });
  });

  test("of a kind that is not known", () => {
    expect(decodeMessage(frame("0d", "05"))).toEqual({ type: "unknown", number: 5, kind: 13 });
    expect(decodeMessage(frame("ff01 c0ffee", "05"))).toEqual({ type: "unknown", number: 5, kind: 255 });
    expect(decodeMessage(frame("00"))).toEqual({ type: "unknown", number: 0, kind: 0 });
  });

  test("may have fields behind those that are known", () => {
    const bytes = encodeBody(page).subarray(4);
    const longer = frame(`${Buffer.from(bytes).toString("hex")}ffff`);
    expect(decodeMessage(longer)).toEqual({ type: "message", number: 0, message: page });
  });

  test.each([
    ["nothing", Buffer.alloc(0)],
    ["no body", frame("")],
    ["another magic", frame("02 00 00 00 00", "00", "5801")],
    ["another version", frame("02 00 00 00 00", "00", "5702")],
    ["a wrong checksum", Buffer.from(frame("02 00 00 00 00")).fill(1, 2, 3)],
    ["a number that ends nowhere", frame("", "ff".repeat(9))],
    ["an unknown flag of a page", frame("02 08 00 00 00")],
    ["a page whose entries are missing", frame("02 00 00 00 01")],
    ["a count of 2^53 - 1", frame("02 00 00 00 ffffffffffffff0f")],
    ["a mark that is missing", frame("02 02 00 00 00")],
    ["more origins than there may be", frame(`03 00 808004 ${"00".repeat(200_000)}`)],
    ["a digest cut off", frame("05 00000000000000")],
    ["a time that is no number", frame("05 0000000000000000 000000000000f87f")],
    ["an infinite time", frame("05 0000000000000000 000000000000f07f")],
    ["a detail of 513 bytes", frame(`06 00 8104 ${"61".repeat(513)}`)],
    ["1,025 links", frame(`04 8108 ${"0161".repeat(1025)}`)],
    ["a link without a name", frame("04 01 00")],
  ])("are bad: %s", (_name, bytes) => {
    expect(decodeMessage(bytes).type).toBe("bad");
  });

  test.each([
    ["1,024 links", frame(`04 8008 ${"0161".repeat(1024)}`)],
    ["a detail of 512 bytes", frame(`06 00 8004 ${"61".repeat(512)}`)],
    ["a time", frame("05 0000000000000000 000000000000f03f")],
  ])("are good at the bound: %s", (_name, bytes) => {
    expect(decodeMessage(bytes).type).toBe("message");
  });
});

describe("messages", () => {
  const vector: [Origin, number][] = Array.from({ length: 65_535 }, (_, i) => [
    makeOrigin(`n${i}` as NodeId, EPOCH),
    i,
  ]);

  test("carry the largest vector", () => {
    const ack = { type: "ack", frames: 1, vector, kept: 0 } as const;
    expect(JSON.stringify(back(ack))).toBe(JSON.stringify(ack));
  });

  test("with a larger vector are our own bug", () => {
    const larger = [...vector, vector[0]!];
    expect(() => encodeMessage({ type: "ack", frames: 1, vector: larger, kept: 0 }, 0)).toThrow("wavekv bug");
  });

  test("share the origins of entries with the mark", () => {
    const origin = makeOrigin("name-that-shows" as NodeId, EPOCH);
    const entry = { key: new Uint8Array([1]), value: null, stamp: 1, origin, seq: 1, expiresAt: 0 };
    const bytes = encodeMessage({ ...page, entries: [entry], mark: [[origin, 1]] }, 0);
    expect(Buffer.from(bytes).toString("latin1").split("name-that-shows")).toHaveLength(2);
    expect(back({ ...page, entries: [entry], mark: [[origin, 1]] })).toMatchObject({ mark: [[origin, 1]] });
  });

  test("hold 65,536 entries and no more, for as objects they are much larger", () => {
    const origin = makeOrigin("a" as NodeId, EPOCH);
    const entry = { key: new Uint8Array([1]), value: null, stamp: 1, origin, expiresAt: 0 };
    const entries = Array.from({ length: 65_537 }, (_, index) => ({ ...entry, seq: index + 1 }));
    const frame = (count: number) => encodeMessage({ ...page, entries: entries.slice(0, count) }, 0);
    expect(decodeMessage(frame(65_536)).type).toBe("message");
    expect(decodeMessage(frame(65_537))).toMatchObject({ type: "bad", reason: "a count of 65537" });
  });

  test("of who has not said hello are not taken apart, but for hello, bye, and kinds of later versions", () => {
    const type = (message: Message): string => decodeMessage(encodeMessage(message, 0), false).type;
    expect([type(hello), type({ type: "bye", code: "closing", detail: "" })]).toEqual(["message", "message"]);
    expect(decodeMessage(encodeMessage(page, 0), false)).toMatchObject({ type: "bad", code: "bad-frame" });
    expect(type({ type: "links", links: [] })).toBe("bad");
  });

  test("leave out addresses that are too long or too many", () => {
    const long = "x".repeat(512);
    const addresses = ["x".repeat(513), long, ...Array.from({ length: 70 }, (_, i) => `address ${i}`)];
    const decoded = back({ ...hello, addresses });
    expect(decoded).toEqual({ ...hello, addresses: addresses.slice(1, 65) });
  });

  test("leave out links that are too many", () => {
    const links = Array.from({ length: 1030 }, (_, i) => `n${i}` as NodeId);
    expect(back({ type: "links", links })).toEqual({ type: "links", links: links.slice(0, 1024) });
  });

  test.each([
    ["x".repeat(600), /^x{170}$/],
    ["\u{1f600}".repeat(300), /^\u{1f600}{85}$/u],
    [`x${"\u{1f600}".repeat(300)}`, /^x\u{1f600}{84}\ufffd$/u],
    ["\ud800", /^\ufffd$/],
  ])("cut the detail of a bye (%#)", (detail, expected) => {
    expect((back({ type: "bye", code: "closing", detail }) as Bye).detail).toMatch(expected);
  });

  test("a reason from a later version is internal", () => {
    const decoded = decodeMessage(frame("06 63 0161"));
    expect(decoded).toEqual({ type: "message", number: 0, message: { type: "bye", code: "internal", detail: "a" } });
  });
});
