/** No turn of the event loop becomes long: what is sent and applied in one step is bounded, and is whole batches all the same. */
import { describe, expect, test } from "vitest";
import { stampAt } from "../../../src/hybrid-logical-clock.ts";
import {
  BULK_ENTRIES,
  COLLECT_ENTRIES_MAX,
  EXPIRE_ENTRIES_MAX,
  PART_ENTRIES,
  READY_OPS_MAX,
  STAGED_ENTRIES_MAX,
} from "../../../src/limits.ts";
import { FLOW_LIMITS } from "../../../src/sync/flow.ts";
import { Inbound } from "../../../src/sync/inbound.ts";
import type { Page } from "../../../src/sync/messages.ts";
import { type Entry, type Epoch, makeOrigin, type NodeId } from "../../../src/types.ts";
import { Mesh } from "../../models/mesh.ts";
import { NOW, OneReplicator } from "./one-replicator.ts";

const AUTHOR = makeOrigin("author" as NodeId, "00000000000000cc" as Epoch);

/** Entries of batches of these sizes, numbered from 1 on; a batch has one stamp. */
function batches(sizes: readonly number[]): Entry[] {
  let seq = 0;
  return sizes.flatMap((size, batch) =>
    Array.from({ length: size }, () => {
      seq += 1;
      const key = Buffer.from(`key ${seq}`);
      return {
        key,
        value: Uint8Array.of(1),
        stamp: stampAt(1_600_000_000_000 + batch),
        origin: AUTHOR,
        seq,
        expiresAt: 0,
      };
    }),
  );
}

function page(entries: readonly Entry[], last = false): Page {
  return { type: "page", entries, last, runFrom: 0, runTo: 0, mark: null, ackNow: false };
}

/** Seqs of what is applied at each page of so many entries. */
function applied(entries: readonly Entry[], pageEntries: number, inbound = new Inbound(FLOW_LIMITS)): number[][] {
  const steps: number[][] = [];
  for (let at = 0; at < entries.length; at += pageEntries) {
    const isLast = at + pageEntries >= entries.length;
    const transfer = inbound.stage(page(entries.slice(at, at + pageEntries), isLast));
    steps.push(transfer?.entries.map(({ seq }) => seq) ?? []);
  }
  return steps;
}

describe("a large transfer", () => {
  test("is applied as it comes, and no batch in part", () => {
    const sizes = Array.from({ length: 400 }, (_, index) => 1 + ((index * 7) % 30));
    const entries = batches(sizes);
    const ends = new Set<number>();
    sizes.reduce((sum, size) => {
      ends.add(sum + size);
      return sum + size;
    }, 0);
    const steps = applied(entries, 777);
    expect(steps.flat()).toEqual(entries.map(({ seq }) => seq));
    for (const step of steps) expect(ends.has(step.at(-1) ?? entries.length)).toBe(true);
    expect(Math.max(...steps.map(({ length }) => length))).toBeLessThan(PART_ENTRIES + 777);
    expect(steps.filter(({ length }) => length > 0).length).toBeGreaterThan(2);
  });

  test("of up to PART_ENTRIES entries is applied in one step", () => {
    const steps = applied(batches(Array.from({ length: PART_ENTRIES }, () => 1)), PART_ENTRIES / 4);
    expect(steps.map(({ length }) => length)).toEqual([0, 0, 0, PART_ENTRIES]);
  });

  test("waits for the end of a batch, as long as it is one that a replica takes", () => {
    const steps = applied(batches([3, STAGED_ENTRIES_MAX - 3, 5]), 1000);
    expect(steps.map(({ length }) => length)).toEqual([3, 0, 0, 0, 0, 0, 0, 0, 0, 0, STAGED_ENTRIES_MAX + 2]);
    const endless = applied(batches([STAGED_ENTRIES_MAX * 3]), 1000);
    expect(Math.max(...endless.map(({ length }) => length))).toBeLessThanOrEqual(STAGED_ENTRIES_MAX + 1000);
  });

  test("says of how many pages something is still staged", () => {
    const inbound = new Inbound(FLOW_LIMITS);
    const entries = batches([...Array.from({ length: 1500 }, () => 1), 2500]);
    const staged: number[] = [];
    for (let at = 0; at < entries.length; at += 1000) {
      inbound.stage(page(entries.slice(at, at + 1000), at === 3000));
      staged.push(inbound.stagedPages);
    }
    // The last entry of the first page, then a batch that begins in the second.
    expect(staged).toEqual([1, 1, 2, 0]);
  });
});

