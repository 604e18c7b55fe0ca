/** Deletes are forgotten once everybody has seen them, and stay deleted whatever comes back. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Replica } from "../../../src/index.ts";
import type { ReplicaOptions } from "../../../src/options.ts";
import { MemoryDisk } from "../../../src/storage/memory-disk.ts";
import { VirtualCluster } from "../../models/virtual-cluster.ts";
import { failureOf } from "./stage.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

let cluster = new VirtualCluster();
let disks = new Map<string, MemoryDisk>();
beforeEach(() => {
  cluster = new VirtualCluster();
  disks = new Map();
});
afterEach(() => cluster.close());

function open(nodeId: string, directory = "/data", options: ReplicaOptions = {}): Promise<Replica> {
  const disk = disks.get(nodeId) ?? new MemoryDisk();
  disks.set(nodeId, disk);
  return cluster.open(nodeId, { disk, directory, ...options });
}

async function close(replica: Replica): Promise<void> {
  cluster.replicas.splice(cluster.replicas.indexOf(replica), 1);
  await replica.close();
}

/** Until a replica has noticed that another one is away. */
async function gone(replica: Replica, nodeId: string): Promise<void> {
  await cluster.until(() => replica.status().peers[nodeId]?.state === "down", `${nodeId} is down`);
}

/** Until nobody holds a tombstone. */
function forgotten(replicas: readonly Replica[], withinMs = 10 * MINUTE_MS): Promise<number> {
  const isClean = (): boolean => replicas.every((replica) => replica.status().tombstones === 0);
  return cluster.until(isClean, "no tombstones", withinMs, 1000);
}

describe("collection", () => {
  test("a tombstone is gone from all memories and logs within minutes, and nothing grows", async () => {
    const replicas = [await open("a"), await open("b"), await open("c")];
    await cluster.live();
    const [a, b] = replicas as [Replica, Replica];
    for (let n = 0; n < 500; n += 1) await a.put(`key/${n}`, "x".repeat(100));
    await cluster.converged();
    await b.clear({ prefix: "key/" });
    await cluster.converged();
    expect(a.status().tombstones).toBe(500);
    await forgotten(replicas);
    for (const replica of replicas) {
      expect(replica.status()).toMatchObject({ entries: 0, collection: { pinnedBy: [] } });
      await replica.checkpoint();
    }
    await close(b);
    const again = await open("b");
    await cluster.live();
    expect(again.status()).toMatchObject({ entries: 0, tombstones: 0 });
    expect(cluster.warnings).toEqual([]);
  });

  test("in a line, where the ends never meet", async () => {
    cluster.network.cut("a", "c");
    const replicas = [await open("a"), await open("b"), await open("c")];
    await cluster.live(replicas, 1);
    const [a, , c] = replicas as [Replica, Replica, Replica];
    await a.put("key", 1);
    await cluster.converged();
    await c.delete("key");
    await cluster.converged();
    await forgotten(replicas);
    expect(replicas.map((replica) => replica.get("key"))).toEqual([undefined, undefined, undefined]);
  });

  test("a replica alone forgets as well", async () => {
    const replica = await open("a");
    await replica.put("key", 1);
    await replica.delete("key");
    await forgotten([replica]);
  });

  test("a member that is away keeps tombstones, and status() says so, until it is back", async () => {
    const [a, b, c] = [await open("a"), await open("b"), await open("c")];
    await cluster.live();
    await a.put("key", 1);
    await cluster.converged();
    await close(c);
    await a.delete("key");
    await cluster.time.run(10 * MINUTE_MS);
    expect(a.status()).toMatchObject({ tombstones: 1, collection: { pinnedBy: ["c"] } });
    expect(b.status()).toMatchObject({ tombstones: 1, collection: { pinnedBy: ["c"] } });
    const again = await open("c");
    await forgotten([a, b, again]);
    expect(again.get("key")).toBeUndefined();
    expect(a.status().collection.pinnedBy).toEqual([]);
  });
});

