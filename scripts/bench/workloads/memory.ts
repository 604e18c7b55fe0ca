/** Writes, reads, scans and memory of a store that holds everything in memory. */
import { Keys, Numbers, Values, Zipf } from "../inputs.ts";
import { collect, perSecond, residentBytes } from "../measure.ts";
import { Arena } from "../stores/arena.ts";
import { ObjectMap, PlainMap } from "../stores/maps.ts";
import { openBtree, openLevel, openLmdb, openTinyBase, openYjs } from "../stores/peers.ts";
import { ReplicaStore } from "../stores/replica.ts";
import { SortedArray } from "../stores/sorted-array.ts";
import { putEach, putMany, type Store } from "../stores/store.ts";
import { type Figures, limit, numberOf, peer, type Scale, type Task, type Workload, wavekv } from "../workload.ts";

const SCAN_ROWS = 100;
const READS_MAX: Record<Scale, number> = { full: 300_000, quick: 5000 };
const SCANS: Record<Scale, number> = { full: 10_000, quick: 100 };
const WARM_UP: Record<Scale, number> = { full: 20_000, quick: 500 };
/** Everything is overwritten so often to see what stays of it in memory. */
const OVERWRITES = 10;
const OVERWRITTEN_ENTRIES_MAX = 1_000_000;
/** Stores whose data is in files: what they take in memory is the system's choice, and is not compared. */
const IN_FILES = new Set(["lmdb", "classic-level"]);
const NEEDS_ORDER = new Set(["wavekv", "sorted array", "sorted-btree", "lmdb", "classic-level"]);

const NOT_DURABLE = "not durable";

export const memory: Workload = {
  name: "memory",
  what: "Keys of 20 bytes in no order, values of 100 characters, all in memory. Puts come one by one and wait for every hundredth; batches are of 1,000; scans are of 100 rows from random places. Bytes per entry are resident memory after a full collection, without the collector's young generation, whose 16 or 32 MiB depend on when it last ran; again after everything was overwritten ten times with values of 50 to 149.",
  time: "processor",
  sizeName: "entries",
  sizes: { full: [100_000, 1_000_000, 5_000_000], quick: [5000] },
  systems: [
    wavekv("memory only; order, log of changes, digest and versions kept up"),
    limit("arena", "bytes and a hash index over them; no order, no versions"),
    limit("map of objects", "an object per entry with stamp, author, number; no order, no log, no digest"),
    limit("map", "keys and values alone"),
    limit("sorted array", "filled, then sorted once: only its scans count"),
    peer("lmdb", `memory-mapped file, ${NOT_DURABLE} here; no replication`),
    peer("classic-level", `LevelDB, ${NOT_DURABLE} here; no replication`),
    peer("sorted-btree", "memory only; no versions, no replication"),
    peer("yjs", "memory only; replicates; no order"),
    peer("tinybase", "memory only; replicates; no order"),
  ],
  takesPart(system, size) {
    const entries = numberOf(size);
    if (entries > 1_000_000) return ["wavekv", "arena", "map of objects", "map"].includes(system);
    if (entries > 100_000) return !["yjs", "tinybase"].includes(system);
    return true;
  },
  figures: {
    insert: { unit: "/s", better: "more" },
    overwrite: { unit: "/s", better: "more" },
    "put in batches": { unit: "/s", better: "more" },
    "get, uniform": { unit: "/s", better: "more" },
    "get, Zipf": { unit: "/s", better: "more" },
    "scan, rows": { unit: "/s", better: "more" },
    "bytes per entry": { unit: "B", better: "less" },
    "memory after overwriting": { unit: "x", better: "less" },
    "full collection": { unit: "ms", better: "less" },
  },
  targets: [
    { row: 1, figure: "get, uniform", size: 1_000_000, against: "lmdb", atLeast: 3 },
    { row: 2, figure: "insert", size: 1_000_000, against: "map of objects", atLeast: 0.35 },
    { row: 2, figure: "overwrite", size: 1_000_000, against: "map of objects", atLeast: 0.35 },
    { row: 2, figure: "put in batches", size: 1_000_000, against: "map of objects", atLeast: 0.5 },
    { row: 6, figure: "scan, rows", size: 1_000_000, against: "sorted array", atLeast: 0.4 },
    { row: 6, figure: "scan, rows", size: 1_000_000, against: "lmdb", atLeast: 8 },
    { row: 7, figure: "bytes per entry", against: "itself", atMost: 240 },
    { row: 7, figure: "bytes per entry", size: 5_000_000, against: "itself at 100000", atMost: 1.15 },
    { row: 7, figure: "memory after overwriting", size: 1_000_000, against: "itself", atMost: 1.3 },
    { row: 15, figure: "full collection", size: 1_000_000, against: "itself", atMost: 20 },
  ],
  profile:
    "A row of a scan is three places in memory where an entry was not written in the order of its key: its place in the order, its row, its bytes; the first touch of a row is 26 % of a scan, that of its bytes and making strings of them 33 %, garbage collection 6 %. A sorted array hands out the strings that it was given. For puts see LOG.md. At 10^5 the parts of the table take 213 B of an entry: bytes 128, rows 51, order 10.5 (8 in use), log of changes 8, index 7, and 8 in the last slab. After overwriting they take 249, 1.17 times as much (dead stretches 28, a spare slab 10); what resident memory has beyond that are some 9 MB of freed buffers that malloc keeps, as many at 3 x 10^5 entries, where all is 1.32 times as much, and at 10^6.",
  measure,
};

