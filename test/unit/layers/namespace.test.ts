/** Namespaces: the same data API under a prefix, typed, with checks and translations on the way. */
import * as v from "valibot";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import type { EntryInfo, Namespace, StandardSchema, WatchEvent } from "../../../src/index.ts";
import { failureOf, open } from "../replica/stage.ts";

const User = z.object({ name: z.string(), role: z.enum(["admin", "guest"]).default("guest") });

describe("a namespace", () => {
  test("is the part of the store behind its name, and nothing beside it", async () => {
    const replica = await open();
    const users = replica.namespace("user");
    await replica.batch([
      { type: "put", key: "use", value: 0 },
      { type: "put", key: "user", value: 0 },
      { type: "put", key: "user-x", value: 0 },
      { type: "put", key: "user/", value: "of no key inside" },
      { type: "put", key: "user0", value: 0 },
    ]);
    await users.put("ada", 1);
    expect(replica.get("user/ada")).toBe(1);
    expect(users.get("ada")).toBe(1);
    expect([users.has("ada"), users.has("x")]).toEqual([true, false]);
    expect(users.getMany(["x", "ada"])).toEqual([undefined, 1]);
    expect(users.entry("ada")).toEqual({ ...replica.entry("user/ada"), key: "ada" });
    expect(users.entry("x")).toBeUndefined();
    await users.delete("ada");
    expect(replica.has("user/ada")).toBe(false);
    expect(users.prefix).toBe("user/");
  });

  test("has ranges of its own, in both directions", async () => {
    const replica = await open();
    const letters = replica.namespace("l");
    for (const key of ["a", "b", "ba", "c"]) await letters.put(key, key.toUpperCase());
    await replica.put("l0", "behind");
    await replica.put("k", "before");
    expect([...letters.keys()]).toEqual(["a", "b", "ba", "c"]);
    expect([...letters.keys({ gt: "a", lte: "ba" })]).toEqual(["b", "ba"]);
    expect([...letters.keys({ gte: "b", lt: "c", reverse: true })]).toEqual(["ba", "b"]);
    expect([...letters.values({ prefix: "b", limit: 1 })]).toEqual(["B"]);
    // A bound cannot reach outside.
    expect([...letters.keys({ gte: "", lte: "\u{10ffff}" })]).toEqual(["a", "b", "ba", "c"]);
    await letters.clear({ gt: "a", lt: "c" });
    expect([...letters.entries()]).toEqual([
      ["a", "A"],
      ["c", "C"],
    ]);
    await letters.clear();
    expect([...replica.keys()]).toEqual(["k", "l0"]);
  });

  test("an iteration is over the state of its start", async () => {
    const replica = await open();
    const space = replica.namespace("s");
    await space.put("a", 1);
    await space.put("b", 2);
    const iteration = space.entries()[Symbol.iterator]();
    await space.put("a", 9);
    await space.delete("b");
    expect([iteration.next().value, iteration.next().value, iteration.next().done]).toEqual([["a", 1], ["b", 2], true]);
  });

  test("watches its own keys, as they are inside, batches whole", async () => {
    const replica = await open();
    const space = replica.namespace("s");
    await space.put("old", 0);
    const events = space.watch({ initial: true });
    const one = space.watch({ key: "b" });
    const ranged = space.watch({ range: { gte: "b" }, lt: "c" });
    await replica.put("sx", 1);
    await space.batch([
      { type: "put", key: "a", value: 1 },
      { type: "put", key: "b", value: 2, ttlMs: 1e9 },
      { type: "del", key: "old" },
    ]);
    const seen: WatchEvent[] = [];
    for await (const event of events) if (seen.push(event) === 5) break;
    expect(seen.map((event) => ("key" in event ? [event.type, event.key] : [event.type]))).toEqual([
      ["put", "old"],
      ["ready"],
      ["put", "a"],
      ["put", "b"],
      ["delete", "old"],
    ]);
    expect(seen[4]).toMatchObject({ previous: 0 });
    expect(seen[2]).not.toHaveProperty("previous");
    expect((await one.next()).value).toMatchObject({ key: "b", value: 2 });
    expect((await ranged.next()).value).toMatchObject({ key: "b", value: 2 });
    await one.return?.();
    expect(await one.next()).toEqual({ done: true, value: undefined });
  });

  test("has transactions, which read what they have written", async () => {
    const replica = await open();
    const numbers = replica.namespace("n", { schema: z.number() });
    await numbers.put("a", 1);
    await replica.put("m", "outside");
    const { result } = await numbers.transaction((tx) => {
      tx.put("b", (tx.get("a") ?? 0) + 1);
      tx.delete("a");
      expect(tx.getMany(["a", "b"])).toEqual([undefined, 2]);
      expect([tx.has("a"), tx.entry("b")]).toEqual([false, { key: "b", value: 2 }]);
      tx.put("c", 3);
      tx.clear({ gte: "c" });
      tx.put("d", 4, { ttlMs: 1e9 });
      expect([[...tx.keys()], [...tx.values({ reverse: true })]]).toEqual([
        ["b", "d"],
        [4, 2],
      ]);
      return [...tx.entries()];
    });
    expect(result).toEqual([
      ["b", 2],
      ["d", 4],
    ]);
    expect([...replica.keys()]).toEqual(["m", "n/b", "n/d"]);
    expect(await failureOf(() => numbers.transaction((tx) => tx.put("e", "x" as unknown as number)))).toMatchObject({
      code: "ERR_VALUE",
    });
    expect(await failureOf(() => numbers.transaction(async (tx) => tx.put("e", 5)))).toMatchObject({
      code: "ERR_OPTION",
    });
    expect(await failureOf(() => numbers.transaction(5 as unknown as () => 5))).toMatchObject({ code: "ERR_OPTION" });
    expect(numbers.has("e")).toBe(false);
  });

  test("compares versions, and gives them with its entries", async () => {
    const replica = await open();
    const space = replica.namespace("s");
    await space.put("k", 1, { ifVersion: null });
    const { version } = space.entry("k")!;
    expect([...space.infos()]).toEqual([space.entry("k")]);
    await space.put("k", 2, { ifVersion: version });
    expect(await failureOf(() => space.delete("k", { ifVersion: version }))).toMatchObject({
      code: "ERR_VERSION_MISMATCH",
    });
  });

  test("nests, and one name with a slash is two names", async () => {
    const replica = await open();
    const outer = replica.namespace("app");
    const inner = outer.namespace("users");
    await inner.put("ada", 1);
    expect(replica.get("app/users/ada")).toBe(1);
    expect(replica.namespace("app/users").get("ada")).toBe(1);
    expect([...outer.keys()]).toEqual(["users/ada"]);
    expect(inner.prefix).toBe("app/users/");
  });

  test("names and keys that mean something to JavaScript are data", async () => {
    const replica = await open();
    for (const name of ["__proto__", "constructor", "prototype"]) {
      const space = replica.namespace(name);
      await space.put("__proto__", { ["__proto__"]: 1 });
      expect(space.get("toString")).toBeUndefined();
      expect(Object.entries(space.get("__proto__") as object)).toEqual([["__proto__", 1]]);
    }
    expect({}).not.toHaveProperty("polluted");
  });

  test("refuses what the store would refuse, and the key that is empty inside", async () => {
    const replica = await open();
    const space = replica.namespace("s");
    const wrong = [
      ["ERR_KEY", () => space.get("")],
      ["ERR_KEY", () => space.put("", 1)],
      ["ERR_KEY", () => space.put(5 as unknown as string, 1)],
      ["ERR_KEY", () => space.batch([{ type: "del", key: "\ud800" }])],
      ["ERR_KEY", () => space.put("k".repeat(1023), 1)],
      ["ERR_VALUE", () => space.put("k", undefined)],
      ["ERR_OPTION", () => space.put("k", 1, { ttl: 5 } as object)],
      ["ERR_OPTION", () => space.batch(5 as unknown as [])],
      ["ERR_OPTION", () => space.batch([null as unknown as { type: "del"; key: string }])],
      ["ERR_OPTION", () => space.getMany("k" as unknown as [])],
      ["ERR_OPTION", () => space.keys({ gt: 5 as unknown as string })],
      ["ERR_OPTION", () => space.keys(null as unknown as object)],
      ["ERR_OPTION", () => space.watch({ key: "k", gt: "a" })],
      ["ERR_OPTION", () => space.clear({ reverse: true } as object)],
      ["ERR_OPTION", () => replica.namespace("")],
      ["ERR_OPTION", () => replica.namespace("\ud800")],
      ["ERR_OPTION", () => replica.namespace("n".repeat(512))],
      ["ERR_OPTION", () => replica.namespace("s", { scheme: User } as object)],
    ] as const;
    for (const [code, call] of wrong) expect(await failureOf(call), String(call)).toMatchObject({ code });
    // At the limit: two bytes of prefix.
    await space.put("k".repeat(1022), 1);
    expect(replica.status().entries).toBe(1);
    replica.namespace("n".repeat(511));
  });

  test("ends with its replica", async () => {
    const replica = await open();
    const space = replica.namespace("s");
    const watch = space.watch();
    await replica.close();
    expect(await failureOf(() => space.get("k"))).toMatchObject({ code: "ERR_CLOSED" });
    expect(await failureOf(() => space.put("k", 1))).toMatchObject({ code: "ERR_CLOSED" });
    expect((await watch.next()).done).toBe(true);
  });
});

