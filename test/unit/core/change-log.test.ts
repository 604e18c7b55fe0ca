import { expect, test } from "vitest";
import { ChangeLog } from "../../../src/core/change-log.ts";
import { Records } from "../../../src/core/records.ts";
import { NO_SLOT, type Slot } from "../../../src/core/rows.ts";
import { VersionVector } from "../../../src/core/version-vector.ts";
import type { Origin } from "../../../src/types.ts";
import { randomBelow } from "./random-below.ts";

const ORIGIN = "a/0000000000000001" as Origin;
const KEY = Uint8Array.of(1);

/** Positions of one chunk, as in the code. */
const CHUNK = 1024;

class Harness {
  readonly records = new Records();
  readonly log = new ChangeLog(this.records);
  readonly slots = new Map<number, Slot>();

  /** A write whose seq is its lsn. */
  add(lsn: number): void {
    const entry = { key: KEY, value: null, stamp: 1, origin: ORIGIN, seq: lsn, expiresAt: 0 };
    const slot = this.records.add(entry, 0, lsn);
    this.slots.set(lsn, slot);
    this.log.append(slot, lsn);
  }

  remove(lsn: number): void {
    this.records.remove(this.slots.get(lsn)!);
    this.slots.delete(lsn);
    this.log.leave(lsn);
  }

  expectWhole(coveredSeq: number): void {
    const vector = new VersionVector([[ORIGIN, coveredSeq]]);
    const lsns: number[] = [];
    let slot = this.log.next(0, vector);
    for (; slot !== NO_SLOT; slot = this.log.next(lsns.at(-1)!, vector)) lsns.push(this.records.rows.lsnAt(slot));
    expect(lsns).toEqual([...this.slots.keys()].filter((lsn) => lsn > coveredSeq));
  }
}

function filled(count: number): Harness {
  const harness = new Harness();
  for (let lsn = 1; lsn <= count; lsn += 1) harness.add(lsn);
  return harness;
}

test("a chunk that joins one with dead positions in it loses none", () => {
  const harness = filled(2 * CHUNK + 1);
  // 600 are left in the first chunk, too many to squeeze it; then 250 in the second: together they fit.
  for (let lsn = 601; lsn <= CHUNK; lsn += 1) harness.remove(lsn);
  for (let lsn = CHUNK + 1; lsn <= 2 * CHUNK - 250; lsn += 1) harness.remove(lsn);
  harness.expectWhole(0);
  expect(harness.log.capacity).toBe(2 * CHUNK);
});

test("a chunk that was squeezed and becomes the last one again is not passed by for what it held before", () => {
  const harness = filled(4 * CHUNK);
  for (let lsn = 4 * CHUNK; lsn > 100; lsn -= 1) harness.remove(lsn);
  for (let lsn = 5 * CHUNK; lsn < 5 * CHUNK + 50; lsn += 1) harness.add(lsn);
  harness.expectWhole(100);
  harness.expectWhole(5 * CHUNK);
});

test.each([2 ** 32 - 1, 2 ** 32, 2 ** 33])("lsns may be %i apart, and chunks that are do not join", (step) => {
  const harness = new Harness();
  // The gap is in the middle of a chunk.
  for (let lsn = 1; lsn <= 2.5 * CHUNK; lsn += 1) harness.add(lsn);
  for (let lsn = 2.5 * CHUNK; lsn <= 5 * CHUNK; lsn += 1) harness.add(lsn + step);
  for (const lsn of [...harness.slots.keys()]) if (lsn % 5 !== 0) harness.remove(lsn);
  harness.expectWhole(0);
  harness.expectWhole(2000);
});

test("memory stays in proportion to what is alive, in whatever order positions die", () => {
  const random = randomBelow(3);
  const harness = filled(20 * CHUNK);
  const lsns = [...harness.slots.keys()];
  for (let left = lsns.length; left > 0; left -= 1) {
    const at = random(left);
    harness.remove(lsns[at]!);
    lsns[at] = lsns[left - 1]!;
    if (left % 1000 !== 0) continue;
    harness.expectWhole(0);
    // Two neighbours together have more than one chunk's worth, or they would be joined.
    expect(harness.log.capacity).toBeLessThanOrEqual(2 * harness.slots.size + 3 * CHUNK);
  }
  expect(harness.log.capacity).toBe(0);
});
