/** Writes that are on the disk when they are answered: by many writers at once, and in batches. */
import { join } from "node:path";
import { Keys, Values } from "../inputs.ts";
import { processorMs } from "../measure.ts";
import { percentile } from "../statistics.ts";
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

const RUN_MS: Record<Scale, number> = { full: 2000, quick: 150 };
/** So many different keys: after a while all are overwrites. */
const KEYS = 100_000;
const BATCH = 1000;
/** Before it counts, so that the compiler of JavaScript has done its work. */
const WARM_UP: Record<Scale, number> = { full: 30_000, quick: 100 };
const WARM_UP_WRITERS = 1000;
/** One in so many is timed. */
const SAMPLE = 16;

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
  what: "Puts of 20 and 100 bytes by so many writers, each of which waits for its own.",
  time: "clock",
  sizeName: "writers",
  sizes: { full: [1, 16, 256, 4096], quick: [1, 64] },
  systems,
  figures: {
    put: { unit: "/s", better: "more" },
    "put, for each second of processor": { unit: "/s", better: "more" },
    p50: { unit: "ms", better: "less" },
    p99: { unit: "ms", better: "less" },
  },
  targets: [
    { row: 3, figure: "put", size: 1, against: "append and sync", atLeast: 0.8 },
    { row: 4, figure: "put", size: 256, against: "append and sync", atLeast: 0.6 },
    { row: 4, figure: "put", size: 256, against: "best peer", atLeast: 5 },
  ],
  profile:
    "Of 256 writers, 62 % of the time passes waiting for the disk, where one record is on its way at a time. Of the processor time of 1,024, 23 % go into the table (index, order, log of changes, digest), 12 % into checking and encoding keys and values, 10 % into the log, 7 % into snapshots, 8 % are garbage collection; most of the rest are promises and their callbacks. A write and its sync are two trips to the thread pool, each of which costs the main thread 60 to 100 us of processor time on this machine.",
  measure: measurePuts,
};

export const batches: Workload = {
  name: "batches",
  what: "Batches of 1,000 puts, four of them under way at a time.",
  time: "clock",
  sizeName: "puts in a batch",
  sizes: { full: [BATCH], quick: [BATCH] },
  systems,
  figures: { put: { unit: "/s", better: "more" } },
  targets: [
    { row: 5, figure: "put", against: "append and sync", atLeast: 0.7 },
    { row: 5, figure: "put", against: "classic-level", atLeast: 1.5 },
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
  const writers = numberOf(task.size);
  const store = await open(task);
  const keys = new Keys(KEYS);
  const values = new Values();
  const latencies: number[] = [];
  let puts = 0;
  let isOver = false;
  const write = async (): Promise<void> => {
    while (!isOver) {
      const index = puts;
      puts += 1;
      const from = index % SAMPLE === 0 ? performance.now() : 0;
      await store.put(keys.at(index % KEYS), values.at(index));
      if (from !== 0) latencies.push(performance.now() - from);
    }
  };
  await warmUp(store, keys, values, task.scale);
  const fromProcessor = processorMs();
  const from = performance.now();
  const timer = setTimeout(() => {
    isOver = true;
  }, RUN_MS[task.scale]);
  await Promise.all(Array.from({ length: writers }, write));
  clearTimeout(timer);
  const put = puts / ((performance.now() - from) / 1000);
  const processor = puts / ((processorMs() - fromProcessor) / 1000);
  await store.close();
  return {
    put,
    "put, for each second of processor": processor,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
  };
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
  let puts = 0;
  const until = performance.now() + RUN_MS[task.scale];
  const write = async (): Promise<void> => {
    while (performance.now() < until) {
      const entries: [string, string][] = [];
      for (let index = puts; index < puts + BATCH; index += 1) entries.push([keys.at(index % KEYS), values.at(index)]);
      puts += BATCH;
      await store.putAll?.(entries);
    }
  };
  const from = performance.now();
  await Promise.all(Array.from({ length: 4 }, write));
  const put = puts / ((performance.now() - from) / 1000);
  await store.close();
  return { put };
}