describe("eviction", () => {
  test("of nobody, of oneself, of somebody connected", async () => {
    const [a] = [await open("a"), await open("b")];
    await cluster.live();
    expect(await failureOf(() => a.evict("x"))).toEqual({ code: "ERR_OPTION", message: 'there is no member "x"' });
    expect(await failureOf(() => a.evict("a"))).toMatchObject({ code: "ERR_OPTION" });
    expect((await failureOf(() => a.evict("b"))).message).toContain("close it first");
    expect(a.status().members).toEqual(["a", "b"]);
  });

  test("lets go of tombstones; after 30 days the evicted replica comes back, and they stay deleted", async () => {
    const [a, b, c] = [await open("a"), await open("b"), await open("c")];
    await cluster.live();
    await a.put("deleted", 1);
    await a.put("kept", 1);
    await c.put("of c", 1);
    await cluster.converged();
    // Cut off first, so that what it writes is known to nobody.
    for (const other of ["a", "b"]) cluster.network.cut("c", other);
    await c.put("unknown", 1);
    await c.put("deleted too", 1);
    await close(c);
    await a.delete("deleted");
    await b.delete("of c");
    await gone(a, "c");
    await a.evict("c");
    await forgotten([a, b]);
    expect(b.status().members).toEqual(["a", "b"]);
    await cluster.time.run(1000);
    cluster.time.leap(30 * DAY_MS);
    cluster.network.heal();
    const again = await open("c");
    await cluster.until(() => again.status().digest === a.status().digest, "c is as a");
    await cluster.converged();
    expect([...a.keys()]).toEqual(["deleted too", "kept", "unknown"]);
    await cluster.until(() => a.status().members.length === 3, "c is a member again");
    await cluster.live();
    expect(a.status().health).toBe("green");
  });

  test("of whoever is away for longer than memberLeaseMs, by itself, and only while deletes wait", async () => {
    const lease = { memberLeaseMs: 10 * MINUTE_MS };
    const [a, b] = [await open("a", "/data", lease), await open("b", "/data", lease)];
    const c = await open("c", "/data", lease);
    await cluster.live();
    await a.put("key", 1);
    await cluster.converged();
    await close(c);
    await cluster.time.run(30 * MINUTE_MS);
    expect(a.status().members).toEqual(["a", "b", "c"]);
    await a.delete("key");
    await cluster.time.run(9 * MINUTE_MS);
    expect(b.status()).toMatchObject({ tombstones: 1, members: ["a", "b", "c"] });
    await forgotten([a, b]);
    expect(a.status().members).toEqual(["a", "b"]);
    expect(cluster.warnings.join()).toContain('"c" was not heard of for too long and is evicted');
    const again = await open("c", "/data", lease);
    await cluster.until(() => a.status().members.length === 3, "c is a member again");
    await cluster.converged();
    expect(again.has("key")).toBe(false);
  });

  test("what an old backup holds and all have forgotten stays deleted", async () => {
    const [a, b, c] = [await open("a"), await open("b"), await open("c")];
    await cluster.live();
    for (let n = 0; n < 50; n += 1) await a.put(`key/${n}`, n);
    await cluster.converged();
    await c.backup("/backup");
    await b.clear({ prefix: "key/4" });
    await a.put("later", 1);
    await cluster.converged();
    await forgotten([a, b, c]);
    await close(c);
    const restored = await open("c", "/backup");
    await cluster.converged();
    expect(restored.has("key/40")).toBe(false);
    expect(restored.get("key/39")).toBe(39);
    expect(restored.get("later")).toBe(1);
    await cluster.time.run(MINUTE_MS);
    expect(a.has("key/40")).toBe(false);
    // It had never been told of the deletes: that is the point.
    expect(restored.status().tombstones).toBe(0);
  });

  test("watchers of the returning replica hear of what was deleted meanwhile", async () => {
    const [a, b] = [await open("a"), await open("b")];
    await cluster.live();
    await a.put("key", "value");
    await cluster.converged();
    await close(b);
    await a.delete("key");
    await gone(a, "b");
    await a.evict("b");
    await forgotten([a]);
    cluster.network.cut("a", "b");
    const again = await open("b");
    expect(again.get("key")).toBe("value");
    const changes: unknown[] = [];
    again.on("change", ({ type, key }) => changes.push([type, key]));
    cluster.network.heal();
    await cluster.converged();
    expect(changes).toEqual([["delete", "key"]]);
  });
});
