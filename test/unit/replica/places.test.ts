/** The option `maxPeers`, on whole replicas: who is refused, who makes room, and that all find their way to everybody. */
import { afterEach, describe, expect, test } from "vitest";
import type { Replica } from "../../../src/index.ts";
import type { Transport } from "../../../src/transport.ts";
import { seeded } from "../../models/tapped-transport.ts";
import { VirtualCluster } from "../../models/virtual-cluster.ts";
import { failureOf, open } from "./stage.ts";

let cluster = new VirtualCluster();
afterEach(async () => {
  await cluster.close();
  cluster = new VirtualCluster();
});

const connected = (replica: Replica): string[] =>
  replica.peers().flatMap(({ nodeId, state }) => (state === "down" ? [] : [nodeId]));

test.each([2, 1025, 3.5, "8"])("maxPeers takes 3 to 1,024, not %j", async (maxPeers) => {
  const { code, message } = await failureOf(() => open({ maxPeers: maxPeers as number }));
  expect({ code, message }).toEqual({ code: "ERR_OPTION", message: "maxPeers takes a whole number from 3 to 1024" });
});

describe("twelve replicas with three places each", () => {
  test("never have more, all know all, and a write reaches everybody; also when two halves were parted", async () => {
    for (let n = 0; n < 12; n++) await cluster.open(`r${n}`, { maxPeers: 3 });
    const { replicas, network } = cluster;
    let most = 0;
    for (const replica of replicas) {
      replica.on("peer", () => {
        most = Math.max(most, connected(replica).length);
      });
    }
    await cluster.until(() => replicas.every((replica) => replica.members().length === 12), "all know all");
    await replicas[0]!.put("first", 1);
    await cluster.converged(replicas);
    const [left, right] = [replicas.slice(0, 6), replicas.slice(6)];
    for (const a of left) for (const b of right) network.cut(a.nodeId, b.nodeId);
    await left[0]!.put("left", 1);
    await right[0]!.put("right", 1);
    await cluster.converged(left);
    await cluster.converged(right);
    expect([left[1]!.has("right"), right[1]!.has("left")]).toEqual([false, false]);
    network.heal();
    await cluster.converged(replicas);
    expect(replicas.map((replica) => [replica.has("left"), replica.has("right")])).toEqual(
      Array(12).fill([true, true]),
    );
    expect(most).toBe(3);
    // What is refused goes elsewhere: nobody has to be told.
    expect(cluster.warnings).toEqual([]);
  });
});

describe("a hub with three places and five that reach nobody else", () => {
  test("three have it, the others are told what to do, and get in once there is room", async () => {
    const leaves = ["a", "b", "c", "d", "e"];
    for (const [n, leaf] of leaves.entries()) for (const other of leaves.slice(n + 1)) cluster.network.cut(leaf, other);
    const hub = await cluster.open("hub", { maxPeers: 3 });
    const replicas: Replica[] = [];
    for (const leaf of leaves) replicas.push(await cluster.open(leaf));
    await cluster.time.run(30_000);
    expect(connected(hub)).toHaveLength(3);
    expect(hub.status().reasons.filter((reason) => reason.includes("too-many-peers"))).toEqual([]);
    const left = replicas.filter((replica) => connected(replica).length === 0);
    expect(left).toHaveLength(2);
    for (const { nodeId, ...replica } of left.map((one) => ({ nodeId: one.nodeId, status: one.status() }))) {
      expect(replica.status.health).toBe("yellow");
      expect(replica.status.reasons).toContain(
        'the connection to "hub" has ended (too-many-peers): the peer says: connected to 3 replicas already; ' +
          "give it a higher maxPeers, or this replica another seed",
      );
      expect(cluster.warnings.filter((line) => line.startsWith(`${nodeId}: `))).toHaveLength(1);
    }
    const [lucky] = replicas.filter((replica) => connected(replica).length > 0);
    await lucky!.close();
    await cluster.until(() => left.some((replica) => connected(replica).length > 0), "one of them is let in");
  });
});

describe("thirty replicas that all know one seed", () => {
  test("find each other, and the seed does not stay the hub", async () => {
    await cluster.open("seed");
    await cluster.time.run(10);
    const { replicas } = cluster;
    // The network would tell everybody of everybody.
    const wrap = (transport: Transport): Transport => seeded(transport, ["in-process:seed"]);
    for (let n = 1; n < 30; n++) await cluster.open(`r${n}`, {}, wrap);
    await cluster.until(() => replicas.every((replica) => replica.members().length === 30), "all know all");
    await cluster.time.run(30_000);
    for (const replica of replicas) {
      expect(connected(replica).length).toBeGreaterThanOrEqual(8);
      expect(connected(replica).length).toBeLessThanOrEqual(18);
    }
    await replicas[7]!.put("k", 1);
    await cluster.converged(replicas);
  });
});
