/** The core workloads of the Yahoo! Cloud Serving Benchmark. Cooper et al., "Benchmarking cloud serving systems with YCSB". */
import { keyOf, Numbers, Values, Zipf } from "../inputs.ts";
import { perSecond } from "../measure.ts";
import { PlainMap } from "../stores/maps.ts";
import { openBtree, openLevel, openLmdb } from "../stores/peers.ts";
import { ReplicaStore } from "../stores/replica.ts";
import { putMany, type Store } from "../stores/store.ts";
import { type Figures, limit, peer, type Scale, type Task, type Workload, wavekv } from "../workload.ts";

const RECORDS: Record<Scale, number> = { full: 100_000, quick: 1000 };
const OPERATIONS: Record<Scale, number> = { full: 100_000, quick: 1000 };
const RECORD_BYTES = 1000;
const SCAN_ROWS_MAX = 100;
const GROUP = 100;

/** How much of each, in percent; what is left is reads. */
const MIXES: Readonly<Record<string, Readonly<Partial<Record<Operation, number>>>>> = {
  "A: half updates": { update: 50 },
  "B: 5 % updates": { update: 5 },
  "C: reads": {},
  "D: latest, 5 % inserts": { insert: 5 },
  "E: scans, 5 % inserts": { scan: 95, insert: 5 },
  "F: half read, modify, write": { modify: 50 },
};

type Operation = "update" | "insert" | "scan" | "modify";

const names = Object.keys(MIXES);

export const ycsb: Workload = {
  name: "ycsb",
  what: "10^5 records of 1,000 characters, 10^5 operations, Zipf with 0.99 (D: the latest), scans of 1 to 100 rows. One client; writes wait for every hundredth.",
  time: "processor",
  sizeName: "",
  sizes: { full: names, quick: names },
  systems: [
    wavekv("memory only"),
    limit("map", "keys and values alone; no scans"),
    peer("lmdb", "memory-mapped file, not durable here"),
    peer("classic-level", "LevelDB, not durable here"),
    peer("sorted-btree", "memory only; no versions"),
  ],
  takesPart: (system, size) => system !== "map" || !String(size).startsWith("E"),
  figures: { operations: { unit: "/s", better: "more" } },
  targets: [],
  measure,
};

async function open({ system, directory }: Task): Promise<Store> {
  if (system === "wavekv") return await ReplicaStore.open();
  if (system === "map") return new PlainMap();
  if (system === "sorted-btree") return await openBtree();
  return system === "lmdb" ? await openLmdb(directory, false) : await openLevel(directory, false);
}

async function measure(task: Task): Promise<Figures> {
  const store = await open(task);
  const { scanLater } = store as { scanLater?: (from: string, rows: number) => Promise<number> };
  const values = new Values(RECORD_BYTES);
  let records = RECORDS[task.scale];
  const operations = OPERATIONS[task.scale];
  await putMany(store, records, keyOf, (index) => values.at(index));
  const mix = MIXES[String(task.size)] ?? {};
  const isLatest = String(task.size).startsWith("D");
  const zipf = new Zipf(records, 3);
  const random = new Numbers(9);
  const next = (): string => keyOf(isLatest ? records - 1 - zipf.rank() : zipf.next());
  let pending: undefined | Promise<unknown>;
  let found = 0;
  const run = async (index: number, operation: Operation | undefined): Promise<void> => {
    if (operation === "insert") {
      pending = store.put(keyOf(records), values.at(index));
      // Whoever reads the latest must not be ahead of a store that works in another thread.
      if (isLatest && pending !== undefined) await pending;
      records += 1;
    } else if (operation === "scan") {
      const rows = 1 + random.below(SCAN_ROWS_MAX);
      found += scanLater === undefined ? (store.scan?.(next(), rows) ?? 0) : await scanLater(next(), rows);
    } else if (operation === "update") pending = store.put(next(), values.at(index));
    else {
      const key = next();
      const value = store.get(key) as string;
      found += value.length;
      if (operation === "modify") pending = store.put(key, `${value.slice(1)}x`);
    }
  };
  const rate = await perSecond(operations, async () => {
    for (let index = 0; index < operations; index += 1) {
      const running = run(index, pick(mix, random.below(100)));
      if (scanLater !== undefined || isLatest) await running;
      if (pending !== undefined && index % GROUP === GROUP - 1) await pending;
    }
    await pending;
  });
  if (found === 0) throw new Error("nothing was found");
  await store.close();
  return { operations: rate };
}

function pick(mix: Readonly<Partial<Record<Operation, number>>>, percent: number): Operation | undefined {
  let below = 0;
  for (const [operation, share] of Object.entries(mix)) {
    below += share;
    if (percent < below) return operation as Operation;
  }
  return undefined;
}
