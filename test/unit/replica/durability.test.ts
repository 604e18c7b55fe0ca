/** Durable, then visible: what may be seen when, the order of promises, and what a failing disk leaves. */
import { describe, expect, test } from "vitest";
import type { Replica, Status } from "../../../src/index.ts";
import { inProcessNetwork } from "../../../transports/in-process.ts";
import { GatedDisk } from "../../models/gated-disk.ts";
import { VirtualTime } from "../../models/virtual-time.ts";
import { failureOf, open, turn, until } from "./stage.ts";

test("before the sync: `get` sees the write; no promise, event, listener or peer does", async () => {
  const gated = new GatedDisk();
  const network = inProcessNetwork();
  const a = await open({ nodeId: "a", directory: "d", disk: gated.disk, transport: network.transport() });
  const b = await open({ nodeId: "b", transport: network.transport() });
  await until(() => a.status().peers["b"]?.state === "live" && b.status().peers["a"]?.state === "live", "live");
  await a.flush();
  gated.hold();
  const seen: string[] = [];
  a.on("change", ({ key }) => void seen.push(`listener ${key}`));
  const watched = a.watch().next();
  void watched.then(() => seen.push("watch"));
  const writes = [a.put("x", 1), a.batch([{ type: "put", key: "y", value: 2 }]), a.delete("x"), a.flush()];
  for (const [index, write] of writes.entries()) void write.then(() => seen.push(`promise ${index}`));
  await until(() => gated.waiting.length > 0, "the sync has begun");
  const framesBefore = b.status().peers["a"]?.bytesIn;
  // Another way round: what b writes reaches a, is not durable there, and is not acknowledged.
  await b.put("z", 3);
  await until(() => a.get("z") === 3, "a has it in memory");
  for (let i = 0; i < 50; i++) await turn();
  expect([a.get("x"), a.get("y")]).toEqual([undefined, 2]);
  expect(seen).toEqual([]);
  expect([b.has("x"), b.has("y")]).toEqual([false, false]);
  expect(b.status().peers["a"]?.lagEntries).toBeGreaterThan(0);
  expect(framesBefore).toBeGreaterThan(0);
  gated.release();
  await Promise.all(writes);
  await until(() => b.get("y") === 2 && b.status().peers["a"]?.lagEntries === 0, "b has it, and is acknowledged");
  await watched;
  expect(seen.filter((what) => what.startsWith("listener"))).toEqual([
    "listener x",
    "listener y",
    "listener x",
    "listener z",
  ]);
  expect(seen.filter((what) => what.startsWith("promise"))).toEqual([
    "promise 0",
    "promise 1",
    "promise 2",
    "promise 3",
  ]);
  expect(seen.indexOf("listener y")).toBeLessThan(seen.indexOf("promise 1"));
});

test.each([["memory"], ["a disk"]])("un-awaited writes resolve in the order of the calls (%s)", async (where) => {
  const replica = await open(where === "memory" ? {} : { directory: "d", disk: new GatedDisk().disk });
  const order: number[] = [];
  const all: Promise<unknown>[] = [];
  for (let i = 0; i < 300; i++) {
    const kinds = [
      () => replica.put(`k${i % 7}`, i),
      () => replica.delete(`k${i % 7}`),
      () => replica.delete("absent"),
      () => replica.batch([]),
      () => replica.batch([{ type: "put", key: "b", value: i }]),
      () => replica.clear({ prefix: "k" }),
    ];
    const call = kinds[i % kinds.length]!;
    all.push(call().then(() => order.push(i)));
    // Some in the same turn, some in later ones.
    if (i % 17 === 0) await Promise.resolve();
    if (i % 43 === 0) await turn();
  }
  await Promise.all(all);
  expect(order).toEqual(Array.from({ length: 300 }, (_, i) => i));
});

test("tokens name writes: a new one for each write, the last one for a delete of nothing", async () => {
  const replica = await open({ nodeId: "n" });
  const first = await replica.put("a", 1);
  expect(await replica.delete("absent")).toBe(first);
  const second = await replica.put("a", 1);
  expect(new Set([first, second, await replica.delete("a")]).size).toBe(3);
});