async function open({ system, directory }: Task): Promise<Store> {
  if (system === "wavekv") return await ReplicaStore.open();
  if (system === "arena") return new Arena();
  if (system === "map of objects") return new ObjectMap();
  if (system === "map") return new PlainMap();
  if (system === "sorted array") return new SortedArray();
  if (system === "lmdb") return await openLmdb(directory, false);
  if (system === "classic-level") return await openLevel(directory, false);
  if (system === "sorted-btree") return await openBtree();
  if (system === "yjs") return await openYjs();
  return await openTinyBase();
}

async function measure(task: Task): Promise<Figures> {
  const { system, scale } = task;
  const count = numberOf(task.size);
  const keys = new Keys(count);
  const values = new Values();
  const reads = Math.min(count, READS_MAX[scale]);
  const figures: Figures = {};
  // Made before anything is measured, as the keys are: their pools take 6.5 MiB.
  const sizes = Array.from({ length: 100 }, (_, index) => new Values(50 + index));
  await warmUp(task);
  const empty = residentBytes();
  const store = await open(task);
  const keyAt = (index: number): string => keys.at(index);
  const onlyScans = system === "sorted array";
  const insert = await perSecond(count, () => putEach(store, count, keyAt, (index) => values.at(index)));
  const filled = residentBytes();
  if (onlyScans) return { "scan, rows": await scanRate(store, keys, count, scale) };
  figures.insert = insert;
  if (!IN_FILES.has(system)) {
    figures["bytes per entry"] = (filled - empty) / count;
    figures["full collection"] = collect();
  }

  const random = new Numbers(1);
  const somewhere = (): string => keys.at(random.below(count));
  const other = (index: number): string => values.at(index + 11);
  figures.overwrite = await perSecond(reads, () => putEach(store, reads, somewhere, other));
  figures["put in batches"] = await perSecond(reads, () => putMany(store, reads, somewhere, other));
  if (system === "classic-level" || system === "lmdb") await settle();

  let found = 0;
  const read = async (name: string, next: () => number): Promise<void> => {
    figures[name] = await perSecond(reads, () => {
      for (let index = 0; index < reads; index += 1) found += (store.get(keys.at(next())) as string).length;
    });
  };
  await read("get, uniform", () => random.below(count));
  const zipf = new Zipf(count, 3);
  const ranks = new Uint32Array(reads).map(() => zipf.next());
  let at = 0;
  await read("get, Zipf", () => ranks[at++] ?? 0);
  if (found !== 2 * reads * values.bytes) throw new Error("a read was wrong");

  if (NEEDS_ORDER.has(system)) figures["scan, rows"] = await scanRate(store, keys, count, scale);
  if (system === "wavekv" && count <= OVERWRITTEN_ENTRIES_MAX) {
    const otherAt = (index: number): string => sizes[index % 100]?.at(index) ?? "";
    await putMany(store, count * OVERWRITES, (index) => keys.at(index % count), otherAt);
    figures["memory after overwriting"] = (residentBytes() - empty) / (filled - empty);
  }
  await store.close();
  return figures;
}

/** What the process needs for code and for its heap shall not count as memory of the entries. */
async function warmUp(task: Task): Promise<void> {
  const count = WARM_UP[task.scale];
  const keys = new Keys(count);
  const values = new Values();
  const store = await open({ ...task, directory: `${task.directory}/warm-up` });
  for (let round = 0; round < 2; round += 1) {
    await putEach(
      store,
      count,
      (index) => keys.at(index),
      (index) => values.at(index),
    );
    for (let index = 0; index < count; index += 1) store.get(keys.at(index));
  }
  await store.close();
}

async function scanRate(store: Store, keys: Keys, count: number, scale: Scale): Promise<number> {
  const random = new Numbers(5);
  const from = Array.from({ length: SCANS[scale] }, () => keys.at(random.below(count)));
  const { scanLater } = store as { scanLater?: (from: string, rows: number) => Promise<number> };
  store.scan?.(from[0] ?? "", 1);
  let characters = 0;
  const rate = await perSecond(from.length * SCAN_ROWS, async () => {
    for (const key of from) {
      characters += scanLater === undefined ? (store.scan?.(key, SCAN_ROWS) ?? 0) : await scanLater(key, SCAN_ROWS);
    }
  });
  if (characters === 0) throw new Error("a scan found nothing");
  return rate;
}

/** Lets a store that works in other threads finish what it was given. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 200));
}
