/** Merge kinds as users see them: get, ranges, events, versions, deletes; and what is refused. Their laws are in test/property. */
import { afterEach, describe, expect, test } from "vitest";
import { encodeValue } from "../../../src/codec/values.ts";
import type { AdmitEntry, MergeKind, Replica, WatchEvent } from "../../../src/index.ts";
import { MemoryDisk } from "../../../src/storage/memory-disk.ts";
import { VirtualCluster } from "../../models/virtual-cluster.ts";
import { failureOf, open } from "../replica/stage.ts";

const union: MergeKind = {
  name: "union",
  merge: (a, b) => [...new Set([...(a as string[]), ...(b as string[])])].sort(),
};
const merge: Record<string, MergeKind> = {
  "n/": "counter",
  "n/plain/": "lww",
  "max/": "max",
  "min/": "min",
  "doc/": "fields",
  "tags/": union,
};

const clusters: VirtualCluster[] = [];
afterEach(async () => {
  await Promise.all(clusters.splice(0).map((cluster) => cluster.close()));
});

async function three(): Promise<{ cluster: VirtualCluster; replicas: [Replica, Replica, Replica] }> {
  const cluster = new VirtualCluster();
  clusters.push(cluster);
  const replicas: Replica[] = [];
  for (const nodeId of ["a", "b", "c"]) replicas.push(await cluster.open(nodeId, { merge }));
  await cluster.live();
  return { cluster, replicas: replicas as [Replica, Replica, Replica] };
}

/** Runs `writes` while nobody hears of anybody, and lets all meet again. */
async function apart(cluster: VirtualCluster, writes: () => unknown): Promise<void> {
  for (const [x, y] of ["ab", "ac", "bc"]) cluster.network.cut(x!, y!);
  await cluster.time.run(100);
  writes();
  await cluster.time.run(100);
  cluster.network.heal();
  await cluster.live();
  await cluster.converged();
}

const values = (replicas: readonly Replica[], key: string): unknown[] => replicas.map((replica) => replica.get(key));

describe("written at the same time", () => {
  test("increments all count", async () => {
    const { cluster, replicas } = await three();
    const [a, b, c] = replicas;
    await a.increment("n/x");
    await cluster.converged();
    await apart(cluster, () => {
      void a.increment("n/x", 10);
      void b.increment("n/x", 100);
      void b.increment("n/x", -1);
      void c.put("n/x", 1001);
    });
    expect(values(replicas, "n/x")).toEqual([1110, 1110, 1110]);
  });

  test("the greatest and the least stay, whoever was later", async () => {
    const { cluster, replicas } = await three();
    const [a, b, c] = replicas;
    await apart(cluster, () => {
      for (const kind of ["max", "min"]) {
        void a.put(`${kind}/x`, 5);
        void b.put(`${kind}/x`, -7);
        void c.put(`${kind}/x`, 3);
      }
    });
    expect(values(replicas, "max/x")).toEqual([5, 5, 5]);
    expect(values(replicas, "min/x")).toEqual([-7, -7, -7]);
  });

  test("different fields all stay, of one field the later value", async () => {
    const { cluster, replicas } = await three();
    const [a, b, c] = replicas;
    await a.put("doc/x", { name: "x", size: 1, old: true });
    await cluster.converged();
    await apart(cluster, () => {
      void a.put("doc/x", { name: "x of a", size: 1, old: true });
      void b.put("doc/x", { name: "x", size: 2, old: true });
      cluster.time.advance(1);
      void c.put("doc/x", { name: "x", size: 3, ["__proto__"]: "data" });
    });
    const merged = values(replicas, "doc/x");
    expect(JSON.stringify(merged[0])).toBe('{"__proto__":"data","name":"x of a","size":3}');
    expect(merged[1]).toEqual(merged[0]);
    expect(merged[2]).toEqual(merged[0]);
  });

  test("a merge of one's own has them all", async () => {
    const { cluster, replicas } = await three();
    const [a, b, c] = replicas;
    await apart(cluster, () => {
      void a.put("tags/x", ["red"]);
      void b.put("tags/x", ["blue"]);
      void c.put("tags/x", ["red", "green"]);
    });
    expect(values(replicas, "tags/x")).toEqual(Array(3).fill(["blue", "green", "red"]));
  });

  test("a delete takes what it has seen, and leaves what was written meanwhile", async () => {
    const { cluster, replicas } = await three();
    const [a, b, c] = replicas;
    await a.increment("n/x", 5);
    await b.increment("n/x", 7);
    await a.put("max/x", 9);
    await a.put("doc/x", { one: 1, two: 2 });
    await cluster.converged();
    await apart(cluster, () => {
      for (const key of ["n/x", "max/x", "doc/x"]) void c.delete(key);
      for (const key of ["n/x", "max/x", "doc/x"]) expect([c.has(key), c.get(key)]).toEqual([false, undefined]);
      cluster.time.advance(1);
      void a.increment("n/x", 100);
      void a.put("doc/x", { one: 1, two: 22 });
      void b.put("max/x", 4);
    });
    expect(values(replicas, "n/x")).toEqual([100, 100, 100]);
    expect(values(replicas, "max/x")).toEqual([4, 4, 4]);
    expect(values(replicas, "doc/x")).toEqual(Array(3).fill({ two: 22 }));
    // And from nothing again.
    await b.delete("n/x");
    await b.increment("n/x", 1);
    await cluster.converged();
    expect(values(replicas, "n/x")).toEqual([1, 1, 1]);
  });
});

