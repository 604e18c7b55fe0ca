/**
 * The entry table beside a plain Map of objects, in the same run: operations per second, memory per
 * entry, the longest pause.
 *
 *     npm run build && node --expose-gc dist/scripts/bench/table.js [entries] [table|map]
 *
 * Without the second argument it runs each in a process of its own and prints the ratios.
 */
import { execFileSync } from "node:child_process";
import { EntryTable } from "../../src/core/table.ts";
import { type Entry, type Epoch, makeOrigin, type NodeId } from "../../src/types.ts";

const VALUE_BYTES = 100;
const KEY_BYTES = 20;
const SCAN_ROWS = 100;

type Results = Record<string, number>;

interface Subject {
  set(entry: Entry): void;
  get(key: Uint8Array): number;
  readonly scan?: (from: Uint8Array, rows: number) => number;
}

function tableSubject(): Subject {
  const table = new EntryTable();
  let lsn = 0;
  return {
    set(entry) {
      table.set(entry, ++lsn);
    },
    get: (key) => table.valueAt(table.find(key))?.[0] ?? 0,
    scan(from, rows) {
      let sum = 0;
      let left = rows;
      for (const entry of table.range({ gte: from })) {
        sum += entry.key[0] ?? 0;
        if (--left === 0) break;
      }
      return sum;
    },
  };
}

/** The least that could be called a store: no order, no log, no digest. */
function mapSubject(): Subject {
  const map = new Map<string, Entry>();
  return {
    set(entry) {
      const key = latin1(entry.key);
      map.set(key, { ...entry, key: entry.key.slice(), value: entry.value?.slice() ?? null });
    },
    get: (key) => map.get(latin1(key))?.value?.[0] ?? 0,
  };
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

function measure(kind: string, count: number): Results {
  const results: Results = {};
  const origin = makeOrigin("bench" as NodeId, "0123456789abcdef" as Epoch);
  const keys = Buffer.alloc(count * KEY_BYTES);
  const valueBuffer = new Uint8Array(VALUE_BYTES * 2);
  let stamp = 0;
  let random = 1;
  const next = (below: number): number => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    return Math.floor((random / 2 ** 32) * below);
  };
  // A permutation of the numbers, so that keys arrive in no order.
  const numberOf = (index: number): number => (index * 7_368_787) % count;
  for (let index = 0; index < count; index += 1) {
    keys.write(`user/${String(numberOf(index)).padStart(15, "0")}`, index * KEY_BYTES, "latin1");
  }
  const keyOf = (index: number): Uint8Array =>
    new Uint8Array(keys.buffer, keys.byteOffset + index * KEY_BYTES, KEY_BYTES);
  const entryOf = (index: number, valueBytes: number): Entry => {
    stamp += 1;
    valueBuffer[index % VALUE_BYTES] = stamp & 0xff;
    return { key: keyOf(index), value: valueBuffer.subarray(0, valueBytes), stamp, origin, seq: stamp, expiresAt: 0 };
  };
  const rss = (): number => {
    for (let round = 0; round < 4; round += 1) globalThis.gc?.();
    return process.memoryUsage().rss;
  };
  /** Runs `step` so many times; the longest of slices of a hundred is the pause. */
  const run = (name: string, times: number, step: (index: number) => void): void => {
    let pauseMs = 0;
    const start = performance.now();
    let before = start;
    for (let index = 0; index < times; index += 1) {
      step(index);
      if (index % 100 !== 99) continue;
      const now = performance.now();
      pauseMs = Math.max(pauseMs, now - before);
      before = now;
    }
    results[`${name} ops/s`] = Math.round(times / ((performance.now() - start) / 1000));
    results[`${name} pause ms`] = Number(pauseMs.toFixed(1));
  };

  run("entries alone", count, (index) => void entryOf(index, VALUE_BYTES));
  const subject = kind === "table" ? tableSubject() : mapSubject();
  const empty = rss();
  run("insert", count, (index) => subject.set(entryOf(index, VALUE_BYTES)));
  const filled = rss();
  results["bytes per entry"] = Math.round((filled - empty) / count);
  let sum = 0;
  const gets = Math.max(count, 300_000);
  run("get", gets, () => (sum += subject.get(keyOf(next(count)))));
  run("overwrite", count, () => subject.set(entryOf(next(count), VALUE_BYTES)));
  const { scan } = subject;
  if (scan) {
    run("scan", 5000, () => (sum += scan(keyOf(next(count)), SCAN_ROWS)));
    results["scan rows/s"] = (results["scan ops/s"] ?? 0) * SCAN_ROWS;
  }
  const start = performance.now();
  globalThis.gc?.();
  results["full collection ms"] = Number((performance.now() - start).toFixed(1));
  run("overwrite x 9, other sizes", count * 9, () => {
    subject.set(entryOf(next(count), VALUE_BYTES / 2 + next(VALUE_BYTES)));
  });
  results["memory after / before"] = Number(((rss() - empty) / (filled - empty)).toFixed(2));
  results["checksum"] = sum % 1000;
  return results;
}

function compare(count: number): void {
  const [table, map] = ["table", "map"].map((kind): Results => {
    const args = ["--expose-gc", import.meta.filename, String(count), kind];
    return JSON.parse(execFileSync(process.execPath, [...process.execArgv, ...args], { encoding: "utf8" })) as Results;
  });
  console.log(`${count} entries, keys of 20 bytes, values of ${VALUE_BYTES}`);
  for (const [name, value] of Object.entries(table ?? {})) {
    const other = map?.[name];
    const ratio = other === undefined ? "" : (value / other).toFixed(2);
    console.log(
      `${name.padEnd(36)} ${String(value).padStart(10)} ${String(other ?? "").padStart(10)} ${ratio.padStart(6)}`,
    );
  }
}

const [entries, kind] = process.argv.slice(2);
if (kind === undefined) for (const count of entries ? [Number(entries)] : [100_000, 1_000_000]) compare(count);
else console.log(JSON.stringify(measure(kind, Number(entries))));
