/** What the property tests of the codec draw from. */
import fc from "fast-check";
import type { StateOp } from "../../src/core/ops.ts";
import { STAMP_MAX } from "../../src/hybrid-logical-clock.ts";
import { DIGEST_BUCKETS } from "../../src/limits.ts";
import type { ByeCode, Message } from "../../src/sync/messages.ts";
import { type Entry, type Epoch, isNodeId, makeOrigin, type NodeId } from "../../src/types.ts";

const safe = fc.oneof(fc.nat(300), fc.maxSafeNat(), fc.constantFrom(0, 127, 128, 2 ** 31, 2 ** 32, STAMP_MAX));
const positive = safe.map((n) => Math.max(1, n));
const hex64 = fc.stringMatching(/^[0-9a-f]{16}$/);
const epoch = hex64.map((digits) => digits as Epoch);
const nodeId = fc.oneof(
  fc.constantFrom("a", "b", "gateway-1", "x".repeat(64), "\u20ac".repeat(21)).map((name) => name as NodeId),
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }).filter(isNodeId),
);
// Few nodeIds and epochs, so that origins repeat.
const origin = fc
  .tuple(
    fc.oneof(
      fc.constantFrom("a", "b").map((name) => name as NodeId),
      nodeId,
    ),
    fc.oneof(fc.constant("0".repeat(16) as Epoch), epoch),
  )
  .map(([name, made]) => makeOrigin(name, made));
const bytes = (min: number, max: number) => fc.uint8Array({ minLength: min, maxLength: max });
const key = fc.oneof(
  bytes(1, 40),
  fc.constant(new Uint8Array(1024).fill(9)),
  fc.constant(new Uint8Array(65_535).fill(9)),
);

export const entry: fc.Arbitrary<Entry> = fc.record({
  key,
  value: fc.option(bytes(0, 300)),
  stamp: positive,
  origin,
  seq: positive,
  expiresAt: fc.oneof(fc.constant(0), positive),
});

const list = <T>(item: fc.Arbitrary<T>, max: number) => fc.array(item, { maxLength: max, size: "max" });

export const op: fc.Arbitrary<StateOp> = fc.oneof(
  { weight: 3, arbitrary: entry.map((set) => ({ type: "set", entry: set }) as const) },
  fc.record({ type: fc.constant("cover" as const), origin, seq: safe }),
  fc.record({ type: fc.constant("uncover" as const), origin, seq: safe }),
  fc.record({ type: fc.constant("ack" as const), peer: nodeId, origin, seq: safe }),
  fc.record({ type: fc.constant("lease" as const), stamp: safe }),
  fc.record({ type: fc.constant("expire" as const), key, origin, seq: safe }),
  fc.record({ type: fc.constant("collect" as const), key, origin, seq: safe }),
  fc.record({ type: fc.constant("frontier" as const), origin, seq: safe }),
  fc.record({ type: fc.constant("rotate" as const), epoch }),
);
export const ops = list(op, 20);

const vector = list(fc.tuple(origin, safe), 12);
const bucket = fc.nat({ max: DIGEST_BUCKETS - 1 });
const text = fc.string({ unit: "grapheme", maxLength: 30 });
const millis = fc.oneof(safe, fc.double({ noNaN: true, noDefaultInfinity: true }));
const author = fc.record({ nodeId, generation: safe, incarnation: hex64, version: positive });
const ephemeralKey = fc.oneof(
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }).filter((name) => name.isWellFormed()),
  fc.constant("k".repeat(1024)),
);
const news = fc
  .tuple(
    author,
    fc.nat(20),
    list(fc.record({ key: ephemeralKey, value: fc.option(bytes(0, 300)), step: fc.integer({ min: 1, max: 200 }) }), 8),
    fc.record({ leaseMs: fc.integer({ min: 1000, max: 3_600_000 }), ageMs: safe, closed: fc.boolean() }),
    fc.nat(200),
  )
  .map(([of, from, steps, rest, more]) => {
    let version = from;
    const cells = steps.map(({ key, value, step }) => {
      version += step;
      return { key, value, version };
    });
    return { ...of, version: Math.max(version, from + 1) + more, from, ...rest, cells };
  });
const byeCodes: ByeCode[] = ["closing", "protocol-version", "cluster-mismatch", "identity-clash", "duplicate"];
const moreByeCodes: ByeCode[] = ["self", "bad-frame", "silent", "too-many-peers", "internal"];

export const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    type: fc.constant("hello" as const),
    versionMin: safe,
    versionMax: safe,
    clusterId: text,
    nodeId,
    epoch,
    incarnation: hex64,
    vector,
    addresses: list(text, 5),
    links: list(nodeId, 5),
    wallClock: millis,
    frontier: vector,
    features: safe,
  }),
  fc.record({
    type: fc.constant("page" as const),
    entries: list(entry, 10),
    last: fc.boolean(),
    runFrom: safe,
    runTo: safe,
    mark: fc.option(vector),
    ackNow: fc.boolean(),
  }),
  fc.record({ type: fc.constant("ack" as const), frames: safe, vector, kept: safe }),
  fc.record({ type: fc.constant("links" as const), links: list(nodeId, 5) }),
  fc.record({ type: fc.constant("probe" as const), digest: hex64, wallClock: millis }),
  fc.record({
    type: fc.constant("digests" as const),
    list: fc.boolean(),
    bulk: fc.boolean(),
    buckets: list(fc.record({ index: bucket, sum: hex64 }), 10),
  }),
  fc.record({
    type: fc.constant("listing" as const),
    differing: list(bucket, 10),
    listed: list(bucket, 10),
    entries: list(entry, 10),
    busy: list(key, 5),
    size: safe,
  }),
  fc.record({ type: fc.constant("round" as const), number: safe, members: list(nodeId, 5), low: vector, high: vector }),
  fc.record({ type: fc.constant("frontier" as const), vector }),
  fc.record({ type: fc.constant("ephemeral" as const), taken: safe, held: list(author, 5), news: list(news, 3) }),
  fc.record({ type: fc.constant("supply" as const), prune: list(nodeId, 5), graft: list(nodeId, 5) }),
  fc.record({
    type: fc.constant("bye" as const),
    code: fc.constantFrom(...byeCodes, ...moreByeCodes),
    detail: text,
  }),
);

export const frameNumber = safe;

/** Every kind of value, nested; plain data that compares with `toStrictEqual`. */
export const value: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: "medium", withCrossShrink: true },
    fc.constantFrom(null, true, false),
    fc.double(),
    fc.integer(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.string({ unit: "grapheme-ascii", maxLength: 40 }),
    fc.uint8Array({ maxLength: 50 }),
    // An invalid one is not equal to itself where Node 20 compares it: it has a test of its own.
    fc.date({ noInvalidDate: true }),
    fc.array(tie("any"), { maxLength: 6 }),
    fc.dictionary(fc.oneof(fc.string(), fc.constantFrom("__proto__", "constructor", "toString")), tie("any"), {
      maxKeys: 6,
      noNullPrototype: true,
    }),
    fc.array(fc.tuple(tie("any"), tie("any")), { maxLength: 4 }).map((pairs) => new Map(pairs)),
  ),
})).any;