describe("a merged key", () => {
  test("is one key in every read and range, in its place", async () => {
    const replica = await open({ merge });
    for (const key of ["max/b", "max/a", "max/ab", "max/a\0", "max/é"]) await replica.put(key, 1);
    await replica.put("max", "before");
    await replica.put("max0", "behind");
    await replica.put("doc/x", { one: 1, two: 2, three: 3 });
    await replica.put("n/plain/x", "not merged");
    const all = ["doc/x", "max", "max/a", "max/a\0", "max/ab", "max/b", "max/é", "max0", "n/plain/x"];
    expect([...replica.keys()]).toEqual(all);
    expect([...replica.keys({ reverse: true })]).toEqual([...all].reverse());
    expect([...replica.keys({ gt: "max/a", lte: "max/b" })]).toEqual(["max/a\0", "max/ab", "max/b"]);
    expect([...replica.keys({ prefix: "max/a", reverse: true, limit: 2 })]).toEqual(["max/ab", "max/a\0"]);
    expect([...replica.entries({ prefix: "doc/" })]).toEqual([["doc/x", { one: 1, three: 3, two: 2 }]]);
    expect(JSON.stringify([...replica.values({ lt: "e", reverse: true })])).toBe('[{"one":1,"three":3,"two":2}]');
    expect(replica.getMany(["max/b", "max/c"])).toEqual([1, undefined]);
    expect(replica.entry("max/b")).toMatchObject({ key: "max/b", value: 1, nodeId: replica.nodeId });
    const iteration = replica.entries({ prefix: "max/" })[Symbol.iterator]();
    iteration.next();
    await replica.clear();
    expect([...{ [Symbol.iterator]: () => iteration }]).toHaveLength(4);
    expect([...replica.keys()]).toEqual([]);
    expect(replica.has("doc/x")).toBe(false);
  });

  test("has one event for each step that changes what is seen", async () => {
    const { cluster, replicas } = await three();
    const [a, b] = replicas;
    await a.put("max/x", 5);
    await cluster.converged();
    const seen: WatchEvent[] = [];
    const watch = b.watch({ initial: true });
    void (async () => {
      for await (const event of watch) seen.push(event);
    })();
    await cluster.time.run(50);
    void a.put("max/x", 3);
    void a.batch([
      { type: "put", key: "doc/x", value: { one: 1, two: 2, three: 3 } },
      { type: "put", key: "plain", value: 0 },
    ]);
    await cluster.converged();
    await b.put("max/x", 7);
    await b.delete("max/x");
    await cluster.time.run(50);
    expect(
      seen.map((event) =>
        "key" in event
          ? [event.type, event.key, "value" in event ? event.value : undefined, event.previous, event.local]
          : event.type,
      ),
    ).toEqual([
      ["put", "max/x", 5, undefined, false],
      "ready",
      ["put", "plain", 0, undefined, false],
      ["put", "doc/x", { one: 1, three: 3, two: 2 }, undefined, false],
      ["put", "max/x", 7, 5, true],
      ["delete", "max/x", undefined, 7, true],
    ]);
    const [, , plain, doc] = seen as { batch: string }[];
    expect(doc!.batch).toBe(plain!.batch);
    await watch.return?.();
  });

  test("can be watched since a version: what was missed follows, or lagged, and nothing is left out", async () => {
    const replica = await open({ merge });
    const watch = replica.watch();
    await replica.put("max/x", 1);
    await replica.put("doc/x", { a: 1, b: 2 });
    await replica.delete("max/x");
    await replica.delete("doc/x");
    const events: { type: string; key: string; version: string }[] = [];
    for (let n = 0; n < 4; n += 1) events.push((await watch.next()).value as (typeof events)[0]);
    expect(new Set(events.map(({ version }) => version)).size).toBe(4);
    for (const [index, { version }] of events.entries()) {
      const resumed = replica.watch({ since: version });
      await replica.put("end", index);
      for (const missed of events.slice(index + 1)) expect((await resumed.next()).value).toEqual(missed);
      for (let n = 0; n <= index; n += 1) expect((await resumed.next()).value).toMatchObject({ key: "end", value: n });
      await resumed.return?.();
    }
    await watch.return?.();
    // From the log of the store, as after a restart, merged keys cannot be told.
    const disk = new MemoryDisk();
    const before = await open({ merge, directory: "/d", disk });
    await before.put("k", 1);
    const { version } = before.entry("k")!;
    await before.put("l", 1);
    await before.close();
    const after = await open({ merge, directory: "/d", disk });
    expect((await after.watch({ since: version }).next()).value).toMatchObject({ key: "l" });
    await after.put("max/x", 1);
    await after.close();
    const last = await open({ merge, directory: "/d", disk });
    expect((await last.watch({ since: version }).next()).value).toEqual({ type: "lagged" });
  });

  test("has a version that changes with it: ifVersion, transactions, indexes and namespaces take it like any key", async () => {
    const replica = await open({ merge });
    const docs = replica.namespace<Record<string, number>>("doc");
    const index = docs.index("by-field", { key: (value) => Object.keys(value) });
    await docs.put("x", { a: 1, b: 2 }, { ifVersion: null });
    const before = docs.entry("x")!.version;
    await docs.put("x", { b: 2 });
    expect(docs.entry("x")!.version).not.toBe(before);
    expect(await failureOf(() => docs.put("x", {}, { ifVersion: before }))).toMatchObject({
      code: "ERR_VERSION_MISMATCH",
    });
    expect([index.get("a"), index.get("b").map(({ key }) => key)]).toEqual([[], ["x"]]);
    await docs.transaction((tx) => tx.put("x", { ...tx.get("x"), c: 3 }));
    expect(docs.get("x")).toEqual({ b: 2, c: 3 });
    expect(index.get("c")).toHaveLength(1);
    await docs.delete("x");
    expect([...index.keys()]).toEqual([]);
    await docs.put("x", {});
    expect([docs.get("x"), docs.has("y")]).toEqual([{}, false]);
    const hits = replica.namespace<number>("n");
    await hits.increment("x", 2);
    await hits.increment("x");
    expect(hits.get("x")).toBe(3);
  });

  test("outlives a restart, and the loss of its author's data", async () => {
    const cluster = new VirtualCluster();
    clusters.push(cluster);
    const disk = new MemoryDisk();
    const b = await cluster.open("b", { merge });
    const first = await cluster.open("a", { merge, directory: "/a", disk });
    await first.increment("n/x", 5);
    await cluster.live();
    await first.close();
    const second = await cluster.open("a", { merge, directory: "/a", disk });
    expect(second.get("n/x")).toBe(5);
    await second.increment("n/x");
    await cluster.until(() => b.get("n/x") === 6, "the increment");
    await second.close();
    // All is lost: it begins again as another origin, and what it has counted before goes on to count.
    const third = await cluster.open("a", { merge, directory: "/a", disk: new MemoryDisk() });
    await third.increment("n/x", 10);
    await cluster.until(() => b.get("n/x") === 16 && third.get("n/x") === 16, "both");
  });

  test("is not written where nothing changes", async () => {
    const replica = await open({ merge });
    const fields = await replica.put("doc/x", { a: [1] });
    expect(await replica.put("doc/x", { a: [1] })).toBe(fields);
    expect(await replica.increment("n/x", 0)).toBe(fields);
    expect(await replica.delete("n/x")).toBe(fields);
    // But this is, though nobody sees a change: a delete that has not seen it leaves it.
    const greater = await replica.put("max/x", 6);
    expect(await replica.put("max/x", 5)).not.toBe(greater);
  });
});

