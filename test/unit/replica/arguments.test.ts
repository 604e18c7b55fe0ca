/** What may be given to `openReplica` and to a replica, and how everything else is refused. */
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openReplica, type Replica } from "../../../src/index.ts";
import { MemoryDisk } from "../../../src/storage/memory-disk.ts";
import { inProcessNetwork } from "../../../transports/in-process.ts";
import { VirtualTime } from "../../models/virtual-time.ts";
import { failureOf, open, turn } from "./stage.ts";

const bad = (value: unknown): never => value as never;

describe("openReplica", () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ["an unknown option", { dir: "x" }, /no option "dir"; it has directory, nodeId/],
    ["an empty directory", { directory: "" }, /directory takes a path/],
    ["a directory that is no string", { directory: 1 }, /directory takes a path/],
    ["an empty nodeId", { nodeId: "" }, /nodeId takes a name of 1 to 64 bytes/],
    ["a nodeId of 65 bytes", { nodeId: "é".repeat(32) + "x" }, /nodeId takes/],
    ["a nodeId with a newline", { nodeId: "a\nb" }, /nodeId takes/],
    ["an empty clusterId", { clusterId: "" }, /clusterId takes a name of 1 to 64 bytes/],
    ["a clusterId of 65 bytes", { clusterId: "x".repeat(65) }, /clusterId takes/],
    ["a clusterId with a lone surrogate", { clusterId: "\ud800" }, /clusterId takes/],
    ["an unknown durability", { durability: "never" }, /durability takes "always", "os" or/],
    ["an interval of 0", { durability: { intervalMs: 0 } }, /durability.intervalMs takes a whole number from 1 to/],
    ["an interval of half a millisecond", { durability: { intervalMs: 1.5 } }, /durability.intervalMs takes/],
    ["an unknown part of durability", { durability: { intervalMs: 1, ms: 1 } }, /durability has no option "ms"/],
    ["an unknown limit", { limits: { keys: 1 } }, /limits has no option "keys"/],
    ["a key limit of 0", { limits: { maxKeyBytes: 0 } }, /limits.maxKeyBytes takes a whole number from 1 to 1024/],
    ["a key limit of 1025", { limits: { maxKeyBytes: 1025 } }, /limits.maxKeyBytes takes/],
    ["limits that are no object", { limits: 5 }, /limits takes an object/],
    ["a drift of 999 ms", { maxDriftMs: 999 }, /maxDriftMs takes a whole number from 1000/],
    ["strict that is no flag", { strict: 1 }, /strict takes true or false/],
    ["readOnly that is no flag", { readOnly: "yes", directory: "d" }, /readOnly takes true or false/],
    ["readOnly without a directory", { readOnly: true }, /readOnly takes a directory to read/],
    ["half a logger", { logger: { warn: () => undefined } }, /logger takes an object with debug, info, warn, error/],
    ["no transport", { transport: "ws://x" }, /transport takes an object with listen, seeds, dial, close/],
    ["a clock that is a function", { clock: Date.now }, /clock takes an object with now/],
    ["timers without after", { timers: {} }, /timers takes/],
    ["half a source of randomness", { random: { hex64: () => "" } }, /random takes/],
    ["no disk", { disk: {} }, /disk takes an object with makeDirectory/],
    ["onProgress that is no function", { onProgress: {} }, /onProgress takes a function/],
  ])("refuses %s", async (_, options, message) => {
    const failure = await failureOf(() => openReplica(bad(options)));
    expect(failure).toEqual({ code: "ERR_OPTION", message: expect.stringMatching(message) as string });
  });

  test("refuses a readOnly replica with a transport, and what is no object", async () => {
    const transport = inProcessNetwork().transport();
    expect(await failureOf(() => openReplica({ readOnly: true, directory: "d", transport }))).toMatchObject({
      code: "ERR_OPTION",
    });
    expect(await failureOf(() => openReplica(bad(null)))).toMatchObject({ code: "ERR_OPTION" });
  });

  test("takes names of 64 bytes", async () => {
    const replica = await open({ nodeId: "é".repeat(32), clusterId: "x".repeat(64) });
    expect(replica.nodeId).toBe("é".repeat(32));
    expect(replica.status().clusterId).toBe("x".repeat(64));
  });
});

const LONG = "k".repeat(1024);

