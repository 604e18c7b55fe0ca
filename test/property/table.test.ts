import fc from "fast-check";
import { expect, test } from "vitest";
import { EntryTable, NO_SLOT, type Range, type RowCursor } from "../../src/core/table.ts";
import { VersionVector } from "../../src/core/version-vector.ts";
import { DIGEST_BUCKETS } from "../../src/limits.ts";
import type { Entry, Origin } from "../../src/types.ts";
import { NaiveTable } from "../models/naive-table.ts";

// Few keys, so that they meet; some are prefixes of others, some differ behind a shared run, some are reserved.
const keyArbitrary = fc
  .constantFrom(
    ...["a", "aa", "aaaa", "aaaaaaab", "aaaaaaac", "aaaaaaac\0", "b", "b\0", "c/long/shared/1", "c/long/shared/2", "z"],
    ...["\u{10ffff}"],
  )
  .map((text) => Uint8Array.from(Buffer.from(text)));
const anyKey = fc.oneof(
  { weight: 8, arbitrary: keyArbitrary },
  { weight: 2, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 6 }) },
  { weight: 1, arbitrary: fc.constantFrom(Uint8Array.of(0xff), Uint8Array.of(0xff, 1), Uint8Array.of(0xfe, 0xff)) },
);
const origin = fc.constantFrom(
  ...["a/0000000000000001", "a/0000000000000002", "b/0000000000000001", "ö/00000000000000ff"],
);
const entryArbitrary: fc.Arbitrary<Entry> = fc.record({
  key: anyKey,
  value: fc.option(fc.uint8Array({ maxLength: 40, size: "max" }), { nil: null, freq: 4 }),
  stamp: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  origin: origin as fc.Arbitrary<Origin>,
  seq: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constant(Number.MAX_SAFE_INTEGER)),
  expiresAt: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 30 })),
});
const rangeArbitrary: fc.Arbitrary<Range> = fc.record(
  { gt: anyKey, gte: anyKey, lt: anyKey, lte: anyKey, reverse: fc.boolean() },
  { requiredKeys: [] },
);

type Command =
  | { readonly type: "set"; readonly entry: Entry; readonly lsnStep: number }
  | { readonly type: "expire" | "remove"; readonly key: Uint8Array }
  | { readonly type: "open"; readonly range: Range; readonly kind: "range" | "rows" }
  | { readonly type: "advance"; readonly view: number; readonly steps: number }
  | { readonly type: "close"; readonly view: number };

const commands = fc.array(
  fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({
        type: fc.constant("set" as const),
        entry: entryArbitrary,
        lsnStep: fc.constantFrom(1, 2, 2 ** 33),
      }),
    },
    { weight: 4, arbitrary: fc.record({ type: fc.constantFrom("expire" as const, "remove" as const), key: anyKey }) },
    {
      weight: 2,
      arbitrary: fc.record({
        type: fc.constant("open" as const),
        range: rangeArbitrary,
        kind: fc.constantFrom("range" as const, "rows" as const),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        type: fc.constant("advance" as const),
        view: fc.nat(),
        steps: fc.integer({ min: 1, max: 3 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ type: fc.constant("close" as const), view: fc.nat() }) },
  ),
  { minLength: 1, maxLength: 120, size: "max" },
);

/** Rows are compared as they come, since they stay what they are only until the next change. */
type Row = Pick<Entry, "key" | "value" | "expiresAt">;

interface View {
  readonly iterator: IterableIterator<Entry | Row, undefined>;
  readonly expected: (Entry | Row)[];
}

function rowsOf(cursor: RowCursor): IterableIterator<Row, undefined> {
  return {
    next() {
      if (!cursor.advance()) return { done: true, value: undefined };
      const { bytes, keyStart, valueStart, end, expiresAt } = cursor;
      return {
        done: false,
        value: { key: bytes.slice(keyStart, valueStart), value: bytes.slice(valueStart, end), expiresAt },
      };
    },
    return() {
      cursor.return();
      return { done: true, value: undefined };
    },
    [Symbol.iterator]() {
      return this;
    },
  };
}

function rowOf({ key, value, expiresAt }: Entry | Row): Row {
  return { key, value, expiresAt };
}

