/** Writes that another replica has durably, too, when they are answered. */
import { openReplica } from "wavekv";
import { WebSocketTransport } from "wavekv/transports/websocket";
import { Keys, Values } from "../inputs.ts";
import { until } from "../pairs/pair.ts";
import { logger } from "../pairs/replica.ts";
import { runSource, withSource } from "../pairs/systems.ts";
import { type Figures, numberOf, type Scale, type Task, type Workload, wavekv } from "../workload.ts";
import { measureWriters, WRITER_FIGURES, writeBy } from "./writers.ts";

const RUN_MS: Record<Scale, number> = { full: 2000, quick: 150 };
const KEYS = 100_000;

export const acks: Workload = {
  name: "acks",
  what: "Puts of 20 and 100 bytes with `acks: 2` by so many writers, each of which waits for its own; the other replica is in another process. Then once more, to watch the turns of the event loop, in processor time of the main thread.",
  time: "clock",
  sizeName: "writers",
  sizes: { full: [1, 16, 256, 4096], quick: [1, 64] },
  systems: [wavekv("synced to both disks before the answer")],
  figures: WRITER_FIGURES,
  targets: [{ row: 15, figure: "longest turn", against: "itself", atMost: 20 }],
  partner: (task) => runSource(task, { durable: true, directory: task.directory }),
  measure: (task) => withSource("acks", task, 1, (partner) => partner.ask<string>("address").then(writeTo(task))),
};

function writeTo(task: Task): (address: string) => Promise<Figures> {
  return async (address) => {
    const transport = new WebSocketTransport({ seeds: [address] });
    const replica = await openReplica({ directory: `${task.directory}/writer`, nodeId: "writer", transport, logger });
    await until(() => replica.peers().some(({ state }) => state === "live"));
    const keys = new Keys(KEYS);
    const values = new Values();
    const put = (index: number): Promise<unknown> => replica.put(keys.at(index % KEYS), values.at(index), { acks: 2 });
    const writers = numberOf(task.size);
    const ms = RUN_MS[task.scale];
    // So that the compiler of JavaScript has done its work.
    await writeBy(writers, ms / 2, put);
    const figures = await measureWriters(writers, ms, put);
    await replica.close();
    return figures;
  };
}
