/** Watching: gap-free from the view on, exact about what a reader could see, bounded, prompt in ending. */
import { describe, expect, test, vi } from "vitest";
import type { Replica, WatchEvent } from "../../../src/index.ts";
import { WATCH_QUEUE_MAX } from "../../../src/limits.ts";
import { GatedDisk } from "../../models/gated-disk.ts";
import { VirtualTime } from "../../models/virtual-time.ts";
import { failureOf, open, recordingLogger, turn } from "../replica/stage.ts";

/** Events up to the first that `ends` holds for, in short: "put a 1", "delete a (was 1)". */
async function take(events: AsyncIterator<WatchEvent>, ends: (short: string) => boolean): Promise<string[]> {
  const taken: string[] = [];
  for (;;) {
    const next = await events.next();
    if (next.done === true) return [...taken, "end"];
    const event = next.value;
    const previous = "previous" in event ? ` (was ${JSON.stringify(event.previous)})` : "";
    const short =
      event.type === "put"
        ? `put ${event.key} ${JSON.stringify(event.value)}${previous}`
        : "key" in event
          ? `${event.type} ${event.key}${previous}`
          : event.type;
    taken.push(short);
    if (ends(short)) return taken;
  }
}

const last = (replica: Replica) => replica.put("zz", 0);
const isLast = (short: string): boolean => short.startsWith("put zz");

test("the present entries, ready, then every change, however writes and reads are mixed", async () => {
  const replica = await open();
  await replica.batch(Array.from({ length: 50 }, (_, i) => ({ type: "put", key: `k${i}`, value: 0 })));
  const seen = new Map<string, unknown>();
  const events = replica.watch({ initial: true });
  let ready = 0;
  for (let i = 0; ; i++) {
    const { value: event } = (await events.next()) as { value: WatchEvent };
    if (event.type === "ready") ready += 1;
    else if (event.type === "put") {
      if (ready > 0) expect(event.previous, event.key).toEqual(seen.get(event.key));
      seen.set(event.key, event.value);
    } else if (event.type === "delete") {
      expect(seen.delete(event.key)).toBe(true);
    }
    if (i < 100) {
      void replica.put(`k${(i * 7) % 60}`, i);
      void replica.delete(`k${(i * 11) % 60}`);
    } else if (i === 100) void last(replica);
    if (event.type === "put" && event.key === "zz") break;
  }
  expect(ready).toBe(1);
  expect(new Map([...seen].sort())).toEqual(new Map([...replica.entries()].sort()));
});

test("no event for what was written before the call, even when it becomes durable later", async () => {
  const gated = new GatedDisk();
  const replica = await open({ directory: "d", disk: gated.disk });
  // While nobody watches, changes are not even kept: this one sees to it that they are.
  const all = replica.watch();
  gated.hold();
  const early = replica.put("early", 1);
  const plain = replica.watch();
  const initial = replica.watch({ initial: true });
  const late = last(replica);
  expect([replica.get("early"), replica.get("zz")]).toEqual([1, 0]);
  gated.release();
  await Promise.all([early, late]);
  expect(await take(all, isLast)).toEqual(["put early 1", "put zz 0"]);
  expect(await take(plain, isLast)).toEqual(["put zz 0"]);
  expect(await take(initial, isLast)).toEqual(["put early 1", "ready", "put zz 0"]);
});

test("what is written while a consumer waits for the present entries follows them", async () => {
  const replica = await open();
  await replica.put("a", 1);
  const events = replica.watch({ initial: true });
  const asked = Array.from({ length: 4 }, () => events.next());
  void replica.put("b", 2);
  void replica.put("c", 3);
  const taken = (await Promise.all(asked)).map(({ value }) => value as WatchEvent);
  expect(taken.map((event) => ("key" in event ? event.key : event.type))).toEqual(["a", "ready", "b", "c"]);
});

test("a batch comes as consecutive events with one id", async () => {
  const replica = await open();
  const events = replica.watch();
  void replica.put("x", 1);
  void replica.batch([
    { type: "put", key: "b", value: 1 },
    { type: "put", key: "a", value: 2 },
    { type: "put", key: "b", value: 3 },
    { type: "del", key: "x" },
    { type: "del", key: "absent" },
  ]);
  await last(replica);
  const taken: (WatchEvent & { batch?: string })[] = [];
  for (let i = 0; i < 5; i++) taken.push((await events.next()).value as WatchEvent);
  expect(taken.map((event) => ("key" in event ? `${event.type} ${event.key}` : event.type))).toEqual([
    "put x",
    "put b",
    "put a",
    "delete x",
    "put zz",
  ]);
  const ids = taken.map(({ batch }) => batch);
  expect(new Set(ids.slice(1, 4)).size).toBe(1);
  expect(new Set(ids).size).toBe(3);
});