describe("a schema", () => {
  const ValibotUser = v.object({ name: v.string(), role: v.optional(v.picklist(["admin", "guest"]), "guest") });

  test.each([
    ["zod", User as StandardSchema<{ name: string }>],
    ["valibot", ValibotUser as StandardSchema<{ name: string }>],
  ])("of %s checks and completes what is written", async (_, schema) => {
    const replica = await open();
    const users = replica.namespace("user", { schema });
    await users.put("ada", { name: "Ada" });
    expect(replica.get("user/ada")).toEqual({ name: "Ada", role: "guest" });
    const wrong = { name: 5 } as unknown as { name: string };
    const failure = await failureOf(() => users.put("bob", wrong));
    expect(failure).toMatchObject({ code: "ERR_VALUE" });
    expect(failure.message).toMatch(/^the value of "bob" does not fit the schema: name: ./);
    expect(
      await failureOf(() =>
        users.batch([
          { type: "put", key: "cyd", value: { name: "Cyd" } },
          { type: "put", key: "bob", value: wrong },
        ]),
      ),
    ).toMatchObject({ code: "ERR_VALUE" });
    expect([...users.keys()]).toEqual(["ada"]);
  });

  test("has its issues in the cause", async () => {
    const users = (await open()).namespace("user", { schema: User });
    const error: unknown = await users.put("x", {} as { name: string }).catch((thrown: unknown) => thrown);
    expect((error as Error).cause).toEqual([expect.objectContaining({ path: ["name"] })]);
  });

  test("that is asynchronous is refused, and nothing is written", async () => {
    const replica = await open();
    const schemas: StandardSchema<string>[] = [
      z.string().refine(async () => true),
      // One that would reject: nobody may see that.
      { "~standard": { version: 1, vendor: "x", validate: async () => Promise.reject(new Error("unseen")) } },
    ];
    for (const schema of schemas) {
      const space = replica.namespace("s", { schema });
      expect(await failureOf(() => space.put("k", "v"))).toMatchObject({ code: "ERR_OPTION" });
    }
    expect(replica.status().entries).toBe(0);
  });

  test("that is none is refused at once", async () => {
    const replica = await open();
    for (const schema of [{}, null, { "~standard": { version: 2, validate: () => ({ value: 1 }) } }, "x"]) {
      const call = (): unknown => replica.namespace("s", { schema: schema as unknown as StandardSchema });
      expect(await failureOf(call)).toMatchObject({ code: "ERR_OPTION" });
    }
  });

  test("may be a function, as those of arktype are", async () => {
    const schema = Object.assign(() => undefined, {
      "~standard": { version: 1, vendor: "x", validate: (value: unknown) => ({ value: String(value) }) },
    } as const);
    const space = (await open()).namespace("s", { schema });
    await space.put("k", 5);
    expect(space.get("k")).toBe("5");
  });
});

