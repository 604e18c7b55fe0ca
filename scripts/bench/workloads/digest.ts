/** What keeping up the digest takes of a put in memory. */
import { Digest } from "../../../src/core/digest.ts";
import { hashEntry, hashKey } from "../../../src/core/hash.ts";
import { bucketOf } from "../../../src/core/key-index.ts";
import { Keys, Numbers, Values } from "../inputs.ts";
import { processorMs } from "../measure.ts";
import { median } from "../statistics.ts";
import { ReplicaStore } from "../stores/replica.ts";
import { putEach, putMany } from "../stores/store.ts";
import { type Figures, numberOf, type Scale, type Task, type Workload, wavekv } from "../workload.ts";

const TURNS: Record<Scale, number> = { full: 9, quick: 2 };
const PUTS: Record<Scale, number> = { full: 50_000, quick: 500 };
/** A turn of the digest alone is so many times as long: it takes a small part of the time. */
const UPDATES_A_PUT = 8;
const ROOTS: Record<Scale, number> = { full: 1_000_000, quick: 1000 };
/** Where a value begins: a string of MessagePack has its kind and its length in front. */
const VALUE_HEADER_BYTES = 2;
const ORIGIN_HASH = 0x12345678;

export const digest: Workload = {
  name: "digest",
  what: "An entry of 20 and 100 bytes is overwritten in memory, somewhere among so many; by turns in one process with what that costs the digest: hashing the entry, taking its old hash out of its bucket and out of the sum of all, and adding the new one.",
  time: "processor",
  sizeName: "entries",
  sizes: { full: [100_000, 1_000_000], quick: [2000] },
  systems: [wavekv("memory only")],
  figures: {
    put: { unit: "ns", better: "less" },
    digest: { unit: "ns", better: "less" },
    "digest, of a put": { unit: "", better: "less" },
    "asking for it": { unit: "ns", better: "less" },
  },
  targets: [
    { row: 14, figure: "digest, of a put", against: "itself", atMost: 0.1 },
    { row: 14, figure: "asking for it", size: 1_000_000, against: "itself at 100000", atMost: 1.5 },
  ],
  profile:
    "Hashing goes over nine words of metadata and 31 of key and value, in two lanes. What is asked for is kept as two numbers; the time is that of writing them as 16 hex digits.",
  measure,
};

async function measure(task: Task): Promise<Figures> {
  const count = numberOf(task.size);
  const keys = new Keys(count);
  const values = new Values();
  const store = await ReplicaStore.open();
  await putMany(
    store,
    count,
    (index) => keys.at(index),
    (index) => values.at(index),
  );
  const columns = new Columns(count, keys, values);
  const random = new Numbers(1);
  const somewhere = (): number => random.below(count);
  const puts = PUTS[task.scale];
  const updates = puts * UPDATES_A_PUT;
  const putTurn = (): Promise<void> =>
    putEach(
      store,
      puts,
      () => keys.at(somewhere()),
      (index) => values.at(index),
    );
  const updateTurn = (): void => {
    for (let index = 0; index < updates; index += 1) columns.overwrite(somewhere(), index);
  };
  const turns = { put: [] as number[], digest: [] as number[], root: [] as number[] };
  for (let turn = 0; turn <= TURNS[task.scale]; turn += 1) {
    const put = await nanoseconds(puts, putTurn);
    const update = await nanoseconds(updates, updateTurn);
    const root = await nanoseconds(ROOTS[task.scale], () => columns.askForRoots(ROOTS[task.scale]));
    // The first turn runs uncompiled.
    if (turn === 0) continue;
    turns.put.push(put);
    turns.digest.push(update);
    turns.root.push(root);
  }
  await store.close();
  return {
    put: median(turns.put),
    digest: median(turns.digest),
    "digest, of a put": median(turns.put.map((put, turn) => (turns.digest[turn] ?? 0) / put)),
    "asking for it": median(turns.root),
  };
}

/** What the digest needs of a table (`EntryTable`, `Records`): hashes by slot, and bytes that were written just before. */
class Columns {
  readonly #digest = new Digest();
  readonly #keyHashes: Uint32Array;
  readonly #lanes: Uint32Array;
  readonly #bytes: DataView;
  readonly #keyLength: number;
  readonly #valueLength: number;

  constructor(count: number, keys: Keys, values: Values) {
    this.#keyHashes = new Uint32Array(count).map((_, slot) => hashKey(Buffer.from(keys.at(slot))));
    this.#lanes = new Uint32Array(count * 2);
    const entry = Buffer.from(`${keys.at(0)}${"\0".repeat(VALUE_HEADER_BYTES)}${values.at(0)}`, "latin1");
    this.#keyLength = keys.at(0).length;
    this.#valueLength = entry.length - this.#keyLength;
    // Hashing reads up to the next multiple of four bytes.
    this.#bytes = new DataView(new Uint8Array(Buffer.concat([entry, Buffer.alloc(4)])).buffer);
  }

  /** As `EntryTable` does when a key that is there gets another value. */
  overwrite(slot: number, seq: number): void {
    const lanes = this.#lanes;
    const at = slot * 2;
    const bucket = bucketOf(this.#keyHashes[slot] ?? 0);
    this.#digest.add(bucket, -(lanes[at] ?? 0), -(lanes[at + 1] ?? 0));
    hashEntry(lanes, at, seq * 3, seq, 0, ORIGIN_HASH, this.#bytes, 0, this.#keyLength, this.#valueLength);
    this.#digest.add(bucket, lanes[at] ?? 0, lanes[at + 1] ?? 0);
  }

  askForRoots(times: number): void {
    let characters = 0;
    for (let round = 0; round < times; round += 1) characters += this.#digest.root().length;
    if (characters !== times * 16) throw new Error("a root has 16 digits");
  }
}

/** Of the processor, for each of so many. */
async function nanoseconds(count: number, work: () => void | Promise<void>): Promise<number> {
  const from = processorMs();
  await work();
  return ((processorMs() - from) * 1e6) / count;
}