describe("a call that is refused changes nothing", () => {
  const calls: [string, string, RegExp, (replica: Replica) => unknown][] = [
    ["put, a key that is no string", "ERR_KEY", /a string/, (r) => r.put(bad(1), 1)],
    ["put, an empty key", "ERR_KEY", /one byte at least/, (r) => r.put("", 1)],
    ["put, a key of 1,025 bytes", "ERR_KEY", /1025 bytes, 1024 at most/, (r) => r.put(`${LONG}x`, 1)],
    ["put, a key with a lone surrogate", "ERR_KEY", /surrogate/, (r) => r.put("\ud800", 1)],
    ["put, undefined", "ERR_VALUE", /./, (r) => r.put("new", undefined)],
    ["put, a function in a field", "ERR_VALUE", /./, (r) => r.put("new", { f: () => 1 })],
    ["put, a cycle", "ERR_VALUE", /./, (r) => r.put("new", cycle())],
    ["put, a value that is too long", "ERR_LIMIT", /100 bytes.*maxValueBytes/, (r) => r.put("new", "x".repeat(100))],
    ["put, ttlMs 0", "ERR_OPTION", /ttlMs takes a number above 0/, (r) => r.put("new", 1, { ttlMs: 0 })],
    ["put, ttlMs above 2^45", "ERR_OPTION", /ttlMs/, (r) => r.put("new", 1, { ttlMs: 2 ** 45 + 1 })],
    ["put, ttlMs NaN", "ERR_OPTION", /ttlMs/, (r) => r.put("new", 1, { ttlMs: Number.NaN })],
    ["put, ttlMs as a string", "ERR_OPTION", /ttlMs/, (r) => r.put("new", 1, { ttlMs: bad("5") })],
    ["put, an unknown option", "ERR_OPTION", /no option "ttl"; it has ttlMs/, (r) => r.put("new", 1, bad({ ttl: 1 }))],
    ["put, options null", "ERR_OPTION", /takes an object/, (r) => r.put("new", 1, bad(null))],
    ["delete, an empty key", "ERR_KEY", /./, (r) => r.delete("")],
    ["delete, an unknown option", "ERR_OPTION", /delete has no option/, (r) => r.delete("old", bad({ x: 1 }))],
    ["batch, no array", "ERR_OPTION", /an array/, (r) => r.batch(bad({}))],
    ["batch, 5 operations of 4", "ERR_LIMIT", /5 operations, at most 4: write it in parts/, (r) => r.batch(puts(5))],
    ["batch, an unknown type", "ERR_OPTION", /"put" or "del"/, (r) => r.batch([...puts(1), bad({ type: "set" })])],
    ["batch, a hole", "ERR_OPTION", /"put" or "del"/, (r) => r.batch([...puts(1), bad(undefined)])],
    ["batch, the last value bad", "ERR_VALUE", /./, (r) => r.batch([...puts(1), put("z", Symbol("z"))])],
    ["batch, the last key bad", "ERR_KEY", /./, (r) => r.batch([{ type: "del", key: "old" }, put("", 1)])],
    [
      "batch, an unknown field",
      "ERR_OPTION",
      /a del of a batch/,
      (r) => r.batch([bad({ type: "del", key: "a", value: 1 })]),
    ],
    ["batch, an unknown option", "ERR_OPTION", /batch has no option/, (r) => r.batch(puts(1), bad({ x: 1 }))],
    ["batch, beyond maxKeys", "ERR_LIMIT", /store is full/, (r) => r.batch(puts(3))],
    ["clear, an unknown field", "ERR_OPTION", /clear has no option "from"/, (r) => r.clear(bad({ from: "a" }))],
    ["clear, a bound that is no string", "ERR_OPTION", /gt must be/, (r) => r.clear({ gt: bad(1) })],
    ["backup without a directory", "ERR_OPTION", /without a directory/, (r) => r.backup("x")],
    ["backup, no path", "ERR_OPTION", /takes a path/, (r) => r.backup("")],
    ["close, an unknown option", "ERR_OPTION", /timeoutMs/, (r) => r.close(bad({ ms: 1 }))],
    ["close, timeoutMs -1", "ERR_OPTION", /timeoutMs/, (r) => r.close({ timeoutMs: -1 })],
  ];

  test.each(calls)("%s", async (_, code, message, call) => {
    const replica = await open({ limits: { maxValueBytes: 100, maxBatch: 4, maxKeys: 4 } });
    await replica.batch([put("old", 1), put("other", 2)]);
    const before = { status: replica.status(), entries: [...replica.entries()] };
    let returned: unknown;
    expect(() => (returned = call(replica)), "it does not throw").not.toThrow();
    expect(await failureOf(() => returned)).toEqual({ code, message: expect.stringMatching(message) as string });
    await turn();
    expect({ status: replica.status(), entries: [...replica.entries()] }).toEqual(before);
  });

  const reads: [string, string, (replica: Replica) => unknown][] = [
    ["get, an empty key", "ERR_KEY", (r) => r.get("")],
    ["get, a key that is too long", "ERR_KEY", (r) => r.get(`${LONG}x`)],
    ["has, no string", "ERR_KEY", (r) => r.has(bad({}))],
    ["entry, an empty key", "ERR_KEY", (r) => r.entry("")],
    ["getMany, a string", "ERR_OPTION", (r) => r.getMany(bad("abc"))],
    ["getMany, one bad key", "ERR_KEY", (r) => r.getMany(["a", ""])],
    ["entries, an unknown option", "ERR_OPTION", (r) => r.entries(bad({ from: "a" }))],
    ["entries, a negative limit", "ERR_OPTION", (r) => r.entries({ limit: -1 })],
    ["entries, half a limit", "ERR_OPTION", (r) => r.entries({ limit: 0.5 })],
    ["keys, reverse that is no flag", "ERR_OPTION", (r) => r.keys({ reverse: bad(1) })],
    ["values, a lone surrogate", "ERR_OPTION", (r) => r.values({ prefix: "\udc00" })],
    ["watch, an unknown option", "ERR_OPTION", (r) => r.watch(bad({ from: "a" }))],
    ["watch, an empty key", "ERR_KEY", (r) => r.watch({ key: "" })],
    ["watch, a key and a range", "ERR_OPTION", (r) => r.watch({ key: "a", prefix: "a" })],
    ["watch, initial that is no flag", "ERR_OPTION", (r) => r.watch({ initial: bad(1) })],
    ["watch, no signal", "ERR_OPTION", (r) => r.watch({ signal: bad({}) })],
    ["watch, a range that is none", "ERR_OPTION", (r) => r.watch({ range: bad({ from: 1 }) })],
    ["on, no event", "ERR_OPTION", (r) => r.on(bad("changes"), () => undefined)],
    ["on, no function", "ERR_OPTION", (r) => r.on("change", bad(1))],
  ];

  test.each(reads)("%s throws at once", async (_, code, call) => {
    const replica = await open();
    expect(() => call(replica)).toThrow(expect.objectContaining({ code }) as Error);
  });
});

