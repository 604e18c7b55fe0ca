/** Replicas of two versions of the protocol side by side, as in a rolling upgrade. */
import { afterEach, describe, expect, test } from "vitest";
import type { Replica } from "../../../src/index.ts";
import { asEarlierVersion } from "../../models/earlier-version.ts";
import { asLaterVersion, type LaterVersion } from "../../models/later-version.ts";
import { VirtualCluster } from "../../models/virtual-cluster.ts";

let cluster = new VirtualCluster();
afterEach(async () => {
  await cluster.close();
  cluster = new VirtualCluster();
});

async function openLater(nodeId: string, versionMin: number, versionMax: number) {
  const later: LaterVersion = { versionMin, versionMax, unknownSent: 0 };
  const replica = await cluster.open(nodeId, {}, (transport) => asLaterVersion(transport, later));
  return { replica, later };
}

function unknownFrom(replica: Replica, peer: string): number {
  return replica.status().peers[peer]?.rejects["unknown-message"] ?? 0;
}

describe("a later version that still speaks this one", () => {
  test.each(["a mesh", "a line"])(
    "converges in %s; what is unknown is counted, and nothing else changes",
    async (shape) => {
      if (shape === "a line") {
        for (const [a, b] of [
          ["old1", "old2"],
          ["old1", "new2"],
          ["new1", "new2"],
        ] as const)
          cluster.network.cut(a, b);
      }
      // old1 - new1 - old2 - new2 is the line.
      const old1 = await cluster.open("old1");
      const { replica: new1, later } = await openLater("new1", 1, 2);
      const old2 = await cluster.open("old2");
      const { replica: new2 } = await openLater("new2", 1, 2);
      const all = [old1, new1, old2, new2];
      await cluster.until(() => all.every((replica) => replica.members().length === 4), "all know all");
      for (let round = 0; round < 40; round++) {
        for (const replica of all) {
          await replica.batch([
            { type: "put", key: `own/${replica.nodeId}/${round}`, value: round },
            { type: "put", key: `shared/${round % 7}`, value: `${replica.nodeId} ${round}` },
          ]);
        }
        if (round % 9 === 0) await new1.delete(`own/new1/${round}`);
        await cluster.time.run(30);
        if (round === 20) cluster.network.cut("old1", "new1");
        if (round === 25) cluster.network.heal("old1", "new1");
        if (round === 25 && shape === "a line")
          for (const other of ["old2", "new2"]) cluster.network.cut("old1", other);
      }
      await cluster.converged(all);
      await cluster.time.run(10_000);
      expect(new2.get("own/old1/39")).toBe(39);
      expect(old1.get("own/new2/39")).toBe(39);
      // Every unknown message of the sessions that live was counted, and none elsewhere.
      const counted = unknownFrom(old1, "new1") + unknownFrom(old2, "new1") + unknownFrom(new2, "new1");
      expect(counted).toBeGreaterThan(10);
      expect(counted).toBeLessThanOrEqual(later.unknownSent);
      expect([unknownFrom(new1, "old1"), unknownFrom(new1, "old2")]).toEqual([0, 0]);
      for (const replica of all) {
        for (const { nodeId, state, rejects, lagEntries } of replica.peers()) {
          if (state === "down") continue;
          const expected = nodeId.startsWith("new") ? { "unknown-message": expect.any(Number) as number } : {};
          expect({ nodeId, state, rejects, lagEntries }).toEqual({
            nodeId,
            state: "live",
            rejects: expected,
            lagEntries: 0,
          });
        }
        if (shape === "a mesh") expect([replica.status().health, replica.status().reasons]).toEqual(["green", []]);
      }
      expect(cluster.warnings).toEqual([]);
    },
  );
});

describe("an earlier version, in a ring with the author and a replica that has its writes from both sides", () => {
  test.each([
    ["supplies, and the other side is asked to wait", 2, 9, 1],
    ["is never asked to wait, and what it brings in vain comes in vain", 9, 2, 2],
  ])("%s", async (_, oldMs, newMs, times) => {
    const { network } = cluster;
    network.cut("author", "reader");
    network.cut("old", "new");
    network.delay("old", "reader", oldMs);
    network.delay("new", "reader", newMs);
    const kinds = new Set<string>();
    const author = await cluster.open("author");
    const old = await cluster.open("old", {}, (transport) => asEarlierVersion(transport, (kind) => kinds.add(kind)));
    await cluster.open("new");
    const reader = await cluster.open("reader");
    const all = cluster.replicas;
    await cluster.until(() => all.every((replica) => replica.members().length === 4), "all know all");
    const write = async (count: number): Promise<number> => {
      const before = reader.metrics().traffic.entriesReceived;
      for (let n = 0; n < count; n++) {
        await author.put(`k${n}`, n);
        await cluster.time.run(100);
      }
      await cluster.converged(all);
      return reader.metrics().traffic.entriesReceived - before;
    };
    await write(5);
    expect(await write(20)).toBe(20 * times);
    expect(kinds).toContain("page");
    expect(kinds).not.toContain("supply");
    expect(old.metrics().rejects).toEqual({});
    expect(cluster.warnings).toEqual([]);
  });
});

describe("a later version that speaks this one no more", () => {
  test("is refused; both sides say why and what to do, nothing passes, and others are not touched", async () => {
    const a = await cluster.open("a");
    const b = await cluster.open("b");
    const { replica: far, later } = await openLater("far", 2, 3);
    await a.put("here", 1);
    await far.put("there", 1);
    await cluster.time.run(30_000);
    const speaks = '"far" speaks protocol 2 to 3, "a" speaks 1 to 1: upgrade the older one';
    expect(a.status().reasons).toEqual([
      `the connection to "far" has ended (protocol-version): ${speaks}; upgrade the older one`,
    ]);
    expect(far.status().reasons).toContain(
      `the connection to "a" has ended (protocol-version): the peer says: ${speaks}; upgrade the older one`,
    );
    for (const nodeId of ["a", "b", "far"]) {
      expect(cluster.warnings.some((line) => line.startsWith(`${nodeId}: `) && line.includes("protocol-version"))).toBe(
        true,
      );
    }
    expect([a.has("there"), b.has("there"), far.has("here")]).toEqual([false, false, false]);
    expect([b.get("here"), a.members().length, far.members().length]).toEqual([1, 2, 1]);
    // Asked again after minutes only: each connection takes a handful of messages.
    expect(cluster.warnings.length).toBeLessThanOrEqual(4);
    expect(later.unknownSent).toBeLessThan(30);
  });
});