describe("refused", () => {
  test("what a kind does not take, and nothing is written", async () => {
    const replica = await open({ merge });
    await replica.put("plain", 1);
    const wrong = [
      ["ERR_VALUE", () => replica.put("n/x", 1.5)],
      ["ERR_VALUE", () => replica.put("n/x", "1")],
      ["ERR_VALUE", () => replica.put("max/x", Number.NaN)],
      ["ERR_VALUE", () => replica.put("min/x", 5n)],
      ["ERR_VALUE", () => replica.put("doc/x", [1])],
      ["ERR_VALUE", () => replica.put("doc/x", new Map())],
      ["ERR_OPTION", () => replica.put("max/x", 1, { ttlMs: 1000 })],
      ["ERR_OPTION", () => replica.increment("plain")],
      ["ERR_OPTION", () => replica.increment("max/x")],
      ["ERR_OPTION", () => replica.increment("n/x", 0.5)],
      ["ERR_KEY", () => replica.increment("")],
      ["ERR_KEY", () => replica.increment(`n/${"x".repeat(1000)}`)],
      ["ERR_KEY", () => replica.put("doc/x", { ["f".repeat(1024)]: 1 })],
      [
        "ERR_VALUE",
        () =>
          replica.batch([
            { type: "put", key: "max/x", value: 1 },
            { type: "put", key: "n/x", value: "1" },
          ]),
      ],
      [
        "ERR_LIMIT",
        () =>
          replica
            .batch([{ type: "put", key: "n/x", value: Number.MAX_SAFE_INTEGER + 1 - 1 }])
            .then(() => replica.increment("n/x")),
      ],
    ] as const;
    for (const [code, call] of wrong) expect(await failureOf(call), String(call)).toMatchObject({ code });
    expect([...replica.keys()]).toEqual(["n/x", "plain"]);
    expect(await failureOf(() => (replica.put as (k: string) => Promise<unknown>)("max/x"))).toMatchObject({
      code: "ERR_VALUE",
    });
    expect(await failureOf(async () => (await open()).increment("n/x"))).toMatchObject({ code: "ERR_OPTION" });
  });

  test("wrong options", async () => {
    for (const wrong of [
      5,
      null,
      { "": "max" },
      { "x/": "most" },
      { "x/": { name: "", merge: () => 1 } },
      { "x/": { name: "x" } },
      { "x/": null },
      { ["x".repeat(129)]: "max" },
      Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`p${n}`, "max"])),
    ]) {
      const call = (): Promise<Replica> => open({ merge: wrong as unknown as Record<string, MergeKind> });
      expect(await failureOf(call), JSON.stringify(wrong)).toMatchObject({ code: "ERR_OPTION" });
    }
  });
});

