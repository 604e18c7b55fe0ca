/** How long replication keeps the event loop of either end, in one turn. */
import { watchTurns } from "../measure.ts";
import type { Partner } from "../pairs/pair.ts";
import { runSource, withSource } from "../pairs/systems.ts";
import { type Figures, type Scale, type Task, type Workload, wavekv } from "../workload.ts";

const COUNTS: Record<Scale, Record<"entries" | "missed" | "written" | "stamps" | "idleMs", number>> = {
  full: { entries: 1_000_000, missed: 10_000, written: 100_000, stamps: 2000, idleMs: 10_000 },
  quick: { entries: 2000, missed: 500, written: 1000, stamps: 50, idleMs: 300 },
};

const SIZES = ["bootstrap", "catch-up", "live", "single puts", "at rest"];

export const turns: Workload = {
  name: "turns",
  what: "The longest turn of the event loop of each end, in processor time of its main thread: while an empty replica gets 10^6 entries, while one that has them gets 10^4 that it missed, from the connection on, while 10^5 writes go to one that has them, a thousand called in one turn, while 2,000 go there one by one, every 1 to 3 ms, and while nothing happens for 10 s. Both ends watch their turns, which is work beside the work.",
  time: "processor",
  sizeName: "",
  sizes: { full: SIZES, quick: SIZES },
  systems: [wavekv("the receiver syncs before it counts; the sender is in memory, and syncs in live and single puts")],
  figures: {
    "longest turn, sender": { unit: "ms", better: "less" },
    "longest turn, receiver": { unit: "ms", better: "less" },
  },
  targets: ["longest turn, sender", "longest turn, receiver"].map((figure) => ({
    row: 15,
    figure,
    against: "itself",
    atMost: 20,
  })),
  partner: (task) =>
    runSource(task, { durable: task.size === "live" || task.size === "single puts", directory: task.directory }),
  measure,
};

async function measure(task: Task): Promise<Figures> {
  const { entries, missed, written, stamps, idleMs } = COUNTS[task.scale];
  return await withSource("turns", task, entries, async (partner, openSink) => {
    const options = { durable: true, directory: task.directory };
    if (task.size === "bootstrap") {
      return await watched(partner, async () => {
        const sink = await openSink(options);
        await sink.until(entries);
      });
    }
    const sink = await openSink(options);
    await sink.until(entries);
    if (task.size === "live") {
      return await watched(partner, () =>
        Promise.all([partner.ask("fill", entries, entries + written), sink.until(entries + written)]),
      );
    }
    if (task.size === "single puts") return await watched(partner, () => partner.ask("stamps", stamps, 1));
    if (task.size === "at rest") {
      return await watched(partner, () => new Promise((resolve) => setTimeout(resolve, idleMs)));
    }
    await sink.disconnect();
    await partner.ask("fill", entries, entries + missed);
    // Opening has a workload of its own.
    return await watched(partner, (begin) => sink.catchUp(entries + missed, begin), false);
  });
}

/** @param isAtOnce  whether this end is watched from the start; otherwise from when `work` says so */
async function watched(
  partner: Partner,
  work: (begin: () => void) => Promise<unknown>,
  isAtOnce = true,
): Promise<Figures> {
  let stop: (() => Promise<number>) | undefined;
  const begin = (): void => {
    stop = watchTurns();
  };
  await partner.ask("watchTurns");
  if (isAtOnce) begin();
  await work(begin);
  const receiver = await stop?.();
  if (receiver === undefined) throw new Error("nobody has watched the receiver");
  return { "longest turn, sender": await partner.ask<number>("longestTurn"), "longest turn, receiver": receiver };
}
