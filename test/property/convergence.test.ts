/** Invariants I1 and I2: whatever is written, delivered, cut and delayed, coverage is true and all replicas end alike. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { LISTING_BYTES, QUESTION_ENTRIES } from "../../src/limits.ts";
import type { FlowLimits } from "../../src/sync/flow.ts";
import type { Message } from "../../src/sync/messages.ts";
import { Mesh } from "../models/mesh.ts";

const index = fc.nat({ max: 4 });
const write = fc.record({
  key: fc.nat({ max: 5 }),
  value: fc.integer({ min: -3, max: 9 }),
  ttlMs: fc.constantFrom(0, 0, 0, 1, 2000, 20_000),
});
const writes = fc.array(write, { minLength: 1, maxLength: 3 });

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant("write" as const), a: index, writes }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("connect" as const), a: index, b: index }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("disconnect" as const), a: index, b: index }) },
  { weight: 12, arbitrary: fc.record({ type: fc.constant("deliver" as const), choice: fc.nat({ max: 20 }) }) },
  { weight: 6, arbitrary: fc.record({ type: fc.constant("commit" as const), a: index }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("tick" as const), a: index }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("pass" as const), ms: fc.nat({ max: 5000 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant("skew" as const), a: index, ms: fc.integer({ min: -9000, max: 9000 }) }),
  },
);

type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

function run(mesh: Mesh, one: Step): void {
  switch (one.type) {
    case "write":
      return mesh.write(one.a, one.writes);
    case "connect":
      return mesh.connect(one.a, one.b);
    case "disconnect":
      return mesh.disconnect(one.a, one.b);
    case "deliver":
      return void mesh.deliver(one.choice);
    case "commit":
      return mesh.commit(one.a);
    case "tick":
      return mesh.tick(one.a);
    case "pass":
      return mesh.pass(one.ms);
    case "skew":
      mesh.node(one.a).skewMs = one.ms;
  }
}

function connectAll(mesh: Mesh, line: boolean): void {
  const count = mesh.nodes.length;
  for (let a = 0; a < count; a += 1) {
    for (let b = a + 1; b < count; b += 1) {
      if (b === a + 1 || !line) mesh.connect(a, b);
    }
  }
}

/** Between two probes of an idle connection. */
const PROBE_TICKS = 100;

/** So small that pages, fall-backs to catch-up and partial transfers happen all the time. */
const TINY: FlowLimits = {
  pageBytes: 60,
  pageEntries: 2,
  turnBytes: 100,
  windowBytes: 150,
  partBytes: 100,
  partEntries: 2,
  stagedBytes: 1000,
  stagedEntries: 3,
  relayWaits: 2,
  bulkEntries: 2,
  questionEntries: 0,
  listingBytes: LISTING_BYTES,
  heldEntries: 1,
};
/** As much, and of a question about all buckets each answer tells of one. */
const SHORT: FlowLimits = { ...TINY, questionEntries: QUESTION_ENTRIES, listingBytes: 1, heldEntries: 1000 };
const FLOWS = { tiny: TINY, short: SHORT, normal: undefined } as const;

/** Until no clock of the schedule shows anything that expires, and its tombstones may go. */
const ALL_EXPIRED_MS = 20_000 + 2 * 9000 + 60_000;

test.each([
  [2, "tiny"],
  [2, "normal"],
  [3, "tiny"],
  [3, "normal"],
  [5, "tiny"],
  [5, "normal"],
] as const)(
  "%i replicas, %s pages: coverage is true at every step, and all converge when faults stop",
  (count, flow) => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 200, size: "max" }), fc.boolean(), (steps, line) => {
        const mesh = new Mesh(count, { flow: FLOWS[flow] });
        for (let a = 0; a + 1 < count; a += 1) mesh.connect(a, a + 1);
        for (const one of steps) {
          run(mesh, one);
          mesh.checkCoverage();
        }
        mesh.pass(ALL_EXPIRED_MS);
        connectAll(mesh, line);
        mesh.settle();
        mesh.checkCoverage();
        mesh.checkConverged();
      }),
      { numRuns: Number(process.env.WAVEKV_RUNS ?? 120) },
    );
  },
);

test.each([
  [2, "tiny"],
  [3, "tiny"],
  [3, "normal"],
  [3, "short"],
  [4, "normal"],
] as const)("%i replicas, %s pages, that collect tombstones: the same, and nothing comes back", (count, flow) => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 200, size: "max" }), fc.boolean(), (steps, line) => {
      const mesh = new Mesh(count, { flow: FLOWS[flow], collects: true });
      for (let a = 0; a + 1 < count; a += 1) mesh.connect(a, a + 1);
      for (const one of steps) {
        run(mesh, one);
        mesh.checkCoverage();
        mesh.checkNoResurrection();
      }
      mesh.pass(ALL_EXPIRED_MS);
      connectAll(mesh, line);
      mesh.settle();
      mesh.checkCoverage();
      mesh.checkConverged();
      mesh.settle(60);
      for (const { state } of mesh.nodes) expect(state.table.tombstones).toBe(0);
      mesh.checkConverged();
    }),
    { numRuns: Number(process.env.WAVEKV_RUNS ?? 120) },
  );
});

