/** Watches that go on where another one ended: exactly, or with `lagged`; and what a consumer that sleeps costs. */
import { describe, expect, test } from "vitest";
import { CoreState } from "../../../src/core/core-state.ts";
import { byteRange } from "../../../src/data/key-ranges.ts";
import { versionOf } from "../../../src/data/versions.ts";
import type { Replica, WatchEvent, WatchOptions } from "../../../src/index.ts";
import { HISTORY_BYTES_MAX, HISTORY_MAX, HISTORY_MS, WATCH_QUEUE_MAX } from "../../../src/limits.ts";
import { MemoryDisk } from "../../../src/storage/memory-disk.ts";
import type { Change } from "../../../src/sync/committed.ts";
import type { Origin } from "../../../src/types.ts";
import { WatchHistory } from "../../../src/watch/watch-history.ts";
import { groupedByBatch, Watchers } from "../../../src/watch/watchers.ts";
import { GatedDisk } from "../../models/gated-disk.ts";
import { VirtualTime } from "../../models/virtual-time.ts";
import { open, turn } from "../replica/stage.ts";

const ORIGIN = `n/${"0".repeat(16)}` as Origin;

function change(key: string, stamp: number): Change {
  const entry = { key: Buffer.from(key), value: null, stamp, origin: ORIGIN, seq: stamp, expiresAt: 0 };
  return { kind: "delete", entry, existed: true, previous: null, local: true, number: stamp };
}

interface Told {
  readonly short: string[];
  readonly versions: string[];
}

/** A `next` that was asked for and had no answer yet. */
const asked = new WeakMap<AsyncIterator<WatchEvent>, Promise<IteratorResult<WatchEvent>>>();

/** Everything that a watch has to say now. The watch goes on. */
async function told(events: AsyncIterator<WatchEvent>): Promise<Told> {
  const short: string[] = [];
  const versions: string[] = [];
  for (;;) {
    const next = asked.get(events) ?? events.next();
    asked.set(events, next);
    const result = await Promise.race([next, turn().then(turn)]);
    if (result === undefined || result.done === true) return { short, versions };
    asked.delete(events);
    const event = result.value;
    if ("version" in event) versions.push(event.version);
    if (event.type === "put") short.push(`put ${event.key} ${String(event.value)}`);
    else short.push("key" in event ? `${event.type} ${event.key}` : event.type);
  }
}

/** What a new watch has to say now. */
async function toldBy(replica: Replica, options: WatchOptions): Promise<string[]> {
  const events = replica.watch(options);
  const { short } = await told(events);
  await events.return?.();
  return short;
}

const STORY = ["put a 1", "put b 1", "put a 2", "delete b", "put c 1"];

/** Makes the changes of STORY, which a watch sees and then ends; returns their versions. */
async function story(replica: Replica): Promise<string[]> {
  const events = replica.watch();
  await replica.put("a", 1);
  await replica.put("b", 1);
  await replica.put("a", 2);
  await replica.delete("b");
  await replica.put("c", 1);
  const { short, versions } = await told(events);
  expect(short).toEqual(STORY);
  await events.return?.();
  return versions;
}

