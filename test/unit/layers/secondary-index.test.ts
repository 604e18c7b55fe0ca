/** Secondary indexes: what a reader sees of them, and what a bad key function does. Their law is in test/property. */
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { encodeValue } from "../../../src/codec/values.ts";
import { CoreState } from "../../../src/core/core-state.ts";
import type { IndexedEntry, IndexOptions, SecondaryIndex } from "../../../src/index.ts";
import { SecondaryIndexes } from "../../../src/layers/secondary-index.ts";
import { type Epoch, makeOrigin, type NodeId } from "../../../src/types.ts";
import { VirtualTime } from "../../models/virtual-time.ts";
import { failureOf, open, recordingLogger } from "../replica/stage.ts";

interface User {
  email: string;
  groups?: string[];
}
const byEmail: IndexOptions<User> = { prefix: "user/", key: ({ email }) => email };

describe("an index", () => {
  test("is made of what is there, and follows", async () => {
    const replica = await open();
    await replica.put("user/ada", { email: "ada@x" });
    await replica.put("other", { email: "not@user" });
    const index = replica.index("by-email", byEmail);
    expect(index.get("ada@x")).toEqual([{ by: "ada@x", key: "user/ada", value: { email: "ada@x" } }]);
    void replica.put("user/ada", { email: "ada@y" });
    void replica.put("user/bob", { email: "ada@y" });
    expect(index.get("ada@x")).toEqual([]);
    expect([...index.keys({ gte: "ada@y" })]).toEqual(["user/ada", "user/bob"]);
    void replica.delete("user/ada");
    expect([...index.keys()]).toEqual(["user/bob"]);
  });

  test("has an entry under each of its strings, once", async () => {
    const replica = await open();
    const index = replica.index<User>("by-group", { key: ({ groups }) => groups });
    await replica.put("ada", { email: "", groups: ["b", "a", "b"] });
    await replica.put("bob", { email: "" });
    expect([...index.entries()].map(({ by, key }) => [by, key])).toEqual([
      ["a", "ada"],
      ["b", "ada"],
    ]);
    await replica.put("ada", { email: "", groups: ["c", "b"] });
    expect([...index.entries({ reverse: true })].map(({ by }) => by)).toEqual(["c", "b"]);
    await replica.put("ada", { email: "", groups: [] });
    expect([...index.entries()]).toEqual([]);
  });

  test("iterates over the state of the start, lazily", async () => {
    const replica = await open();
    const index = replica.index("by-email", byEmail);
    for (const name of ["a", "b", "c"]) await replica.put(`user/${name}`, { email: name });
    const iteration = index.values()[Symbol.iterator]();
    expect(iteration.next().value).toEqual({ email: "a" });
    await replica.batch([
      { type: "put", key: "user/b", value: { email: "zzz" } },
      { type: "put", key: "user/bb", value: { email: "bb" } },
      { type: "del", key: "user/c" },
    ]);
    expect([...{ [Symbol.iterator]: () => iteration }]).toEqual([{ email: "b" }, { email: "c" }]);
    expect([...index.keys()]).toEqual(["user/a", "user/bb", "user/b"]);
  });

  test("has ranges by bytes, NUL no exception", async () => {
    const replica = await open();
    const index = replica.index<string>("by", { key: (value) => value });
    const all = ["", "a", "a\0", "a\0\0", "a\0b", "a\u0001", "ab", "b", "\u{fffd}", "\u{10000}"];
    await replica.batch(all.map((value, n) => ({ type: "put", key: `k${n}`, value })));
    expect([...index.values()]).toEqual(all);
    expect([...index.values({ prefix: "a\0" })]).toEqual(["a\0", "a\0\0", "a\0b"]);
    expect([...index.values({ prefix: "\u{10000}" })]).toEqual(["\u{10000}"]);
    expect([...index.values({ gt: "a", lt: "a\u0001" })]).toEqual(["a\0", "a\0\0", "a\0b"]);
    expect([...index.values({ gte: "", lte: "a" })]).toEqual(["", "a"]);
    expect(index.get("a\0").map(({ key }) => key)).toEqual(["k2"]);
  });

  test("shows nothing that has expired, however much at once, and forgets it", async () => {
    const time = new VirtualTime();
    const replica = await open({ clock: time, timers: time });
    const index = replica.index<number>("by", { key: String });
    await replica.batch(Array.from({ length: 2500 }, (_, n) => ({ type: "put", key: `k${n}`, value: n, ttlMs: 40 })));
    await replica.put("k", 9999, { ttlMs: 41 });
    expect([...index.keys()]).toHaveLength(2501);
    // Not yet a tick, and so no expiry: it is reading that has to leave them out.
    time.advance(40);
    expect([...index.keys()]).toEqual(["k"]);
    time.advance(1);
    expect([...index.keys()]).toEqual([]);
  });

  test("forgets what settling drops from the store, which no change tells of", () => {
    const origin = makeOrigin("a" as NodeId, "00000000000000aa" as Epoch);
    const state = new CoreState(origin);
    const indexes = new SecondaryIndexes({
      state,
      now: () => 1,
      view: () => state.table.range(),
      assertOpen: () => {},
      warn: () => {},
    });
    const key = Buffer.from("k");
    let seq = 0;
    const set = (text: string): void => {
      seq += 1;
      state.execute({ type: "set", entry: { key, value: encodeValue(text), stamp: seq, origin, seq, expiresAt: 0 } });
    };
    const drop = (): void => state.execute({ type: "collect", key, origin, seq });
    set("one");
    const index = indexes.open("by", { key: (value) => value as string });
    drop();
    expect([...index.keys()]).toEqual([]);
    set("two");
    drop();
    expect([...index.keys()]).toEqual([]);
    set("three");
    drop();
    set("four");
    expect([...index.values()]).toEqual(["four"]);
    index.close();
    drop();
    // Nobody would empty it.
    expect(state.table.removed).toBeUndefined();
  });

  test("hands out values that alias nothing", async () => {
    const replica = await open();
    const index = replica.index<User>("by-group", {
      key: (user) => {
        const { groups } = user;
        user.groups = ["spoiled"];
        return groups;
      },
    });
    await replica.put("ada", { email: "", groups: ["a"] });
    const [first] = index.get("a");
    first!.value.groups!.push("spoiled");
    expect(index.get("a")[0]!.value.groups).toEqual(["a"]);
    expect(replica.get("ada")).toEqual({ email: "", groups: ["a"] });
  });

  test("gives its name free when it is closed, and ends with its replica", async () => {
    const replica = await open();
    const index = replica.index("by-email", byEmail);
    expect(await failureOf(() => replica.index("by-email", byEmail))).toMatchObject({ code: "ERR_OPTION" });
    const scan = index.entries();
    index.close();
    index.close();
    for (const read of [() => index.get("a"), () => index.keys(), () => [...scan]]) {
      expect(await failureOf(read)).toMatchObject({ code: "ERR_CLOSED" });
    }
    const again = replica.index("by-email", byEmail);
    index.close();
    expect(again.get("a")).toEqual([]);
    await replica.close();
    expect(await failureOf(() => again.get("a"))).toMatchObject({ code: "ERR_CLOSED" });
    expect(await failureOf(() => replica.index("x", byEmail))).toMatchObject({ code: "ERR_CLOSED" });
  });

  test("refuses wrong arguments", async () => {
    const replica = await open();
    const index = replica.index("by-email", byEmail);
    for (const call of [
      () => replica.index("", byEmail),
      () => replica.index("x", {} as IndexOptions),
      () => replica.index("x", null as unknown as IndexOptions),
      () => replica.index("x", { ...byEmail, prefix: 5 as unknown as string }),
      () => replica.index("x", { ...byEmail, unique: true } as IndexOptions<User>),
      () => index.get(5 as unknown as string),
      () => index.keys({ limit: -1 }),
      () => index.keys({ gt: "\ud800" }),
      () => index.keys({ after: "x" } as object),
      () => replica.namespace("n").index("x", {} as IndexOptions),
    ]) {
      expect(await failureOf(call), String(call)).toMatchObject({ code: "ERR_OPTION" });
    }
    // A refused one has not taken the name.
    replica.index("x", byEmail);
  });
});

