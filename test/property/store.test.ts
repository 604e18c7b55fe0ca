/** A replica against a sorted map, under random calls, in virtual time, closed and opened again now and then. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { type KeyRange, openReplica, type Replica, type ScanOptions } from "../../src/index.ts";
import { MemoryDisk } from "../../src/storage/memory-disk.ts";
import { countingRandom } from "../models/store-harness.ts";
import { VirtualTime } from "../models/virtual-time.ts";

/** Prefixes of each other, and pairs that UTF-8 and UTF-16 order differently: U+FFFD is below U+10000 only as bytes. */
const KEYS = ["a", "a/", "a/1", "a/2", "a0", "b", "é", "\u{fffd}", "\u{10000}", "__proto__", "constructor", "z"];
/** The clock is leased by the second, so that after a restart it may be that much ahead. */
const LEASE_MS = 1001;

type Write = { type: "put"; key: string; value: unknown; ttlMs?: number } | { type: "del"; key: string };
type Command =
  | Write
  | { type: "batch"; writes: Write[] }
  | { type: "clear"; range: KeyRange }
  | { type: "scan"; options: ScanOptions }
  | { type: "pass"; ms: number }
  | { type: "reopen" };

const key = fc.constantFrom(...KEYS);
const value = fc.oneof(
  fc.constant(null),
  fc.integer(),
  fc.string({ unit: "grapheme" }),
  fc.uint8Array({ maxLength: 4 }),
  fc.dictionary(fc.constantFrom("x", "__proto__", "constructor"), fc.integer()),
  fc.array(fc.integer(), { maxLength: 3 }),
);
const put = fc.record(
  { type: fc.constant("put" as const), key, value, ttlMs: fc.constantFrom(0.5, 1, 49, 50, 51, 5000) },
  { requiredKeys: ["type", "key", "value"] },
);
const del = fc.record({ type: fc.constant("del" as const), key });
const range: fc.Arbitrary<KeyRange> = fc.record(
  { prefix: fc.constantFrom("", "a", "a/", "é"), gt: key, gte: key, lt: key, lte: key },
  { requiredKeys: [] },
);
const options = fc
  .tuple(range, fc.record({ reverse: fc.boolean(), limit: fc.nat(4) }, { requiredKeys: [] }))
  .map(([keys, more]): ScanOptions => ({ ...keys, ...more }));
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: put },
  { weight: 2, arbitrary: del },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant("batch" as const),
      writes: fc.array(fc.oneof(put, del), { maxLength: 8, size: "max" }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("clear" as const), range }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("scan" as const), options }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("pass" as const), ms: fc.constantFrom(1, 49, 50, 4949) }) },
  { weight: 1, arbitrary: fc.constant({ type: "reopen" as const }) },
);

class Model {
  readonly #entries = new Map<string, { value: unknown; expiresAt: number }>();

  write(write: Write, now: number): void {
    if (write.type === "del") this.#entries.delete(write.key);
    else {
      const expiresAt = write.ttlMs === undefined ? Number.POSITIVE_INFINITY : Math.ceil(now + write.ttlMs);
      this.#entries.set(write.key, { value: write.value, expiresAt });
    }
  }

  scan(now: number, { reverse = false, limit = Number.POSITIVE_INFINITY, ...keys }: ScanOptions): [string, unknown][] {
    const order = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
    const found = [...this.#entries]
      .filter(([, { expiresAt }]) => expiresAt > now)
      .filter(([name]) => name.startsWith(keys.prefix ?? ""))
      .filter(([name]) => keys.gt === undefined || order(name, keys.gt) > 0)
      .filter(([name]) => keys.gte === undefined || order(name, keys.gte) >= 0)
      .filter(([name]) => keys.lt === undefined || order(name, keys.lt) < 0)
      .filter(([name]) => keys.lte === undefined || order(name, keys.lte) <= 0)
      .sort(([a], [b]) => (reverse ? order(b, a) : order(a, b)))
      .map(([name, entry]): [string, unknown] => [name, entry.value]);
    return found.slice(0, limit);
  }
}

async function execute(command: Command, replica: Replica, model: Model, now: number): Promise<void> {
  switch (command.type) {
    case "put": {
      const { ttlMs } = command;
      const written = replica.put(command.key, command.value, ttlMs === undefined ? {} : { ttlMs });
      model.write(command, now);
      // Read your own write, before it is durable.
      check(replica, model, now, {});
      await written;
      return;
    }
    case "del":
      model.write(command, now);
      await replica.delete(command.key);
      return;
    case "batch":
      for (const write of command.writes) model.write(write, now);
      await replica.batch(command.writes);
      return;
    case "clear":
      for (const [name] of model.scan(now, command.range)) model.write({ type: "del", key: name }, now);
      await replica.clear(command.range);
      return;
    case "scan":
      check(replica, model, now, command.options);
      return;
    default:
      throw new Error(`${command.type} is executed elsewhere`);
  }
}

function check(replica: Replica, model: Model, now: number, scan: ScanOptions): void {
  const expected = model.scan(now, scan);
  expect([...replica.entries(scan)]).toEqual(expected);
  expect([...replica.keys(scan)]).toEqual(expected.map(([name]) => name));
  expect([...replica.values(scan)]).toEqual(expected.map(([, held]) => held));
  const held = new Map(model.scan(now, {}));
  expect(replica.getMany(KEYS)).toEqual(KEYS.map((name) => held.get(name)));
  expect(KEYS.filter((name) => replica.has(name))).toEqual(KEYS.filter((name) => held.has(name)));
  expect(KEYS.map((name) => replica.entry(name)?.value)).toEqual(KEYS.map((name) => held.get(name)));
}

test.each([["on a disk"], ["in memory"]])("a replica %s is a sorted map", async (where) => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 60, size: "max" }), async (commands) => {
      const time = new VirtualTime();
      const ports = { clock: time, timers: time, random: countingRandom(), disk: new MemoryDisk() };
      const open = () => openReplica({ nodeId: "n", ...ports, ...(where === "on a disk" ? { directory: "d" } : {}) });
      const model = new Model();
      let replica = await open();
      for (const next of commands) {
        if (next.type === "pass") time.advance(next.ms);
        else if (next.type !== "reopen") await execute(next, replica, model, time.now());
        else if (where === "on a disk") {
          await replica.close();
          time.advance(LEASE_MS);
          replica = await open();
          check(replica, model, time.now(), {});
        }
      }
      check(replica, model, time.now(), {});
      time.advance(60_000);
      check(replica, model, time.now(), {});
      expect(replica.status().entries).toBe(model.scan(time.now(), {}).length);
      await replica.close();
      expect(time.pending).toBe(0);
    }),
    { numRuns: 30 },
  );
});
