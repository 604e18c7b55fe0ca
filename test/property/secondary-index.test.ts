/** A secondary index against what it is derived from: whatever happens here or at a peer, it shows just the entries that a scan shows. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { IndexedEntry, Replica, ScanOptions } from "../../src/index.ts";
import { VirtualCluster } from "../models/virtual-cluster.ts";

/** Strings whose order as row keys differs from their own if either is done wrong: NUL, prefixes, UTF-16. */
const BY = ["", "a", "a\0", "a\0\0", "a\u0001", "ab", "b", "é", "\u{fffd}", "\u{10000}"];
const KEYS = ["u/1", "u/2", "u/3", "u/\0", "v/1"];

type Value = string | string[] | number;
type Write = { type: "put"; key: string; value: Value; ttlMs?: number } | { type: "del"; key: string };
type Command =
  | { type: "write"; at: number; writes: Write[] }
  | { type: "clear"; prefix: string }
  | { type: "pass"; ms: number }
  | { type: "reindex" }
  | { type: "scan"; options: ScanOptions };

const by = fc.constantFrom(...BY);
const key = fc.constantFrom(...KEYS);
const put = fc.record(
  {
    type: fc.constant("put" as const),
    key,
    value: fc.oneof(by, fc.array(by, { maxLength: 3, size: "max" }), fc.constant(7)),
    ttlMs: fc.constantFrom(1, 50, 51, 500),
  },
  { requiredKeys: ["type", "key", "value"] },
);
const write = fc.oneof(
  { weight: 4, arbitrary: put },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("del" as const), key }) },
);
const options: fc.Arbitrary<ScanOptions> = fc.record(
  { prefix: by, gt: by, gte: by, lt: by, lte: by, reverse: fc.boolean(), limit: fc.nat(3) },
  { requiredKeys: [] },
);
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant("write" as const),
      at: fc.nat(1),
      writes: fc.array(write, { minLength: 1, maxLength: 4, size: "max" }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant("clear" as const), prefix: fc.constantFrom("", "u/", "u/1") }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("pass" as const), ms: fc.constantFrom(1, 49, 50, 450) }) },
  { weight: 1, arbitrary: fc.constant({ type: "reindex" as const }) },
  { weight: 5, arbitrary: fc.record({ type: fc.constant("scan" as const), options }) },
);

/** 7 is a value that the key function chokes on. */
function keysOf(value: unknown): string | string[] | undefined {
  if (value === 7) throw new Error("seven");
  const strings = value as string | string[];
  return strings.length === 3 ? undefined : strings;
}

function expected(replica: Replica, { prefix, gt, gte, lt, lte, reverse = false, limit }: ScanOptions): IndexedEntry[] {
  const bytes = (text: string): Buffer => Buffer.from(text);
  const order = (a: string, b: string): number => Buffer.compare(bytes(a), bytes(b));
  const rows: IndexedEntry[] = [];
  for (const [entryKey, value] of replica.entries({ prefix: "u/" })) {
    if (value === 7) continue;
    for (const one of new Set([keysOf(value) ?? []].flat())) rows.push({ by: one, key: entryKey, value });
  }
  const inside = rows
    .filter((row) => prefix === undefined || row.by.startsWith(prefix))
    .filter((row) => gt === undefined || order(row.by, gt) > 0)
    .filter((row) => gte === undefined || order(row.by, gte) >= 0)
    .filter((row) => lt === undefined || order(row.by, lt) < 0)
    .filter((row) => lte === undefined || order(row.by, lte) <= 0)
    .sort((a, b) => order(a.by, b.by) || order(a.key, b.key));
  return (reverse ? inside.reverse() : inside).slice(0, limit);
}

test("an index shows what a scan shows, at every moment", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 40, size: "max" }), async (commands) => {
      const cluster = new VirtualCluster();
      const replicas = [await cluster.open("a"), await cluster.open("b")];
      const [a] = replicas as [Replica, Replica];
      const index = { prefix: "u/", key: keysOf };
      let tested = a.index("tested", index);
      const untouched = a.index("never read until the end", index);
      try {
        for (const step of commands) {
          if (step.type === "write") {
            const writing = replicas[step.at]!.batch(step.writes);
            // Before it is durable: `get` shows it already.
            expect([...tested.entries()]).toEqual(expected(a, {}));
            await writing;
          } else if (step.type === "clear") await a.clear({ prefix: step.prefix });
          else if (step.type === "pass") await cluster.time.run(step.ms);
          else if (step.type === "reindex") {
            tested.close();
            tested = a.index("tested", index);
          }
          const scan = step.type === "scan" ? step.options : {};
          expect([...tested.entries(scan)]).toEqual(expected(a, scan));
          expect([...tested.keys(scan)]).toEqual(expected(a, scan).map((row) => row.key));
          expect([...tested.values(scan)]).toEqual(expected(a, scan).map((row) => row.value));
        }
        expect([...untouched.entries()]).toEqual(expected(a, {}));
      } finally {
        await cluster.close();
      }
    }),
    { numRuns: 60 },
  );
});
