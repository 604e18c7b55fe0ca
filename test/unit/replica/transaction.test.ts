/** Transactions: they read their own writes, happen whole or not at all, and only while their function runs. */
import { describe, expect, test } from "vitest";
import type { Replica, ScanOptions, Transaction, WatchEvent } from "../../../src/index.ts";
import { MemoryDisk } from "../../../src/storage/memory-disk.ts";
import { GatedDisk } from "../../models/gated-disk.ts";
import { VirtualTime } from "../../models/virtual-time.ts";
import { failureOf, open, turn } from "./stage.ts";

/** a, b, c, d with their own names as values. */
async function filled(): Promise<Replica> {
  const replica = await open();
  await replica.batch(["a", "b", "c", "d"].map((key) => ({ type: "put", key, value: key })));
  return replica;
}

const contents = (replica: Replica): Record<string, unknown> => Object.fromEntries(replica.entries());

test("reads its own writes, by key", async () => {
  const replica = await filled();
  const { result } = await replica.transaction((tx) => {
    tx.put("a", 1);
    tx.put("new", { x: 1 });
    tx.delete("b");
    tx.delete("absent");
    tx.put("c", 1);
    tx.delete("c");
    tx.delete("d");
    tx.put("d", 2, { ttlMs: 1000 });
    return {
      many: tx.getMany(["a", "new", "b", "absent", "c", "d"]),
      has: ["a", "new", "b", "absent", "c", "d"].map((key) => tx.has(key)),
      entries: [tx.entry("a"), tx.entry("b"), tx.entry("absent")],
      ttl: tx.entry("d"),
    };
  });
  expect(result.many).toEqual([1, { x: 1 }, undefined, undefined, undefined, 2]);
  expect(result.has).toEqual([true, true, false, false, false, true]);
  expect(result.entries).toEqual([{ key: "a", value: 1 }, undefined, undefined]);
  expect(result.ttl).toEqual({ key: "d", value: 2, expiresAt: expect.any(Number) as number });
  expect(contents(replica)).toEqual({ a: 1, new: { x: 1 }, d: 2 });
});

test("what it has not written it sees with its version", async () => {
  const replica = await filled();
  const { result } = await replica.transaction((tx) => tx.entry("a"));
  expect(result).toEqual(replica.entry("a"));
});

describe("ranges", () => {
  test.each<[ScanOptions, string[]]>([
    [{}, ["A", "a", "b2", "c", "e"]],
    [{ reverse: true }, ["e", "c", "b2", "a", "A"]],
    [{ gte: "a", lt: "c" }, ["a", "b2"]],
    [{ gte: "a", lt: "c", reverse: true }, ["b2", "a"]],
    [{ gt: "a", lte: "e", limit: 2 }, ["b2", "c"]],
    [{ gt: "a", lte: "e", limit: 2, reverse: true }, ["e", "c"]],
    [{ prefix: "b" }, ["b2"]],
    [{ gt: "c", lt: "b" }, []],
    [{ limit: 0 }, []],
  ])("%j show own writes in their place", async (options, expected) => {
    const replica = await filled();
    await replica.transaction((tx) => {
      tx.put("b2", 1);
      tx.delete("b");
      tx.put("e", 1);
      tx.put("A", 1);
      tx.put("c", "changed");
      tx.delete("d");
      const of: Record<string, unknown> = { A: 1, a: "a", b2: 1, c: "changed", e: 1 };
      expect([...tx.keys(options)]).toEqual(expected);
      expect([...tx.values(options)]).toEqual(expected.map((key) => of[key]));
      expect([...tx.entries(options)]).toEqual(expected.map((key) => [key, of[key]]));
    });
  });

  test("one under way is not disturbed by writes, and does not keep them from later ones", async () => {
    const replica = await filled();
    await replica.transaction((tx) => {
      tx.put("b", 1);
      const keys = tx.keys()[Symbol.iterator]();
      expect(keys.next().value).toBe("a");
      tx.delete("c");
      tx.put("b", 2);
      tx.put("bb", 3);
      expect([...tx.entries({ prefix: "b" })]).toEqual([
        ["b", 2],
        ["bb", 3],
      ]);
      tx.clear();
      tx.put("z", 1);
      expect([...tx.keys()]).toEqual(["z"]);
      expect([keys.next().value, keys.next().value, keys.next().value]).toEqual(["b", "c", "d"]);
      expect(keys.next()).toEqual({ done: true, value: undefined });
    });
    expect(contents(replica)).toEqual({ z: 1 });
  });

  test("clear of a range takes own writes with it, and only the range", async () => {
    const replica = await filled();
    await replica.transaction((tx) => {
      tx.put("bx", 1);
      tx.put("x", 1);
      tx.clear({ gte: "b", lte: "c" });
      tx.put("c", "again");
    });
    expect(contents(replica)).toEqual({ a: "a", c: "again", d: "d", x: 1 });
  });
});

