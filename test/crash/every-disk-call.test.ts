/** The power goes at every disk call of a script, and again at every disk call of the recovery that follows. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MemoryDisk } from "../../src/storage/memory-disk.ts";
import type { Durability } from "../../src/storage/store.ts";
import { FaultyDisk } from "../models/faulty-disk.ts";
import {
  commit,
  contentsOf,
  countingRandom,
  DIRECTORY,
  type OpenedStore,
  open,
  put,
  valuesOf,
} from "../models/store-harness.ts";
import { isFullSweep, SWEPT_SURVIVALS, SweepCount } from "../models/sweep.ts";

const BATCHES = isFullSweep ? 40 : 16;
const RECOVERY_STEP = isFullSweep ? 1 : 7;
const SETTINGS = { segmentBytes: 700, checkpointBytes: 1_000_000 };

/** What the script has been told: commits 1 to `durable` have to survive, none above `begun` can be there. */
interface Ledger {
  begun: number;
  durable: number;
}

/** Batch number `n` sets its own key, a marker, and some keys that others set too, one of them to a tombstone. */
function batch({ state }: OpenedStore, n: number): Parameters<typeof commit>[1] {
  const seq = 5 * (n - 1);
  return [
    put(state, seq + 1, `own${n}`, `value ${n}`),
    put(state, seq + 2, "marker", String(n)),
    put(state, seq + 3, `shared${n % 5}`, n % 3 === 0 ? null : "x".repeat(n * 9)),
    { type: "cover", origin: "peer/00000000000000bb" as never, seq: n },
  ];
}

async function script(disk: FaultyDisk, durability: Durability, ledger: Ledger): Promise<void> {
  const opened = await open(disk, { ...SETTINGS, durability });
  await commit(opened, [{ type: "lease", stamp: 100_000 }]);
  for (let n = 1; n <= BATCHES; n++) {
    // Some checkpoints run beside the commits, some between them.
    const beside = n % 8 === 3 ? opened.store.checkpoint() : undefined;
    ledger.begun = n;
    await commit(opened, batch(opened, n));
    if (durability === "always") ledger.durable = n;
    if (beside !== undefined) {
      ledger.begun = n + 1;
      await commit(opened, batch(opened, ++n));
      await beside;
      ledger.durable = n - 1;
    }
    if (n % 7 === 0) {
      await opened.store.flush();
      ledger.durable = n;
    }
    if (n % 12 === 0) {
      await opened.store.checkpoint();
      ledger.durable = n;
    }
  }
  await opened.store.close();
  ledger.durable = BATCHES;
}

/** The state after each number of batches, from a run without faults. */
async function prefixes(): Promise<{ values: Record<string, string>; covered: number }[]> {
  const opened = await open(new MemoryDisk());
  const states = [{ values: {}, covered: 0 }];
  for (let n = 1; n <= BATCHES; n++) {
    await commit(opened, batch(opened, n));
    states.push({ values: valuesOf(opened.state), covered: n });
  }
  return states;
}

let expected: Awaited<ReturnType<typeof prefixes>> = [];
beforeAll(async () => {
  expected = await prefixes();
});

const count = new SweepCount();
afterAll(() => count.print("store"));

/** Opens what a crash left and says whether that is right; gives the state back for a comparison. */
async function check(memory: MemoryDisk, ledger: Ledger, where: string): Promise<unknown> {
  count.images += 1;
  const disk = new FaultyDisk(memory);
  const opened = await open(disk, { ...SETTINGS, random: countingRandom(5_000) });
  const { state, store, recovery } = opened;
  const n = Number(valuesOf(state).marker ?? 0);
  expect(n, `${where}: acknowledged`).toBeGreaterThanOrEqual(ledger.durable);
  expect(n, `${where}: begun`).toBeLessThanOrEqual(ledger.begun);
  expect(valuesOf(state), `${where}: a prefix, batches whole`).toEqual(expected[n]?.values);
  expect(state.covered.get("peer/00000000000000bb" as never), `${where}: coverage`).toBe(n);
  // A crash is not corruption, but peers may have what it lost: unless the log was closed, a new epoch is taken.
  expect(recovery, where).toMatchObject({ corrupt: false, setAside: [] });
  if (n > 0) expect([undefined, "unclean"], where).toContain(recovery.why);
  if (n > 0) expect(state.lease, `${where}: lease`).toBe(100_000);
  expect(await store.verify(), where).toMatchObject({ ok: true });
  const contents = { values: valuesOf(state), lsn: state.lsn, lease: state.lease };
  const names = await memory.list(DIRECTORY);
  expect(
    names.filter((name) => name.endsWith(".tmp")),
    where,
  ).toEqual([]);
  // It goes on from there.
  await commit(opened, [put(state, 900, "after", "crash")]);
  const after = contentsOf(state);
  await store.close();
  expect(disk.openFiles, `${where}: open files`).toBe(0);
  const again = await open(memory, SETTINGS);
  expect(contentsOf(again.state), `${where}: reopened`).toEqual(after);
  await again.store.close();
  return contents;
}

const MODES: readonly Durability[] = ["always", "os"];

describe.each(MODES)("in mode %s, when the power goes", (durability) => {
  test.each(SWEPT_SURVIVALS)("at any call, and of the unsynced survives %s", async (_name, survives) => {
    for (let at = 1; ; at++) {
      const memory = new MemoryDisk();
      const disk = new FaultyDisk(memory, { type: "crash", at });
      const ledger: Ledger = { begun: 0, durable: 0 };
      const result = await Promise.race([script(disk, durability, ledger), disk.crashed]);
      if (result !== "crashed") {
        expect(at, "the script has calls").toBeGreaterThan(100);
        break;
      }
      count.crashPoints += 1;
      memory.crash(survives());
      await check(memory, ledger, `call ${at}, ${disk.calls.at(-1)}`);
    }
  });
});

test.each(SWEPT_SURVIVALS.slice(0, 4))(
  "a second crash, at any call of the recovery, changes nothing: %s survives",
  async (_name, survives) => {
    for (let at = 1; ; at += RECOVERY_STEP) {
      const memory = new MemoryDisk();
      const disk = new FaultyDisk(memory, { type: "crash", at });
      const ledger: Ledger = { begun: 0, durable: 0 };
      if ((await Promise.race([script(disk, "always", ledger), disk.crashed])) !== "crashed") return;
      count.crashPoints += 1;
      memory.crash(survives());
      const once = await check(memory.clone(true), ledger, `call ${at}`);
      for (let second = 1; ; second++) {
        const copy = memory.clone(true);
        const recovering = new FaultyDisk(copy, { type: "crash", at: second });
        const opening = open(recovering, { ...SETTINGS, random: countingRandom(9_000) });
        if ((await Promise.race([opening, recovering.crashed])) !== "crashed") break;
        count.crashPoints += 1;
        copy.crash(survives());
        const where = `call ${at}, then ${second}: ${recovering.calls.at(-1)}`;
        expect(await check(copy, ledger, where), where).toEqual(once);
      }
    }
  },
);