describe("expiry", () => {
  test("comes once, with what was there; not for what was over before the watch began", async () => {
    const time = new VirtualTime();
    const replica = await open({ clock: time, timers: time });
    const all = replica.watch();
    await replica.put("short", 1, { ttlMs: 10 });
    await replica.put("long", 2, { ttlMs: 100 });
    // Over, but no tick has looked yet.
    time.advance(10);
    expect(replica.has("short")).toBe(false);
    const later = replica.watch();
    const initial = replica.watch({ initial: true });
    await time.run(1000);
    await last(replica);
    expect(await take(all, isLast)).toEqual([
      "put short 1",
      "put long 2",
      "expire short (was 1)",
      "expire long (was 2)",
      "put zz 0",
    ]);
    expect(await take(later, isLast)).toEqual(["expire long (was 2)", "put zz 0"]);
    expect(await take(initial, isLast)).toEqual(["put long 2", "ready", "expire long (was 2)", "put zz 0"]);
  });

  test("a delete of what is over is no event, since a reader sees no change", async () => {
    const time = new VirtualTime();
    const replica = await open({ clock: time, timers: time });
    const events = replica.watch();
    await replica.put("short", 1, { ttlMs: 10 });
    time.advance(10);
    await replica.delete("short");
    await replica.delete("never");
    await time.run(100);
    await last(replica);
    expect(await take(events, isLast)).toEqual(["put short 1", "expire short (was 1)", "put zz 0"]);
  });

  test("a key that is written again after its time is reported as expired first", async () => {
    const time = new VirtualTime();
    const replica = await open({ clock: time, timers: time });
    const events = replica.watch();
    await replica.put("short", 1, { ttlMs: 10 });
    time.advance(10);
    await replica.put("short", 2);
    await time.run(100);
    await last(replica);
    expect(await take(events, isLast)).toEqual(["put short 1", "expire short (was 1)", "put short 2", "put zz 0"]);
  });
});

describe("ranges", () => {
  test.each([
    [{ key: "b" }, ["b"]],
    [{ prefix: "b" }, ["b", "b/1"]],
    [{ gt: "b", lte: "c" }, ["b/1", "c"]],
    [{ range: { gte: "b", lt: "c" } }, ["b", "b/1"]],
    [{ range: { prefix: "b" }, gt: "b" }, ["b/1"]],
    [{}, ["a", "b", "b/1", "c"]],
  ])("%j", async (options, expected) => {
    const replica = await open();
    const before = replica.watch(options);
    for (const key of ["a", "b", "b/1", "c"]) await replica.put(key, 1);
    const after = replica.watch({ ...options, initial: true });
    await replica.close();
    expect(await take(before, () => false)).toEqual([...expected.map((key) => `put ${key} 1`), "end"]);
    expect(await take(after, () => false)).toEqual([...expected.map((key) => `put ${key} 1`), "ready", "end"]);
  });
});

describe("a consumer that falls behind", () => {
  const flood = (replica: Replica, count: number) =>
    Promise.all(Array.from({ length: count }, (_, i) => replica.put(`k${i % 3}`, i)));

  test("one change below the bound: nothing is lost", async () => {
    const replica = await open();
    const events = replica.watch();
    await flood(replica, WATCH_QUEUE_MAX);
    const taken = await take(events, (short) =>
      short.startsWith(`put k${(WATCH_QUEUE_MAX - 1) % 3} ${WATCH_QUEUE_MAX - 1} `),
    );
    expect(taken).toHaveLength(WATCH_QUEUE_MAX);
  });

  test("one above: lagged once, then later changes", async () => {
    const replica = await open();
    const events = replica.watch();
    await flood(replica, WATCH_QUEUE_MAX + 1);
    await flood(replica, 10);
    expect((await events.next()).value).toEqual({ type: "lagged" });
    await last(replica);
    expect(await take(events, isLast)).toEqual(["put zz 0"]);
  });

  test("with initial, the entries and ready again, and no change is missing or comes twice", async () => {
    const replica = await open();
    const events = replica.watch({ initial: true });
    expect(await take(events, (short) => short === "ready")).toEqual(["ready"]);
    await flood(replica, WATCH_QUEUE_MAX + 1);
    expect((await events.next()).value).toEqual({ type: "lagged" });
    // After the new view.
    await replica.put("k0", "new");
    await last(replica);
    const taken = await take(events, isLast);
    expect(taken.filter((short) => short === "ready")).toHaveLength(1);
    expect(taken.slice(0, 4).map((short) => short.slice(0, 6))).toEqual(["put k0", "put k1", "put k2", "ready"]);
    expect(taken.slice(4)).toEqual([expect.stringMatching(/^put k0 "new" /), "put zz 0"]);
  });

  test("values count by their bytes", async () => {
    const replica = await open();
    const events = replica.watch();
    const value = new Uint8Array(1024 * 1024 - 16);
    for (let i = 0; i < 65; i++) await replica.put(`k${i}`, value);
    expect((await events.next()).value).toEqual({ type: "lagged" });
  });
});

