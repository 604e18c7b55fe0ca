/** Leases among whole replicas in virtual time: who holds one, for how long, and who is told of its loss. */
import { afterEach, describe, expect, test } from "vitest";
import { isReplicaError, type Lease, type Replica } from "../../../src/index.ts";
import { diskError, MemoryDisk } from "../../../src/storage/memory-disk.ts";
import { FaultyDisk } from "../../models/faulty-disk.ts";
import { VirtualCluster } from "../../models/virtual-cluster.ts";
import { failureOf } from "../replica/stage.ts";

const TTL_MS = 3000;

const clusters: VirtualCluster[] = [];
afterEach(async () => {
  await Promise.all(clusters.splice(0).map((cluster) => cluster.close()));
});

async function start(count: number): Promise<{ cluster: VirtualCluster; replicas: readonly Replica[] }> {
  const cluster = new VirtualCluster();
  clusters.push(cluster);
  const replicas: Replica[] = [];
  for (let n = 0; n < count; n += 1) replicas.push(await cluster.open(`r${n}`));
  if (count > 1) await cluster.live();
  return { cluster, replicas };
}

/** A call whose outcome can be looked at. */
function watched(lease: Promise<Lease>): { lease?: Lease; error?: unknown } {
  const outcome: { lease?: Lease; error?: unknown } = {};
  lease.then(
    (held) => (outcome.lease = held),
    (error: unknown) => (outcome.error = error),
  );
  return outcome;
}

async function acquired(cluster: VirtualCluster, asking: Promise<Lease>): Promise<Lease> {
  const outcome = watched(asking);
  await cluster.until(() => outcome.lease !== undefined || outcome.error !== undefined, "the lease");
  if (outcome.lease === undefined) throw outcome.error;
  return outcome.lease;
}

const whyLost = ({ signal }: Lease): string | undefined => {
  if (!signal.aborted) return undefined;
  expect(isReplicaError(signal.reason) && signal.reason.code).toBe("ERR_LEASE_LOST");
  return (signal.reason as Error).message;
};

