/**
 * Merge kinds among three replicas under random schedules: they converge, and to what follows from the writes. Which write
 * had seen which is known from a log that is written along with them, one key for each write, in the same batch: a
 * replica has seen a write if it has its key. What was seen by a delete does not count; everything else does.
 */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { BatchOperation, MergeKind, Replica } from "../../src/index.ts";
import { VirtualCluster } from "../models/virtual-cluster.ts";

const NODES = ["a", "b", "c"] as const;
const union: MergeKind = {
  name: "union",
  merge: (x, y) => [...new Set([...(x as number[]), ...(y as number[])])].sort((p, q) => p - q),
};
const merge: Record<string, MergeKind> = { "sum/": "counter", "max/": "max", "set/": union, "doc/": "fields" };
const KEYS = ["sum/x", "max/x", "set/x", "doc/x"] as const;
type Key = (typeof KEYS)[number];

type Step =
  | { type: "write"; at: number; key: Key; value: number; field: string }
  | { type: "delete"; at: number; key: Key }
  | { type: "cut" | "heal"; link: number }
  | { type: "pass"; ms: number };

const at = fc.nat(2);
const key = fc.constantFrom(...KEYS);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant("write" as const),
      at,
      key,
      value: fc.integer({ min: -9, max: 9 }),
      field: fc.constantFrom("p", "q", "__proto__"),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("delete" as const), at, key }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom("cut" as const, "heal" as const), link: at }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("pass" as const), ms: fc.constantFrom(1, 40, 400) }) },
);

/** What the log says of one write. */
interface Logged {
  key: Key;
  by: string;
  order: number;
  /** Of a put. The field only if it changes: a put writes nothing of what it leaves as it is. */
  value?: number;
  field?: string;
  /** Of a put: what its author knew to be deleted. */
  gone?: string[];
  /** Of a delete: what of this key its author had seen, and the fields that it saw. */
  seen?: string[];
  fields?: string[];
}

/** A relay once passed on the key of the log at once, and what it stands beside, a part of a merged entry, at the next tick. */
const RELAYED: Step[] = [
  { type: "cut", link: 1 },
  { type: "write", at: 1, key: "sum/x", value: 1, field: "p" },
  { type: "write", at: 0, key: "sum/x", value: 0, field: "p" },
  { type: "write", at: 0, key: "sum/x", value: 0, field: "p" },
  { type: "write", at: 0, key: "sum/x", value: 0, field: "p" },
  { type: "delete", at: 2, key: "sum/x" },
];

class Run {
  readonly cluster = new VirtualCluster();
  replicas: Replica[] = [];
  #writes = 0;

  async open(): Promise<void> {
    for (const nodeId of NODES) this.replicas.push(await this.cluster.open(nodeId, { merge }));
    await this.cluster.live();
  }

  logAt(replica: Replica, of: Key): [string, Logged][] {
    return [...replica.namespace<Logged>("log").entries()].filter(([, logged]) => logged.key === of);
  }

  async do(one: Step): Promise<void> {
    // Time passes, so that the order of writes is the order of their stamps.
    this.cluster.time.advance(1);
    if (one.type === "pass") await this.cluster.time.run(one.ms);
    else if (one.type === "write" || one.type === "delete") this.#write(one);
    else this.cluster.network[one.type](NODES[one.link]!, NODES[(one.link + 1) % 3]!);
  }

