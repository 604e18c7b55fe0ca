/**
 * The power goes at every disk call of a replica that puts, deletes, batches, expires and takes checkpoints, several at
 * once, and again at every disk call of the next opening. The whole road from `put` to the platter runs as in production.
 */
import { afterAll, describe, expect, test } from "vitest";
import { type BatchOperation, type Durability, openReplica, type Replica } from "../../src/index.ts";
import { MemoryDisk } from "../../src/storage/memory-disk.ts";
import { FaultyDisk } from "../models/faulty-disk.ts";
import { countingRandom, DIRECTORY, ManualTimers } from "../models/store-harness.ts";
import { isFullSweep, SWEPT_SURVIVALS, SweepCount } from "../models/sweep.ts";

const WRITES = isFullSweep ? 40 : 12;
const START_MS = 1_700_000_000_000;
const STEP_MS = 10;
/** Over within the script. */
const SHORT_TTL_MS = 25;
/** Not over when the disk is opened again. */
const LONG_TTL_MS = 3_600_000;
/** Later than the script ends, and than a clock can have run ahead by its lease. */
const REOPENED_MS = START_MS + 100_000;
const RECOVERY_STEP = isFullSweep ? 1 : 17;
/** In the suite, nothing and some sectors: the store by itself is swept with all of them. */
const SURVIVALS = SWEPT_SURVIVALS.filter((_, index) => isFullSweep || index % 2 === 0);

/** One write each; a batch is one. The kinds alternate so that each follows each. */
function operationsOf(n: number): readonly BatchOperation[] {
  const value = `${n}:`.padEnd(n % 5 === 0 ? 900 : 12, "x");
  switch (n % 6) {
    case 0:
      return [{ type: "del", key: `k${n - 1}` }];
    case 1:
      return [{ type: "put", key: "short", value, ttlMs: SHORT_TTL_MS }];
    case 2:
      return [{ type: "put", key: `long${n % 4}`, value, ttlMs: LONG_TTL_MS }];
    case 3:
      return [
        { type: "put", key: "marker", value: n },
        { type: "put", key: `k${n}`, value },
        { type: "del", key: `k${n - 6}` },
        { type: "put", key: "shared", value },
      ];
    default:
      return [{ type: "put", key: `k${n}`, value }];
  }
}

type Contents = Readonly<Record<string, unknown>>;

/** What a reader sees at REOPENED_MS after each number of writes. `expiresAt` follows from the write alone. */
const EXPECTED: readonly Contents[] = (() => {
  const states: Contents[] = [{}];
  for (let n = 1; n <= WRITES; n++) {
    const next = new Map(Object.entries(states[n - 1] ?? {}));
    for (const operation of operationsOf(n)) {
      const { key } = operation;
      if (operation.type === "del" || operation.ttlMs === SHORT_TTL_MS) next.delete(key);
      else if (operation.ttlMs === undefined) next.set(key, [operation.value, undefined]);
      else next.set(key, [operation.value, nowAt(n) + operation.ttlMs]);
    }
    states.push(Object.fromEntries(next));
  }
  return states;
})();

function nowAt(n: number): number {
  return START_MS + n * STEP_MS;
}

interface Ledger {
  issued: number;
  acknowledged: number;
  readonly tokens: Set<string>;
}

function openOn(
  disk: FaultyDisk | MemoryDisk,
  clock: { now: () => number },
  durability: Durability,
  randomStart: number,
) {
  return openReplica({
    directory: DIRECTORY,
    nodeId: "n1",
    disk,
    durability,
    clock,
    timers: new ManualTimers(),
    random: countingRandom(randomStart),
    logger: { debug() {}, info() {}, warn() {}, error() {} },
  });
}

async function script(disk: FaultyDisk, durability: Durability, ledger: Ledger): Promise<void> {
  const clock = { nowMs: START_MS, now: () => clock.nowMs };
  const replica = await openOn(disk, clock, durability, 1);
  const pending: Promise<unknown>[] = [];
  for (let n = 1; n <= WRITES; n++) {
    clock.nowMs = nowAt(n);
    ledger.issued = n;
    const writing = issue(replica, operationsOf(n)).then((token) => {
      // In mode "os" an acknowledgement says nothing about a power cut.
      if (durability === "always") ledger.acknowledged = n;
      ledger.tokens.add(token);
    });
    pending.push(writing);
    if (n % 7 === 4) pending.push(replica.checkpoint());
    // Three at a time, so that records hold more than one write.
    if (n % 3 === 0) await Promise.all(pending.splice(0));
    if (n % 9 === 0) {
      await replica.flush();
      ledger.acknowledged = n;
    }
  }
  await Promise.all(pending);
  await replica.close();
  ledger.acknowledged = WRITES;
}

