/** However replicas come, go, die and are parted: once nothing parts them their connections make one graph, and few each. */
import { describe, expect, test } from "vitest";
import { DialingMesh, type DialingMeshOptions } from "../models/dialing-mesh.ts";

/** Backing off ends after 30 s at the latest, a dial after 10 s. */
const RECONNECT_MS = 60_000;
/** Seeds of each kind instead of the few below: WAVEKV_RUNS=50 npx vitest run test/property/neighbours.test.ts */
const RUNS = process.env.WAVEKV_RUNS;

const name = (n: number): string => `replica-${n}`;
const below = (mesh: DialingMesh, bound: number): number => Math.floor(mesh.random.fraction() * bound);

async function grown(count: number, options: Omit<DialingMeshOptions, "seeds">): Promise<DialingMesh> {
  const mesh = new DialingMesh({ ...options, seeds: ["x:replica-0"] });
  for (let n = 0; n < count; n++) {
    await mesh.start(name(n));
    // Some at once, some later.
    if (n % 10 === 9) await mesh.time.run(below(mesh, 3000));
  }
  expect(await mesh.connected(RECONNECT_MS), "all have found each other").toBeDefined();
  return mesh;
}

describe.each([
  { count: 40, maxPeers: 64, bound: 18, seeds: 1 },
  { count: 100, maxPeers: 64, bound: 18, seeds: 1 },
  { count: 60, maxPeers: 12, bound: 12, seeds: 1 },
  { count: 40, maxPeers: 4, bound: 4, seeds: 1 },
  { count: 24, maxPeers: 3, bound: 3, seeds: 2 },
])("$count replicas with $maxPeers places", ({ count, maxPeers, bound, seeds }) => {
  test.each(Array.from({ length: Number(RUNS ?? seeds) }, (_, n) => n))(
    "one graph after every heal, seed %i",
    async (seed) => {
      const mesh = await grown(count, { seed, maxPeers });
      let joined = count;
      for (let round = 0; round < 4; round++) {
        const kind = below(mesh, 4);
        if (kind === 0) {
          // Parted in two, of which the smaller may be one replica alone or a half.
          const share = [0.02, 0.2, 0.5][below(mesh, 3)]!;
          const side = new Map([...mesh.nodes.keys()].map((nodeId) => [nodeId, mesh.random.fraction() < share]));
          mesh.cut((a, b) => side.get(a) !== side.get(b));
        } else if (kind === 1) {
          // Parted in rooms of names that are neighbours.
          mesh.cut((a, b) => a.length !== b.length || a.at(-2) !== b.at(-2));
        } else if (kind === 2) {
          for (const { nodeId } of mesh.up()) if (mesh.random.fraction() < 0.4) await mesh.stop(nodeId);
        } else {
          for (let n = 0; n < 8; n++) await mesh.start(name(joined++));
        }
        await mesh.time.run(below(mesh, 90_000));
        // Some never come back; the seed does, or newcomers would know nobody.
        for (const [nodeId, { isUp }] of mesh.nodes) {
          if (!isUp && (nodeId === name(0) || mesh.random.fraction() < 0.7)) await mesh.start(nodeId);
        }
        mesh.heal();
        const tookMs = await mesh.connected(RECONNECT_MS);
        expect(
          tookMs,
          `round ${round}, kind ${kind}: ${mesh
            .components()
            .map(({ length }) => length)
            .join(" ")}`,
        ).toBeDefined();
        // And once all have found their places it stays one, and nobody has more connections than it needs.
        await mesh.time.run(RECONNECT_MS);
        for (let look = 0; look < 10; look++) {
          await mesh.time.run(1000);
          expect(mesh.components().length, `round ${round}, kind ${kind}, later`).toBe(1);
          const degrees = mesh.up().map(({ degree }) => degree);
          expect(Math.max(...degrees), `round ${round}, kind ${kind}, later`).toBeLessThanOrEqual(bound);
        }
      }
      expect(mesh.highestDegree).toBeLessThanOrEqual(maxPeers);
      if (process.env.WAVEKV_PRINT !== undefined) {
        const degrees = mesh
          .up()
          .map(({ degree }) => degree)
          .sort((a, b) => a - b);
        const mean = degrees.reduce((sum, degree) => sum + degree, 0) / degrees.length;
        console.log(
          `${count}/${maxPeers} seed ${seed}: mean ${mean.toFixed(1)}, max ${degrees.at(-1)}, dials ${mesh.dials}`,
        );
      }
      await mesh.close();
      await mesh.time.run(1);
    },
  );
});
