/** What a table gives as runs and order, another takes: beside a table into which the entries were set one by one. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { ByteWriter, DecodeError } from "../../../src/codec/bytes.ts";
import { decodeRun, encodeRun } from "../../../src/codec/entry-runs.ts";
import { EntryRun, RUN_ENTRIES_MAX } from "../../../src/core/entry-run.ts";
import { EntryTable, NO_SLOT } from "../../../src/core/table.ts";
import { VersionVector } from "../../../src/core/version-vector.ts";
import { DIGEST_BUCKETS } from "../../../src/limits.ts";
import { type Entry, type Epoch, makeOrigin, type NodeId } from "../../../src/types.ts";
import { entry as anyEntry } from "../../models/arbitrary-codec.ts";
import { randomBelow } from "./random-below.ts";

const origins = ["a", "b", "c"].map((name) => makeOrigin(name as NodeId, "0123456789abcdef" as Epoch));

/** Everything that can be asked of a table, but for its slots. */
function contentsOf(table: EntryTable): unknown {
  const log: unknown[] = [];
  for (let slot = table.nextChange(0); slot !== NO_SLOT; slot = table.nextChange(table.lsnAt(slot))) {
    const { key, value, ...rest } = table.entryAt(slot);
    if (table.find(key) !== slot) throw new Error(`${hex(key)} is not found`);
    log.push({
      ...rest,
      key: hex(key),
      value: value && hex(value),
      lsn: table.lsnAt(slot),
      bucket: table.bucketAt(slot),
    });
  }
  return {
    log,
    order: [...table.range({ gte: Uint8Array.of(0) })].map(({ key }) => hex(key)),
    backwards: [...table.range({ reverse: true })].map(({ key, seq }) => [hex(key), seq]),
    digests: Array.from({ length: DIGEST_BUCKETS }, (_, index) => table.digestBucket(index)).join(),
    root: table.digestRoot(),
    counts: [table.size, table.live, table.tombstones, table.bytes, table.lastLsn],
    expired: table.expired(Number.MAX_SAFE_INTEGER, 1e6).map((slot) => table.expiresAt(slot)),
    expiring: table
      .expired(Number.MAX_SAFE_INTEGER, 1e6)
      .map((slot) => hex(table.keyAt(slot)))
      .sort(),
    uncovered: table.nextChange(0, new VersionVector(origins.map((origin) => [origin, 20]))) === NO_SLOT,
  };
}

/** Of long keys what tells them apart: a failure is to be read. */
function hex(bytes: Uint8Array): string {
  return bytes.length > 50 ? `${bytes.length} x ${bytes[0]}` : Buffer.from(bytes).toString("hex");
}

/** By way of the bytes of a snapshot. */
function reload(table: EntryTable, bytesMax = 64 * 1024): EntryTable {
  const loaded = new EntryTable();
  const [from, to] = [new EntryRun(), new EntryRun()];
  const numbers = new Map<string, number>();
  for (let lsn = 0; ; lsn = from.lsns[from.count - 1]!) {
    table.copyChanges(from, lsn, table.lastLsn, bytesMax);
    if (from.count === 0) break;
    const writer = new ByteWriter();
    encodeRun(writer, from);
    decodeRun(writer.bytes(), to);
    loaded.load(to);
    for (const slot of to.slots.subarray(0, to.count)) numbers.set(hex(loaded.keyAt(slot)), slot);
  }
  for (let key: Uint8Array | undefined; ; ) {
    const piece = table.orderAbove(key);
    if (piece === undefined) break;
    key = table.keyAt(piece.cells.at(-1)!).slice();
    const cells = piece.cells.map((cell, at) => (at % 2 === 0 ? cell : numbers.get(hex(table.keyAt(cell)))!));
    expect(loaded.loadOrder(piece.sharedLength, cells)).toBe(true);
  }
  expect(walked(loaded.loaded())).toBe(true);
  return loaded;
}

/** What a generator returns in the end. */
function walked<T>(generator: Generator<unknown, T>): T {
  for (;;) {
    const { done, value } = generator.next();
    if (done === true) return value;
  }
}