function issue(replica: Replica, operations: readonly BatchOperation[]): Promise<string> {
  const [first] = operations;
  if (operations.length > 1 || first === undefined) return replica.batch(operations);
  if (first.type === "del") return replica.delete(first.key);
  return replica.put(first.key, first.value, first.ttlMs === undefined ? {} : { ttlMs: first.ttlMs });
}

function contentsOf(replica: Replica): Contents {
  return Object.fromEntries(
    [...replica.entries()].map(([key, value]) => [key, [value, replica.entry(key)?.expiresAt]]),
  );
}

const count = new SweepCount();
afterAll(() => count.print("replica"));

/** Opens what a crash left, compares it, and goes on from there. */
async function check(memory: MemoryDisk, ledger: Ledger, where: string): Promise<Contents> {
  count.images += 1;
  const clock = { now: () => REOPENED_MS };
  const replica = await openOn(memory, clock, "always", 5_000);
  const found = contentsOf(replica);
  const allowed = EXPECTED.slice(ledger.acknowledged, ledger.issued + 1);
  expect(allowed, `${where}: a prefix from ${ledger.acknowledged} to ${ledger.issued} writes`).toContainEqual(found);
  expect(replica.status().durability.recovered?.corrupt ?? false, where).toBe(false);
  expect((await replica.verify()).problems, where).toEqual([]);
  const stamps = [...replica.keys()].map((key) => replica.entry(key)?.stamp ?? 0);
  const token = await replica.put("after", "crash");
  expect(ledger.tokens, `${where}: no number is issued twice`).not.toContain(token);
  expect(replica.entry("after")?.stamp, `${where}: the clock goes on`).toBeGreaterThan(Math.max(0, ...stamps));
  await replica.close();
  const names = await memory.list(DIRECTORY);
  expect(
    names.filter((name) => /\.(tmp|damaged)$/.test(name)),
    where,
  ).toEqual([]);
  const again = await openOn(memory, clock, "always", 6_000);
  expect(contentsOf(again), `${where}: opened once more`).toEqual({ ...found, after: ["crash", undefined] });
  await again.close();
  return found;
}

/** Runs the script until the power goes at call `at`; undefined when it has fewer calls. */
async function crashAt(
  at: number,
  durability: Durability,
): Promise<{ memory: MemoryDisk; ledger: Ledger; call: string } | undefined> {
  const memory = new MemoryDisk();
  const disk = new FaultyDisk(memory, { type: "crash", at });
  const ledger: Ledger = { issued: 0, acknowledged: 0, tokens: new Set() };
  if ((await Promise.race([script(disk, durability, ledger), disk.crashed])) !== "crashed") return undefined;
  count.crashPoints += 1;
  return { memory, ledger, call: disk.calls.at(-1) ?? "" };
}

describe.each(["always", "os"] as const)("in mode %s, when the power goes", (durability) => {
  test.each(SURVIVALS)("at any call, and of the unsynced survives %s", async (_name, survives) => {
    let at = 1;
    for (; ; at++) {
      const crash = await crashAt(at, durability);
      if (crash === undefined) break;
      crash.memory.crash(survives());
      await check(crash.memory, crash.ledger, `call ${at}, ${crash.call}`);
    }
    expect(at, "the script has calls").toBeGreaterThan(40);
  });
});

test.each(SURVIVALS.slice(0, 4))(
  "a second crash, at any call of the opening, changes nothing: %s survives",
  async (_name, survives) => {
    for (let at = 1; ; at += RECOVERY_STEP) {
      const crash = await crashAt(at, "always");
      if (crash === undefined) return;
      const { memory, ledger } = crash;
      memory.crash(survives());
      const once = await check(memory.clone(true), ledger, `call ${at}`);
      for (let second = 1; ; second++) {
        const copy = memory.clone(true);
        const recovering = new FaultyDisk(copy, { type: "crash", at: second });
        const opening = openOn(recovering, { now: () => REOPENED_MS }, "always", 9_000).then((replica) =>
          replica.close(),
        );
        if ((await Promise.race([opening, recovering.crashed])) !== "crashed") break;
        count.crashPoints += 1;
        copy.crash(survives());
        const where = `call ${at}, then ${second}: ${recovering.calls.at(-1) ?? ""}`;
        expect(await check(copy, ledger, where), where).toEqual(once);
      }
    }
  },
);