test("is rolled back when it throws, whatever it throws", async () => {
  const replica = await filled();
  const before = contents(replica);
  const { digest } = replica.status();
  for (const thrown of [new Error("no"), "a string", undefined]) {
    const written = replica.transaction((tx) => {
      tx.put("a", 1);
      tx.clear();
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- reason: users may throw anything
      throw thrown;
    });
    await expect(written).rejects.toBe(thrown);
  }
  expect(contents(replica)).toEqual(before);
  expect(replica.status().digest).toBe(digest);
});

test("commits as one batch with one stamp, of which watchers see each key once", async () => {
  const replica = await filled();
  const events = replica.watch();
  await replica.transaction((tx) => {
    tx.put("a", 1);
    tx.put("b", 1);
    tx.put("a", 2);
    tx.delete("c");
    tx.delete("never");
    tx.put("gone", 1);
    tx.delete("gone");
  });
  await replica.close();
  const seen: WatchEvent[] = [];
  for await (const event of events) seen.push(event);
  expect(seen).toMatchObject([
    { type: "put", key: "a", value: 2, previous: "a" },
    { type: "put", key: "b", value: 1 },
    { type: "delete", key: "c", previous: "c" },
  ]);
  expect(new Set(seen.map((event) => "batch" in event && event.batch)).size).toBe(1);
});

test("is durable when it resolves, and resolves in the order of the calls", async () => {
  const gated = new GatedDisk();
  const replica = await open({ directory: "d", disk: gated.disk, nodeId: "n" });
  gated.hold();
  const done: string[] = [];
  const calls = [
    replica.put("a", 1).then(() => done.push("put a")),
    replica.transaction((tx) => tx.put("b", Number(tx.get("a")) + 1)).then(() => done.push("transaction")),
    replica.put("c", 3).then(() => done.push("put c")),
  ];
  expect(replica.get("b")).toBe(2);
  await turn();
  expect(done).toEqual([]);
  gated.release();
  await Promise.all(calls);
  expect(done).toEqual(["put a", "transaction", "put c"]);
  await replica.close();
  const disk = gated.memory;
  expect(contents(await open({ directory: "d", disk, nodeId: "n" }))).toEqual({ a: 1, b: 2, c: 3 });
});

test("without writes it resolves with the result and the token of what is there", async () => {
  const replica = await open();
  const token = await replica.put("a", 1);
  expect(await replica.transaction((tx) => tx.get("a"))).toEqual({ result: 1, token });
  expect(await replica.transaction((tx) => tx.delete("absent"))).toEqual({ result: undefined, token });
});

test("time stands still in it: nothing expires, and a time to live counts from its beginning", async () => {
  const time = new VirtualTime();
  const replica = await open({ clock: time, timers: time });
  await replica.put("short", 1, { ttlMs: 10 });
  const { result } = await replica.transaction((tx) => {
    time.advance(20);
    tx.put("own", 1, { ttlMs: 10 });
    time.advance(20);
    return [tx.has("short"), [...tx.keys()], tx.has("own")];
  });
  expect(result).toEqual([true, ["own", "short"], true]);
  expect([...replica.keys()]).toEqual([]);
});

