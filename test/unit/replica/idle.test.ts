/** A cluster that has converged and is left alone: nothing is written to disk, and next to nothing is said. */
import { afterEach, expect, test } from "vitest";
import { MemoryDisk } from "../../../src/storage/memory-disk.ts";
import { counted } from "../../models/tapped-transport.ts";
import { VirtualCluster } from "../../models/virtual-cluster.ts";

const IDLE_S = 180;
/** One record with a version vector of eleven. */
const NOTE_BYTES_MAX = 600;

let cluster = new VirtualCluster();
afterEach(async () => {
  await cluster.close();
  cluster = new VirtualCluster();
});

test.each([
  { count: 3, deletes: 100, maxPeers: 64, firstMeetings: 0 },
  // More than fit: one connection of each roams. What is met for the first time has its acknowledgements noted, once.
  { count: 11, deletes: 0, maxPeers: 6, firstMeetings: 10 },
])(
  "$count replicas at rest write nothing, and send less than 100 bytes a second over each link",
  async ({ count, deletes, maxPeers, firstMeetings }) => {
    let sentBytes = 0;
    const disks = Array.from({ length: count }, () => new MemoryDisk());
    for (const [n, disk] of disks.entries()) {
      await cluster.open(`r${n}`, { directory: "d", disk, maxPeers }, (transport) =>
        counted(transport, (bytes) => (sentBytes += bytes)),
      );
    }
    const { replicas, time } = cluster;
    await cluster.until(() => replicas.every((replica) => replica.members().length === count), "all know all");
    for (let n = 0; n < 1000; n++) await replicas[n % count]!.put(`k${n}`, { n });
    for (let n = 0; n < deletes; n++) await replicas[n % count]!.delete(`k${n}`);
    await cluster.converged(replicas);
    // Deleted keys are forgotten after a while, which is the last that is written.
    const areCollected = (): boolean => replicas.every((replica) => replica.status().tombstones === 0);
    await cluster.until(areCollected, "tombstones are collected", 600_000, 1000);
    await time.run(40_000);
    const usedBefore = disks.map(({ usedBytes }) => usedBytes);
    const sentBefore = sentBytes;
    let linkSeconds = 0;
    for (let second = 0; second < IDLE_S; second += 5) {
      await time.run(5000);
      const ends = replicas.flatMap((replica) => replica.peers().filter(({ state }) => state !== "down"));
      linkSeconds += (5 * ends.length) / 2;
    }
    const bytesPerSecond = (sentBytes - sentBefore) / linkSeconds;
    if (process.env.WAVEKV_PRINT !== undefined)
      console.log(`${count} at rest: ${bytesPerSecond.toFixed(1)} B/s per link`);
    expect(bytesPerSecond).toBeGreaterThan(1);
    expect(bytesPerSecond).toBeLessThan(100);
    for (const [n, { usedBytes }] of disks.entries()) {
      expect(usedBytes - usedBefore[n]!).toBeLessThanOrEqual(firstMeetings * NOTE_BYTES_MAX);
    }
  },
);
