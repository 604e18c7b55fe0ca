/** Options that decide what enters and when a replica is ready: admit, waitForSync, onProgress, syncIntervalMs, memberLeaseMs. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { AdmitEntry, Progress, Replica } from "../../../src/index.ts";
import { VirtualCluster } from "../../models/virtual-cluster.ts";
import { failureOf, open, recordingLogger } from "./stage.ts";

let cluster = new VirtualCluster();
beforeEach(() => {
  cluster = new VirtualCluster();
});
afterEach(() => cluster.close());

/** Opens, and lets time pass meanwhile. @returns after how long it was open */
async function opening(open: Promise<Replica>, withinMs = 60_000): Promise<{ replica: Replica; tookMs: number }> {
  let replica: Replica | undefined;
  let failure: unknown;
  open.then(
    (opened) => {
      replica = opened;
    },
    (error: unknown) => {
      failure = error;
    },
  );
  const tookMs = await cluster.until(() => replica !== undefined || failure !== undefined, "open", withinMs, 10);
  if (replica === undefined) throw failure;
  return { replica, tookMs };
}

describe("admit", () => {
  const noSecrets = ({ key }: AdmitEntry): boolean => !key.startsWith("secret");

  test("is asked about local writes: put, delete, batch and transaction; what it refuses changes nothing", async () => {
    const asked: unknown[] = [];
    const replica = await open({
      nodeId: "n",
      admit: (entry, peer) => {
        asked.push([entry, peer]);
        return noSecrets(entry);
      },
    });
    await replica.put("a", { x: [1] }, { ttlMs: 2 ** 40 });
    await replica.delete("a");
    expect(asked).toEqual([
      [{ key: "a", value: { x: [1] }, nodeId: "n", expiresAt: expect.any(Number) as number }, undefined],
      [{ key: "a", value: undefined, nodeId: "n" }, undefined],
    ]);
    for (const call of [
      () => replica.put("secret", 1),
      () =>
        replica.batch([
          { type: "put", key: "b", value: 1 },
          { type: "put", key: "secret", value: 1 },
        ]),
      () => replica.transaction((tx) => [tx.put("b", 1), tx.put("secret", 1)]),
    ]) {
      expect(await failureOf(call)).toMatchObject({
        code: "ERR_LIMIT",
        message: expect.stringContaining("admit") as string,
      });
    }
    expect([...replica.keys()]).toEqual([]);
  });

  test("what it throws about a local write is what the call rejects with", async () => {
    const error = new Error("no");
    const replica = await open({
      admit: () => {
        throw error;
      },
    });
    await expect(replica.put("a", 1)).rejects.toBe(error);
  });

  test("must not write: such a write is refused, the one that was asked about goes on", async () => {
    const inner: Promise<unknown>[] = [];
    const replica: Replica = await open({
      admit: ({ key }) => {
        if (key === "a") inner.push(failureOf(() => replica.put("b", 1)));
        return true;
      },
    });
    await replica.put("a", 1);
    expect(await Promise.all(inner)).toMatchObject([{ code: "ERR_OPTION" }]);
    expect([...replica.keys()]).toEqual(["a"]);
  });

  test("a refusal of a peer's write shows, keeps nothing else back, and is tried again until it is admitted", async () => {
    const a = await cluster.open("a");
    let isStrict = true;
    const peers = new Set<string | undefined>();
    const b = await cluster.open("b", {
      admit: (entry, peer) => {
        peers.add(peer);
        return !isStrict || noSecrets(entry);
      },
    });
    await cluster.until(() => b.status().peers.a?.state === "live", "live");
    await a.put("secret", 1);
    await a.put("open", 1);
    await cluster.until(() => b.has("open"), "what is admitted");
    await cluster.time.run(3000);
    expect(b.has("secret")).toBe(false);
    const { health, reasons, peers: of } = b.status();
    expect(health).toBe("yellow");
    expect(reasons.join()).toMatch(/refused from "a": \d+ admit/);
    expect(of.a?.rejects.admit).toBeGreaterThan(1);
    // Nothing is claimed that was not taken: the author knows that its peer lags.
    expect(a.status().peers.b?.lagEntries).toBeGreaterThan(0);
    expect([...peers]).toEqual(["a"]);
    isStrict = false;
    await cluster.converged([a, b]);
    expect(b.get("secret")).toBe(1);
  });

  test("what it throws about a peer's write is a no, and is logged", async () => {
    const a = await cluster.open("a");
    const logger = recordingLogger();
    const b = await cluster.open("b", {
      logger,
      admit: ({ key }) => {
        if (key === "bad") throw new Error("cannot decide");
        return true;
      },
    });
    await a.put("bad", 1);
    await a.put("good", 1);
    await cluster.until(() => b.has("good"), "the other one");
    expect(b.has("bad")).toBe(false);
    expect(logger.lines.join("\n")).toMatch(/error: admit has thrown.*cannot decide/);
  });
});