test("what is just within the limits is taken", async () => {
  const replica = await open({ limits: { maxValueBytes: 100, maxBatch: 4, maxKeys: 6 } });
  await replica.put(LONG, "x".repeat(98));
  expect(replica.get(LONG)).toBe("x".repeat(98));
  // The member record is one of the six.
  await replica.batch(puts(4));
  expect(await failureOf(() => replica.put("one more", 1))).toMatchObject({ code: "ERR_LIMIT" });
  await replica.put("k0", "an overwrite needs no room for a key");
  await replica.put("k1", 1, { ttlMs: 2 ** 45 });
  expect(replica.status().entries).toBe(5);
});

test("every call after close fails with ERR_CLOSED, and close may be called again", async () => {
  const disk = new MemoryDisk();
  const replica = await open({ directory: "d", disk, nodeId: "n" });
  await replica.put("a", 1);
  const early = replica.entries();
  const closing = replica.close();
  expect(replica.close()).toBe(closing);
  const calls: ((r: Replica) => unknown)[] = [
    (r) => r.get("a"),
    (r) => r.getMany(["a"]),
    (r) => r.has("a"),
    (r) => r.entry("a"),
    (r) => r.entries(),
    (r) => r.keys(),
    (r) => r.values(),
    () => [...early],
    (r) => r.put("a", 1),
    (r) => r.delete("a"),
    (r) => r.batch([]),
    (r) => r.clear(),
    (r) => r.watch(),
    (r) => r.on("change", () => undefined),
    (r) => r.status(),
    (r) => r.members(),
    (r) => r.peers(),
    (r) => r.flush(),
    (r) => r.checkpoint(),
    (r) => r.verify(),
    (r) => r.backup("b"),
  ];
  for (const wait of [undefined, closing]) {
    await wait;
    for (const call of calls) expect((await failureOf(() => call(replica))).code, String(call)).toBe("ERR_CLOSED");
  }
  expect(replica.nodeId).toBe("n");
  await expect(replica[Symbol.asyncDispose]()).resolves.toBeUndefined();
});

test("a readOnly replica reads, lets entries expire, and refuses to write", async () => {
  const disk = new MemoryDisk();
  const writer = await open({ directory: "d", disk, nodeId: "n" });
  await writer.put("a", 1);
  await writer.put("short", 2, { ttlMs: 30_000 });
  expect(await failureOf(() => open({ directory: "d", disk, readOnly: true }))).toMatchObject({ code: "ERR_LOCKED" });
  await writer.close();
  const time = new VirtualTime(Date.now());
  const reader = await open({ directory: "d", disk, readOnly: true, clock: time, timers: time });
  for (const write of [
    () => reader.put("a", 2),
    () => reader.delete("a"),
    () => reader.clear(),
    () => reader.flush(),
  ]) {
    expect(await failureOf(write)).toMatchObject({ code: "ERR_READ_ONLY" });
  }
  expect(reader.get("a")).toBe(1);
  expect(reader.get("short")).toBe(2);
  // Ticks let entries expire, which must not reach for the log.
  await time.run(60_000);
  expect(reader.has("short")).toBe(false);
  expect(reader.status()).toMatchObject({ health: "green", durability: { state: "ok" } });
  expect(await reader.verify()).toMatchObject({ ok: true });
});

function put(key: string, value: unknown) {
  return { type: "put" as const, key, value };
}

function puts(count: number) {
  return Array.from({ length: count }, (_, index) => put(`k${index}`, index));
}

function cycle(): unknown {
  const array: unknown[] = [];
  array.push(array);
  return array;
}

test("a file where the directory should be: the message says so, and what to do", async () => {
  const directory = fileURLToPath(import.meta.url);
  await expect(openReplica({ directory })).rejects.toMatchObject({
    code: "ERR_STORAGE_FAILED",
    message: `cannot open ${directory}: a file is in its place: choose another directory`,
  });
});
