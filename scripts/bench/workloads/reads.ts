/** Reads of each kind of value. */
import { Keys, Numbers, Values } from "../inputs.ts";
import { perSecond } from "../measure.ts";
import { CopyingMap, PlainMap } from "../stores/maps.ts";
import { openLmdb } from "../stores/peers.ts";
import { ReplicaStore } from "../stores/replica.ts";
import { putMany, type Store } from "../stores/store.ts";
import { type Figures, limit, peer, type Task, type Workload, wavekv } from "../workload.ts";

const ENTRIES = { full: 1_000_000, quick: 5000 };

export const reads: Workload = {
  name: "reads",
  what: "Uniform reads of 10^6 entries by kind of value: strings of 100 characters, numbers, 100 bytes, and objects of four fields. A map hands out the very object that it holds, which every caller may change; wavekv makes a new one for each.",
  time: "processor",
  sizeName: "kind of value",
  sizes: { full: ["string", "number", "bytes", "object"], quick: ["string", "number", "bytes", "object"] },
  systems: [
    wavekv("memory only; each read gives a value of its own"),
    limit("map", "hands out what it holds"),
    limit("copying map", "as map, and bytes are copied"),
    peer("lmdb", "memory-mapped file, not durable here; values through MessagePack"),
  ],
  takesPart: (system, size) => system !== "copying map" || size === "bytes",
  figures: { get: { unit: "/s", better: "more" } },
  targets: [
    { row: 1, figure: "get", size: "string", against: "map", atLeast: 0.8 },
    { row: 1, figure: "get", size: "number", against: "map", atLeast: 0.8 },
    { row: 1, figure: "get", size: "bytes", against: "map", atLeast: 0.8 },
    { row: 1, figure: "get", size: "object", against: "map", atLeast: 0.5 },
    { row: 1, figure: "get", against: "lmdb", atLeast: 3 },
  ],
  profile:
    "At 10^6 entries three places in memory that are in no cache are touched one after the other: the cell of the index, the row, the record with the key. They are 56 % of the loop for strings (19, 15 and 22), 53 % for numbers, 44 % for bytes, 48 % for objects. Making the key that is asked for, which costs all systems the same, is 21 to 31 %. The value itself: a string by one call of the platform 9 %, a number 2 %, an object 21 %; bytes 31 %, nearly all of it an ArrayBuffer of their own: up to 64 bytes that takes 0.1 us, above it is outside the heap and takes five times as long. A map hands out what it holds; a reader of wavekv may change the bytes, or transfer them to a worker. All else (checks, encoding the key, its hash, calls) is 6 to 10 %.",
  measure,
};

async function measure({ system, size, scale, directory }: Task): Promise<Figures> {
  const count = ENTRIES[scale];
  const keys = new Keys(count);
  const store = await open(system, directory);
  await putMany(store, count, (index) => keys.at(index), valuesOf(size));
  const random = new Numbers(1);
  let found = 0;
  const get = await perSecond(count, () => {
    for (let index = 0; index < count; index += 1)
      if (store.get(keys.at(random.below(count))) !== undefined) found += 1;
  });
  if (found !== count) throw new Error("a read found nothing");
  await store.close();
  return { get };
}

async function open(system: string, directory: string): Promise<Store> {
  if (system === "wavekv") return await ReplicaStore.open();
  if (system === "map") return new PlainMap();
  if (system === "copying map") return new CopyingMap();
  return await openLmdb(directory, false);
}

function valuesOf(kind: number | string): (index: number) => unknown {
  const strings = new Values();
  if (kind === "string") return (index) => strings.at(index);
  if (kind === "number") return (index) => index * 3;
  if (kind === "bytes") return (index) => new Uint8Array(100).fill(index);
  return (index) => ({ role: "admin", age: index % 100, name: `Ada ${index}`, active: true });
}
