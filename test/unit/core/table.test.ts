import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { EntryTable, NO_SLOT } from "../../../src/core/table.ts";
import { VersionVector } from "../../../src/core/version-vector.ts";
import { InvariantError } from "../../../src/invariant.ts";
import type { Entry, Origin } from "../../../src/types.ts";
import { randomBelow } from "./random-below.ts";

const ORIGIN = "a/0000000000000001" as Origin;

function entry(key: string, overrides: Partial<Entry> = {}): Entry {
  const value = Uint8Array.from(Buffer.from(`value of ${key}`));
  return { key: bytes(key), value, stamp: 1, origin: ORIGIN, seq: 1, expiresAt: 0, ...overrides };
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text));
}

function keysOf(entries: Iterable<Entry>): string[] {
  return Array.from(entries, ({ key }) => Buffer.from(key).toString());
}

function filled(count: number, keyOf: (index: number) => string): EntryTable {
  const table = new EntryTable();
  for (let index = 0; index < count; index += 1) table.set(entry(keyOf(index), { seq: index + 1 }), index + 1);
  return table;
}

const numbered = (index: number): string => `user/${String(index).padStart(8, "0")}`;
/** Shuffles 0 to 9,999. */
const shuffled = (index: number): number => (index * 7_919) % 10_000;

test.each([
  ["ascending", (index: number) => numbered(index)],
  ["descending", (index: number) => numbered(9_999 - index)],
  ["shuffled", (index: number) => numbered(shuffled(index))],
  ["in runs under several prefixes", (index: number) => `${index % 7}/${numbered(index)}`],
  [
    "of many lengths, one a part of the next",
    (index: number) => `${shuffled(index) % 100}`.repeat(1 + (index % 40)) + String(index),
  ],
])("10,000 keys that come %s are in order both ways, from anywhere", (_, keyOf) => {
  const table = filled(10_000, keyOf);
  const sorted = Array.from({ length: 10_000 }, (__, index) => keyOf(index)).sort();
  expect(keysOf(table.range())).toEqual(sorted);
  expect(keysOf(table.range({ reverse: true }))).toEqual(sorted.toReversed());
  for (let from = 0; from < 10_000; from += 131) {
    const to = Math.min(from + 700, 9_999);
    const [low, high] = [bytes(sorted[from]!), bytes(sorted[to]!)];
    expect(keysOf(table.range({ gte: low, lte: high }))).toEqual(sorted.slice(from, to + 1));
    expect(keysOf(table.range({ gt: low, lt: high, reverse: true }))).toEqual(sorted.slice(from + 1, to).reverse());
  }
});

test("a table against a Map through 60,000 random changes", () => {
  const table = new EntryTable();
  const model = new Map<string, Entry & { lsn: number }>();
  const random = randomBelow(7);
  for (let lsn = 1; lsn <= 60_000; lsn += 1) {
    const key = numbered(random(8_000) + (lsn > 40_000 ? 4_000 : 0));
    const slot = table.find(bytes(key));
    if (random(4) === 0 && slot !== NO_SLOT) {
      table.remove(slot);
      model.delete(key);
    } else {
      const value = random(5) === 0 ? null : new Uint8Array(random(90)).fill(lsn);
      const next = entry(key, { value, seq: lsn, stamp: lsn, expiresAt: random(3) === 0 ? 1 + random(1000) : 0 });
      table.set(next, lsn);
      model.set(key, { ...next, lsn });
    }
  }
  const byKey = [...model.values()].sort((a, b) => Buffer.compare(a.key, b.key));
  expect(table.size).toBe(model.size);
  expect(byKey.every((held) => Buffer.compare(table.keyAt(table.find(held.key)), held.key) === 0)).toBe(true);
  const visible = byKey.filter(({ value }) => value !== null).map(({ lsn: _, ...held }) => held);
  expect([...table.range()]).toEqual(visible);

  const lsns: number[] = [];
  let slot = table.nextChange(0);
  for (; slot !== NO_SLOT; slot = table.nextChange(lsns.at(-1)!)) lsns.push(table.lsnAt(slot));
  expect(lsns).toEqual(byKey.map(({ lsn }) => lsn).sort((a, b) => a - b));

  const due = visible.filter(({ expiresAt }) => expiresAt > 0 && expiresAt <= 500).map(({ expiresAt }) => expiresAt);
  expect(table.expired(500, 1e6).map((at) => table.expiresAt(at))).toEqual(due.sort((a, b) => a - b));

  const other = new EntryTable();
  for (const [index, held] of byKey.entries()) other.set(held, index + 1);
  expect(other.digestRoot()).toBe(table.digestRoot());
  for (const held of byKey) other.remove(other.find(held.key));
  expect([other.digestRoot(), other.size, other.bytes]).toEqual(["0".repeat(16), 0, 0]);
  expect([...other.range()]).toEqual([]);
});