test("replicas that merge differently say so, and carry each other's data along", async () => {
  const cluster = new VirtualCluster();
  clusters.push(cluster);
  const a = await cluster.open("a", { merge: { "n/": "counter" } });
  const b = await cluster.open("b", { merge: { "n/": "max" } });
  const c = await cluster.open("c");
  await a.increment("n/x", 5);
  await c.put("n/x", "of one who knows of no merging");
  await cluster.live();
  await cluster.time.run(1000);
  expect(a.status()).toMatchObject({ health: "yellow" });
  const reason = '"b" merges (n/ max), this replica (n/ counter): give all the same option merge';
  expect(a.status().reasons).toContain(reason);
  expect(c.status().reasons).toContain(
    '"a" merges (n/ counter), this replica (nothing): give all the same option merge',
  );
  expect(cluster.warnings.filter((warning) => warning === `a: ${reason}`)).toHaveLength(1);
  expect([a.get("n/x"), c.get("n/x")]).toEqual([5, "of one who knows of no merging"]);
  expect(b.status().digest).toBe(a.status().digest);
  await Promise.all([a, b, c].map((replica) => replica.close()));
});

test("a merge function that throws leaves its key out, and is told of once", async () => {
  const cluster = new VirtualCluster();
  clusters.push(cluster);
  const picky: MergeKind = {
    name: "picky",
    merge: () => {
      throw new Error("never");
    },
  };
  const a = await cluster.open("a", { merge: { "p/": picky } });
  const b = await cluster.open("b", { merge: { "p/": picky } });
  await Promise.all([a.put("p/x", 1), b.put("p/x", 2), a.put("q", 3)]);
  await cluster.live();
  await cluster.converged();
  expect([a.get("p/x"), [...b.keys()]]).toEqual([undefined, ["q"]]);
  expect(cluster.warnings.filter((warning) => warning.includes("picky"))).toHaveLength(2);
  // The caller hears of it where he writes.
  expect(await failureOf(() => a.put("p/x", 3))).toMatchObject({ message: "never" });
});