describe("a catch-up", () => {
  function filled(count: number): Mesh {
    const mesh = new Mesh(2);
    const origin = makeOrigin("other" as NodeId, "0000000000000001" as Epoch);
    const ops = Array.from({ length: count }, (_, index) => {
      const key = Buffer.from(`key ${String(index).padStart(7, "0")}`);
      const entry = {
        key,
        value: new Uint8Array(20),
        stamp: stampAt(1_600_000_000_000) + index,
        origin,
        seq: index + 1,
        expiresAt: 0,
      };
      return { type: "set", entry } as const;
    });
    mesh.restart(0, [{ ops: [...ops, { type: "cover", origin, seq: count }], lsn: 0 }]);
    return mesh;
  }

  test("sends a bounded amount in one step, and says that there is more", () => {
    const mesh = filled(BULK_ENTRIES * 4);
    const { replicator } = mesh.node(0);
    mesh.connect(0, 1);
    let most = 0;
    let turns = 0;
    const sent = (): number => [...replicator.sessions].reduce((sum, { entriesOut }) => sum + entriesOut, 0);
    for (let steps = 0; steps < 5000 && mesh.node(1).state.table.live < BULK_ENTRIES * 4; steps += 1) {
      const before = sent();
      if (mesh.turn(0)) turns += 1;
      else if (!mesh.deliver(0)) {
        mesh.commitAll(0);
        mesh.commitAll(1);
        mesh.tick(0);
        mesh.tick(1);
      }
      most = Math.max(most, sent() - before);
    }
    expect(mesh.node(1).state.table.live).toBe(BULK_ENTRIES * 4);
    mesh.checkAlike();
    expect(turns).toBeGreaterThan(1);
    // Two pages of 128 KiB with their overhead, and the one that the turn ended in.
    expect(most).toBeLessThan(6000);
    expect(most).toBeGreaterThan(500);
  });
});

describe("what expires or may go at one moment", () => {
  /** All of `count` entries have expired, and all that was before is durable. */
  function expired(count: number): OneReplicator {
    const limits = { maxKeyBytes: 20, maxValueBytes: 1000, maxKeys: 1e6, maxBytes: 1e9, maxDriftMs: 60_000 };
    const one = new OneReplicator({ limits, members: () => ["own" as NodeId], roundMs: 50, repairs: false });
    const writes = Array.from({ length: count }, (_, n) => ({
      key: Buffer.from(`k${n}`),
      value: Uint8Array.of(1),
      expiresAt: NOW + 1000,
    }));
    one.replicator.write(writes, NOW);
    one.commit();
    one.now += 2000;
    return one;
  }

  test("goes in portions, turn after turn, without waiting for ticks", () => {
    const count = 5 * EXPIRE_ENTRIES_MAX + 1;
    const one = expired(count);
    const { table } = one.state;
    one.tick();
    for (let step = 1; step <= 5; step += 1) {
      expect([table.tombstones, one.replicator.wantsTurn]).toEqual([step * EXPIRE_ENTRIES_MAX, true]);
      one.replicator.turn(one.now);
    }
    expect([table.tombstones, one.replicator.wantsTurn]).toEqual([count, false]);

    one.commit();
    one.now += 60_000;
    const left = [];
    for (one.tick(2); table.tombstones > 0 && left.length < 100; one.replicator.turn(one.now)) {
      expect(one.replicator.wantsTurn).toBe(table.tombstones > 0);
      left.push(table.tombstones);
    }
    expect(table.tombstones).toBe(0);
    for (let step = 1; step < left.length; step += 1) {
      expect(left[step - 1]! - left[step]!).toBe(COLLECT_ENTRIES_MAX);
    }
    expect(left.length).toBeGreaterThan(4);
  });

  test("a tick takes no portion of its own while turns do", () => {
    const one = expired(3 * EXPIRE_ENTRIES_MAX);
    one.tick(2);
    expect(one.state.table.tombstones).toBe(EXPIRE_ENTRIES_MAX);
  });

  test("waits for the disk once there is a whole record for it", () => {
    const count = 3 * READY_OPS_MAX;
    const one = expired(count);
    const { replicator, state } = one;
    const goOn = (): number => {
      for (let turns = 0; replicator.wantsTurn && turns < count; turns += 1) replicator.turn(one.now);
      return state.table.tombstones;
    };
    one.tick();
    expect(goOn()).toBe(READY_OPS_MAX + EXPIRE_ENTRIES_MAX);
    one.commit();
    one.tick();
    expect(goOn()).toBe(2 * (READY_OPS_MAX + EXPIRE_ENTRIES_MAX));
    while (state.table.tombstones < count) {
      one.commit();
      goOn();
    }
    expect(state.table.live).toBe(0);
  });
});