describe("waitForSync", () => {
  test("opens once a peer has brought all that it had", async () => {
    const a = await cluster.open("a");
    await a.batch(Array.from({ length: 5000 }, (_, i) => ({ type: "put", key: `k${i}`, value: i })));
    cluster.network.delay("a", "b", 100);
    const { replica, tookMs } = await opening(cluster.open("b", { waitForSync: true }));
    expect(replica.get("k4999")).toBe(4999);
    expect(tookMs).toBeGreaterThanOrEqual(100);
    expect(tookMs).toBeLessThan(5000);
    expect(cluster.warnings).toEqual([]);
  });

  test.each<[true | { timeoutMs: number }, number]>([
    [{ timeoutMs: 300 }, 300],
    [{ timeoutMs: 0 }, 0],
    [true, 10_000],
  ])("%j: opens at the deadline, with a warning, and goes on", async (waitForSync, deadlineMs) => {
    const a = await cluster.open("a");
    await a.put("k", 1);
    cluster.network.cut("a", "b");
    const { replica, tookMs } = await opening(cluster.open("b", { waitForSync }));
    expect(tookMs).toBeGreaterThanOrEqual(deadlineMs);
    expect(tookMs).toBeLessThanOrEqual(deadlineMs + 20);
    expect(cluster.warnings.filter((line) => line.startsWith("b: "))).toEqual([
      expect.stringContaining(`within ${deadlineMs} ms`),
    ]);
    cluster.network.heal();
    await cluster.until(() => replica.get("k") === 1, "what it had not waited for");
  });

  test("without the option opening waits for nobody", async () => {
    await cluster.open("a");
    const { tookMs } = await opening(cluster.open("b"));
    expect(tookMs).toBeLessThanOrEqual(10);
  });

  test.each([
    [{ waitForSync: true }, /transport/],
    [{ waitForSync: 1 }, /transport/],
    [{ waitForSync: { timeoutMs: -1 } }, /transport/],
    [{ memberLeaseMs: 59_999 }, /memberLeaseMs/],
    [{ syncIntervalMs: 49 }, /syncIntervalMs/],
    [{ syncIntervalMs: 10_001 }, /syncIntervalMs/],
    [{ admit: true }, /admit/],
    [{ onProgress: {} }, /onProgress/],
  ])("%j is ERR_OPTION", async (options, message) => {
    expect(await failureOf(() => open(options as never))).toMatchObject({
      code: "ERR_OPTION",
      message: expect.stringMatching(message) as string,
    });
  });

  test.each([[1], [{}], [{ timeoutMs: -1 }], [{ timeoutMs: 1, more: 1 }]])("%j is ERR_OPTION", async (waitForSync) => {
    const call = () => cluster.open("a", { waitForSync: waitForSync as never });
    expect(await failureOf(call)).toMatchObject({ code: "ERR_OPTION" });
  });
});

describe("onProgress", () => {
  test("tells of a catch-up: ascending, up to what came, and of nothing once it is over; what it throws is logged", async () => {
    const a = await cluster.open("a");
    for (let i = 0; i < 5; i += 1) {
      await a.batch(Array.from({ length: 2000 }, (_, k) => ({ type: "put", key: `k${i}/${k}`, value: k })));
    }
    const heard: Progress[] = [];
    const logger = recordingLogger();
    const b = await cluster.open("b", {
      logger,
      onProgress: (progress) => {
        heard.push(progress);
        if (heard.length === 1) throw new Error("a bad listener");
      },
    });
    await cluster.converged([a, b]);
    const counts = heard.map((progress) => (progress.phase === "catch-up" ? progress.entries : -1));
    expect(counts.length).toBeGreaterThan(1);
    expect(counts).toEqual([...counts].sort((x, y) => x - y));
    // 10,000 of the user, and the member record.
    expect(heard.at(-1)).toEqual({ phase: "catch-up", nodeId: "a", entries: 10_001, entriesTotal: 10_001 });
    expect(logger.lines.join("\n")).toMatch(/error: onProgress has thrown.*a bad listener/);
    const { length } = heard;
    await a.put("later", 1);
    await cluster.converged([a, b]);
    expect(heard).toHaveLength(length);
  });
});

test("syncIntervalMs: how often quiet replicas exchange something", async () => {
  const framesOf = async (syncIntervalMs: number): Promise<number> => {
    const a = await cluster.open(`a${syncIntervalMs}`, { syncIntervalMs });
    const b = await cluster.open(`b${syncIntervalMs}`, { syncIntervalMs });
    await cluster.live([a, b], 1);
    await cluster.time.run(10_000);
    const before = a.status().peers[b.nodeId]?.bytesIn ?? 0;
    await cluster.time.run(60_000);
    const bytes = (a.status().peers[b.nodeId]?.bytesIn ?? 0) - before;
    await cluster.close();
    return bytes;
  };
  const often = await framesOf(1000);
  cluster = new VirtualCluster();
  const seldom = await framesOf(10_000);
  expect(seldom).toBeGreaterThan(0);
  expect(often / seldom).toBeGreaterThan(5);
});

test("memberLeaseMs: who stays away for longer is a member no more", async () => {
  const a = await cluster.open("a", { memberLeaseMs: 120_000 });
  const b = await cluster.open("b");
  await cluster.live();
  cluster.replicas.splice(cluster.replicas.indexOf(b), 1);
  await b.close();
  await cluster.time.run(60_000);
  expect(a.members().map(({ nodeId }) => nodeId)).toEqual(["a", "b"]);
  // Members are waited for when there is a delete to forget.
  await a.put("k", 1);
  await a.delete("k");
  await cluster.until(() => a.members().length === 1, "eviction", 10 * 60_000, 1000);
});