/** Changes as they come: most keys live, some go, some expire; keys of several lengths, some values that get a slab of their own. */
function churn(tables: readonly EntryTable[], changes: number, keys: number, seed: number): void {
  const below = randomBelow(seed);
  for (let change = 0; change < changes; change += 1) {
    const number = below(keys);
    const key = Buffer.from(`key/${"x".repeat(number % 7)}${number % 5}/${number}`);
    const held = tables[0]!.find(key);
    const kind = below(20);
    const seq = tables[0]!.lastLsn + 1;
    const entry: Entry = {
      key,
      value: kind === 0 ? null : Buffer.alloc(kind === 1 ? below(40_000) : below(60), seq),
      stamp: 2 ** 50 + seq * 3,
      origin: origins[below(3)]!,
      seq,
      expiresAt: kind < 4 ? 1 + below(1000) : 0,
    };
    for (const table of tables) {
      const slot = table.find(key);
      if (kind === 5 && held !== NO_SLOT) table.remove(slot);
      else if (kind === 6 && held !== NO_SLOT && !table.isTombstone(slot)) table.expire(slot);
      else table.set(entry, seq);
    }
  }
}

test.each([
  [1, 1],
  [40, 30],
  [600, 500],
  [5_000, 4_000],
])("a table of %i changes of %i keys is the same when it was loaded, and stays so", (changes, keys) => {
  const table = new EntryTable();
  churn([table], changes, keys, changes);
  const loaded = reload(table);
  expect(contentsOf(loaded)).toEqual(contentsOf(table));
  churn([table, loaded], changes, keys, 7);
  expect(contentsOf(loaded)).toEqual(contentsOf(table));
});

test("what was loaded is within the highest write of each of its origins, and within no less", () => {
  const table = new EntryTable();
  churn([table], 3_000, 1e9, 1);
  const highest = new VersionVector();
  for (let slot = table.nextChange(0); slot !== NO_SLOT; slot = table.nextChange(table.lsnAt(slot))) {
    highest.raise(table.originAt(slot), table.seqAt(slot));
  }
  const loaded = reload(table);
  expect([highest.size, loaded.isWithin(highest)]).toEqual([origins.length, true]);
  for (const origin of origins) {
    const less = highest.clone();
    less.replace(origin, highest.get(origin) - 1);
    expect(loaded.isWithin(less)).toBe(false);
  }
});

// None, one, about a part (320) and a run (512), several of them; keys that are few and change often, or many.
test.each([
  [0, 1],
  [1, 1],
  [400, 500],
  [700, 1e9],
  [3_000, 50],
  [6_000, 1e9],
])(
  "a table of %i changes of %i keys is the same when its keys were put in order at once, and stays so",
  (changes, keys) => {
    const [table, deferred] = [new EntryTable(), new EntryTable()];
    deferred.deferOrder();
    churn([table, deferred], changes, keys, changes);
    walked(deferred.sortKeys());
    expect(contentsOf(deferred)).toEqual(contentsOf(table));
    churn([table, deferred], 2000, keys, 7);
    expect(contentsOf(deferred)).toEqual(contentsOf(table));
  },
);

test("keys that begin alike, up to the last byte or for thousands of bytes, are put in order at once", () => {
  const table = new EntryTable();
  table.deferOrder();
  const keys = Array.from({ length: 5000 }, (_, index) => {
    const number = (index * 7919) % 5000;
    return Buffer.from(`${"k".repeat(number % 3 === 0 ? 3000 : number % 11)}${number}`);
  });
  for (const [index, key] of keys.entries()) {
    const value = index % 4 === 0 ? null : Buffer.of(1);
    table.set({ key, value, stamp: 9, origin: origins[0]!, seq: index + 1, expiresAt: 0 }, index + 1);
  }
  walked(table.sortKeys());
  const live = keys.filter((_, index) => index % 4 !== 0).sort((a, b) => a.compare(b));
  const text = (key: Uint8Array): string => Buffer.from(key).toString("latin1");
  expect([...table.range()].map(({ key }) => text(key))).toEqual(live.map(text));
});

test("an empty table has no runs and no order", () => {
  expect(contentsOf(reload(new EntryTable()))).toEqual(contentsOf(new EntryTable()));
});

test("a run is closed by bytes, by its number of entries, or by the lsn up to which it goes", () => {
  const table = new EntryTable();
  churn([table], 3000, 1e9, 1);
  const run = new EntryRun();
  table.copyChanges(run, 0, table.lastLsn, Number.MAX_SAFE_INTEGER);
  expect(run.count).toBe(RUN_ENTRIES_MAX);
  table.copyChanges(run, 0, table.lastLsn, 1);
  expect(run.count).toBe(1);
  table.copyChanges(run, 5, 7, Number.MAX_SAFE_INTEGER);
  expect([...run.lsns.subarray(0, run.count)]).toEqual([6, 7]);
});

