/**
 * Operations per second of processor time of the codec, beside msgpackr and JSON in the same run.
 *
 *     npm run build && node dist/scripts/bench/codec.js
 */
import { Packr } from "msgpackr";
import { ByteWriter } from "../../src/codec/bytes.ts";
import { decodeKey, encodeKey } from "../../src/codec/keys.ts";
import { decodeMessage, encodeBody, encodeMessage, frameOf } from "../../src/codec/messages.ts";
import { decodeOps, encodeOps } from "../../src/codec/ops.ts";
import { decodeValue, encodeValue, isValue } from "../../src/codec/values.ts";
import type { Page } from "../../src/sync/messages.ts";
import { type Entry, type Epoch, makeOrigin, type NodeId } from "../../src/types.ts";

const RUN_MS = 300;
let sink = 0;

/** Prints how many operations a second `run` does, when one call does `perRun`. */
function bench(name: string, run: () => number, perRun = 1): void {
  for (let i = 0; i < 2000 / perRun; i++) sink += run();
  const start = cpuMs();
  let operations = 0;
  while (cpuMs() - start < RUN_MS) {
    for (let i = 0; i < 1000 / perRun; i++) sink += run();
    operations += Math.ceil(1000 / perRun) * perRun;
  }
  const seconds = (cpuMs() - start) / 1000;
  const perSecond = operations / seconds / 1e6;
  console.log(
    `${name.padEnd(40)} ${perSecond.toFixed(2).padStart(7)} M/s ${(1000 / perSecond).toFixed(0).padStart(6)} ns`,
  );
}

/** Time on the processor, not on the clock: others may be using the machine. */
function cpuMs(): number {
  return process.cpuUsage().user / 1000;
}

const packr = new Packr({ useRecords: false });
const values: Record<string, unknown> = {
  "small integer": 42,
  float: 3.25,
  "short string": "Ada Lovelace",
  "string of 100": "x".repeat(100),
  "string of 100, not ASCII": "\u00e9".repeat(50),
  "bytes of 100": new Uint8Array(100).fill(7),
  "small object": { role: "admin", age: 36, name: "Ada Lovelace", tags: ["a", "b"], active: true },
  "array of 10 numbers": [1, 2, 3, 4, 5, 6, 7, 8, 9, 1000],
};
for (const [name, value] of Object.entries(values)) {
  const bytes = encodeValue(value);
  const packed = new Uint8Array(packr.pack(value));
  bench(`${name}: encode`, () => encodeValue(value).length);
  bench(`${name}: encode, msgpackr`, () => packr.pack(value).length);
  bench(`${name}: decode`, () => (decodeValue(bytes) === null ? 1 : 0));
  bench(`${name}: decode, msgpackr`, () => (packr.unpack(packed) === null ? 1 : 0));
  bench(`${name}: check`, () => (isValue(bytes) ? 1 : 0));
}
bench("small object: encode, JSON", () => JSON.stringify(values["small object"]).length);

const key = encodeKey("user/0123456789abcde");
bench("key of 20: encode", () => encodeKey("user/0123456789abcde").length);
bench("key of 20: decode", () => decodeKey(key).length);

const origin = makeOrigin("gateway-1" as NodeId, "0123456789abcdef" as Epoch);
const entries: Entry[] = Array.from({ length: 1000 }, (_, i) => ({
  key: encodeKey(`user/${String(i).padStart(15, "0")}`),
  value: encodeValue("x".repeat(98)),
  stamp: 1.7e12 * 2048 + i,
  origin,
  seq: i + 1,
  expiresAt: 0,
}));
const writer = new ByteWriter();
const ops = entries.map((entry) => ({ type: "set", entry }) as const);
bench(
  "ops of 1,000 sets: encode, per set",
  () => {
    writer.reset();
    encodeOps(writer, ops);
    return writer.length;
  },
  1000,
);
const record = writer.copy();
bench("ops of 1,000 sets: decode, per set", () => decodeOps(record).length, 1000);

const page: Page = {
  type: "page",
  entries,
  last: true,
  runFrom: 0,
  runTo: 1000,
  mark: [[origin, 1000]],
  ackNow: false,
};
const body = encodeBody(page);
const frame = encodeMessage(page, 1);
bench("page of 1,000: encode, per entry", () => encodeMessage(page, 1).length, 1000);
bench("page of 1,000: frame again, per entry", () => frameOf(body, 2).length, 1000);
bench("page of 1,000: decode, per entry", () => decodeMessage(frame).type.length, 1000);
const single: Page = { ...page, entries: entries.slice(0, 1) };
const singleFrame = encodeMessage(single, 1);
bench("page of 1: encode", () => encodeMessage(single, 1).length);
bench("page of 1: decode", () => decodeMessage(singleFrame).type.length);
console.log(`a page of 1,000 entries takes ${(frame.length / 1000).toFixed(1)} B per entry`);
if (sink === 0) console.log("");