test.each([
  ["the key", { key: bytes("l") }],
  ["the value", { value: bytes("value of l") }],
  ["a tombstone for an empty value", { value: null }],
  ["the stamp", { stamp: 2 ** 32 + 1 }],
  ["the origin", { origin: "a/0000000000000002" as Origin }],
  ["the seq", { seq: 2 ** 40 + 1 }],
  ["the expiry", { expiresAt: 1 }],
])("the digest sees %s", (_, overrides) => {
  const [table, other] = [new EntryTable(), new EntryTable()];
  table.set(entry("k"), 1);
  other.set(entry("k", overrides), 1);
  expect(other.digestRoot()).not.toBe(table.digestRoot());
});

test("the digest tells where the key ends and the value begins", () => {
  const [table, other] = [new EntryTable(), new EntryTable()];
  table.set(entry("ab", { value: bytes("c") }), 1);
  other.set(entry("a", { value: bytes("bc") }), 1);
  expect(other.digestRoot()).not.toBe(table.digestRoot());
});

test("keeps keys of 1 and 1,024 bytes and values of 0 bytes and 1 MiB, whole, as copies", () => {
  const table = new EntryTable();
  const keys = ["k", "k".repeat(1_024)];
  const values = [new Uint8Array(0), new Uint8Array(2 ** 20).fill(1)];
  for (const value of [...values, ...values.toReversed()]) {
    for (const key of keys) {
      const handedIn = entry(key, { value: value.slice() });
      table.set(handedIn, table.lastLsn + 1);
      handedIn.key.fill(0);
      handedIn.value?.fill(0);
      const slot = table.find(bytes(key));
      expect(table.bytes).toBe([...table.range()].reduce((sum, held) => sum + held.key.length + held.value!.length, 0));
      expect(Buffer.compare(table.valueAt(slot)!, value)).toBe(0);
    }
  }
});

test("an iteration shows the state as of its call while everything is overwritten, deleted, removed and added", () => {
  for (const reverse of [false, true]) {
    const table = filled(3_000, numbered);
    const before = [...table.range({ reverse })];
    const view = table.range({ reverse });
    const seen: Entry[] = [];
    for (let step = 0; step < 3_000; step += 1) {
      const next = view.next();
      if (next.done !== true) seen.push(next.value);
      // Changes ahead of the iteration and behind it.
      for (const index of [(step * 37) % 3_000, 2_999 - step]) {
        const slot = table.find(bytes(numbered(index)));
        if (step % 3 === 0 && slot !== NO_SLOT) table.remove(slot);
        else table.set(entry(numbered(index), { value: step % 3 === 1 ? null : bytes("new") }), table.lastLsn + 1);
      }
      table.set(entry(`${numbered(step)}/new`), table.lastLsn + 1);
    }
    expect(seen).toEqual(before);
    expect(view.next()).toEqual({ done: true, value: undefined });
    expect(view.next()).toEqual({ done: true, value: undefined });
    expect(table.openViews).toBe(0);
  }
});

test("what an iteration yielded stays as it was", () => {
  const table = filled(10, numbered);
  const [first] = table.range();
  const copy = structuredClone(first);
  for (let lsn = 11; lsn < 2_000; lsn += 1) table.set(entry(numbered(lsn % 10), { value: new Uint8Array(lsn) }), lsn);
  expect(first).toEqual(copy);
});

test("an iteration that stops early is over, and one that is dropped takes no memory for ever", async () => {
  const table = filled(10, numbered);
  for (const _ of table.range()) break;
  expect(table.openViews).toBe(0);

  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const drop = (views: number): void => {
    for (let view = 0; view < views; view += 1) {
      table.range().next();
      table.rows().advance();
    }
  };
  const collected = async (left: number): Promise<void> => {
    for (let turn = 0; turn < 1_000 && table.openViews > left; turn += 1) {
      collect();
      await setImmediate();
    }
    expect(table.openViews).toBe(left);
  };
  // Few that nothing has been saved for may stay: the first change lets go of them.
  drop(1);
  expect(table.openViews).toBe(2);
  table.set(entry(numbered(5)), 11);
  await collected(0);
  drop(500);
  expect(table.openViews).toBe(1000);
  await collected(1000 % 64);
  table.expire(table.find(entry(numbered(6)).key));
  await collected(0);
});

test("reserved entries count neither as live nor as tombstones, and show only to who names them", () => {
  const table = filled(2, numbered);
  const reserved = Uint8Array.of(0xff, 1);
  const slot = table.set({ ...entry("x"), key: reserved }, 3);
  expect([table.size, table.live, table.tombstones]).toEqual([3, 2, 0]);
  expect([...table.range()].length).toBe(2);
  expect([...table.range({ gte: bytes("user/") })].length).toBe(2);
  expect([...table.range({ reverse: true })].length).toBe(2);
  expect([...table.range({ gte: Uint8Array.of(0xff) })].map(({ key }) => key)).toEqual([reserved]);
  expect([...table.range({ lte: reserved, reverse: true })].length).toBe(3);
  expect([...table.range({ lt: Uint8Array.of(0xff) })].length).toBe(2);
  table.expire(slot);
  expect([table.size, table.live, table.tombstones]).toEqual([3, 2, 0]);
});