describe("what is refused, with nothing written", () => {
  test.each<[string, (replica: Replica) => Promise<unknown>, string, RegExp]>([
    ["an async function", (r) => r.transaction(async (tx) => tx.put("a", 1)), "ERR_OPTION", /no async one/],
    [
      "a plain function that returns a promise",
      (r) => r.transaction((tx) => Promise.reject(new Error(String(tx.put("a", 1))))),
      "ERR_OPTION",
      /await first/,
    ],
    [
      "a generator",
      (r) =>
        r.transaction(function* (tx) {
          yield tx.put("a", 1);
        }),
      "ERR_OPTION",
      /generator/,
    ],
    ["no function", (r) => r.transaction(1 as never), "ERR_OPTION", /takes a function/],
    ["an unknown option", (r) => r.transaction(() => 1, { ttlMs: 1 } as never), "ERR_OPTION", /no option "ttlMs"/],
    ["a bad key", (r) => r.transaction((tx) => tx.put("", 1)), "ERR_KEY", /one byte/],
    ["a bad key that is read", (r) => r.transaction((tx) => tx.get("")), "ERR_KEY", /one byte/],
    ["a bad value", (r) => r.transaction((tx) => tx.put("a", Symbol("s"))), "ERR_VALUE", /symbol/],
    ["a bad range", (r) => r.transaction((tx) => tx.clear({ from: 1 } as never)), "ERR_OPTION", /no option "from"/],
    ["a bad scan", (r) => r.transaction((tx) => tx.keys({ limit: -1 })), "ERR_OPTION", /limit/],
    ["an unknown option of put", (r) => r.transaction((tx) => tx.put("a", 1, bad())), "ERR_OPTION", /"acks"/],
    ["more than the store takes", (r) => r.transaction((tx) => fill(tx, 5)), "ERR_LIMIT", /full/],
    ["more operations than a batch takes", (r) => r.transaction((tx) => fill(tx, 7)), "ERR_LIMIT", /6 operations/],
  ])("%s", async (_, call, code, message) => {
    const replica = await open({ limits: { maxKeys: 5, maxBatch: 6 } });
    await replica.put("a", "before");
    const failure = await failureOf(() => call(replica));
    expect(failure).toMatchObject({ code, message: expect.stringMatching(message) as string });
    expect(contents(replica)).toEqual({ a: "before" });
    // It is over: others may write.
    await replica.put("a", "after");
  });

  const bad = () => ({ acks: 1 }) as never;
  const fill = (tx: Transaction, count: number): void => {
    for (let i = 0; i < count; i += 1) tx.put(`k${i}`, i);
  };

  test("more bytes than a batch takes; what was refused may be left out", async () => {
    const replica = await open();
    const value = new Uint8Array(1024 * 1024 - 32);
    await replica.transaction((tx) => {
      for (let i = 0; i < 8; i += 1) tx.put(`k${i}`, value);
      expect(() => tx.put("k8", value)).toThrow(expect.objectContaining({ code: "ERR_LIMIT" }) as Error);
      // In place of another it fits.
      tx.delete("k0");
      tx.put("k8", value);
    });
    expect([...replica.keys()]).toEqual(["k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"]);
  });

  test("deletes of clear do not count as operations", async () => {
    const replica = await open({ limits: { maxBatch: 2 } });
    for (let i = 0; i < 5; i += 1) await replica.put(`k${i}`, i);
    await replica.transaction((tx) => {
      tx.put("k0", "counts");
      tx.clear();
      tx.put("k1", 1);
      tx.put("k2", 2);
      expect(() => tx.put("k3", 3)).toThrow(expect.objectContaining({ code: "ERR_LIMIT" }) as Error);
    });
    expect(contents(replica)).toEqual({ k1: 1, k2: 2 });
  });

  test("a transaction or a write of the replica within one: the outer one goes on", async () => {
    const replica = await filled();
    const inner: Promise<unknown>[] = [];
    await replica.transaction((tx) => {
      tx.put("a", 1);
      inner.push(failureOf(() => replica.transaction(() => 1)));
      inner.push(failureOf(() => replica.put("b", 2)));
      inner.push(failureOf(() => replica.clear()));
    });
    for (const failure of await Promise.all(inner)) {
      expect(failure).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("under way") as string });
    }
    expect(contents(replica)).toEqual({ a: 1, b: "b", c: "c", d: "d" });
  });

  test("a closed replica, one that closes meanwhile, and one that is only read", async () => {
    const disk = new MemoryDisk();
    const replica = await open({ directory: "d", disk, nodeId: "n" });
    await replica.put("a", 1);
    const call = replica.transaction((tx) => {
      void replica.close();
      tx.put("a", 2);
    });
    await expect(call).rejects.toMatchObject({ code: "ERR_CLOSED" });
    await expect(replica.transaction(() => 1)).rejects.toMatchObject({ code: "ERR_CLOSED" });
    await replica.close();
    const reader = await open({ directory: "d", disk, readOnly: true });
    await expect(reader.transaction((tx) => tx.put("a", 3))).rejects.toMatchObject({ code: "ERR_READ_ONLY" });
    expect(reader.get("a")).toBe(1);
  });

  test("a signal that has aborted: the function does not run", async () => {
    const replica = await open();
    const run = () => expect.unreachable("it ran");
    await expect(replica.transaction(run, { signal: AbortSignal.abort("now") })).rejects.toBe("now");
  });
});

test("its tx, and iterations that it began, are of no use once it has ended, and hold nothing", async () => {
  const replica = await filled();
  let leaked: Transaction | undefined;
  let keys: Iterator<string> | undefined;
  let lazy: Iterable<string> | undefined;
  await replica.transaction((tx) => {
    leaked = tx;
    tx.put("b", 1);
    lazy = tx.keys();
    keys = tx.keys()[Symbol.iterator]();
    keys.next();
  });
  const message = expect.stringContaining("has ended") as string;
  const ended = expect.objectContaining({ code: "ERR_OPTION", message }) as Error;
  const tx = leaked!;
  for (const call of [
    () => tx.get("a"),
    () => tx.getMany(["a"]),
    () => tx.has("a"),
    () => tx.entry("a"),
    () => tx.entries(),
    () => tx.put("a", 2),
    () => tx.delete("a"),
    () => tx.clear(),
    () => keys!.next(),
    () => [...lazy!],
  ]) {
    expect(call, String(call)).toThrow(ended);
  }
  await replica.put("d", 2);
  expect(contents(replica)).toEqual({ a: "a", b: 1, c: "c", d: 2 });
});