test("what a broken peer writes in the place of parts harms no reader", async () => {
  const { CoreState } = await import("../../../src/core/core-state.ts");
  const { Merges } = await import("../../../src/layers/merges.ts");
  const { kindOf } = await import("../../../src/layers/merge-kinds.ts");
  const { makeOrigin } = await import("../../../src/types.ts");
  const origin = makeOrigin("a" as never, "00000000000000aa" as never);
  const state = new CoreState(origin);
  const merges = new Merges(new Map([["n/", kindOf("counter")]]), {
    state,
    maxKeyBytes: 1024,
    maxValueBytes: 1e6,
    warn: () => {},
  });
  let seq = 0;
  const set = (key: Uint8Array, value: unknown): void => {
    seq += 1;
    state.execute({ type: "set", entry: { key, value: encodeValue(value), stamp: seq, origin, seq, expiresAt: 0 } });
  };
  const part = (...tail: number[]): Uint8Array => Uint8Array.of(0xff, 0x66, ...Buffer.from("n/x"), ...tail);
  for (const value of [
    5,
    "x",
    [1],
    ["1", 2],
    [1, 2, 3],
    [1, 2, [[1]]],
    [1, 2, [5]],
    [1, 2, [["a", "b"]]],
    [1, "two"],
  ]) {
    seq += 1;
    set(part(0, 0x40 + seq), value);
  }
  for (const tail of [[0xfe], [0, 0xfe], [0, 0xff], [0, 0xff, 0], [], [0]]) set(part(...tail), [1, 100]);
  set(Uint8Array.of(0xff, 0x66), [1, 100]);
  const key = Buffer.from("n/x");
  const view = (reverse: boolean): unknown[] => [
    ...merges.view([][Symbol.iterator](), { gte: new Uint8Array(0), lt: Uint8Array.of(0xff) }, reverse),
  ];
  expect(() => [merges.entry(key), view(false), view(true)]).not.toThrow();
});

describe("admit", () => {
  test("is asked about the key and the value that it would have, once for each local write", async () => {
    const asked: unknown[] = [];
    const replica = await open({
      nodeId: "n",
      merge,
      admit: ({ key, value }) => {
        asked.push([key, value]);
        return value !== 7;
      },
    });
    await replica.increment("n/x", 5);
    expect(await failureOf(() => replica.increment("n/x", 2))).toMatchObject({ code: "ERR_LIMIT" });
    expect(replica.get("n/x")).toBe(5);
    await replica.put("doc/x", { a: 1, b: 2 });
    await replica.put("doc/x", { b: 3 });
    await replica.delete("doc/x");
    await replica.batch([
      { type: "put", key: "plain", value: 1 },
      { type: "put", key: "max/x", value: 2 },
    ]);
    expect(asked).toEqual([
      ["n/x", 5],
      ["n/x", 7],
      ["doc/x", { a: 1, b: 2 }],
      ["doc/x", { b: 3 }],
      ["doc/x", undefined],
      ["plain", 1],
      ["max/x", 2],
    ]);
  });

  test("is asked about the writes of peers, with their author; what it refuses stays out until it is admitted", async () => {
    const cluster = new VirtualCluster();
    clusters.push(cluster);
    const a = await cluster.open("a", { merge });
    let isStrict = true;
    const asked = new Set<string>();
    const admit = ({ key, value, nodeId }: AdmitEntry, peer?: string): boolean => {
      asked.add(`${key} ${String(value)} by ${nodeId} from ${String(peer)}`);
      return !isStrict || nodeId !== "a" || key !== "n/x";
    };
    const b = await cluster.open("b", { merge, admit });
    await b.increment("n/x", 10);
    await a.increment("n/x", 1);
    await a.put("max/x", 3);
    await cluster.until(() => b.get("max/x") === 3, "what is admitted comes");
    expect([b.get("n/x"), b.status().health]).toEqual([10, "yellow"]);
    expect(asked).toEqual(new Set(["n/x 10 by b from undefined", "n/x 11 by a from a", "max/x 3 by a from a"]));
    isStrict = false;
    await cluster.until(() => b.get("n/x") === 11, "what was refused comes");
  });
});