test("expire leaves a tombstone with the same order, lsn and expiry, which no longer waits", () => {
  const table = new EntryTable();
  const held = entry("k", { expiresAt: 10, seq: 5 });
  const slot = table.set(held, 3);
  expect(table.expired(9, 10)).toEqual([]);
  expect(table.expired(10, 10)).toEqual([slot]);
  table.expire(slot);
  expect(table.expired(10, 10)).toEqual([]);
  expect(table.entryAt(slot)).toEqual({ ...held, value: null });
  expect([table.lsnAt(slot), table.nextChange(2), table.digestRoot()]).toEqual([3, slot, "0".repeat(16)]);
  expect([table.live, table.tombstones, [...table.range()]]).toEqual([0, 1, []]);
  // Once more changes nothing.
  table.expire(slot);
  expect([table.live, table.tombstones]).toEqual([0, 1]);
});

test("catch-up passes by what the peer covers without a look at each entry", () => {
  const asked: Origin[] = [];
  class AskedVector extends VersionVector {
    override get(origin: Origin): number {
      asked.push(origin);
      return super.get(origin);
    }
  }
  const table = filled(50_000, numbered);
  const vector = new AskedVector([[ORIGIN, 49_000]]);
  asked.length = 0;
  const seqs: number[] = [];
  for (let slot = table.nextChange(0, vector); slot !== NO_SLOT; slot = table.nextChange(table.lsnAt(slot), vector)) {
    seqs.push(table.seqAt(slot));
  }
  expect(seqs).toEqual(Array.from({ length: 1_000 }, (_, index) => 49_001 + index));
  // Once per chunk and once per change, not once per entry.
  expect(asked.length).toBeLessThan(1_200);
});

test("thousands of origins come and go, and their numbers are used again", () => {
  const table = new EntryTable();
  for (let round = 0; round < 30; round += 1) {
    for (let index = 0; index < 3_000; index += 1) {
      const origin = `n${round}-${index}/0000000000000001` as Origin;
      table.set(entry(numbered(index), { origin }), table.lastLsn + 1);
    }
    expect(table.originAt(table.find(bytes(numbered(2_999))))).toBe(`n${round}-2999/0000000000000001`);
  }
  expect(table.nextChange(0, new VersionVector([["n29-0/0000000000000001" as Origin, 1]]))).toBe(
    table.find(bytes(numbered(1))),
  );
});

test("whether anything is beyond a vector is known by the highest write of each origin, also of what was loaded", () => {
  const other = "b/0000000000000002" as Origin;
  const vector = (own: number, others: number): VersionVector =>
    new VersionVector([
      [ORIGIN, own],
      [other, others],
    ]);
  const table = new EntryTable();
  expect(table.isWithin(new VersionVector())).toBe(true);
  table.set(entry("a", { seq: 5 }), 1);
  table.set(entry("b", { seq: 3 }), 2);
  table.set(entry("c", { seq: 7, origin: other }), 3);
  const judged = [vector(5, 7), vector(9, 9), vector(4, 7), vector(5, 6), new VersionVector([[ORIGIN, 5]])];
  expect(judged.map((coverage) => table.isWithin(coverage))).toEqual([true, true, false, false, false]);
  // What was beyond it once counts on, until no entry of its origin is left.
  table.set(entry("a", { seq: 4 }), 4);
  expect(table.isWithin(vector(4, 7))).toBe(false);
  table.remove(table.find(bytes("c")));
  expect(table.isWithin(vector(5, 0))).toBe(true);
});

test("an lsn that does not ascend is our own bug", () => {
  const table = filled(2, numbered);
  expect(() => table.set(entry("k"), 2)).toThrow(InvariantError);
  expect(table.set(entry("k"), 3)).not.toBe(NO_SLOT);
});

/** How long the pieces are that the order is kept in. */
function piecesOf(table: EntryTable): number[] {
  const lengths: number[] = [];
  let key: Uint8Array | undefined;
  for (let piece = table.orderAbove(key); piece !== undefined; piece = table.orderAbove(key)) {
    lengths.push(piece.cells.length / 2);
    key = table.keyAt(piece.cells.at(-1)!).slice();
  }
  return lengths;
}

test.each([
  ["nothing above them", 0],
  ["a key above them all", 1],
  ["many keys above them all", 300],
])("keys that come in order fill one piece of the order after the other, with %s", (_, above) => {
  const table = new EntryTable();
  let lsn = 0;
  for (let index = 0; index < above; index += 1) {
    lsn += 1;
    table.set({ ...entry("?"), key: Uint8Array.of(0xff, index >> 8, index & 0xff), seq: lsn }, lsn);
  }
  for (let index = 0; index < 10_240; index += 1) {
    lsn += 1;
    table.set(entry(numbered(index), { seq: lsn }), lsn);
    // Whoever reads puts in order what waits.
    if (index % 100 === 0) table.range({ reverse: true }).next();
  }
  expect(keysOf(table.range())).toEqual(Array.from({ length: 10_240 }, (__, index) => numbered(index)));
  expect(piecesOf(table).filter((length) => length < 512).length).toBeLessThanOrEqual(3);
});