const fault = fc.oneof(
  { weight: 30, arbitrary: step },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("crash" as const), a: index }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("wipe" as const), a: index }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("backup" as const), a: index }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("restore" as const), a: index }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("evict" as const), a: index }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("return" as const), a: index }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("repair" as const) }) },
);

test.each([
  [3, "tiny"],
  [3, "normal"],
  [3, "short"],
  [4, "normal"],
] as const)(
  "%i replicas, %s pages: crashed, wiped, restored, evicted, returned, they end alike and nothing comes back",
  (count, flow) => {
    fc.assert(
      fc.property(fc.array(fault, { minLength: 10, maxLength: 200, size: "max" }), fc.boolean(), (faults, line) => {
        const mesh = new Mesh(count, { flow: FLOWS[flow], collects: true });
        const backups = mesh.nodes.map(({ records }) => [...records]);
        for (let a = 0; a + 1 < count; a += 1) mesh.connect(a, a + 1);
        for (const one of faults) {
          const at = "a" in one ? one.a % count : 0;
          const node = mesh.node(at);
          if (one.type === "crash") mesh.restart(at);
          else if (one.type === "wipe") mesh.restart(at, []);
          else if (one.type === "backup") backups[at] = [...node.records];
          else if (one.type === "restore") mesh.restart(at, backups[at]);
          else if (one.type === "evict") mesh.members.delete(node.name);
          else if (one.type === "return") mesh.members.add(node.name);
          else if (one.type === "repair") mesh.repair();
          else run(mesh, one);
          mesh.checkCoverage(true);
        }
        for (const { name } of mesh.nodes) mesh.members.add(name);
        mesh.pass(ALL_EXPIRED_MS);
        connectAll(mesh, line);
        mesh.run(10 * PROBE_TICKS);
        mesh.checkAlike();
        mesh.checkNoResurrection();
      }),
      { numRuns: Number(process.env.WAVEKV_RUNS ?? 120) },
    );
  },
);

test.each([
  [5, "tiny"],
  [5, "normal"],
  [6, "normal"],
] as const)("a ring of %i and chance chords, %s pages: prunes and grafts change nothing of that", (count, flow) => {
  const seen = { prune: 0, graft: 0, waits: 0 };
  const onDeliver = (message: Message): void => {
    if (message.type !== "supply") return;
    seen.prune += message.prune.length;
    seen.graft += message.graft.length;
  };
  const some = fc.oneof(
    { weight: 20, arbitrary: step },
    // Whole rounds, so that trees come about: what is delivered at random alone hardly ever comes twice.
    { weight: 3, arbitrary: fc.record({ type: fc.constant("round" as const), a: index, key: fc.nat({ max: 5 }) }) },
  );
  fc.assert(
    fc.property(fc.array(some, { minLength: 20, maxLength: 120, size: "max" }), (steps) => {
      const mesh = new Mesh(count, { flow: FLOWS[flow], onDeliver });
      for (let a = 0; a < count; a += 1) mesh.connect(a, (a + 1) % count);
      for (const one of steps) {
        if (one.type !== "round") run(mesh, one);
        else {
          for (let n = 0; n < 150; n += 1) {
            if (n % 50 === 0) mesh.write(one.a, [{ key: one.key, value: n % 100 }]);
            mesh.deliver(n * 7);
            mesh.commit(n);
          }
        }
        mesh.checkCoverage();
        for (const { replicator } of mesh.nodes) {
          for (const { peer } of replicator.sessions) seen.waits += (peer?.outbound.pruned.size ?? 0) > 0 ? 1 : 0;
        }
      }
      mesh.pass(ALL_EXPIRED_MS);
      for (let a = 0; a < count; a += 1) mesh.connect(a, (a + 1) % count);
      mesh.settle();
      mesh.checkCoverage();
      mesh.checkConverged();
    }),
    { numRuns: Number(process.env.WAVEKV_RUNS ?? 100) },
  );
  for (const times of Object.values(seen)) expect(times).toBeGreaterThan(5);
});

test("in a full mesh of 5 a write is delivered at most 1.1 x 4 times", () => {
  const mesh = new Mesh(5);
  for (let a = 0; a < 5; a += 1) for (let b = a + 1; b < 5; b += 1) mesh.connect(a, b);
  mesh.settle();
  const before = mesh.entriesDelivered;
  const WRITES = 500;
  for (let n = 0; n < WRITES; n += 1) {
    mesh.write(n, [{ key: n % 20, value: n % 200 }]);
    // Some of what is on its way arrives before the next write, in no order of links.
    for (let k = 0; k < 25; k += 1) {
      mesh.deliver(n * 7 + k * 13);
      mesh.commit(n + k);
    }
    if (n % 5 === 0) for (let a = 0; a < 5; a += 1) mesh.tick(a);
  }
  mesh.settle();
  mesh.checkConverged();
  expect((mesh.entriesDelivered - before) / WRITES).toBeLessThanOrEqual(1.1 * 4);
  expect((mesh.entriesDelivered - before) / WRITES).toBeGreaterThanOrEqual(4 * 0.9);
});
