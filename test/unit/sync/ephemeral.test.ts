/** What peers that misbehave, are slow, or are too many can do to ephemeral entries; and that none of it is ever on a disk. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { encodeValue } from "../../../src/codec/values.ts";
import type { Replica } from "../../../src/index.ts";
import { MemoryDisk } from "../../../src/storage/memory-disk.ts";
import { EphemeralSet } from "../../../src/sync/ephemeral-set.ts";
import type { AuthorNews, EphemeralCell, EphemeralNews } from "../../../src/sync/messages.ts";
import type { NodeId } from "../../../src/types.ts";
import { EphemeralWorld, LEASE_MS, TICK_MS } from "../../models/ephemeral-world.ts";
import { PlayedPeer } from "../../models/played-peer.ts";
import { VirtualCluster } from "../../models/virtual-cluster.ts";

const INCARNATION = "00000000000000ef";
const EVIL = "evil" as NodeId;

function cell(key: string, version: number, value: unknown = version): EphemeralCell {
  return { key: `p/${key}`, value: encodeValue(value), version };
}

function news(of: Partial<AuthorNews> = {}): AuthorNews {
  const author = { nodeId: EVIL, generation: 1, incarnation: INCARNATION, version: 1 };
  return { ...author, from: 0, leaseMs: 10_000, ageMs: 0, closed: false, cells: [cell("k", 1)], ...of };
}

describe("among whole replicas", () => {
  let cluster = new VirtualCluster();
  beforeEach(() => {
    cluster = new VirtualCluster();
  });
  afterEach(async () => {
    await cluster.close();
  });

  async function meet(features = 1, links: readonly NodeId[] = []): Promise<{ a: Replica; evil: PlayedPeer }> {
    const a = await cluster.open("a");
    const evil = new PlayedPeer(cluster.network, "evil");
    const meeting = evil.meet("a", { features, links });
    await cluster.time.run(1);
    await meeting;
    await cluster.time.run(1);
    return { a, evil };
  }

  const seen = (replica: Replica): unknown[] => replica.ephemeral("p").entries();
  const say = (evil: PlayedPeer, message: Partial<EphemeralNews>): void => {
    evil.send({ type: "ephemeral", taken: 0, held: [], news: [], ...message });
  };
  const told = (evil: PlayedPeer): EphemeralNews[] => evil.received.filter((message) => message.type === "ephemeral");

  test("a peer that keeps to the protocol is heard, and is told", async () => {
    const { a, evil } = await meet();
    say(evil, {});
    say(evil, { news: [news()] });
    a.ephemeral("p").put("own", 1);
    await cluster.time.run(1);
    expect(seen(a)).toMatchObject([{ key: "k", nodeId: "evil" }, { key: "own" }]);
    expect(a.status().ephemeral).toEqual({ processes: 2, entries: 2, bytes: 3 + 1 + 5 + 1 });
    expect(a.metrics()).toMatchObject({ ephemeral: { entries: 2 }, messages: { received: { ephemeral: 2 } } });
    // Its first message lists what it holds: nothing. Then it tells what it has, and confirms what has come.
    const heard = told(evil);
    expect(heard[0]).toEqual({ type: "ephemeral", taken: 0, held: [], news: [] });
    expect(heard[1]?.news).toMatchObject([{ nodeId: "a", from: 0, cells: [{ key: "p/own" }] }]);
    expect(heard.at(-1)).toMatchObject({ taken: 1 });
  });

  test.each([
    ["a lease of less than a second", { leaseMs: 999 }],
    ["a lease of more than an hour", { leaseMs: 3_600_001 }],
    ["cells beyond its version", { cells: [cell("k", 1), cell("l", 2)] }],
  ])("%s ends the session", async (_, of) => {
    const { a, evil } = await meet();
    say(evil, { news: [news(of)] });
    await cluster.time.run(1);
    expect(evil.closed).toBeDefined();
    expect(seen(a)).toEqual([]);
  });

  test.each([
    ["a generation that nobody reaches", { generation: 2 ** 50 + 1 }],
    ["a version that nobody reaches", { version: 2 ** 50 + 1 }],
    [
      "more entries than one process has",
      { version: 10_001, cells: Array.from({ length: 10_001 }, (_, n) => cell(`${n}`, n + 1)) },
    ],
  ])("%s is counted, and nothing else", async (_, of) => {
    const { a, evil } = await meet();
    say(evil, { news: [news(of)] });
    await cluster.time.run(1);
    expect(a.status().peers).toMatchObject({ evil: { rejects: { "ephemeral-absurd": 1 } } });
    expect(seen(a)).toEqual([]);
    expect(evil.closed).toBeUndefined();
  });

  test("just as many as one process has are fine", async () => {
    const { a, evil } = await meet();
    say(evil, {
      news: [news({ version: 10_000, cells: Array.from({ length: 10_000 }, (_, n) => cell(`${n}`, n + 1)) })],
    });
    await cluster.time.run(1);
    expect(a.status().ephemeral.entries).toBe(10_000);
  });

  test("from one that has not said that it knows of it, it is refused", async () => {
    const { a, evil } = await meet(0);
    say(evil, { news: [news()] });
    await cluster.time.run(1);
    expect(told(evil)).toEqual([]);
    expect(a.status().peers).toMatchObject({ evil: { rejects: { "ephemeral-unexpected": 1 } } });
    expect(seen(a)).toEqual([]);
  });

  test("a value of a kind that nobody here knows is hidden, and passed on", async () => {
    const { a, evil } = await meet();
    const b = await cluster.open("b");
    await cluster.live([a, b], 1);
    const unknown = { key: "p/later", value: Uint8Array.of(0xc1), version: 2 };
    say(evil, { news: [news({ version: 2, cells: [cell("k", 1), unknown] })] });
    const events = b.ephemeral("p").watch();
    await cluster.time.run(1);
    for (const replica of [a, b])
      expect(
        replica
          .ephemeral("p")
          .entries()
          .map(({ key }) => key),
      ).toEqual(["k"]);
    expect(b.status().ephemeral.entries).toBe(2);
    expect((await events.next()).value).toMatchObject({ key: "k" });
    await events.return?.();
  });

  test("one that confirms nothing is sent eight messages and no more, and keeps nobody waiting", async () => {
    const { a, evil } = await meet();
    const b = await cluster.open("b");
    await cluster.live([a, b], 1);
    say(evil, {});
    await cluster.time.run(1);
    for (let n = 0; n < 100; n++) {
      a.ephemeral("p").put("k", n);
      evil.probe();
      await cluster.time.run(1000);
      expect(b.ephemeral("p").get("k")).toBe(n);
    }
    expect(told(evil).filter(({ news }) => news.length > 0)).toHaveLength(8);
    // Once it confirms it is told what is the case now.
    say(evil, { taken: 8 });
    await cluster.time.run(1);
    expect(told(evil).at(-1)?.news).toMatchObject([{ nodeId: "a", cells: [{ key: "p/k", value: encodeValue(99) }] }]);
    // What was never sent cannot be confirmed.
    say(evil, { taken: 2 ** 40 });
    await cluster.time.run(1);
    expect(evil.closed).toBeUndefined();
  });

  test("nobody speaks for us: a set under our name only makes us go above it", async () => {
    const { a, evil } = await meet();
    say(evil, {});
    a.ephemeral("p").put("own", 1);
    await cluster.time.run(1);
    const generation = cluster.time.now() + 1_000_000;
    say(evil, { taken: 1, news: [news({ nodeId: "a" as NodeId, generation, version: 9 })] });
    await cluster.time.run(1);
    expect(seen(a)).toMatchObject([{ key: "own", local: true }]);
    const [own] = told(evil).at(-1)?.news ?? [];
    expect(own).toMatchObject({ nodeId: "a", generation: generation + 1, from: 0, cells: [{ key: "p/own" }] });
  });

  test("what a peer has told is not told back to it", async () => {
    const { a, evil } = await meet();
    say(evil, {});
    say(evil, { news: [news(), news({ nodeId: "other" as NodeId })] });
    await cluster.time.run(1);
    expect(seen(a)).toHaveLength(2);
    expect(told(evil).flatMap((message) => message.news)).toEqual([]);
  });

  test("a difference to what is not here is left, and everything asked for", async () => {
    const { a, evil } = await meet();
    say(evil, {});
    say(evil, { news: [news()] });
    say(evil, { news: [news({ from: 2, version: 3, cells: [cell("l", 3)] })] });
    await cluster.time.run(1);
    expect(seen(a)).toMatchObject([{ key: "k" }]);
    expect(told(evil).at(-1)?.held).toMatchObject([{ nodeId: "evil", version: 1 }]);
    say(evil, { news: [news({ from: 1, version: 3, cells: [cell("l", 3)] })] });
    await cluster.time.run(1);
    expect(seen(a)).toMatchObject([{ key: "k" }, { key: "l" }]);
  });

  test("who has outlived its lease comes back with a new sign of life, and not with one that was heard before", async () => {
    const { a, evil } = await meet();
    const other = { nodeId: "other" as NodeId, version: 5, leaseMs: 1000 };
    say(evil, { news: [news(other)] });
    await cluster.time.run(2000);
    expect(seen(a)).toEqual([]);
    say(evil, { news: [news(other)] });
    await cluster.time.run(1);
    expect(seen(a)).toEqual([]);
    say(evil, { news: [news({ ...other, version: 6 })] });
    await cluster.time.run(1);
    expect(seen(a)).toMatchObject([{ key: "k", nodeId: "other" }]);
  });

  test("of two processes of one name the younger one counts, whatever is told last", async () => {
    const { a, evil } = await meet();
    const other = { nodeId: "other" as NodeId, incarnation: "00000000000000aa" };
    say(evil, { news: [news({ ...other, generation: 2, cells: [cell("new", 1)] })] });
    const former = { ...other, generation: 1, incarnation: "00000000000000bb", version: 9 };
    say(evil, { news: [news({ ...former, cells: [cell("old", 9)] })] });
    await cluster.time.run(1);
    expect(seen(a)).toMatchObject([{ key: "new" }]);
    expect(seen(a)).toHaveLength(1);
  });

  test("of the processes that have set one key, the one with the higher version comes first, then the greater name", async () => {
    const { a, evil } = await meet();
    const other = "other" as NodeId;
    say(evil, {});
    say(evil, { news: [news(), news({ nodeId: other, version: 5, cells: [cell("k", 5)] })] });
    await cluster.time.run(1);
    expect(seen(a)).toMatchObject([{ nodeId: "other" }, { nodeId: "evil" }]);
    say(evil, { news: [news({ version: 5, cells: [cell("k", 5)] })] });
    await cluster.time.run(1);
    expect(seen(a)).toMatchObject([{ nodeId: "other" }, { nodeId: "evil" }]);
    say(evil, { news: [news({ version: 6, cells: [cell("k", 6)] })] });
    await cluster.time.run(1);
    expect(seen(a)).toMatchObject([{ nodeId: "evil" }, { nodeId: "other" }]);
  });

  test.each([
    ["is told nothing of it by others", ["other"], 0],
    ["is told, if it is not connected to it", [], 1],
  ])("a peer that is connected to a process %s", async (_, links, messages) => {
    const { a, evil } = await meet(1, links as NodeId[]);
    const other = new PlayedPeer(cluster.network, "other");
    const meeting = other.meet("a", { features: 1 });
    await cluster.time.run(1);
    await meeting;
    say(evil, {});
    say(other, {});
    say(other, { news: [news({ nodeId: "other" as NodeId })] });
    await cluster.time.run(1000);
    expect(seen(a)).toMatchObject([{ nodeId: "other" }]);
    const heard = told(evil).flatMap((message) => message.news.filter(({ nodeId }) => nodeId === "other"));
    expect(heard).toHaveLength(messages);
  });

  test("an age beyond the lease is too old, and one close to it ends soon", async () => {
    const { a, evil } = await meet();
    say(evil, { news: [news({ ageMs: 10_050 }), news({ nodeId: "other" as NodeId, ageMs: 9_500 })] });
    await cluster.time.run(1);
    expect(seen(a)).toMatchObject([{ nodeId: "other" }]);
    await cluster.time.run(600);
    expect(seen(a)).toEqual([]);
  });

  test("nothing of it is in the directory, the digest, the dump or the log of changes", async () => {
    const disk = new MemoryDisk();
    const a = await cluster.open("a", { directory: "/data", disk });
    const b = await cluster.open("b");
    await cluster.live();
    await a.put("durable", 1);
    await cluster.converged();
    await a.checkpoint();
    const image = (): string =>
      disk
        .fileNames()
        .map((name) => `${name} ${Buffer.from(disk.bytesOf(name)).toString("base64")}`)
        .join("\n");
    const before = { image: image(), digest: a.status().digest, entries: a.status().entries };
    const changes: string[] = [];
    a.on("change", ({ key }) => changes.push(key));
    for (const replica of [a, b]) for (let n = 0; n < 50; n++) replica.ephemeral("p").put(`k${n}`, "secret".repeat(n));
    await cluster.time.run(30_000);
    for (let n = 0; n < 50; n++) b.ephemeral("p").delete(`k${n}`);
    await cluster.time.run(30_000);
    expect(a.status().ephemeral.entries).toBe(50);
    expect({ image: image(), digest: a.status().digest, entries: a.status().entries }).toEqual(before);
    expect(changes).toEqual([]);
    expect([...a.entries()]).toEqual([["durable", 1]]);
    await a.flush();
    expect(image()).toBe(before.image);
  });
});

describe("a set", () => {
  const set = (): EphemeralSet =>
    new EphemeralSet({ nodeId: EVIL, generation: 1, incarnation: INCARNATION, version: 0 }, 1000, 0);
  const grow = (of: EphemeralSet, key: string, value: unknown): void => {
    const version = of.author.version + 1;
    of.author = { ...of.author, version };
    of.set({ key, value: value === null ? null : encodeValue(value), version });
  };
  const known = (of: EphemeralSet, version: number) => ({ ...of.author, version });

  test("tells what has happened since, removals too, and of one key the last only", () => {
    const of = set();
    for (const [key, value] of [
      ["a", 1],
      ["b", 1],
      ["a", 2],
      ["b", null],
    ] as const)
      grow(of, key, value);
    const keys = (version: number) =>
      of.newsSince(known(of, version), 0)?.cells.map(({ key, value }) => [key, value === null]);
    expect(keys(1)).toEqual([
      ["a", false],
      ["b", true],
    ]);
    expect(keys(3)).toEqual([["b", true]]);
    expect(of.newsSince(known(of, 4), 0)).toBeUndefined();
    expect(of.newsSince(undefined, 0)).toMatchObject({ from: 0, cells: [{ key: "a" }] });
    expect(of.newsSince({ ...known(of, 4), generation: 0 }, 0)).toMatchObject({ from: 0, cells: [{ key: "a" }] });
    expect(of.newsSince({ ...known(of, 1), generation: 2 }, 0)).toBeUndefined();
  });

  test("does not remember removals for ever: who is too far behind is sent everything", () => {
    const of = set();
    grow(of, "stays", 1);
    for (let n = 0; n < 1100; n++) {
      grow(of, `k${n}`, 1);
      grow(of, `k${n}`, null);
    }
    expect(of.size).toBe(1);
    expect(of.bytes).toBe("stays".length + 1);
    expect(of.newsSince(known(of, 1), 0)).toMatchObject({ from: 0, cells: [{ key: "stays" }] });
    expect(of.newsSince(known(of, of.author.version - 2), 0)?.cells).toMatchObject([{ key: "k1099", value: null }]);
  });
});

test("what there is no room for is left out, and comes in once there is", () => {
  const totals = { authors: 10, entries: 5, bytes: 1000 };
  const world = new EphemeralWorld({ count: 3, transitTicks: 1, totals });
  const [a, b, c] = world.processes as [
    (typeof world.processes)[0],
    (typeof world.processes)[0],
    (typeof world.processes)[0],
  ];
  for (let n = 0; n < 4; n++) world.put(b, `b${n}`, n);
  world.link(a, b);
  for (let n = 0; n < 5; n++) world.pass();
  for (let n = 0; n < 2; n++) world.put(c, `c${n}`, n);
  world.link(a, c);
  for (let n = 0; n < 5; n++) world.pass();
  expect(world.seenBy(a)).toHaveLength(4);
  expect(a.rejects).toContain("ephemeral-full");
  world.kill(b);
  for (let n = 0; n < LEASE_MS / TICK_MS + 5; n++) world.pass();
  expect(world.seenBy(a)).toEqual(["c0=0@p2", "c1=1@p2"]);
});

test("a goodbye is passed on at once: nobody behind a relay waits for the lease", () => {
  const world = new EphemeralWorld({ count: 4, transitTicks: 1 });
  const [a, b, c, d] = world.processes;
  world.link(a!, b!);
  world.link(b!, c!);
  world.link(c!, d!);
  world.put(a!, "k", 1);
  for (let n = 0; n < 8; n++) world.pass();
  expect(world.seenBy(d!)).toEqual(["k=1@p0"]);
  world.close(a!);
  // Two links to go, well within a lease of 20 ticks.
  for (let n = 0; n < 4; n++) world.pass();
  expect([b!, c!, d!].map((process) => world.seenBy(process))).toEqual([[], [], []]);
});
