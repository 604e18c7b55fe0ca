/** Keys and values as a user sees them: nothing is shared with the store, no name is special, order is by bytes. */
import { expect, test } from "vitest";
import { open } from "./stage.ts";

test("what is handed in or out never aliases the store", async () => {
  const replica = await open();
  const value = { list: [1, { deep: "a" }], bytes: Uint8Array.of(1, 2), map: new Map([["k", { x: 1 }]]) };
  const original = structuredClone(value);
  const written = replica.put("k", value);
  const batched = replica.batch([{ type: "put", key: "l", value }]);
  const spoil = (taken: typeof value): void => {
    (taken.list[1] as { deep: string }).deep = "spoiled";
    taken.list.push(9);
    taken.bytes[0] = 99;
    taken.map.clear();
  };
  spoil(value);
  await Promise.all([written, batched]);
  const readers: (() => unknown)[] = [
    () => replica.get("k"),
    () => replica.get("l"),
    () => replica.getMany(["k"])[0],
    () => replica.entry("k")?.value,
    () => [...replica.entries()][0]?.[1],
    () => [...replica.values()][0],
  ];
  for (const read of readers) {
    const taken = read();
    expect(taken).toEqual(original);
    spoil(taken as typeof value);
    expect(read(), String(read)).toEqual(original);
  }
});

test("events and listeners get copies of their own", async () => {
  const replica = await open();
  const first = replica.watch();
  const second = replica.watch();
  replica.on("change", (change) => {
    if (change.type === "put") (change.value as { x: number }).x = 99;
  });
  await replica.put("k", { x: 1 });
  const event = (await first.next()).value as { value: { x: number } };
  expect(event.value).toEqual({ x: 1 });
  event.value.x = 50;
  expect((await second.next()).value).toMatchObject({ value: { x: 1 } });
  expect(replica.get("k")).toEqual({ x: 1 });
});

test("a value that its own getters change while it is encoded", async () => {
  const replica = await open();
  const value = {
    get a() {
      void replica.put("inner", 1);
      return 2;
    },
  };
  await replica.put("outer", value);
  expect([...replica.entries()]).toEqual([
    ["inner", 1],
    ["outer", { a: 2 }],
  ]);
  const thrown = new RangeError("mine");
  const throwing = {
    get a(): number {
      throw thrown;
    },
  };
  await expect(replica.put("outer", throwing)).rejects.toSatisfy(
    (error: Error) => error === thrown || error.cause === thrown,
  );
  expect(replica.get("outer")).toEqual({ a: 2 });
  const closing = {
    get a(): number {
      void replica.close();
      return 3;
    },
  };
  await expect(replica.put("outer", closing)).rejects.toMatchObject({ code: "ERR_CLOSED" });
});

test("names with a meaning in JavaScript are names like others", async () => {
  const replica = await open();
  const names = ["__proto__", "constructor", "hasOwnProperty", "toString", "__defineGetter__"];
  for (const name of names) expect([replica.has(name), replica.get(name)], name).toEqual([false, undefined]);
  const value = JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}') as unknown;
  await replica.batch(names.map((key) => ({ type: "put", key, value })));
  for (const name of names) {
    const read = replica.get(name) as object;
    expect(Object.keys(read)).toEqual(["__proto__", "constructor"]);
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
  }
  expect([...replica.keys()]).toEqual([...names].sort());
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});

test("keys are ordered by UTF-8 bytes, which UTF-16 does not", async () => {
  const replica = await open();
  const keys = ["\u{10ffff}", "\u{ffff}", "\u{e000}", "\u{10000}", "\u{7ff}", "\u{800}", "\u{7f}", "\u{80}", "\0", "a"];
  for (const key of keys) await replica.put(key, key);
  const byBytes = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  expect([...keys].sort(), "the fixture tells the two orders apart").not.toEqual(byBytes);
  expect([...replica.keys()]).toEqual(byBytes);
  expect([...replica.keys({ reverse: true })]).toEqual([...byBytes].reverse());
  expect([...replica.keys({ gt: "\u{ffff}" })]).toEqual(["\u{10000}", "\u{10ffff}"]);
  expect([...replica.keys({ prefix: "\u{10ffff}" })]).toEqual(["\u{10ffff}"]);
});

test("keys of 1 and of 1,024 bytes, and none of the store's own", async () => {
  const replica = await open({ nodeId: "n" });
  const longest = `${"€".repeat(341)}x`;
  expect(Buffer.byteLength(longest)).toBe(1024);
  await replica.batch([
    { type: "put", key: "\0", value: 1 },
    { type: "put", key: longest, value: 2 },
  ]);
  const watch = replica.watch({ initial: true });
  expect([...replica.entries()]).toEqual([
    ["\0", 1],
    [longest, 2],
  ]);
  expect((await watch.next()).value).toMatchObject({ key: "\0" });
  expect((await watch.next()).value).toMatchObject({ key: longest });
  expect((await watch.next()).value).toEqual({ type: "ready" });
  expect(replica.status().entries).toBe(2);
  await replica.clear();
  expect([...replica.keys()]).toEqual([]);
  expect(replica.members().map(({ nodeId }) => nodeId)).toEqual(["n"]);
});

test("an iteration shows the state as of its start, whatever is written meanwhile", async () => {
  const replica = await open();
  await replica.batch(["a", "b", "c"].map((key) => ({ type: "put", key, value: 1 })));
  const seen: unknown[] = [];
  for (const entry of replica.entries()) {
    seen.push(entry);
    await replica.clear();
    await replica.put("b2", 2);
  }
  expect(seen).toEqual([
    ["a", 1],
    ["b", 1],
    ["c", 1],
  ]);
  const again = replica.keys();
  expect([...again]).toEqual(["b2"]);
  await replica.put("z", 1);
  expect([...again], "each iteration looks anew").toEqual(["b2", "z"]);
});