test("does what the naive model does, and open views stay what they were", () => {
  fc.assert(
    fc.property(commands, fc.array(fc.tuple(origin, fc.nat(20))), rangeArbitrary, (script, pairs, range) => {
      const table = new EntryTable();
      const model = new NaiveTable();
      const views: View[] = [];
      for (const command of script) run(command, table, model, views);
      for (const { iterator, expected } of views) {
        const rest = [...iterator];
        expect(expected[0] && !("stamp" in expected[0]) ? rest.map(rowOf) : rest).toEqual(expected);
      }
      expect(table.openViews).toBe(0);
      expectSame(table, model, new VersionVector(pairs as [Origin, number][]), range);
    }),
    { numRuns: 250 },
  );
});

function run(command: Command, table: EntryTable, model: NaiveTable, views: View[]): void {
  switch (command.type) {
    case "set": {
      const lsn = table.lastLsn + command.lsnStep;
      const slot = table.find(command.entry.key);
      const taken = table.set(command.entry, lsn);
      if (slot !== NO_SLOT) expect(taken).toBe(slot);
      model.set(command.entry, lsn);
      return;
    }
    case "expire":
    case "remove": {
      const slot = table.find(command.key);
      if (slot === NO_SLOT) return;
      table[command.type](slot);
      model[command.type](command.key);
      return;
    }
    case "open":
      if (command.kind === "range") {
        views.push({
          iterator: table.range(command.range) as IterableIterator<Entry, undefined>,
          expected: model.range(command.range),
        });
      } else {
        views.push({ iterator: rowsOf(table.rows(command.range)), expected: model.range(command.range).map(rowOf) });
      }
      return;
    case "advance": {
      const view = views[command.view % views.length];
      for (let step = 0; view && step < command.steps; step += 1) {
        const expected = view.expected.shift();
        const { done, value } = view.iterator.next();
        expect(done === true).toBe(expected === undefined);
        expect(value && expected && !("stamp" in expected) ? rowOf(value) : value).toEqual(expected);
      }
      return;
    }
    case "close": {
      const view = views[command.view % views.length];
      view?.iterator.return?.();
      view?.expected.splice(0);
      return;
    }
  }
}

function expectSame(table: EntryTable, model: NaiveTable, vector: VersionVector, range: Range): void {
  expect(countsOf(table)).toEqual(countsOf(model));
  for (const { entry, lsn } of model.held) {
    const slot = table.find(entry.key);
    expect(table.entryAt(slot)).toEqual(entry);
    expect([table.lsnAt(slot), table.isTombstone(slot)]).toEqual([lsn, entry.value === null]);
  }
  const starts = [0, ...model.held.map(({ lsn }) => lsn), ...model.held.map(({ lsn }) => lsn - 1)];
  for (const after of starts) expect(changes(table, after)).toEqual(model.changes(after).map(({ lsn }) => lsn));
  expect(changes(table, 0, vector)).toEqual(model.changes(0, vector).map(({ lsn }) => lsn));
  expect([...table.range(range)]).toEqual(model.range(range));
  expect([...rowsOf(table.rows(range))]).toEqual(model.range(range).map(rowOf));
  expect(table.digestRoot()).toBe(model.digest());
  let inBuckets = 0;
  for (let index = 0; index < DIGEST_BUCKETS; index += 1) {
    const slots = [...table.slotsOfBucket(index)];
    inBuckets += slots.length;
    // A plain comparison first: 2,048 expectations per run would take most of the time.
    if (slots.length === 0 && table.digestBucket(index) === "0".repeat(16)) continue;
    const held = model.bucket(index);
    expect(slots.map((slot) => table.lsnAt(slot)).sort()).toEqual(held.map(({ lsn }) => lsn).sort());
    expect(table.digestBucket(index)).toBe(model.digest(held));
  }
  expect(inBuckets).toBe(model.size);
  for (const now of [0, 15, 30]) {
    const due = model.expired(now);
    const slots = table.expired(now, 1000);
    expect(slots.map((slot) => table.expiresAt(slot))).toEqual(due.map(({ expiresAt }) => expiresAt));
    expect(new Set(slots)).toEqual(new Set(due.map(({ key }) => table.find(key))));
    expect(table.expired(now, 2)).toEqual(slots.slice(0, 2));
  }
}

function countsOf({ size, live, tombstones, bytes, lastLsn }: EntryTable | NaiveTable): number[] {
  return [size, live, tombstones, bytes, lastLsn];
}

function changes(table: EntryTable, after: number, vector?: VersionVector): number[] {
  const lsns: number[] = [];
  for (let slot = table.nextChange(after, vector); slot !== NO_SLOT; slot = table.nextChange(lsns.at(-1)!, vector)) {
    lsns.push(table.lsnAt(slot));
  }
  return lsns;
}
