/** Write concern, tokens and `settled`: what waits for other replicas, and how it ends. */
import { expect, test } from "vitest";
import { MemoryDisk } from "../../../src/storage/memory-disk.ts";
import { inProcessNetwork } from "../../../transports/in-process.ts";
import { VirtualCluster } from "../../models/virtual-cluster.ts";
import { failureOf, open, turn, until } from "./stage.ts";

async function pair() {
  const network = inProcessNetwork();
  const a = await open({ nodeId: "a", transport: network.transport() });
  const b = await open({ nodeId: "b", transport: network.transport() });
  await until(() => a.status().peers.b?.state === "live" && b.status().peers.a?.state === "live", "both live");
  return { network, a, b };
}

/** Whether a promise is still open after everything that can happen by itself has happened. */
async function isOpen(promise: Promise<unknown>): Promise<boolean> {
  let open = true;
  promise.then(
    () => (open = false),
    () => (open = false),
  );
  for (let n = 0; n < 5; n += 1) await turn();
  return open;
}

test("acks: a write resolves when so many members hold it, the writer included", async () => {
  const { network, a, b } = await pair();
  await a.put("one", 1, { acks: 2 });
  expect(b.get("one")).toBe(1);
  network.cut("a", "b");
  await a.put("alone", 1, { acks: 1 });
  const held = a.put("both", 1, { acks: 2 });
  expect(await isOpen(held)).toBe(true);
  network.heal();
  await held;
  expect(b.get("both")).toBe(1);
  await a.batch(
    [
      { type: "put", key: "x", value: 1 },
      { type: "del", key: "one" },
    ],
    { acks: 2 },
  );
  expect([b.get("x"), b.has("one")]).toEqual([1, false]);
  await a.delete("x", { acks: 2 });
  expect(b.has("x")).toBe(false);
});

test("acks beyond the members wait until the signal, and the write stays", async () => {
  const { a } = await pair();
  const aborter = new AbortController();
  const write = a.put("k", 1, { acks: 3, signal: aborter.signal });
  expect(await isOpen(write)).toBe(true);
  const reason = new Error("enough");
  aborter.abort(reason);
  await expect(write).rejects.toBe(reason);
  expect(a.get("k")).toBe(1);
});

test("a signal that has aborted before the call: nothing is written", async () => {
  const { a } = await pair();
  await expect(a.put("k", 1, { signal: AbortSignal.abort(new Error("no")) })).rejects.toThrow("no");
  expect(a.has("k")).toBe(false);
});

test("reached: another replica has the write that a token names", async () => {
  const { network, a, b } = await pair();
  network.cut("a", "b");
  const token = await a.put("k", "v");
  await a.reached(token);
  const reached = b.reached(token);
  expect(await isOpen(reached)).toBe(true);
  expect(b.get("k")).toBeUndefined();
  network.heal();
  await reached;
  expect(b.get("k")).toBe("v");
});

test("settled: the peers have all that was there at the call", async () => {
  const { network, a, b } = await pair();
  await a.settled();
  network.cut("a", "b");
  await a.put("k", 1);
  const settled = a.settled();
  const named = a.settled({ peers: ["b"] });
  await a.settled({ peers: [] });
  expect(await isOpen(settled)).toBe(true);
  network.heal();
  await Promise.all([settled, named]);
  expect(b.get("k")).toBe(1);
});

test("settled waits for a peer that it has never met", async () => {
  const { a } = await pair();
  await expect(a.settled({ peers: ["stranger"], signal: AbortSignal.timeout(20) })).rejects.toThrow(/timeout/i);
});

test("closing ends every wait with ERR_CLOSED", async () => {
  const { a } = await pair();
  const waits = [a.put("k", 1, { acks: 9 }), a.settled({ peers: ["stranger"] }), a.reached("5.c/00000000000000cc")];
  const ends = Promise.all(waits.map(async (wait) => (await failureOf(() => wait)).code));
  await turn();
  await a.close();
  expect(await ends).toEqual(["ERR_CLOSED", "ERR_CLOSED", "ERR_CLOSED"]);
});

test.each([
  ["", "a token"],
  ["nonsense", "a token"],
  ["1.a/xyz", "a token"],
  [".a/00000000000000aa", "a token"],
  ["-1.a/00000000000000aa", "a token"],
  ["01.a/00000000000000aa", "a token"],
  [17, "a token"],
])("reached(%j) is refused", async (token, message) => {
  const { a } = await pair();
  const failure = await failureOf(() => a.reached(token as string));
  expect(failure.code).toBe("ERR_OPTION");
  expect(failure.message).toContain(message);
});

test("bad arguments are refused before anything is written", async () => {
  const { a } = await pair();
  const calls: [() => Promise<unknown>, string][] = [
    [() => a.put("k", 1, { acks: 0 }), "acks"],
    [() => a.put("k", 1, { acks: 1.5 }), "acks"],
    [() => a.put("k", 1, { acks: "2" as never }), "acks"],
    [() => a.put("k", 1, { signal: {} as never }), "signal"],
    [() => a.settled({ peers: "b" as never }), "peers"],
    [() => a.settled({ peers: [1 as never] }), "peers"],
    [() => a.settled({ from: 1 } as never), "from"],
    [() => a.reached("1.a/00000000000000aa", { timeoutMs: 1 } as never), "timeoutMs"],
  ];
  for (const [call, name] of calls) {
    const failure = await failureOf(call);
    expect(failure.code).toBe("ERR_OPTION");
    expect(failure.message).toContain(name);
  }
  expect(a.has("k")).toBe(false);
});

// Three writes: fewer than the peer knows of the lost ones, so that it covers more than was written. Thirty: more.
test.each([3, 30])(
  "a disk that was set back, %i writes before anybody was met: they count as held by who has them",
  async (count) => {
    const cluster = new VirtualCluster();
    const disk = new MemoryDisk();
    const durable = { directory: "/data", disk };
    const b = await cluster.open("b");
    const first = await cluster.open("a", durable);
    await cluster.live();
    void first.put("old", 1);
    await cluster.time.run(1000);
    await first.close();
    const image = disk.clone(true);
    const second = await cluster.open("a", durable);
    await cluster.live([second, b]);
    for (let n = 0; n < 10; n++) void second.put(`lost/${n}`, n);
    await cluster.time.run(1000);
    expect(b.get("lost/9")).toBe(9);
    await second.close();
    cluster.network.cut("a", "b");
    const third = await cluster.open("a", { ...durable, disk: image });
    const has: boolean[] = [];
    const writes = Array.from({ length: count }, async (_, n) => {
      await third.put(`mine/${n}`, n, { acks: 2 });
      has.push(b.get(`mine/${n}`) === n);
    });
    const settled = third.settled({ peers: ["b"] }).then(() => has.push(b.get(`mine/${count - 1}`) === count - 1));
    await cluster.time.run(1000);
    expect(has).toEqual([]);
    cluster.network.heal();
    await cluster.until(() => has.length > count, "all are held");
    await Promise.all([...writes, settled]);
    expect(has).toEqual(Array.from({ length: count + 1 }, () => true));
    await cluster.converged([third, b]);
    expect(Array.from({ length: 10 }, (_, n) => third.get(`lost/${n}`))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await cluster.close();
  },
);