describe("within the process", () => {
  test.each([0, 1, 2, 3, 4])("behind event %i come all later ones, of overwritten versions too", async (at) => {
    const replica = await open();
    const versions = await story(replica);
    const later = STORY.slice(at + 1);
    expect(await toldBy(replica, { since: versions[at]! })).toEqual(later);
    expect(await toldBy(replica, { since: versions[at]!, initial: true })).toEqual([...later, "ready"]);
    const ofA = later.filter((short) => short.includes(" a "));
    expect(await toldBy(replica, { since: versions[at]!, key: "a" })).toEqual(ofA);
    expect(await toldBy(replica, { since: versions[at]!, prefix: "a" })).toEqual(ofA);
  });

  test("and then what is written, without a gap, also what is not durable yet at the call", async () => {
    const gated = new GatedDisk();
    const replica = await open({ directory: "d", disk: gated.disk });
    const versions = await story(replica);
    gated.hold();
    const pending = replica.put("d", 1);
    const events = replica.watch({ since: versions[3]! });
    const late = replica.put("e", 1);
    gated.release();
    await Promise.all([pending, late]);
    expect((await told(events)).short).toEqual(["put c 1", "put d 1", "put e 1"]);
  });

  test("an expiry has a version of its own: behind it, it does not come again; before it, it does", async () => {
    const time = new VirtualTime();
    const replica = await open({ clock: time, timers: time });
    const events = replica.watch();
    await replica.put("short", 1, { ttlMs: 100 });
    await replica.put("a", 1);
    await time.run(1000);
    await replica.put("b", 1);
    const { short, versions } = await told(events);
    expect(short).toEqual(["put short 1", "put a 1", "expire short", "put b 1"]);
    expect(new Set(versions).size).toBe(4);
    expect(await toldBy(replica, { since: versions[0]! })).toEqual(["put a 1", "expire short", "put b 1"]);
    expect(await toldBy(replica, { since: versions[2]! })).toEqual(["put b 1"]);
    await expect(replica.put("short", 2, { ifVersion: versions[2]! })).rejects.toMatchObject({ presentVersion: null });
  });

  test("the changes are kept for a minute after the last watch, and not longer", async () => {
    const time = new VirtualTime();
    const replica = await open({ clock: time, timers: time });
    const versions = await story(replica);
    time.advance(HISTORY_MS - 1);
    await replica.put("d", 1);
    expect(await toldBy(replica, { since: versions[0]!, key: "a" })).toEqual(["put a 2"]);
    time.advance(HISTORY_MS);
    expect(await toldBy(replica, { since: versions[0]!, key: "a" })).toEqual(["lagged"]);
    await replica.close();
    expect(time.pending).toBe(0);
  });

  test("as many are kept as the bound says; one more, and the oldest is forgotten", async () => {
    const replica = await open();
    const events = replica.watch({ key: "first" });
    await replica.put("first", 0);
    const { versions } = await told(events);
    await Promise.all(Array.from({ length: HISTORY_MAX - 1 }, (_, i) => replica.put(`k${i % 3}`, i)));
    const resumed = replica.watch({ since: versions[0]!, key: "k0" });
    expect((await resumed.next()).value).toMatchObject({ type: "put", key: "k0", value: 0 });
    // Out of the history and, since there have been too many changes, out of reach in the log.
    await Promise.all(Array.from({ length: WATCH_QUEUE_MAX }, (_, i) => replica.put(`k${i % 3}`, i)));
    expect(await toldBy(replica, { since: versions[0]!, key: "k0" })).toEqual(["lagged"]);
  });

  test("bytes count too", async () => {
    const replica = await open();
    const events = replica.watch({ key: "first" });
    await replica.put("first", 0);
    await replica.put("first", 1);
    const { versions } = await told(events);
    const value = new Uint8Array(1024 * 1024 - 16);
    for (let i = 0; i <= HISTORY_BYTES_MAX / 2 ** 20; i += 1) await replica.put(`k${i}`, value);
    // Overwritten, so the log does not know it.
    expect(await toldBy(replica, { since: versions[0]!, key: "first" })).toEqual(["lagged"]);
  });
});