describe("a key function", () => {
  test("that throws or returns no strings leaves the entry out, counted, and said once", async () => {
    const logger = recordingLogger();
    const replica = await open({ logger });
    const results: unknown[] = [
      5,
      ["a", 5],
      "\ud800",
      "x".repeat(1025),
      null,
      Array.from({ length: 1001 }, (_, n) => String(n)),
    ];
    const index = replica.index<number>("odd", {
      key: (value) => {
        if (value === results.length) throw new Error("no more");
        return value > results.length ? "fine" : (results[value] as string);
      },
    });
    for (let value = 0; value <= results.length + 1; value += 1) await replica.put(`k${value}`, value);
    expect([...index.entries()]).toEqual([{ by: "fine", key: "k7", value: 7 }]);
    expect(index.failures).toBe(results.length + 1);
    expect(logger.lines.filter((line) => line.includes('the index "odd" leaves out "k0"'))).toHaveLength(1);
    expect(logger.lines).toHaveLength(1);
    // An entry that was in it goes, when the function chokes on what it has become.
    await replica.put("k7", 0);
    expect([...index.keys()]).toEqual([]);
  });

  test("may index by exactly as much as is allowed", async () => {
    const replica = await open();
    const index = replica.index<string[]>("long", { key: (value) => value });
    await replica.put("k".repeat(1024), ["\0".repeat(1024), ...Array.from({ length: 999 }, (_, n) => String(n))]);
    expect(index.failures).toBe(0);
    expect(index.get("\0".repeat(1024))).toHaveLength(1);
    expect([...index.keys()]).toHaveLength(1000);
  });

  test("that writes does no harm: what it writes is indexed afterwards", async () => {
    const replica = await open();
    await replica.put("a", 1);
    const index = replica.index<number>("odd", {
      key: (value, key) => {
        if (key === "a") void replica.put("b", value + 1);
        return key;
      },
    });
    expect([...index.keys()]).toEqual(["a", "b"]);
    await replica.put("a", 5);
    expect(index.get("b")).toEqual([{ by: "b", key: "b", value: 6 }]);
  });
});