describe("ending", () => {
  test("abort rejects a waiting next with the reason, and later ones are done", async () => {
    const replica = await open();
    const controller = new AbortController();
    const events = replica.watch({ signal: controller.signal });
    const waiting = events.next();
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(await events.next()).toEqual({ done: true, value: undefined });
  });

  test("a signal that is aborted already, and one that aborts while events wait", async () => {
    const replica = await open();
    const reason = { any: "thing" };
    await expect(replica.watch({ signal: AbortSignal.abort(reason) }).next()).rejects.toBe(reason);
    const controller = new AbortController();
    const events = replica.watch({ signal: controller.signal, initial: true });
    await replica.put("a", 1);
    controller.abort(reason);
    await expect(events.next()).rejects.toBe(reason);
  });

  test("abort and return do not wait for the disk", async () => {
    const gated = new GatedDisk();
    const replica = await open({ directory: "d", disk: gated.disk });
    gated.hold();
    void replica.put("a", 1);
    const controller = new AbortController();
    const aborted = replica.watch({ initial: true, signal: controller.signal });
    const left = replica.watch({ initial: true });
    const waiting = [aborted.next(), left.next()];
    controller.abort("now");
    await expect(waiting[0]).rejects.toBe("now");
    expect(await left.return?.()).toEqual({ done: true, value: undefined });
    expect(await waiting[1]).toEqual({ done: true, value: undefined });
    gated.release();
  });

  test("return ends a waiting next, and frees what the watch held", async () => {
    const replica = await open();
    await replica.put("a", 1);
    const controller = new AbortController();
    const { signal } = controller;
    const added = vi.spyOn(signal, "addEventListener");
    const removed = vi.spyOn(signal, "removeEventListener");
    const listeners = (): number => added.mock.calls.length - removed.mock.calls.length;
    const started = replica.watch({ signal });
    const waiting = started.next();
    await started.return?.();
    expect(await waiting).toEqual({ done: true, value: undefined });
    const never = replica.watch({ signal, initial: true });
    await never.return?.();
    expect(listeners()).toBe(0);
    for await (const event of replica.watch({ signal, initial: true })) if (event.type === "put") break;
    expect(listeners()).toBe(0);
  });

  test("close lets what was published be read, then ends", async () => {
    const replica = await open();
    const events = replica.watch();
    const idle = replica.watch().next();
    void replica.put("a", 1);
    void replica.put("b", 2);
    await replica.close();
    expect(await idle).toMatchObject({ value: { key: "a" } });
    expect(await take(events, () => false)).toEqual(["put a 1", "put b 2", "end"]);
  });

  test("a log that fails ends the iteration with its error", async () => {
    const gated = new GatedDisk();
    const replica = await open({ directory: "d", disk: gated.disk });
    const events = replica.watch();
    await replica.put("a", 1);
    gated.fail("EIO");
    expect(await failureOf(() => replica.put("b", 1))).toMatchObject({ code: "ERR_STORAGE_FAILED" });
    expect((await events.next()).value).toMatchObject({ key: "a" });
    await expect(events.next()).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    // A watch that begins now: what is durable may be seen, the write that is not must not.
    await expect(replica.watch({ initial: true }).next()).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
  });
});

describe("listeners", () => {
  test("one that throws or rejects disturbs nobody, and is logged", async () => {
    const logger = recordingLogger();
    const replica = await open({ logger });
    const heard: string[] = [];
    replica.on("change", () => {
      throw new Error("first");
    });
    replica.on("change", async () => {
      await Promise.resolve();
      throw new Error("second");
    });
    const remove = replica.on("change", ({ key }) => void heard.push(key));
    await replica.put("a", 1);
    remove();
    await replica.put("b", 1);
    await turn();
    expect(heard).toEqual(["a"]);
    expect(logger.lines.filter((line) => line.startsWith("error"))).toEqual([
      expect.stringContaining("first"),
      expect.stringContaining("second"),
      expect.stringContaining("first"),
      expect.stringContaining("second"),
    ]);
  });

  test("a listener may write, and add and remove listeners", async () => {
    const replica = await open();
    const heard: string[] = [];
    const stop = replica.on("change", ({ key }) => {
      heard.push(key);
      if (key === "a") void replica.put("b", 1);
      replica.on("change", ({ key: later }) => void heard.push(`late ${later}`));
      stop();
    });
    await replica.put("a", 1);
    await turn();
    expect(heard).toEqual(["a", "late b"]);
  });
});
