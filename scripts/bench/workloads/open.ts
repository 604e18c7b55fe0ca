/** How long a store takes to open, and for how long the event loop stands still meanwhile, and during a checkpoint. */
import { closeSync, mkdirSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { openReplica } from "wavekv";
import { systemTimers } from "../../../src/clock.ts";
import { FILE_HEADER_BYTES } from "../../../src/codec/file-header.ts";
import { decodeOps } from "../../../src/codec/ops.ts";
import { parseRecordHeader, RECORD_HEADER_BYTES } from "../../../src/codec/records.ts";
import type { StateOp } from "../../../src/core/ops.ts";
import { systemRandom } from "../../../src/random.ts";
import { nodeDisk } from "../../../src/storage/node-disk.ts";
import { openStore } from "../../../src/storage/store.ts";
import type { NodeId } from "../../../src/types.ts";
import { Keys, keyOf, Values } from "../inputs.ts";
import { longestTurn, processorMs } from "../measure.ts";
import { Arena } from "../stores/arena.ts";
import { openLevel, openLmdb } from "../stores/peers.ts";
import { ReplicaStore } from "../stores/replica.ts";
import { putMany } from "../stores/store.ts";
import { type Figures, limit, peer, type Scale, type Task, type Workload, wavekv } from "../workload.ts";

const ENTRIES: Record<Scale, number> = { full: 1_000_000, quick: 5000 };
const RECORD_SETS = 100;
const READ_BYTES = 1024 * 1024;
const LOAD_MS: Record<Scale, number> = { full: 4000, quick: 200 };
const LOAD_WRITERS = 256;

export const opening: Workload = {
  name: "open",
  what: "10^6 entries of 20 and 100 bytes, in no order, from a snapshot and from the log alone. What the peers open they have not read: their figure is with a scan of everything. The longest turn of the event loop is in processor time.",
  time: "processor",
  sizeName: "",
  sizes: { full: ["snapshot", "log"], quick: ["snapshot", "log"] },
  systems: [
    wavekv("everything is read, checked, and in memory"),
    limit("read and check", "the bytes of the files and a checksum over them, nothing else"),
    limit("parse", "the records of the log into an arena; no order, no digest, no versions"),
    peer("lmdb", "opens the file, and reads all of it once"),
    peer("classic-level", "opens the file, and reads all of it once"),
  ],
  takesPart: (system, size) => (system === "parse" ? size === "log" : size === "snapshot" || isOwn(system)),
  figures: {
    time: { unit: "ms", better: "less" },
    "longest turn": { unit: "ms", better: "less" },
  },
  targets: [
    { row: 8, figure: "time", size: "snapshot", against: "read and check", atMost: 2.5 },
    { row: 8, figure: "time", size: "log", against: "parse", atMost: 1.5 },
    { row: 15, figure: "longest turn", against: "itself", atMost: 20 },
  ],
  profile:
    "Snapshot: compiling 20 % of all threads (a store is opened once, by a process that has just begun), of the main thread making the memory of the slabs and copying into it 11 to 15 %, reading and checksums 14 %, garbage 6 to 11 %, the key index 7 %. Log: looking for the key 12 %, the order 12 %, reading and checksums 8 %, garbage 7 %, entry hashes 7 %, decoding 6 %. LOG.md has the steps.",
  prepare,
  measure,
};

const isOwn = (system: string): boolean => ["wavekv", "read and check"].includes(system);

/** The directory of a replica; for the peers theirs are made when they are measured. */
async function prepare({ size, scale, directory }: Task): Promise<void> {
  const count = ENTRIES[scale];
  const keys = new Keys(count);
  const values = new Values();
  const { store, state } = await openStore({
    disk: nodeDisk,
    directory: join(directory, "replica"),
    nodeId: "bench" as NodeId,
    clusterId: "default",
    durability: "os",
    checkpointBytes: Number.MAX_SAFE_INTEGER,
    timers: systemTimers,
    random: systemRandom,
    onFailure: (error) => {
      throw error;
    },
  });
  for (let from = 0; from < count; from += RECORD_SETS) {
    const ops: StateOp[] = [];
    const { lsn } = state;
    for (let index = from; index < Math.min(from + RECORD_SETS, count); index += 1) {
      const key = Buffer.from(keys.at(index));
      // A string of MessagePack: its length in a byte.
      const value = Buffer.concat([Buffer.from([0xd9, values.bytes]), Buffer.from(values.at(index), "latin1")]);
      const entry = { key, value, stamp: index * 3 + 1, origin: state.origin, seq: state.nextSeq, expiresAt: 0 };
      const op: StateOp = { type: "set", entry };
      state.execute(op);
      ops.push(op);
    }
    await store.append(ops, lsn);
  }
  if (size === "snapshot") await store.checkpoint();
  await store.close();
}

async function measure(task: Task): Promise<Figures> {
  const { system, scale, directory } = task;
  const count = ENTRIES[scale];
  const own = join(directory, "replica");
  if (system === "read and check") return { time: await spent(() => void readAndCheck(own)) };
  if (system === "parse") return { time: await spent(() => parseLog(own)) };
  if (system !== "wavekv") return { time: await openPeer(task, count) };
  const time = await spent(async () => {
    const replica = await openReplica({ directory: own, readOnly: true });
    if (replica.status().entries !== count) throw new Error(`there are not ${count} entries`);
    await replica.close();
  });
  // By itself, since watching takes time.
  const { processorMs: longest } = await longestTurn(async () => {
    const replica = await openReplica({ directory: own, readOnly: true });
    await replica.close();
  });
  return { time, "longest turn": longest };
}

async function openPeer({ system, directory }: Task, count: number): Promise<number> {
  const path = join(directory, system);
  const open = system === "lmdb" ? openLmdb : openLevel;
  const isNew = readdirSync(directory).every((name) => name !== system);
  if (isNew) {
    mkdirSync(path);
    const store = await open(path, false);
    const values = new Values();
    await putMany(store, count, keyOf, (index) => values.at(index));
    await store.close();
  }
  return await spent(async () => {
    const store = await open(path, false);
    const { scanLater } = store as { scanLater?: (from: string, rows: number) => Promise<number> };
    if (scanLater === undefined) store.scan?.("", count);
    else for (let from = 0; from < count; from += 1000) await scanLater(keyOf(from), 1000);
    await store.close();
  });
}

async function spent(work: () => void | Promise<void>): Promise<number> {
  const from = processorMs();
  await work();
  return processorMs() - from;
}

/** What opening reads: the newest snapshot, and the log from it on. */
function* piecesOf(directory: string): IterableIterator<Buffer> {
  const names = readdirSync(directory).filter((name) => /^\d+\.(log|snapshot)$/.test(name));
  const snapshots = names.filter((name) => name.endsWith(".snapshot"));
  const base = snapshots.sort().at(-1) ?? "";
  for (const name of names) {
    if (name.endsWith(".snapshot") ? name !== base : name < base) continue;
    const fd = openSync(join(directory, name), "r");
    const buffer = Buffer.alloc(READ_BYTES);
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer)) yield buffer.subarray(0, count);
    closeSync(fd);
  }
}

