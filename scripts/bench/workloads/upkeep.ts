/** What goes over all that a store holds, asked for or, once it has expired, unasked: for how long the event loop stands still. */
import { join } from "node:path";
import { Writable } from "node:stream";
import { openReplica, type Replica, type WallClock } from "wavekv";
import { exportBinary, importBinary } from "wavekv/dump";
import { systemClock, systemTimers } from "../../../src/clock.ts";
import { keyOf, Values } from "../inputs.ts";
import { watchTurns } from "../measure.ts";
import { logger } from "../pairs/replica.ts";
import { type Figures, type Scale, type Workload, wavekv } from "../workload.ts";

const ENTRIES: Record<Scale, number> = { full: 1_000_000, quick: 5000 };
const BATCH_PUTS = 1000;
const TTL_MS = 3_600_000;
/** Replicas' timers go off so many times sooner: a round of collection begins once in a minute. */
const HASTE = 30;
const LOOK_MS = 5;
const FIGURES = ["watch", "export", "import", "expiry", "collection"].map((what) => `longest turn, ${what}`);

export const upkeep: Workload = {
  name: "upkeep",
  what: "The longest turn of the event loop, in processor time, while a watch begins with all of 10^6 entries, read as fast as they come; while they are exported, and while that is imported into another replica, to and from memory, so that nothing waits; then, all expiring at one moment, until all are tombstones, and until all of these have been collected. The disk writes when it likes (`durability: os`). Timers go off thirty times as fast, so that nobody waits for the next round.",
  time: "processor",
  sizeName: "",
  sizes: { full: ["10^6 entries"], quick: ["5,000 entries"] },
  systems: [wavekv("nothing but this goes on")],
  figures: Object.fromEntries(FIGURES.map((figure) => [figure, { unit: "ms", better: "less" }])),
  targets: FIGURES.map((figure) => ({ row: 15, figure, against: "itself", atMost: 20 })),
  async measure({ scale, directory }): Promise<Figures> {
    const count = ENTRIES[scale];
    const values = new Values();
    let aheadMs = 0;
    const clock: WallClock = { now: () => systemClock.now() + aheadMs };
    const timers = {
      after: (delayMs: number, callback: () => void) => systemTimers.after(delayMs / HASTE, callback),
    };
    const replica = await openReplica({
      directory: join(directory, "replica"),
      durability: "os",
      clock,
      timers,
      logger,
    });
    for (let from = 0; from < count; from += BATCH_PUTS) {
      await replica.transaction((tx) => {
        for (let index = from; index < from + BATCH_PUTS; index += 1) {
          tx.put(keyOf(index), values.at(index), { ttlMs: TTL_MS });
        }
      });
    }
    const watch = await during(() => watched(replica));
    const chunks: Uint8Array[] = [];
    const exported = await during(() => exportBinary(replica, keeping(chunks)));
    const imported = await during(() => importedFrom(chunks));
    chunks.length = 0;
    const until = async (isDone: () => boolean): Promise<number> => {
      return await during(async () => {
        while (!isDone()) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      });
    };
    // Expired for every clock that a peer may have, too.
    aheadMs = 2 * TTL_MS;
    const expiry = await until(() => replica.status().entries === 0);
    const collection = await until(() => replica.status().tombstones === 0);
    await replica.close();
    return {
      "longest turn, watch": watch,
      "longest turn, export": exported,
      "longest turn, import": imported,
      "longest turn, expiry": expiry,
      "longest turn, collection": collection,
    };
  },
};

async function during(work: () => Promise<unknown>): Promise<number> {
  const stop = watchTurns();
  await work();
  return await stop();
}

async function watched(replica: Replica): Promise<void> {
  for await (const { type } of replica.watch({ initial: true })) if (type === "ready") break;
}

function keeping(chunks: Uint8Array[]): Writable {
  return new Writable({
    write: (chunk: Uint8Array, _, done) => {
      chunks.push(chunk);
      done();
    },
  });
}

async function importedFrom(chunks: readonly Uint8Array[]): Promise<void> {
  const replica = await openReplica({ logger });
  const source = async function* (): AsyncGenerator<Uint8Array> {
    yield* chunks;
  };
  await importBinary(replica, source());
  await replica.close();
}
