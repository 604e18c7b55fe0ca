/** Several replicas over the in-process network: what they share, and what status says while links and disks come and go. */
import { describe, expect, test } from "vitest";
import type { PeerEvent, Replica } from "../../../src/index.ts";
import { MemoryDisk } from "../../../src/storage/memory-disk.ts";
import { inProcessNetwork } from "../../../transports/in-process.ts";
import { VirtualTime } from "../../models/virtual-time.ts";
import { open, recordingLogger, until } from "./stage.ts";

const contents = (replica: Replica): string => JSON.stringify([...replica.entries()]);

async function alike(...replicas: Replica[]): Promise<void> {
  const [first, ...others] = replicas;
  await until(() => others.every((other) => other.status().digest === first?.status().digest), "equal digests");
  for (const other of others) expect(contents(other)).toBe(contents(first!));
}

const isLive = (replica: Replica, peer: string): boolean => replica.status().peers[peer]?.state === "live";

async function live(a: Replica, b: Replica): Promise<void> {
  await until(() => isLive(a, b.nodeId) && isLive(b, a.nodeId), `${a.nodeId} and ${b.nodeId} live`);
}

describe("two replicas", () => {
  test("puts, overwrites, deletes and batches reach the other; versions are the same there", async () => {
    const network = inProcessNetwork();
    const a = await open({ nodeId: "a", transport: network.transport() });
    await a.put("early", 1);
    const b = await open({ nodeId: "b", transport: network.transport() });
    await a.batch([
      { type: "put", key: "x", value: 1 },
      { type: "put", key: "y", value: 2 },
    ]);
    await alike(a, b);
    expect(b.entry("x")).toEqual(a.entry("x"));
    expect(b.entry("x")?.nodeId).toBe("a");
    await b.delete("early");
    await b.put("x", "over");
    await alike(a, b);
    expect([a.has("early"), a.get("x")]).toEqual([false, "over"]);
    expect(a.status()).toMatchObject({ entries: 2, tombstones: 1 });
  });

  test("a batch arrives whole, as consecutive events with one id", async () => {
    const network = inProcessNetwork();
    const a = await open({ nodeId: "a", transport: network.transport() });
    const b = await open({ nodeId: "b", transport: network.transport() });
    await live(a, b);
    const partial: unknown[] = [];
    b.on("change", () => {
      const count = [...b.keys({ prefix: "k" })].length;
      if (count !== 0 && count !== 100) partial.push(count);
    });
    const events = b.watch({ prefix: "k" });
    await a.batch(Array.from({ length: 100 }, (_, i) => ({ type: "put", key: `k${i}`, value: i })));
    const batches = new Set<unknown>();
    for (let i = 0; i < 100; i++) {
      const { value } = (await events.next()) as { value: { batch: string; local: boolean; nodeId: string } };
      batches.add(value.batch);
      expect([value.local, value.nodeId]).toEqual([false, "a"]);
    }
    expect(batches.size).toBe(1);
    expect(partial).toEqual([]);
  });

  test("a cut link: down and yellow, with what is missing; healed: live, green, alike", async () => {
    const network = inProcessNetwork();
    const a = await open({ nodeId: "a", transport: network.transport() });
    const b = await open({ nodeId: "b", transport: network.transport() });
    const heard: PeerEvent[] = [];
    a.on("peer", (event) => void heard.push(event));
    await live(a, b);
    await until(() => a.status().health === "green" && a.status().peers["b"]?.lagEntries === 0, "green");
    const { address } = a.status().peers["b"]!;
    network.cut("a", "b");
    await until(() => a.status().peers["b"]?.state === "down", "a has noticed");
    await a.put("x", "a");
    await b.put("x", "b");
    await b.put("y", "b");
    expect(a.status()).toMatchObject({ health: "yellow", reasons: ['"b" is down'], members: ["a", "b"] });
    expect(a.status().peers["b"]).toMatchObject({ state: "down", address, lagEntries: 1 });
    const [shown, status] = [a.peers(), a.status()];
    const lagMs = expect.any(Number) as number;
    expect(shown).toEqual([{ nodeId: "b", ...status.peers["b"], lagMs }]);
    network.heal();
    await live(a, b);
    await alike(a, b);
    await until(() => a.status().health === "green", "green again");
    expect(a.get("x")).toBe("b");
    const peer = a.status().peers["b"]!;
    expect(peer).toMatchObject({ address: "in-process:b", lagMs: expect.any(Number) as number, rejects: {} });
    expect(peer.bytesIn).toBeGreaterThan(0);
    expect(peer.bytesOut).toBeGreaterThan(0);
    expect(peer.lastSeenAt).toBeGreaterThan(1.7e12);
    const types = heard.filter(({ nodeId }) => nodeId === "b").map(({ type }) => type);
    expect(types.slice(0, 3)).toEqual(["up", "live", "down"]);
    expect(types.at(-1)).toBe("live");
    const plain = a.status();
    expect(JSON.parse(JSON.stringify(plain))).toEqual(plain);
  });

  test("entries expire on both sides of a cut link, each by its own clock", async () => {
    const network = inProcessNetwork();
    const a = await open({ nodeId: "a", transport: network.transport() });
    const time = new VirtualTime(Date.now());
    const b = await open({ nodeId: "b", transport: network.transport(), clock: time });
    await a.put("short", 1, { ttlMs: 50_000 });
    await a.put("long", 2);
    await until(() => b.has("short") && b.has("long"), "b has both");
    network.cut("a", "b");
    await until(() => b.status().peers["a"]?.state === "down", "cut");
    const events = b.watch();
    time.advance(60_000);
    expect([b.has("short"), b.has("long")]).toEqual([false, true]);
    expect((await events.next()).value).toMatchObject({ type: "expire", key: "short", previous: 1, local: false });
    expect(b.status()).toMatchObject({ entries: 1, tombstones: 1 });
  });

  test("a restart with the data goes on where it was; with the data wiped it gets all back under a new epoch", async () => {
    const network = inProcessNetwork();
    const disk = new MemoryDisk();
    const a = await open({ nodeId: "a", transport: network.transport() });
    let b = await open({ nodeId: "b", transport: network.transport(), directory: "d", disk });
    await a.put("x", 1);
    await b.put("y", 2);
    await alike(a, b);
    const epoch = b.status().epoch;
    await b.close();
    await a.delete("y");
    await a.put("z", 3);
    b = await open({ nodeId: "b", transport: network.transport(), directory: "d", disk });
    expect(b.status()).toMatchObject({ epoch, durability: { recovered: { corrupt: false, truncatedBytes: 0 } } });
    await alike(a, b);
    expect([...b.keys()]).toEqual(["x", "z"]);
    await b.close();
    b = await open({ nodeId: "b", transport: network.transport(), directory: "d", disk: new MemoryDisk() });
    expect(b.status().durability.recovered).toBeUndefined();
    await alike(a, b);
    expect([...b.keys()]).toEqual(["x", "z"]);
    expect(b.status().epoch).not.toBe(epoch);
    await b.put("after", 1);
    await alike(a, b);
    await until(() => a.members().find(({ nodeId }) => nodeId === "b")?.epoch === b.status().epoch, "announced");
  });

  test("the same limits hold for a peer: refused, counted, yellow, and what fits is taken", async () => {
    const network = inProcessNetwork();
    const a = await open({ nodeId: "a", transport: network.transport() });
    const b = await open({ nodeId: "b", transport: network.transport(), limits: { maxValueBytes: 100 } });
    await live(a, b);
    await a.put("large", "x".repeat(100));
    await a.put("small", "x");
    await until(() => b.has("small"), "b has what fits");
    expect(b.has("large")).toBe(false);
    expect(b.status().peers["a"]?.rejects).toEqual({ "value-too-long": expect.any(Number) as number });
    expect(b.status().health).toBe("yellow");
    expect(b.status().reasons[0]).toMatch(/^refused from "a": \d+ value-too-long$/);
    await a.put("large", "fits now");
    await until(() => b.get("large") === "fits now", "superseded");
  });
});

