/** Writes that are on the disk when they are answered: by many writers at once, and in batches. */
import { join } from "node:path";
import { Keys, Values } from "../inputs.ts";
import { watchTurns } from "../measure.ts";
import { AppendLog } from "../stores/append-log.ts";
import { openLevel, openLmdb } from "../stores/peers.ts";
import { ReplicaStore } from "../stores/replica.ts";
import {
  type Figures,
  limit,
  numberOf,
  peer,
  type Scale,
  type System,
  type Task,
  type Workload,
  wavekv,
} from "../workload.ts";
import { measureWriters, WRITER_FIGURES, writeBy } from "./writers.ts";

const RUN_MS: Record<Scale, number> = { full: 2000, quick: 150 };
/** So many different keys: after a while all are overwrites. */
const KEYS = 100_000;
const BATCH = 1000;
const BATCH_WRITERS = 4;
/** Before it counts, so that the compiler of JavaScript has done its work. */
const WARM_UP: Record<Scale, number> = { full: 30_000, quick: 100 };
const WARM_UP_WRITERS = 1000;

const systems: readonly System[] = [
  wavekv("synced to the disk before the answer; also in memory, ordered, ready to be sent"),
  limit("append and sync", "encode, checksum, one write and one fdatasync for all that came meanwhile; cannot be read"),
  peer("lmdb", "synced before the answer"),
  peer("classic-level", "synced before the answer (`sync: true`)"),
];

interface DurableStore {
  put(key: string, value: string): unknown;
  putAll?(entries: readonly (readonly [string, string])[]): unknown;
  close(): unknown;
}

export const durable: Workload = {
  name: "durable",
  what: "Puts of 20 and 100 bytes by so many writers, each of which waits for its own; then once more, to watch the turns of the event loop, in processor time of the main thread.",
  time: "clock",
  sizeName: "writers",
  sizes: { full: [1, 16, 256, 4096], quick: [1, 64] },
  systems,
  figures: WRITER_FIGURES,
  targets: [
    { row: 3, figure: "put", size: 1, against: "append and sync", atLeast: 0.8 },
    { row: 4, figure: "put", size: 256, against: "append and sync", atLeast: 0.6 },
    { row: 4, figure: "put", size: 256, against: "best peer", atLeast: 5 },
    { row: 15, figure: "longest turn", against: "itself", atMost: 20 },
  ],
  profile:
    "A put of one writer takes 45 to 63 us of processor time in user mode and 88 to 100 in the kernel, the limit 20 to 26 and 89 to 92, beside the same two trips to the disk; a third of it are handing a record and its sync to the thread pool, and no other function has 3 %. Of 256 writers, 62 % of the time passes waiting for the disk, where one record is on its way at a time. Of the processor time of 1,024, 23 % go into the table (index, order, log of changes, digest), 12 % into checking and encoding keys and values, 10 % into the log, 7 % into snapshots, 8 % are garbage collection; most of the rest are promises and their callbacks. A write and its sync are two trips to the thread pool, each of which costs the main thread 60 to 100 us of processor time on this machine.",
  measure: measurePuts,
};

export const batches: Workload = {
  name: "batches",
  what: "Batches of 1,000 puts, four of them under way at a time; turns as for durable.",
  time: "clock",
  sizeName: "puts in a batch",
  sizes: { full: [BATCH], quick: [BATCH] },
  systems,
  figures: { put: { unit: "/s", better: "more" }, "longest turn": { unit: "ms", better: "less" } },
  targets: [
    { row: 5, figure: "put", against: "append and sync", atLeast: 0.7 },
    { row: 5, figure: "put", against: "classic-level", atLeast: 1.5 },
    { row: 15, figure: "longest turn", against: "itself", atMost: 20 },
  ],
  profile:
    "36 % go into the table, 27 % into checking and encoding (values 16 %, keys 4 %, finding operations on one key 6 %), 6 % into the log, 7 % into snapshots, 6 % are garbage collection. The limit keeps no table, no order, no digest and no snapshots.",
  measure: measureBatches,
};

async function open({ system, directory }: Task): Promise<DurableStore> {
  if (system === "wavekv") return await ReplicaStore.open({ directory: join(directory, "replica") });
  if (system === "append and sync") return new AppendLog(join(directory, "log"));
  return system === "lmdb" ? await openLmdb(directory, true) : await openLevel(directory, true);
}

async function measurePuts(task: Task): Promise<Figures> {
  const store = await open(task);
  const keys = new Keys(KEYS);
  const values = new Values();
  const put = (index: number): unknown => store.put(keys.at(index % KEYS), values.at(index));
  await warmUp(store, keys, values, task.scale);
  const figures = await measureWriters(numberOf(task.size), RUN_MS[task.scale], put);
  await store.close();
  return figures;
}

async function warmUp(store: DurableStore, keys: Keys, values: Values, scale: Scale): Promise<void> {
  for (let from = 0; from < WARM_UP[scale]; from += WARM_UP_WRITERS) {
    const numbers = Array.from({ length: Math.min(WARM_UP_WRITERS, WARM_UP[scale]) }, (_, index) => from + index);
    await Promise.all(numbers.map((number) => store.put(keys.at(number), values.at(number))));
  }
}

async function measureBatches(task: Task): Promise<Figures> {
  const store = await open(task);
  const keys = new Keys(KEYS);
  const values = new Values();
  await warmUp(store, keys, values, task.scale);
  const putBatch = async (number: number): Promise<void> => {
    const entries: [string, string][] = [];
    for (let index = number * BATCH; index < (number + 1) * BATCH; index += 1)
      entries.push([keys.at(index % KEYS), values.at(index)]);
    await store.putAll?.(entries);
  };
  const { puts, tookMs } = await writeBy(BATCH_WRITERS, RUN_MS[task.scale], putBatch);
  const { longestMs } = await writeBy(BATCH_WRITERS, RUN_MS[task.scale] / 2, putBatch, watchTurns);
  await store.close();
  return { put: (puts * BATCH) / (tookMs / 1000), "longest turn": longestMs };
}