describe("a codec", () => {
  class Point {
    readonly x: number;
    readonly y: number;
    constructor(x: number, y: number) {
      this.x = x;
      this.y = y;
    }
  }
  const codec = {
    encode: ({ x, y }: Point) => [x, y],
    decode: (stored: unknown) => {
      if (!Array.isArray(stored)) throw new Error("no point");
      const [x, y] = stored as [number, number];
      return new Point(x, y);
    },
  };

  test("translates everywhere a value goes in or out", async () => {
    const replica = await open();
    const points = replica.namespace("p", { codec });
    const watch = points.watch();
    await points.put("a", new Point(1, 2));
    await points.batch([{ type: "put", key: "a", value: new Point(3, 4) }]);
    expect(replica.get("p/a")).toEqual([3, 4]);
    const point = new Point(3, 4);
    expect([points.get("a"), points.getMany(["a"])[0], points.entry("a")?.value]).toEqual([point, point, point]);
    expect([...points.entries()]).toEqual([["a", point]]);
    expect([...points.values()][0]).toBeInstanceOf(Point);
    await watch.next();
    const event = (await watch.next()).value as { previous: unknown };
    expect(event).toMatchObject({ value: point, previous: new Point(1, 2) });
    expect(event.previous).toBeInstanceOf(Point);
  });

  test("works on what the schema has let pass", async () => {
    const replica = await open();
    const schema = z.object({ x: z.number(), y: z.number() }).transform(({ x, y }) => new Point(x, y));
    const points = replica.namespace("p", { schema, codec });
    await points.put("a", { x: 1, y: 2 });
    expect(points.get("a")).toEqual(new Point(1, 2));
  });

  test("that throws is an error of its caller, and leaves nothing behind", async () => {
    const replica = await open();
    const points = replica.namespace("p", { codec });
    await replica.put("p/a", "no point");
    const watch = points.watch({ initial: true });
    for (const read of [
      () => points.get("a"),
      () => [...points.entries()],
      () => points.entry("a"),
      () => watch.next(),
    ]) {
      expect(await failureOf(read), String(read)).toMatchObject({ code: "ERR_VALUE" });
    }
    // The watch has been left, so it does not gather events for nobody.
    expect((await watch.next()).done).toBe(true);
    expect([...points.keys()]).toEqual(["a"]);
    expect(await failureOf(() => points.put("b", null as unknown as Point))).toMatchObject({ code: "ERR_VALUE" });
    expect(points.has("b")).toBe(false);
    expect(await failureOf(() => replica.namespace("p", { codec: {} as typeof codec }))).toMatchObject({
      code: "ERR_OPTION",
    });
  });
});