describe("by the log of changes, which knows the last change of each key", () => {
  const onDisk = async (disk: MemoryDisk) => await open({ directory: "d", disk, nodeId: "n" });

  test("behind a version that is still there, after a restart", async () => {
    const disk = new MemoryDisk();
    const first = await onDisk(disk);
    const versions = await story(first);
    await first.close();
    const second = await onDisk(disk);
    await second.put("d", 1);
    // a 1 and b 1 were overwritten: nothing tells where they were.
    expect(await toldBy(second, { since: versions[0]! })).toEqual(["lagged"]);
    expect(await toldBy(second, { since: versions[1]! })).toEqual(["lagged"]);
    expect(await toldBy(second, { since: versions[2]! })).toEqual(["delete b", "put c 1", "put d 1"]);
    expect(await toldBy(second, { since: versions[3]!, initial: true })).toEqual(["put c 1", "put d 1", "ready"]);
    expect(await toldBy(second, { since: versions[4]! })).toEqual(["put d 1"]);
    expect(await toldBy(second, { since: versions[2]!, key: "b" })).toEqual(["delete b"]);
  });

  test("what is lost is told, with the present entries for who wants them, and later changes follow", async () => {
    const disk = new MemoryDisk();
    const first = await onDisk(disk);
    const versions = await story(first);
    await first.close();
    const second = await onDisk(disk);
    const plain = second.watch({ since: versions[0]! });
    const initial = second.watch({ since: versions[0]!, initial: true });
    await second.put("d", 1);
    expect((await told(plain)).short).toEqual(["lagged", "put d 1"]);
    expect((await told(initial)).short).toEqual(["lagged", "put a 2", "put c 1", "put d 1", "ready"]);
    await second.put("e", 1);
    expect((await told(plain)).short).toEqual(["put e 1"]);
    expect((await told(initial)).short).toEqual(["put e 1"]);
  });

  test("an expiry leaves no trace in the log: what came before it is not known any more", async () => {
    const time = new VirtualTime();
    const disk = new MemoryDisk();
    const options = { directory: "d", disk, nodeId: "n", clock: time, timers: time };
    const first = await open(options);
    const events = first.watch();
    await first.put("short", 1, { ttlMs: 100 });
    await first.put("a", 1);
    await time.run(200);
    await first.put("b", 1);
    const { versions } = await told(events);
    await first.close();
    const second = await open(options);
    expect(await toldBy(second, { since: versions[1]! })).toEqual(["lagged"]);
    expect(await toldBy(second, { since: versions[2]! })).toEqual(["lagged"]);
    await second.put("c", 1);
    expect(await toldBy(second, { since: versions[3]! })).toEqual(["put c 1"]);
  });

  test("what expires later is told, also what was over before and not looked at yet", async () => {
    const time = new VirtualTime();
    const disk = new MemoryDisk();
    const options = { directory: "d", disk, nodeId: "n", clock: time, timers: time };
    const first = await open(options);
    const events = first.watch();
    await first.put("short", 1, { ttlMs: 5000 });
    await first.put("a", 1);
    const { versions } = await told(events);
    await first.close();
    time.advance(6000);
    const second = await open(options);
    const resumed = second.watch({ since: versions[1]! });
    await time.run(200);
    expect((await told(resumed)).short).toEqual(["expire short"]);
  });

  test("a checkpoint forgets what came before it; what follows it is known", async () => {
    const disk = new MemoryDisk();
    const first = await onDisk(disk);
    const versions = await story(first);
    await first.checkpoint();
    const events = first.watch();
    await first.put("d", 1);
    const after = (await told(events)).versions;
    await first.close();
    const second = await onDisk(disk);
    await second.put("e", 1);
    expect(await toldBy(second, { since: versions[4]! })).toEqual(["lagged"]);
    expect(await toldBy(second, { since: after[0]! })).toEqual(["put e 1"]);
  });

  test("a version of another replica, and one that nobody has made", async () => {
    const replica = await open();
    await story(replica);
    const foreign = `1.1.x/${"0".repeat(16)}`;
    expect(await toldBy(replica, { since: foreign })).toEqual(["lagged"]);
    for (const since of ["", "abc", 1, `${foreign}0`]) {
      expect(() => replica.watch({ since: since as never })).toThrow(
        expect.objectContaining({ code: "ERR_OPTION" }) as Error,
      );
    }
  });
});

test("who does not read for 10^6 changes gets lagged: a bounded queue, then nothing is kept for it", async () => {
  const state = new CoreState(ORIGIN);
  let lagged = 0;
  const source = {
    view: () => [].values(),
    lsn: () => 0,
    durable: () => Promise.resolve(),
    changeNumber: () => 0,
    now: () => 0,
    isLocal: () => true,
    onLagged: () => {
      lagged += 1;
    },
  };
  const watchers = new Watchers({ source, state, timers: new VirtualTime(), maxKeyBytes: 100 });
  const asleep = watchers.watch({ prefix: "k" });
  const later = watchers.watch({ prefix: "k" });
  let most = 0;
  for (let lsn = 1; lsn <= 1_000_000; lsn += 100) {
    watchers.publish(Array.from({ length: 100 }, (_, i) => change(`k${i}`, lsn + i)));
    most = Math.max(most, watchers.queuedMax);
  }
  expect(most).toBeGreaterThan(WATCH_QUEUE_MAX - 100);
  expect(most).toBeLessThanOrEqual(WATCH_QUEUE_MAX);
  expect([watchers.size, watchers.queuedMax]).toEqual([2, 0]);
  expect(await told(asleep)).toMatchObject({ short: ["lagged"] });
  // Of these the first one is handed out, since it was waited for.
  watchers.publish([change("k", 1_000_001), change("k2", 1_000_002)]);
  expect(watchers.queuedMax).toBe(1);
  expect(await told(asleep)).toMatchObject({ short: ["delete k", "delete k2"] });
  expect(await told(later)).toMatchObject({ short: ["lagged"] });
  expect(lagged).toBe(2);
  watchers.close();
});

