/** What a store does unasked once all that it holds has expired: for how long the event loop stands still meanwhile. */
import { join } from "node:path";
import { openReplica, type WallClock } from "wavekv";
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

export const upkeep: Workload = {
  name: "upkeep",
  what: "10^6 entries that expire at one moment, on a disk that writes when it likes (`durability: os`): the longest turn of the event loop, in processor time, until all are tombstones, and then until all of these have been collected. Timers go off thirty times as fast, so that nobody waits for the next round.",
  time: "processor",
  sizeName: "",
  sizes: { full: ["10^6 entries"], quick: ["5,000 entries"] },
  systems: [wavekv("nothing but this goes on")],
  figures: {
    "longest turn, expiry": { unit: "ms", better: "less" },
    "longest turn, collection": { unit: "ms", better: "less" },
  },
  targets: ["longest turn, expiry", "longest turn, collection"].map((figure) => ({
    row: 15,
    figure,
    against: "itself",
    atMost: 20,
  })),
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
    const until = async (isDone: () => boolean): Promise<number> => {
      const stop = watchTurns();
      while (!isDone()) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      return await stop();
    };
    // Expired for every clock that a peer may have, too.
    aheadMs = 2 * TTL_MS;
    const expiry = await until(() => replica.status().entries === 0);
    const collection = await until(() => replica.status().tombstones === 0);
    await replica.close();
    return {
      "longest turn, expiry": expiry,
      "longest turn, collection": collection,
    };
  },
};