test("types follow from the schema, the codec or the parameter", async () => {
  const replica = await open();
  const plain = replica.namespace("a");
  expectTypeOf(plain).toEqualTypeOf<Namespace>();
  expectTypeOf(plain.get("k")).toEqualTypeOf<unknown>();

  const numbers = replica.namespace<number>("b");
  expectTypeOf(numbers.get("k")).toEqualTypeOf<number | undefined>();
  expectTypeOf(numbers.put).parameter(1).toEqualTypeOf<number>();

  interface Stored {
    name: string;
    role: "admin" | "guest";
  }
  interface Written {
    name: string;
    role?: "admin" | "guest" | undefined;
  }
  const users = replica.namespace("c", { schema: User });
  expectTypeOf(users).toEqualTypeOf<Namespace<Stored, Written>>();
  expectTypeOf(users.get("k")).toEqualTypeOf<Stored | undefined>();
  expectTypeOf(users.put).parameter(1).toEqualTypeOf<Written>();
  expectTypeOf(users.entry("k")).toEqualTypeOf<EntryInfo<Stored> | undefined>();
  expectTypeOf(users.entries()).toEqualTypeOf<Iterable<[string, Stored]>>();
  expectTypeOf(users.watch()).toEqualTypeOf<AsyncIterableIterator<WatchEvent<Stored>>>();
  // @ts-expect-error reason: that a wrong value does not compile is what is tested
  users.put("k", { name: 5 }).catch(() => undefined);

  const dates = replica.namespace("d", {
    codec: { encode: (value: URL) => value.href, decode: (stored) => new URL(String(stored)) },
  });
  expectTypeOf(dates.get("k")).toEqualTypeOf<URL | undefined>();
  expectTypeOf(users.namespace("e", { schema: z.string() }).get("k")).toEqualTypeOf<string | undefined>();
  for await (const event of users.watch({ initial: true })) {
    if (event.type === "put") expectTypeOf(event.value).toEqualTypeOf<Stored>();
    if (event.type === "delete") expectTypeOf(event.previous).toEqualTypeOf<Stored | undefined>();
    break;
  }
});