describe("three replicas", () => {
  test("converge after a partition in which all wrote, and know each other", async () => {
    const network = inProcessNetwork();
    const [a, b, c] = await Promise.all(
      ["a", "b", "c"].map((nodeId) => open({ nodeId, transport: network.transport() })),
    );
    await Promise.all([live(a!, b!), live(b!, c!), live(a!, c!)]);
    network.cut("a", "b");
    network.cut("a", "c");
    await until(() => Object.values(a!.status().peers).every(({ state }) => state === "down"), "a is alone");
    const writes: Promise<unknown>[] = [];
    for (let i = 0; i < 60; i++) {
      const replica = [a, b, c][i % 3]!;
      writes.push(i % 5 === 0 ? replica.delete(`k${i % 7}`) : replica.put(`k${i % 7}`, `${replica.nodeId}${i}`));
    }
    await Promise.all(writes);
    network.heal();
    await alike(a!, b!, c!);
    for (const replica of [a!, b!, c!]) {
      expect(replica.status().members).toEqual(["a", "b", "c"]);
      expect(replica.members().map(({ version }) => version)).toEqual(Array(3).fill("0.1.0"));
      expect(replica.peers()).toHaveLength(2);
    }
  });

  test("one that is reached through another only", async () => {
    const network = inProcessNetwork();
    network.cut("a", "c");
    const [a, b, c] = await Promise.all(
      ["a", "b", "c"].map((nodeId) => open({ nodeId, transport: network.transport() })),
    );
    await a!.put("x", 1);
    await c!.put("y", 2);
    await alike(a!, b!, c!);
    expect([...a!.keys()]).toEqual(["x", "y"]);
    expect(a!.status().peers["c"]?.state).toBe("down");
  });
});

