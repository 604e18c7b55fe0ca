/**
 * How long a store takes to open, beside reading its files and nothing else, and for how long the event
 * loop stands still meanwhile, during a checkpoint under load, and under load alone.
 *
 *     npm run build && node dist/scripts/bench/open.js [entries] [rounds]
 *
 * Every round is a process of its own that measures both sides; what is printed are medians over the rounds.
 */
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readdirSync, readSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as turn } from "node:timers/promises";
import { crc32 } from "node:zlib";
import { systemTimers } from "../../src/clock.ts";
import { FILE_HEADER_BYTES } from "../../src/codec/file-header.ts";
import { decodeOps } from "../../src/codec/ops.ts";
import { parseRecordHeader, RECORD_HEADER_BYTES } from "../../src/codec/records.ts";
import { hashKey } from "../../src/core/hash.ts";
import type { StateOp } from "../../src/core/ops.ts";
import { openReplica } from "../../src/index.ts";
import { systemRandom } from "../../src/random.ts";
import { nodeDisk } from "../../src/storage/node-disk.ts";
import { openStore } from "../../src/storage/store.ts";
import type { NodeId } from "../../src/types.ts";

const KEY_BYTES = 20;
const VALUE_BYTES = 100;
const RECORD_SETS = 100;
const READ_BYTES = 1024 * 1024;
const LOAD_MS = 4000;
const LOAD_WRITERS = 256;

type Results = Record<string, number>;

function storeOptions(directory: string): Parameters<typeof openStore>[0] {
  return {
    disk: nodeDisk,
    directory,
    nodeId: "bench" as NodeId,
    clusterId: "default",
    durability: "os",
    checkpointBytes: Number.MAX_SAFE_INTEGER,
    timers: systemTimers,
    random: systemRandom,
    onFailure: (error) => {
      throw error;
    },
  };
}

function keyOf(number: number): string {
  return `user/${String(number).padStart(KEY_BYTES - 5, "0")}`;
}

/** Fills a directory with entries whose keys come in no order: in the log alone, or in a snapshot. */
async function fill(directory: string, count: number, kind: string): Promise<Results> {
  const { store, state } = await openStore(storeOptions(directory));
  for (let from = 0; from < count; from += RECORD_SETS) {
    const ops: StateOp[] = [];
    const { lsn } = state;
    for (let index = from; index < Math.min(from + RECORD_SETS, count); index += 1) {
      const key = Buffer.from(keyOf((index * 7_368_787) % count));
      const value = new Uint8Array(VALUE_BYTES).fill(index);
      const entry = { key, value, stamp: index * 3 + 1, origin: state.origin, seq: state.nextSeq, expiresAt: 0 };
      const op: StateOp = { type: "set", entry };
      state.execute(op);
      ops.push(op);
    }
    await store.append(ops, lsn);
  }
  if (kind === "snapshot") await store.checkpoint();
  await store.close();
  return {};
}

/**
 * The longest turn of the event loop while `work` is under way: as a timer sees it, and in CPU time of the
 * process, which leaves out what other processes do to it and counts what its other threads do.
 */
async function longestTurnMs<T>(work: () => Promise<T>): Promise<{ turnMs: number; turnCpuMs: number; result: T }> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  for (let i = 0; i < 20; i += 1) await turn();
  delay.reset();
  let turnCpuMs = 0;
  let isOver = false;
  const watch = async (): Promise<void> => {
    for (let before = process.cpuUsage(); !isOver; before = process.cpuUsage()) {
      await turn();
      const { user, system } = process.cpuUsage(before);
      turnCpuMs = Math.max(turnCpuMs, (user + system) / 1000);
    }
  };
  const watching = watch();
  const result = await work();
  isOver = true;
  await watching;
  // The last turn counts as well.
  for (let i = 0; i < 20; i += 1) await turn();
  delay.disable();
  return { turnMs: delay.max / 1e6, turnCpuMs, result };
}

/** What opening reads: the newest snapshot and the log from it on. */
function* piecesOf(directory: string): IterableIterator<Buffer> {
  const names = readdirSync(directory).filter((name) => /^\d+\.(log|snapshot)$/.test(name));
  const base =
    names
      .filter((name) => name.endsWith(".snapshot"))
      .sort()
      .at(-1) ?? "";
  for (const name of names) {
    if (name.endsWith(".snapshot") ? name !== base : name < base) continue;
    const fd = openSync(join(directory, name), "r");
    const buffer = Buffer.alloc(READ_BYTES);
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer)) yield buffer.subarray(0, count);
    closeSync(fd);
  }
}

