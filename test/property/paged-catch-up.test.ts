/**
 * A catch-up in many pages, while what it walks is written and overwritten: ahead of the cursor, behind it, where it
 * stands, durable before the next page or not. Whatever is claimed has been sent, so nothing is lost, and nothing here
 * repairs it afterwards.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FLOW_LIMITS, type FlowLimits } from "../../src/sync/flow.ts";
import { Mesh } from "../models/mesh.ts";
import { VirtualCluster } from "../models/virtual-cluster.ts";

const KEYS = 24;

/** Two entries to a page, some four pages to a window. */
const SMALL: FlowLimits = {
  ...FLOW_LIMITS,
  pageBytes: 1000,
  pageEntries: 2,
  windowBytes: 700,
  partEntries: 2,
  stagedBytes: 100_000,
  stagedEntries: 1000,
  relayWaits: 100,
};

/** Comparing digests would hide a lost write by mending it. */
const WITHOUT_REPAIR = { repairs: false };

const place = fc.record({ where: fc.constantFrom("ahead", "behind", "at"), by: fc.nat({ max: 20 }) });
const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("write" as const),
      places: fc.array(place, { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("new" as const) }) },
  { weight: 8, arbitrary: fc.record({ type: fc.constant("deliver" as const), choice: fc.nat({ max: 3 }) }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("commit" as const), who: fc.constant(1) }) },
  // Seldom: the walk has to come to its end while what was overwritten is not on the disk.
  { weight: 1, arbitrary: fc.record({ type: fc.constant("commit" as const), who: fc.constant(0) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("tick" as const), who: fc.nat({ max: 1 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("cut" as const) }) },
);

describe("two replicators, page by page", () => {
  test("what is claimed was sent, at every step, and in the end both hold the same", () => {
    let midway = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 120, size: "max" }), fc.boolean(), (steps, isRelay) => {
        const mesh = new Mesh(3, { flow: SMALL, ...WITHOUT_REPAIR });
        // Of its own writes, or of those of another replica that has gone: then marks alone carry the claims.
        const author = isRelay ? 2 : 0;
        for (let key = 0; key < KEYS; key++) mesh.write(author, [{ key, value: 0 }]);
        if (isRelay) {
          mesh.connect(2, 0);
          mesh.settle();
          mesh.disconnect(2, 0);
        } else {
          for (let turn = 0; turn < 2; turn++) mesh.commit(0);
        }
        mesh.connect(0, 1);
        let value = 0;
        let fresh = KEYS;
        for (const one of steps) {
          const sent = mesh.entriesDelivered % KEYS;
          if (sent > 0 && sent < KEYS - 1 && one.type === "write") midway += 1;
          switch (one.type) {
            case "write": {
              value = (value + 1) % 200;
              mesh.write(
                0,
                one.places.map(({ where, by }) => ({ key: keyAt(sent, where, by), value })),
              );
              break;
            }
            case "new":
              mesh.write(0, [{ key: fresh++ % 180, value: 1 }]);
              break;
            case "deliver":
              mesh.deliver(one.choice);
              break;
            case "commit":
              mesh.commit(one.who);
              break;
            case "tick":
              mesh.tick(one.who);
              break;
            case "cut":
              mesh.disconnect(0, 1);
              mesh.connect(0, 1);
          }
          mesh.checkCoverage();
        }
        mesh.connect(0, 2);
        mesh.settle();
        mesh.checkCoverage();
        mesh.checkConverged();
      }),
      { numRuns: Number(process.env.WAVEKV_RUNS ?? 150) },
    );
    expect(midway, "writes in the midst of a catch-up").toBeGreaterThan(100);
  });

  test("a run does not go on over a fall-back to catch-up", () => {
    const mesh = new Mesh(2, { flow: SMALL, ...WITHOUT_REPAIR });
    mesh.connect(0, 1);
    mesh.settle();
    const commit = (): void => mesh.commit(0);
    // More than the window takes: what comes then is left to the walk.
    for (let key = 0; key < 12; key++) {
      mesh.write(0, [{ key, value: 1 }]);
      commit();
      commit();
    }
    mesh.write(0, [{ key: 20, value: 1 }]);
    commit();
    commit();
    // On its way to the disk while the walk ends; and the key before it is overwritten, not durably.
    mesh.write(0, [{ key: 21, value: 1 }]);
    commit();
    mesh.write(0, [{ key: 20, value: 2 }]);
    while (mesh.deliver(0)) {
      mesh.commit(1);
      mesh.commit(1);
    }
    commit();
    while (mesh.deliver(0)) {
      mesh.commit(1);
      mesh.commit(1);
      mesh.checkCoverage();
    }
    mesh.settle();
    mesh.checkConverged();
  });

  function keyAt(cursor: number, where: "ahead" | "behind" | "at", by: number): number {
    const key = where === "at" ? cursor : where === "ahead" ? cursor + 1 + by : cursor - 1 - by;
    return Math.min(KEYS - 1, Math.max(0, key));
  }
});

describe("two whole replicas", () => {
  test("12 MB that are overwritten all over while they are fetched", async () => {
    const cluster = new VirtualCluster();
    const ENTRIES = 12_000;
    const a = await cluster.open("a");
    const value = (text: string): string => text.padEnd(1000, ".");
    for (let from = 0; from < ENTRIES; from += 4000) {
      await a.batch(
        Array.from({ length: 4000 }, (_, n) => ({ type: "put" as const, key: `k${from + n}`, value: value("old") })),
      );
    }
    cluster.network.delay("a", "b", 20);
    const b = await cluster.open("b");
    let rounds = 0;
    while (b.status().peers["a"]?.state !== "live") {
      await cluster.time.run(5);
      if (a.status().peers["b"] === undefined) continue;
      rounds += 1;
      // At both ends of the log, in the middle, and where it is written now.
      for (const key of [rounds, ENTRIES - rounds, 4096 * (rounds % 3) + rounds, 12]) {
        await a.put(`k${key}`, value(`new ${rounds}`));
      }
      if (rounds % 3 === 0) await a.delete(`k${rounds * 7}`);
    }
    expect(rounds).toBeGreaterThan(10);
    // Sooner than a first probe: no comparison of digests has mended anything.
    await cluster.converged([a, b], 3000);
    await cluster.close();
  });
});