describe("replicas that must not mix", () => {
  test("another cluster: both sides say who and what to do, no data passes", async () => {
    const network = inProcessNetwork();
    const logs = [recordingLogger(), recordingLogger()];
    const a = await open({ nodeId: "a", clusterId: "blue", transport: network.transport(), logger: logs[0]! });
    const heard: string[] = [];
    a.on("warning", (warning) => void heard.push(warning));
    await a.put("blue", 1);
    const b = await open({ nodeId: "b", clusterId: "green", transport: network.transport(), logger: logs[1]! });
    await b.put("green", 1);
    await until(() => a.status().health === "yellow" && b.status().health === "yellow", "both have noticed");
    for (const replica of [a, b]) {
      const [reason] = replica.status().reasons;
      expect(reason).toMatch(/cluster "(blue|green)".* of "(blue|green)".*give both the same clusterId/);
    }
    expect(heard).toContain(a.status().reasons[0]);
    for (const { lines } of logs)
      expect(lines.filter((line) => /^warn: .*clusterId/.test(line)).length).toBeGreaterThan(0);
    expect([contents(a), contents(b)]).toEqual(['[["blue",1]]', '[["green",1]]']);
    expect([a.status().members, a.status().peers]).toEqual([["a"], {}]);
  });

  test("the same nodeId twice: both sides say so, no data passes between the two", async () => {
    const network = inProcessNetwork();
    const logs = [recordingLogger(), recordingLogger()];
    const a = await open({ nodeId: "twin", transport: network.transport(), logger: logs[0]! });
    await a.put("a", 1);
    const b = await open({ nodeId: "twin", transport: network.transport(), logger: logs[1]! });
    await b.put("b", 1);
    await until(() => a.status().health === "yellow" && b.status().health === "yellow", "both have noticed");
    for (const replica of [a, b])
      expect(replica.status().reasons[0]).toMatch(/named "twin": give one of them another nodeId/);
    for (const { lines } of logs)
      expect(lines.filter((line) => /^warn: .*another nodeId/.test(line)).length).toBeGreaterThan(0);
    expect([contents(a), contents(b)]).toEqual(['[["a",1]]', '[["b",1]]']);
  });

  test("a transport that serves one replica is refused to another, and goes on serving the first", async () => {
    const network = inProcessNetwork();
    const transport = network.transport();
    const a = await open({ nodeId: "a", transport });
    await expect(open({ nodeId: "second", transport })).rejects.toMatchObject({ code: "ERR_LISTEN" });
    const b = await open({ nodeId: "b", transport: network.transport() });
    await live(a, b);
  });
});