test("an asynchronous function fails where it goes on with the ended transaction, and that is no unhandled rejection", async () => {
  const replica = await open();
  let late: unknown;
  const call = replica.transaction((tx) =>
    turn().then(() => {
      late = failureOf(() => tx.put("a", 1));
      tx.put("a", 1);
    }),
  );
  await expect(call).rejects.toMatchObject({ code: "ERR_OPTION" });
  await turn();
  await turn();
  expect(await late).toMatchObject({ code: "ERR_OPTION" });
  expect(replica.has("a")).toBe(false);
});

describe("ifVersion", () => {
  test("of put: the version that is there, or null for none", async () => {
    const replica = await open();
    await replica.put("k", 1, { ifVersion: null });
    const { version } = replica.entry("k")!;
    await replica.put("k", 2, { ifVersion: version });
    const present = replica.entry("k")!.version;
    for (const ifVersion of [version, null, "", `${present} `]) {
      const error: unknown = await replica.put("k", 3, { ifVersion }).catch((e: unknown) => e);
      expect(error, String(ifVersion)).toMatchObject({ code: "ERR_VERSION_MISMATCH", presentVersion: present });
    }
    const error: unknown = await replica.put("absent", 3, { ifVersion: version }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "ERR_VERSION_MISMATCH", presentVersion: null });
    expect(contents(replica)).toEqual({ k: 2 });
  });

  test("of delete", async () => {
    const replica = await open();
    await replica.delete("absent", { ifVersion: null });
    await replica.put("k", 1);
    const { version } = replica.entry("k")!;
    await expect(replica.delete("k", { ifVersion: null })).rejects.toMatchObject({ presentVersion: version });
    await replica.delete("k", { ifVersion: version });
    expect(replica.has("k")).toBe(false);
    // A deleted key is absent, tombstone or not.
    await expect(replica.delete("k", { ifVersion: version })).rejects.toMatchObject({ presentVersion: null });
    await replica.put("k", 2, { ifVersion: null });
  });

  test("of a batch: all hold for the store before it, or nothing is written", async () => {
    const replica = await open();
    await replica.put("k", 1);
    const { version } = replica.entry("k")!;
    const batch = (ifVersion: string | null) =>
      replica.batch([
        { type: "put", key: "new", value: 1, ifVersion: null },
        { type: "put", key: "k", value: 2, ifVersion: version },
        { type: "del", key: "k", ifVersion },
      ]);
    await expect(batch(null)).rejects.toMatchObject({ code: "ERR_VERSION_MISMATCH", presentVersion: version });
    expect(contents(replica)).toEqual({ k: 1 });
    await batch(version);
    expect(contents(replica)).toEqual({ new: 1 });
  });

  test("a key whose time is over is absent", async () => {
    const time = new VirtualTime();
    const replica = await open({ clock: time, timers: time });
    await replica.put("k", 1, { ttlMs: 10 });
    const { version } = replica.entry("k")!;
    time.advance(10);
    await expect(replica.put("k", 2, { ifVersion: version })).rejects.toMatchObject({ presentVersion: null });
    await replica.put("k", 2, { ifVersion: null });
  });

  test("compares with what is there once the value is encoded: its getters may write", async () => {
    const replica = await open();
    await replica.put("k", 1);
    const { version } = replica.entry("k")!;
    const value = {
      get x(): number {
        void replica.put("k", "by a getter");
        return 1;
      },
    };
    await expect(replica.put("k", value, { ifVersion: version })).rejects.toMatchObject({
      code: "ERR_VERSION_MISMATCH",
    });
    expect(replica.get("k")).toBe("by a getter");
  });

  test("a version outlives a restart", async () => {
    const disk = new MemoryDisk();
    const first = await open({ directory: "d", disk, nodeId: "n" });
    await first.put("k", 1);
    const { version } = first.entry("k")!;
    await first.close();
    const second = await open({ directory: "d", disk, nodeId: "n" });
    await second.put("k", 2, { ifVersion: version });
    expect(second.get("k")).toBe(2);
  });

  test("what is no version is ERR_OPTION", async () => {
    const replica = await open();
    const bad = 1 as never;
    await expect(replica.put("k", 1, { ifVersion: bad })).rejects.toMatchObject({ code: "ERR_OPTION" });
    const operations = [{ type: "put", key: "k", value: 1, ifVersion: bad }] as const;
    await expect(replica.batch(operations)).rejects.toMatchObject({ code: "ERR_OPTION" });
    await expect(replica.batch([{ type: "del", key: "k", ifVersion: bad }])).rejects.toMatchObject({
      code: "ERR_OPTION",
    });
  });
});