test("what a resumed watch was given stays as it was, whatever is published before it is read", () => {
  const history = new WatchHistory();
  const keys = (count: number, from: number) =>
    Array.from({ length: count }, (_, i) => change(`k${from + i}`, from + i));
  const changes = keys(5000, 1);
  history.add(changes);
  const all = byteRange({});
  const missed = history.after(versionOf(changes[0]!.entry), all);
  // Often enough around for all memory to be used again.
  for (const later of keys(HISTORY_MAX * 2, 100_000)) history.add([later]);
  expect(missed?.map(({ entry }) => Buffer.from(entry.key).toString())).toEqual(
    changes.slice(1).map(({ entry }) => Buffer.from(entry.key).toString()),
  );
  expect(history.after(versionOf(changes[0]!.entry), all)).toBeUndefined();
});

test("a value that is dropped because it is dead elsewhere is news to every watch from before, with a version of its own", async () => {
  const time = new VirtualTime();
  const source = {
    view: () => [].values(),
    lsn: () => 7,
    durable: () => Promise.resolve(),
    changeNumber: () => 5,
    now: () => 0,
    isLocal: () => true,
    onLagged: () => undefined,
  };
  const watchers = new Watchers({ source, state: new CoreState(ORIGIN), timers: time, maxKeyBytes: 100 });
  const events = watchers.watch({});
  const first = watchers.watch({});
  // Made before the watch began, and published after it.
  watchers.publish([change("early", 5)]);
  watchers.publish([{ ...change("k", 6), dropped: true }]);
  const { short, versions } = await told(events);
  expect(short).toEqual(["delete k"]);
  expect(versions[0]).not.toBe(versionOf(change("k", 6).entry));
  expect((await told(watchers.watch({ since: versions[0]! }))).short).toEqual([]);
  expect((await told(first)).short).toEqual(["delete k"]);
  watchers.close();
  expect(time.pending).toBe(0);
});

describe("batches", () => {
  const namesOf = (changes: readonly Change[]): string[] =>
    groupedByBatch(changes).map(({ kind, entry }) => `${kind} ${Buffer.from(entry.key).toString()}${entry.stamp}`);

  test("that came mixed are told one after the other, and each key keeps its order", () => {
    const mixed = [change("b", 3), change("a", 1), change("a", 3), change("c", 1), change("d", 2)];
    expect(namesOf(mixed)).toEqual(["delete a1", "delete c1", "delete d2", "delete b3", "delete a3"]);
  });

  test("an expiry comes behind what it ends, and before what follows it", () => {
    const over: Change = { ...change("a", 1), kind: "expire" };
    expect(namesOf([change("b", 2), over, change("a", 2)])).toEqual(["expire a1", "delete b2", "delete a2"]);
    expect(namesOf([change("a", 1), over, change("b", 1)])).toEqual(["delete a1", "expire a1", "delete b1"]);
    expect(namesOf([change("a", 1), over, change("c", 3), change("b", 1)])).toEqual([
      "delete a1",
      "delete b1",
      "expire a1",
      "delete c3",
    ]);
  });

  test("what was dropped may be followed by less: nothing is moved", () => {
    const changes = [{ ...change("a", 5), dropped: true }, change("b", 6), change("a", 4), change("c", 5)];
    expect(groupedByBatch(changes)).toBe(changes);
  });

  test("that did not are left alone, without a copy", () => {
    for (const changes of [[], [change("a", 1)], [change("a", 1), change("b", 1), change("c", 2), change("d", 3)]]) {
      expect(groupedByBatch(changes)).toBe(changes);
    }
  });
});