describe("a lease", () => {
  test("is held by one, and goes to the next with a greater token when it is released", async () => {
    const { cluster, replicas } = await start(2);
    const [a, b] = replicas as [Replica, Replica];
    const first = await acquired(cluster, a.lease("cron", { ttlMs: TTL_MS }));
    expect(first.isHeld).toBe(true);
    const waiting = watched(b.lease("cron", { ttlMs: TTL_MS }));
    await cluster.time.run(10 * TTL_MS);
    expect(waiting.lease).toBeUndefined();
    expect(b.leaseHolder("cron")).toMatchObject({ nodeId: "r0", token: first.token });
    await first.release();
    expect(first.isHeld).toBe(false);
    expect(whyLost(first)).toContain("was released");
    const tookMs = await cluster.until(() => waiting.lease !== undefined, "the next holder");
    expect(tookMs).toBeLessThan(TTL_MS / 3);
    expect(waiting.lease!.token).toBeGreaterThan(first.token);
    expect(a.leaseHolder("cron")?.nodeId).toBe("r1");
  });

  test("of another name is another lease, whatever the names are", async () => {
    const { cluster, replicas } = await start(1);
    const [a] = replicas as [Replica];
    for (const name of ["a", "a/b", "a%2Fb", "__proto__", "é", "x".repeat(128)]) {
      expect((await acquired(cluster, a.lease(name, { ttlMs: TTL_MS }))).isHeld).toBe(true);
      expect(a.leaseHolder(name)?.nodeId).toBe("r0");
    }
    expect(a.leaseHolder("b")).toBeUndefined();
    expect([...a.keys({ prefix: "lease/a%2Fb/" })]).toEqual(["lease/a%2Fb/r0"]);
  });

  test("goes to somebody else once its holder is gone for as long as it lasts, and not before", async () => {
    const { cluster, replicas } = await start(2);
    const [a, b] = replicas as [Replica, Replica];
    await acquired(cluster, a.lease("cron", { ttlMs: TTL_MS }));
    const waiting = watched(b.lease("cron", { ttlMs: TTL_MS }));
    cluster.network.cut("r0", "r1");
    const { expiresAt } = b.leaseHolder("cron")!;
    await cluster.until(() => waiting.lease !== undefined, "the next holder");
    expect(cluster.time.now()).toBeGreaterThanOrEqual(expiresAt);
    expect(cluster.time.now()).toBeLessThan(expiresAt + TTL_MS / 3);
  });

  test("of several that ask at once one gets it, then the next", async () => {
    const { cluster, replicas } = await start(4);
    const asking = replicas.map((replica) => watched(replica.lease("cron", { ttlMs: TTL_MS })));
    const order: string[] = [];
    for (let turn = 0; turn < replicas.length; turn += 1) {
      const held = (): Lease[] => asking.flatMap(({ lease }) => (lease?.isHeld === true ? [lease] : []));
      await cluster.until(() => held().length > 0, "a holder");
      await cluster.time.run(2 * TTL_MS);
      expect(held()).toHaveLength(1);
      order.push(replicas[asking.findIndex(({ lease }) => lease === held()[0])]!.nodeId);
      await held()[0]!.release();
    }
    expect(order.sort()).toEqual(["r0", "r1", "r2", "r3"]);
    const tokens = asking.map(({ lease }) => lease!.token);
    expect(new Set(tokens).size).toBe(tokens.length);
  });

  test("has a holder on each side of a partition; afterwards one, and the other is told", async () => {
    const { cluster, replicas } = await start(2);
    const [a, b] = replicas as [Replica, Replica];
    // The resource takes the word of whoever has the greatest token so far.
    let greatest = 0;
    const accepts = ({ token }: Lease): boolean => {
      greatest = Math.max(greatest, token);
      return token === greatest;
    };
    const ofA = await acquired(cluster, a.lease("cron", { ttlMs: TTL_MS }));
    expect(accepts(ofA)).toBe(true);
    cluster.network.cut("r0", "r1");
    const ofB = await acquired(cluster, b.lease("cron", { ttlMs: TTL_MS }));
    await cluster.time.run(5 * TTL_MS);
    // What eventual consistency cannot prevent: two holders, each renewed on its side.
    expect([ofA.isHeld, ofB.isHeld]).toEqual([true, true]);
    // What the token can: from the moment at which the later one has come, the resource refuses the earlier one.
    expect(accepts(ofB)).toBe(true);
    expect(accepts(ofA)).toBe(false);
    cluster.network.heal();
    await cluster.until(() => !ofA.isHeld || !ofB.isHeld, "one of them is told");
    await cluster.time.run(5 * TTL_MS);
    expect([ofA.isHeld, ofB.isHeld]).toEqual([false, true]);
    expect(whyLost(ofA)).toBe('the lease "cron" is lost: "r1" has a greater token');
    expect([a.leaseHolder("cron"), b.leaseHolder("cron")]).toMatchObject([{ nodeId: "r1" }, { nodeId: "r1" }]);
    expect(accepts(ofB)).toBe(true);
    // Who has lost it may ask again.
    const again = watched(a.lease("cron", { ttlMs: TTL_MS }));
    await ofB.release();
    await cluster.until(() => again.lease !== undefined, "the loser's next turn");
    expect(accepts(again.lease!)).toBe(true);
  });

  test("with acks of a majority: the smaller side gets none, and loses the one it had", async () => {
    const { cluster, replicas } = await start(3);
    const [a, b, c] = replicas as [Replica, Replica, Replica];
    const options = { ttlMs: TTL_MS, acks: 2 };
    const ofA = await acquired(cluster, a.lease("cron", options));
    cluster.network.cut("r0", "r1");
    cluster.network.cut("r0", "r2");
    const ofB = watched(b.lease("cron", options));
    await cluster.until(() => ofB.lease !== undefined, "the larger side has a holder");
    // Clocks agree here, so the former holder has ended by then.
    expect(ofA.isHeld).toBe(false);
    expect(whyLost(ofA)).toContain("could not be renewed in time");
    const again = watched(a.lease("cron", options));
    await cluster.time.run(10 * TTL_MS);
    expect(again.lease).toBeUndefined();
    cluster.network.heal();
    await cluster.live();
    await ofB.lease!.release();
    await cluster.until(() => again.lease !== undefined, "after the partition");
    expect(c.leaseHolder("cron")?.nodeId).toBe("r0");
  });

  test("is free as soon as its holder closes, or opens again", async () => {
    const { cluster, replicas } = await start(2);
    const [a, b] = replicas as [Replica, Replica];
    const ofA = await acquired(cluster, a.lease("cron", { ttlMs: TTL_MS }));
    const ofB = watched(b.lease("cron", { ttlMs: TTL_MS }));
    await a.close();
    expect(ofA.isHeld).toBe(false);
    expect(await cluster.until(() => ofB.lease !== undefined, "the next holder")).toBeLessThan(TTL_MS / 3);
    expect(await failureOf(() => a.lease("cron", { ttlMs: TTL_MS }))).toMatchObject({ code: "ERR_CLOSED" });
  });

  test("that its holder cannot write down any more is lost when it expires", async () => {
    const { cluster } = await start(0);
    const disk = new FaultyDisk(new MemoryDisk());
    const a = await cluster.open("a", { directory: "/a", disk });
    const lease = await acquired(cluster, a.lease("cron", { ttlMs: TTL_MS }));
    disk.delay = () => Promise.reject(diskError("EIO", "the disk is gone"));
    await a.put("k", 1).catch(() => undefined);
    await cluster.until(() => lease.signal.aborted, "it is lost");
    expect(whyLost(lease)).toMatch(/replica has failed|could not be renewed/);
    expect((lease.signal.reason as Error).cause).toMatchObject({ code: "ERR_STORAGE_FAILED" });
  });

  test("can be renewed by hand, and given back by leaving its block", async () => {
    const { cluster, replicas } = await start(1);
    const [a] = replicas as [Replica];
    let lease: Lease;
    {
      await using held = await acquired(cluster, a.lease("cron", { ttlMs: TTL_MS }));
      lease = held;
      cluster.time.advance(10);
      await held.renew();
      expect(held.expiresAt).toBe(cluster.time.now() + TTL_MS);
      expect(a.leaseHolder("cron")).toEqual({ nodeId: "r0", token: held.token, expiresAt: held.expiresAt });
    }
    expect(a.leaseHolder("cron")).toBeUndefined();
    expect(await failureOf(() => lease.renew())).toMatchObject({ code: "ERR_LEASE_LOST" });
    await lease.release();
  });

  test("is not believed in behind the back of its signal: a process that slept knows at once", async () => {
    const { cluster, replicas } = await start(1);
    const [a] = replicas as [Replica];
    const lease = await acquired(cluster, a.lease("cron", { ttlMs: TTL_MS }));
    // The clock has gone on, and no timer could run.
    const jumped = lease.expiresAt - cluster.time.now();
    const now = cluster.time.now.bind(cluster.time);
    cluster.time.now = () => now() + jumped - 1;
    expect(lease.isHeld).toBe(true);
    cluster.time.now = () => now() + jumped;
    expect(lease.isHeld).toBe(false);
    expect(await failureOf(() => lease.renew())).toMatchObject({ code: "ERR_LEASE_LOST" });
  });

  test("ends its wait with its signal, and leaves no claim", async () => {
    const { cluster, replicas } = await start(2);
    const [a, b] = replicas as [Replica, Replica];
    const held = await acquired(cluster, a.lease("cron", { ttlMs: TTL_MS }));
    const stop = new AbortController();
    const waiting = b.lease("cron", { ttlMs: TTL_MS, signal: stop.signal });
    const outcome = watched(waiting);
    await cluster.time.run(100);
    expect(await failureOf(() => b.lease("cron", { ttlMs: TTL_MS }))).toMatchObject({ code: "ERR_OPTION" });
    stop.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    expect(outcome.lease).toBeUndefined();
    await held.release();
    await cluster.time.run(TTL_MS);
    expect(b.leaseHolder("cron")).toBeUndefined();
    // And its name is free again.
    expect((await acquired(cluster, b.lease("cron", { ttlMs: TTL_MS }))).isHeld).toBe(true);
    await expect(a.lease("cron", { ttlMs: TTL_MS, signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow(
      "before",
    );
  });

  test("refuses wrong arguments", async () => {
    const { replicas } = await start(1);
    const [a] = replicas as [Replica];
    for (const call of [
      () => a.lease("", { ttlMs: TTL_MS }),
      () => a.lease("x".repeat(129), { ttlMs: TTL_MS }),
      () => a.lease("\ud800", { ttlMs: TTL_MS }),
      () => a.lease("x", { ttlMs: 199 }),
      () => a.lease("x", { ttlMs: 2 ** 31 }),
      () => a.lease("x", { ttlMs: TTL_MS, acks: 0 }),
      () => a.lease("x", { ttlMs: TTL_MS, signal: 5 as unknown as AbortSignal }),
      () => a.lease("x", { ttlMs: TTL_MS, ttl: 5 } as { ttlMs: number }),
      () => a.lease("x", undefined as unknown as { ttlMs: number }),
      () => a.leaseHolder(""),
    ]) {
      expect(await failureOf(call), String(call)).toMatchObject({ code: "ERR_OPTION" });
    }
    // What somebody else has written below the same prefix is no claim.
    await a.put("lease/x/zz", "nonsense");
    await a.put("lease/x/zzz", { token: Number.MAX_SAFE_INTEGER });
    await a.put("lease/x/zzzz", { token: "9" }, { ttlMs: TTL_MS });
    expect(a.leaseHolder("x")).toBeUndefined();
  });
});