test("a key that comes twice is found, near or far", () => {
  const table = new EntryTable();
  churn([table], 3000, 1e9, 1);
  const run = new EntryRun();
  for (const [again, isGood] of [
    [0, false],
    [1500, false],
    [2999, false],
    [undefined, true],
  ] as const) {
    const loaded = new EntryTable();
    let after = 0;
    const load = (from: number, upTo: number): void => {
      table.copyChanges(run, from, upTo, Number.MAX_SAFE_INTEGER);
      for (let index = 0; index < run.count; index += 1) run.lsns[index] = ++after;
      if (run.count > 0) loaded.load(run);
    };
    for (let from = 0; from < 3000; from += 1000) load(from, from + 1000);
    if (again !== undefined) load(again, again + 1);
    expect(walked(loaded.loaded())).toBe(isGood);
  }
});

test("keys with one hash are different keys", () => {
  const run = new EntryRun();
  const table = new EntryTable();
  churn([table], 200, 1e9, 5);
  table.copyChanges(run, 0, 200, Number.MAX_SAFE_INTEGER);
  // As a collision would have it: all hashes alike, in the columns and in the records.
  run.keyHashes.fill(0x12345678);
  const loaded = new EntryTable();
  loaded.load(run);
  expect(walked(loaded.loaded())).toBe(true);
  expect([...loaded.slotsOfBucket(loaded.bucketAt(0))].sort((a, b) => a - b)).toEqual([
    ...run.slots.subarray(0, run.count),
  ]);
});

test("an order that is none is refused: descending words, keys not above those before, more shared than is", () => {
  const table = new EntryTable();
  const run = new EntryRun();
  for (const [index, key] of ["aaaa1", "aaaa2", "aaaa3"].entries()) {
    table.set(
      { key: Buffer.from(key), value: Buffer.of(1), stamp: 9, origin: origins[0]!, seq: 1, expiresAt: 0 },
      index + 1,
    );
  }
  table.copyChanges(run, 0, 3, 1000);
  const load = (...pieces: [shared: number, cells: number[]][]): boolean[] => {
    const loaded = new EntryTable();
    loaded.load(run);
    return pieces.map(([shared, cells]) => loaded.loadOrder(shared, Uint32Array.from(cells)));
  };
  const [one, two, three] = [0x31000000, 0x32000000, 0x33000000];
  expect(load([4, [one, 0, two, 1]], [4, [three, 2]])).toEqual([true, true]);
  expect(load([4, [two, 1, one, 0]])).toEqual([false]);
  expect(load([4, [two, 1]], [4, [one, 0]])).toEqual([true, false]);
  expect(load([4, [two, 1]], [4, [two, 1]])).toEqual([true, false]);
  expect(load([5, [0, 0, 0, 1]])).toEqual([false]);
  expect(load([6, [0, 0]])).toEqual([false]);
});

test("runs of any entries read as they were written", () => {
  fc.assert(
    fc.property(fc.array(anyEntry, { minLength: 1, maxLength: 30, size: "max" }), (entries) => {
      const table = new EntryTable();
      for (const [index, entry] of entries.entries()) table.set(entry, 1 + index * 2 ** 46);
      expect(contentsOf(reload(table, 200))).toEqual(contentsOf(table));
    }),
    { numRuns: 100 },
  );
});

test("cut, changed or arbitrary bytes are a run, or a DecodeError", () => {
  const table = new EntryTable();
  churn([table], 12, 10, 3);
  const run = new EntryRun();
  table.copyChanges(run, 0, table.lastLsn, 500);
  const writer = new ByteWriter();
  encodeRun(writer, run);
  const good = writer.copy();
  const into = new EntryRun();
  const attempt = (bytes: Uint8Array): void => {
    try {
      decodeRun(bytes, into);
    } catch (error) {
      expect(error).toBeInstanceOf(DecodeError);
      return;
    }
    expect(into.starts[into.count]).toBe(into.byteLength);
    const isGood = (index: number): boolean =>
      into.origins[into.originIndexes[index]!] !== undefined &&
      [into.lsns, into.stamps, into.seqs, into.keyLengths].every((column) => column[index]! > 0);
    expect(Array.from({ length: into.count }, (_, index) => isGood(index))).not.toContain(false);
  };
  for (let length = 0; length < good.length; length += 1) {
    expect(() => decodeRun(good.subarray(0, length), into)).toThrow(DecodeError);
  }
  expect(() => decodeRun(Buffer.concat([good, Buffer.alloc(1)]), into)).toThrow(DecodeError);
  for (let at = 0; at < good.length; at += 1) {
    for (const change of [1, 0x80, 0xff]) {
      const bytes = good.slice();
      bytes[at]! ^= change;
      attempt(bytes);
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), attempt));
});