function readAndCheck(directory: string): number {
  let sum = 0;
  for (const piece of piecesOf(directory)) sum = crc32(piece, sum);
  return sum;
}

/** Reads, checks and decodes the log into an arena. */
function parseLog(directory: string): void {
  const arena = new Arena();
  for (const name of readdirSync(directory)) {
    if (!name.endsWith(".log")) continue;
    const bytes = Buffer.concat([...piecesOfFile(join(directory, name))]);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const seed = view.getUint32(FILE_HEADER_BYTES - 4, true);
    for (let at = FILE_HEADER_BYTES; at < bytes.length; ) {
      const header = parseRecordHeader(view, at);
      if (header === undefined) throw new Error(`${name} is damaged`);
      const end = at + RECORD_HEADER_BYTES + header.length;
      if (crc32(bytes.subarray(at + 4, end), seed) !== header.crc) throw new Error(`${name} is damaged`);
      for (const op of decodeOps(bytes.subarray(at + RECORD_HEADER_BYTES, end))) {
        if (op.type === "set" && op.entry.value !== null) arena.putBytes(op.entry.key, op.entry.value);
      }
      at = end;
    }
  }
}

function* piecesOfFile(path: string): IterableIterator<Buffer> {
  const fd = openSync(path, "r");
  const buffer = Buffer.alloc(READ_BYTES);
  for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer))
    yield Buffer.from(buffer.subarray(0, count));
  closeSync(fd);
}

export const checkpoint: Workload = {
  name: "checkpoint",
  what: "The longest turn of the event loop, in processor time, with 10^6 entries and 256 writers: without a checkpoint, and while one runs. The system writes when it likes (`durability: os`), so that writers are as fast as they can be.",
  time: "processor",
  sizeName: "",
  sizes: { full: ["10^6 entries"], quick: ["5,000 entries"] },
  systems: [wavekv("written to the log, not synced")],
  figures: {
    "longest turn, load": { unit: "ms", better: "less" },
    "longest turn, checkpoint": { unit: "ms", better: "less" },
    "puts meanwhile": { unit: "/s", better: "more" },
  },
  targets: [{ row: 15, figure: "longest turn, checkpoint", against: "itself", atMost: 20 }],
  async measure({ scale, directory }): Promise<Figures> {
    const count = ENTRIES[scale];
    const store = await ReplicaStore.open({ directory: join(directory, "replica"), durability: "os" });
    const values = new Values();
    await putMany(store, count, keyOf, (index) => values.at(index));
    let puts = 0;
    const underLoad = async (work: () => Promise<unknown>): Promise<number> => {
      let isOver = false;
      const write = async (writer: number): Promise<void> => {
        for (let number = writer; !isOver; number = (number * 5 + 7919) % count) {
          await store.put(keyOf(number), values.at(puts));
          puts += 1;
        }
      };
      const { processorMs: longest } = await longestTurn(async () => {
        const writers = Array.from({ length: LOAD_WRITERS }, (_, writer) => write(writer));
        await work();
        isOver = true;
        await Promise.all(writers);
      });
      return longest;
    };
    const load = await underLoad(() => new Promise((resolve) => setTimeout(resolve, LOAD_MS[scale])));
    puts = 0;
    const from = processorMs();
    const during = await underLoad(() => store.replica.checkpoint());
    const rate = puts / ((processorMs() - from) / 1000);
    await store.close();
    return { "longest turn, load": load, "longest turn, checkpoint": during, "puts meanwhile": rate };
  },
};