/** The least that could be called a store: bytes in an arena and a hash index over them. */
class Arena {
  readonly #index: Uint32Array;
  readonly #bytes: Uint8Array;
  #end = 4;

  constructor(entries: number) {
    this.#index = new Uint32Array(2 ** Math.ceil(Math.log2(entries * 1.5)));
    this.#bytes = new Uint8Array(entries * (KEY_BYTES + VALUE_BYTES + 4) + 4);
  }

  set(key: Uint8Array, value: Uint8Array): void {
    const mask = this.#index.length - 1;
    let at = hashKey(key) & mask;
    for (; this.#index[at] !== 0; at = (at + 1) & mask) if (this.#holds(this.#index[at] ?? 0, key)) break;
    this.#index[at] = this.#end;
    this.#bytes[this.#end] = key.length;
    this.#bytes.set(key, this.#end + 4);
    this.#bytes.set(value, this.#end + 4 + key.length);
    this.#end += 4 + key.length + value.length;
  }

  #holds(place: number, key: Uint8Array): boolean {
    if (this.#bytes[place] !== key.length) return false;
    for (let index = 0; index < key.length; index += 1) if (this.#bytes[place + 4 + index] !== key[index]) return false;
    return true;
  }
}

/** Reads, checks and decodes the log into an arena. Stops where the records of a segment end. */
function parseLog(directory: string, count: number): void {
  const arena = new Arena(count);
  for (const name of readdirSync(directory)) {
    if (!name.endsWith(".log")) continue;
    const path = join(directory, name);
    const bytes = Buffer.alloc(statSync(path).size);
    const fd = openSync(path, "r");
    readSync(fd, bytes);
    closeSync(fd);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const seed = view.getUint32(FILE_HEADER_BYTES - 4, true);
    for (let at = FILE_HEADER_BYTES; at < bytes.length; ) {
      const header = parseRecordHeader(view, at);
      if (header === undefined) throw new Error(`${name} is damaged`);
      const end = at + RECORD_HEADER_BYTES + header.length;
      if (crc32(bytes.subarray(at + 4, end), seed) !== header.crc) throw new Error(`${name} is damaged`);
      for (const op of decodeOps(bytes.subarray(at + RECORD_HEADER_BYTES, end))) {
        if (op.type === "set" && op.entry.value !== null) arena.set(op.entry.key, op.entry.value);
      }
      at = end;
    }
  }
}

interface Took {
  readonly ms: number;
  /** Of the process: what other processes do shows less in it. */
  readonly cpuMs: number;
}

async function time<T>(work: () => T | Promise<T>): Promise<Took & { result: T }> {
  const start = performance.now();
  const before = process.cpuUsage();
  const result = await work();
  const { user, system } = process.cpuUsage(before);
  return { ms: performance.now() - start, cpuMs: (user + system) / 1000, result };
}

/** One round: the least, then the store. */
async function measureOpen(directory: string, count: number, kind: string): Promise<Results> {
  let sum = 0;
  const read = (): void => {
    for (const piece of piecesOf(directory)) sum += piece[0] ?? 0;
  };
  const readAndCheck = (): void => {
    for (const piece of piecesOf(directory)) sum = crc32(piece, sum);
  };
  read();
  const readOnly = await time(read);
  const checked = await time(readAndCheck);
  const parsed = kind === "log" ? await time(() => parseLog(directory, count)) : undefined;
  const opened = await time(() => openStore({ ...storeOptions(directory), readOnly: true }));
  await opened.result.store.close();
  if (opened.result.state.table.live !== count) throw new Error(`not ${count} entries`);
  return {
    "read ms": readOnly.ms,
    "read + crc ms": checked.ms,
    "open ms": opened.ms,
    "open / (read + crc)": opened.ms / checked.ms,
    "open / (read + crc), CPU": opened.cpuMs / checked.cpuMs,
    ...(parsed === undefined
      ? {}
      : {
          "parse ms": parsed.ms,
          "open / parse": opened.ms / parsed.ms,
          "open / parse, CPU": opened.cpuMs / parsed.cpuMs,
        }),
  };
}

/** By itself, since watching takes time. */
async function measureTurns(directory: string): Promise<Results> {
  const { turnMs, turnCpuMs, result } = await longestTurnMs(() =>
    openStore({ ...storeOptions(directory), readOnly: true }),
  );
  await result.store.close();
  return { "longest turn, open, ms": turnMs, "longest turn, open, CPU ms": turnCpuMs };
}

/** Puts by many writers at once, each waiting for its own, while `work` is under way. */
async function underLoad(
  replica: Awaited<ReturnType<typeof openReplica>>,
  count: number,
  work: () => Promise<unknown>,
): Promise<{ turnMs: number; turnCpuMs: number; puts: number; ms: number }> {
  let isOver = false;
  let puts = 0;
  const start = performance.now();
  const write = async (writer: number): Promise<void> => {
    const value = new Uint8Array(VALUE_BYTES).fill(writer);
    for (let number = writer; !isOver; number = (number * 5 + 7919) % count) {
      await replica.put(keyOf(number), value);
      puts += 1;
    }
  };
  const { turnMs, turnCpuMs } = await longestTurnMs(async () => {
    const writers = Array.from({ length: LOAD_WRITERS }, (_, writer) => write(writer));
    await work();
    isOver = true;
    await Promise.all(writers);
  });
  return { turnMs, turnCpuMs, puts, ms: performance.now() - start };
}

/** Changes the directory. */
async function measureLoad(directory: string, count: number): Promise<Results> {
  const { turnMs: idle } = await longestTurnMs(() => new Promise((done) => setTimeout(done, LOAD_MS / 4)));
  const replica = await openReplica({ directory, durability: "os" });
  const wait = (): Promise<unknown> => new Promise((done) => setTimeout(done, LOAD_MS));
  await underLoad(replica, count, wait);
  const steady = await underLoad(replica, count, wait);
  const checkpoint = await underLoad(replica, count, () => replica.checkpoint());
  await replica.close();
  return {
    "longest turn, idle, ms": idle,
    "longest turn, steady puts, ms": steady.turnMs,
    "longest turn, steady puts, CPU ms": steady.turnCpuMs,
    "puts/s": steady.puts / (steady.ms / 1000),
    "longest turn, checkpoint under load, ms": checkpoint.turnMs,
    "longest turn, checkpoint under load, CPU ms": checkpoint.turnCpuMs,
    "checkpoint under load, ms": checkpoint.ms,
    "puts/s meanwhile": checkpoint.puts / (checkpoint.ms / 1000),
  };
}

function inProcess(...args: (string | number)[]): Results {
  const argv = [...process.execArgv, import.meta.filename, ...args.map(String)];
  return JSON.parse(execFileSync(process.execPath, argv, { encoding: "utf8" })) as Results;
}

function medianOf(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >>> 1] ?? Number.NaN;
}

function print(title: string, rounds: readonly Results[]): void {
  console.log(title);
  for (const name of Object.keys(rounds[0] ?? {})) {
    const values = rounds.map((round) => round[name] ?? Number.NaN);
    const [least, most] = [Math.min(...values), Math.max(...values)];
    console.log(
      `  ${name.padEnd(44)} ${medianOf(values).toFixed(2).padStart(10)}   (${least.toFixed(2)} to ${most.toFixed(2)})`,
    );
  }
}

function compare(count: number, rounds: number): void {
  for (const kind of ["snapshot", "log"]) {
    const directory = mkdtempSync(join(tmpdir(), "wavekv-open-"));
    try {
      inProcess("fill", directory, count, kind);
      const results = Array.from({ length: rounds }, () => ({
        ...inProcess("open", directory, count, kind),
        ...inProcess("turns", directory),
      }));
      print(`${count} entries, ${kind}, ${rounds} rounds`, results);
      if (kind === "snapshot")
        print(`${count} entries, puts by ${LOAD_WRITERS} writers`, [inProcess("load", directory, count)]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  }
}

const [command = "", directory = "", count = "", kind = ""] = process.argv.slice(2);
if (command === "fill") console.log(JSON.stringify(await fill(directory, Number(count), kind)));
else if (command === "open") console.log(JSON.stringify(await measureOpen(directory, Number(count), kind)));
else if (command === "turns") console.log(JSON.stringify(await measureTurns(directory)));
else if (command === "load") console.log(JSON.stringify(await measureLoad(directory, Number(count))));
else
  for (const entries of command === "" ? [100_000, 1_000_000] : [Number(command)])
    compare(entries, Number(directory) || 3);