describe("a disk that fails", () => {
  test.each([
    ["EIO", "ERR_STORAGE_FAILED"],
    ["ENOSPC", "ERR_STORAGE_FULL"],
  ])("%s: %s for what waits and what comes, reads go on, peers hear nothing, reopening works", async (errno, code) => {
    const gated = new GatedDisk();
    const network = inProcessNetwork();
    const options = { nodeId: "a", directory: "d", disk: gated.disk };
    const a = await open({ ...options, transport: network.transport() });
    const b = await open({ nodeId: "b", transport: network.transport() });
    await a.put("before", 1);
    await until(() => b.get("before") === 1, "b has it");
    await a.flush();
    const statuses: Status[] = [];
    const warnings: string[] = [];
    a.on("status", (status) => void statuses.push(status));
    a.on("warning", (warning) => void warnings.push(warning));
    gated.hold();
    const waiting = [
      a.put("x", 1),
      a.batch([
        { type: "put", key: "y", value: 1 },
        { type: "del", key: "before" },
      ]),
    ];
    const outcomes = Promise.all(waiting.map((write) => failureOf(() => write)));
    await until(() => gated.waiting.length > 0, "the sync has begun");
    const more = failureOf(() => a.put("z", 1));
    gated.fail(errno);
    for (const outcome of [...(await outcomes), await more]) expect(outcome.code).toBe(code);
    for (const call of [
      () => a.put("w", 1),
      () => a.delete("x"),
      () => a.clear(),
      () => a.flush(),
      () => a.checkpoint(),
    ]) {
      expect((await failureOf(call)).code).toBe(code);
    }
    expect(a.has("w")).toBe(false);
    expect([a.get("x"), [...a.keys()].length]).toEqual([1, 3]);
    expect(a.status()).toMatchObject({ health: "red", durability: { state: "failed" } });
    expect(a.status().reasons[0]).toMatch(/^the log has failed/);
    expect(statuses.some(({ health }) => health === "red")).toBe(true);
    expect(warnings.filter((warning) => warning.includes("only reads go on"))).toHaveLength(1);
    await until(() => b.status().peers["a"]?.state === "down", "b has lost a");
    await b.put("theirs", 1);
    expect([...b.entries()]).toEqual([
      ["before", 1],
      ["theirs", 1],
    ]);
    gated.fail(undefined);
    await a.close().catch(() => undefined);
    const again = await open({ ...options, transport: network.transport() });
    expect(again.get("before") === 1 || again.get("y") === 1).toBe(true);
    expect(again.has("before")).toBe(!again.has("y"));
    await again.put("after", 1);
    await until(() => b.get("after") === 1 && again.get("theirs") === 1, "they talk again");
    expect([...again.entries()]).toEqual([...b.entries()]);
  });

  test("in interval mode a sync that fails between two writes turns it red by itself", async () => {
    const gated = new GatedDisk();
    const time = new VirtualTime();
    const durability = { intervalMs: 500 };
    const replica = await open({ directory: "d", disk: gated.disk, durability, clock: time, timers: time });
    await replica.put("a", 1);
    await time.run(1000);
    expect(replica.status().health).toBe("green");
    await replica.put("b", 1);
    gated.fail("EIO");
    await time.run(1000);
    expect(replica.status()).toMatchObject({ health: "red", durability: { mode: "interval", state: "failed" } });
    expect((await failureOf(() => replica.put("c", 1))).code).toBe("ERR_STORAGE_FAILED");
    expect(replica.has("c")).toBe(false);
  });
});

describe("close", () => {
  test("makes everything durable that was written, awaited or not", async () => {
    const { memory } = new GatedDisk();
    const replica = await open({ directory: "d", disk: memory });
    const write = replica.put("a", 1);
    await replica.close();
    await write;
    memory.crash();
    const again = await open({ directory: "d", disk: memory });
    expect(again.get("a")).toBe(1);
  });

  test("with a deadline: ERR_TIMEOUT while the disk does not answer, then the directory is free", async () => {
    const gated = new GatedDisk();
    const time = new VirtualTime();
    const network = inProcessNetwork();
    const options = { directory: "d", disk: gated.disk, clock: time, timers: time, nodeId: "n" };
    const replica = await open({ ...options, transport: network.transport() });
    const events = replica.watch();
    gated.hold();
    const write = replica.put("a", 1);
    await turn();
    const closing = failureOf(() => replica.close({ timeoutMs: 5000 }));
    await time.run(4999);
    expect(replica.close()).toBeInstanceOf(Promise);
    await time.run(1);
    expect(await closing).toEqual({ code: "ERR_TIMEOUT", message: expect.stringContaining("5000 ms") as string });
    expect((await events.next()).done).toBe(true);
    await time.run(0);
    expect(time.pending, "timers").toBe(0);
    expect((await failureOf(() => open(options))).code).toBe("ERR_LOCKED");
    gated.release();
    await replica.close();
    await write;
    expect((await open(options)).get("a")).toBe(1);
  });

  test("a transport that fails to close does not keep the directory locked", async () => {
    const { memory } = new GatedDisk();
    const transport = inProcessNetwork().transport();
    const broken = {
      listen: (host: Parameters<typeof transport.listen>[0]) => transport.listen(host),
      seeds: () => transport.seeds(),
      dial: (address: string, signal: AbortSignal) => transport.dial(address, signal),
      close: () => Promise.reject(new Error("stuck")),
    };
    const replica = await open({ directory: "d", disk: memory, nodeId: "n", transport: broken });
    await replica.put("a", 1);
    await expect(replica.close()).rejects.toThrow("stuck");
    expect((await open({ directory: "d", disk: memory })).get("a")).toBe(1);
  });

  test("leaves no timer, and an open that fails leaves neither timer nor lock", async () => {
    const { memory } = new GatedDisk();
    const time = new VirtualTime();
    const options = { directory: "d", disk: memory, clock: time, timers: time, nodeId: "n" };
    const transport = inProcessNetwork().transport();
    const replica = await open({ ...options, transport });
    expect(time.pending).toBeGreaterThan(0);
    await replica.put("a", 1);
    await replica.close();
    expect(time.pending).toBe(0);
    // A transport serves once.
    expect((await failureOf(() => open({ ...options, transport }))).code).toBe("ERR_LISTEN");
    expect(time.pending).toBe(0);
    const again = await open(options);
    expect(again.get("a")).toBe(1);
  });
});

test("a memory-only replica has no durability to speak of, and its calls work", async () => {
  const replica: Replica = await open();
  await replica.put("a", 1);
  await replica.flush();
  await replica.checkpoint();
  expect(await replica.verify()).toEqual({ ok: true, problems: [], entries: 1, bytes: 0 });
  expect(replica.status().durability).toEqual({ mode: "memory", state: "ok" });
});