test("an index of a namespace sees it from inside", async () => {
  const replica = await open();
  const urls = replica.namespace("url", {
    codec: { encode: (url: URL) => url.href, decode: (stored) => new URL(String(stored)) },
  });
  await replica.put("urk", "https://outside/");
  const index = urls.index("by-host", { prefix: "p/", key: (url, key) => [url.host, key] });
  await urls.put("p/one", new URL("https://x/1"));
  await urls.put("q/two", new URL("https://x/2"));
  expect(index.get("x")).toEqual([{ by: "x", key: "p/one", value: new URL("https://x/1") }]);
  expect([...index.keys()]).toEqual(["p/one", "p/one"]);
  expect([...index.values({ limit: 1 })][0]).toBeInstanceOf(URL);
  // The codec chokes on it: left out, as if the key function had.
  await replica.put("url/p/bad", "no url");
  expect([index.failures, index.get("no url")]).toEqual([1, []]);
  index.close();
  expect(await failureOf(() => index.get("x"))).toMatchObject({ code: "ERR_CLOSED" });
});

test("types follow", async () => {
  const replica = await open();
  const users = replica.namespace("user", { schema: z.object({ email: z.string() }) });
  const index = users.index("by-email", {
    key: (value, key) => {
      expectTypeOf(value).toEqualTypeOf<{ email: string }>();
      expectTypeOf(key).toBeString();
      return value.email;
    },
  });
  expectTypeOf(index).toEqualTypeOf<SecondaryIndex<{ email: string }>>();
  expectTypeOf(index.get("x")).toEqualTypeOf<IndexedEntry<{ email: string }>[]>();
  expectTypeOf(replica.index("x", { key: () => undefined })).toEqualTypeOf<SecondaryIndex>();
});