  #write(one: Extract<Step, { type: "write" | "delete" }>): void {
    const replica = this.replicas[one.at]!;
    const order = ++this.#writes;
    const id = String(order).padStart(4, "0");
    const log: Logged = { key: one.key, by: replica.nodeId, order };
    if (one.type === "delete") {
      log.seen = this.logAt(replica, one.key).map(([name]) => name);
      if (one.key === "doc/x") log.fields = Object.keys(fieldsAt(replica));
    } else {
      log.value = one.value;
      log.gone = this.logAt(replica, one.key).flatMap(([, { seen = [] }]) => seen);
      const fields = fieldsAt(replica);
      if (!Object.hasOwn(fields, one.field) || fields[one.field] !== one.value) log.field = one.field;
    }
    const operations: BatchOperation[] = [{ type: "put", key: `log/${id}`, value: log }];
    if (one.type === "delete") operations.push({ type: "del", key: one.key });
    else operations.push({ type: "put", key: one.key, value: this.#valueOf(replica, one) });
    void replica.batch(operations);
  }

  #valueOf(replica: Replica, { key: of, value, field }: Extract<Step, { type: "write" }>): unknown {
    if (of === "sum/x") return ((replica.get(of) as number | undefined) ?? 0) + value;
    if (of === "max/x") return value;
    if (of === "set/x") return [value];
    return { ...fieldsAt(replica), [field]: value };
  }

  async settle(): Promise<void> {
    this.cluster.network.heal();
    await this.cluster.live();
    await this.cluster.converged();
  }

  /** What follows from the log. */
  expected(of: Key): unknown {
    const log = this.logAt(this.replicas[0]!, of);
    const deleted = new Set(log.flatMap(([, { seen = [] }]) => seen));
    const puts = log.filter(([, { seen }]) => seen === undefined);
    const live = puts.filter(([id]) => !deleted.has(id));
    if (of === "doc/x") return fieldsOf(log);
    if (live.length === 0) return undefined;
    const counted = of === "sum/x" ? live : puts.filter(([id, put]) => isCarried(id, put, puts, log));
    const values = counted.map(([, { value = 0 }]) => value);
    if (of === "sum/x") return values.reduce((a, b) => a + b, 0);
    if (of === "max/x") return Math.max(...values);
    return [...new Set(values)].sort((a, b) => a - b);
  }
}

/**
 * A register carries along what its author has put, until its author sees that a delete has seen all of it. So a put
 * counts if the last put of its author that goes on from it was seen by no delete.
 */
function isCarried(id: string, put: Logged, puts: [string, Logged][], log: [string, Logged][]): boolean {
  const own = puts.filter(([, { by }]) => by === put.by);
  const last = own.at(-1)!;
  const isDeleted = (name: string): boolean => log.some(([, { seen = [] }]) => seen.includes(name));
  if (isDeleted(last[0])) return false;
  // Every later put of the author has gone on from the one before, unless the author knew that it was deleted.
  return own.every(([name, next], index) => {
    if (index === 0 || next.order <= put.order || name <= id) return true;
    const [before] = own[index - 1]!;
    return !(next.gone ?? []).includes(before);
  });
}

function fieldsAt(replica: Replica): Record<string, number> {
  return (replica.get("doc/x") as Record<string, number> | undefined) ?? {};
}

/** Each field is as its last write left it: a put of it, or a delete of the object that had seen the field. */
function fieldsOf(log: [string, Logged][]): unknown {
  const fields = new Map<string, { order: number; value: number | undefined }>();
  for (const [, { order, field, value, fields: deleted = [] }] of log) {
    if (field !== undefined) fields.set(field, { order, value });
    for (const name of deleted) fields.set(name, { order, value: undefined });
  }
  const present = [...fields].flatMap(([name, { value }]) => (value === undefined ? [] : [[name, value] as const]));
  return present.length === 0 ? undefined : Object.fromEntries(present.sort(([a], [b]) => (a < b ? -1 : 1)));
}

test("replicas converge, to what follows from the writes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40, size: "max" }), async (steps) => {
      const run = new Run();
      await run.open();
      try {
        for (const one of steps) await run.do(one);
        await run.settle();
        for (const of of KEYS) {
          const shown = run.replicas.map((replica) => replica.get(of));
          expect(shown, of).toEqual(NODES.map(() => run.expected(of)));
          for (const replica of run.replicas) {
            expect([...replica.entries({ prefix: of })]).toEqual(shown[0] === undefined ? [] : [[of, shown[0]]]);
          }
        }
      } finally {
        await run.cluster.close();
      }
    }),
    { numRuns: Number(process.env["WAVEKV_MERGE_RUNS"] ?? 40), examples: [[RELAYED]] },
  );
});
