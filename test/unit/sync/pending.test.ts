import { expect, test } from "vitest";
import { CoreState } from "../../../src/core/core-state.ts";
import type { StateOp } from "../../../src/core/ops.ts";
import { READY_BYTES_MAX, READY_OPS_MAX, READY_TRANSFER_OPS_MAX } from "../../../src/limits.ts";
import { Pending, type Unit } from "../../../src/sync/pending.ts";
import { type Entry, type Epoch, makeOrigin, type NodeId } from "../../../src/types.ts";

const origin = (name: string) => makeOrigin(name as NodeId, "00000000000000aa" as Epoch);
const OWN = origin("own");
const OTHER = origin("other");
const KEY_BYTES = 4;

function start() {
  const state = new CoreState(OWN);
  const pending = new Pending(state);
  let seq = 0;
  const claim = (seq: number): StateOp => ({ type: "cover", origin: OTHER, seq });
  /** A unit of so many operations that take next to no bytes. */
  const claims = (count: number, via?: number): void => {
    const ops = Array.from({ length: count }, () => claim(++seq));
    add({ ops, batch: { entries: [], via }, changes: [] });
  };
  /** Executes and adds a unit of one write, whose key and value have so many bytes together. */
  const write = (bytes: number, via?: number): void => {
    seq += 1;
    const key = new TextEncoder().encode(String(seq).padStart(KEY_BYTES, "0"));
    const value = new Uint8Array(bytes - KEY_BYTES);
    const entry = { key, value, stamp: seq, origin: via === undefined ? OWN : OTHER, seq, expiresAt: 0 };
    add({ ops: [{ type: "set", entry }], batch: { entries: [entry], via }, changes: [] });
  };
  const add = (unit: Unit, isPatient?: boolean): void => {
    for (const op of unit.ops) state.execute(op);
    pending.add(unit, isPatient);
  };
  return { pending, write, add, claims };
}

/** By their numbers: what differs is megabytes. */
const seqsOf = (entries: readonly Entry[]): number[] => entries.map(({ seq }) => seq);
const setsOf = (ops: readonly StateOp[] = []): number[] =>
  seqsOf(ops.flatMap((op) => (op.type === "set" ? [op.entry] : [])));

test("units share a record up to the bytes that it takes, each as a batch of its own", () => {
  const { pending, write } = start();
  write(READY_BYTES_MAX - 10);
  write(10);
  write(10);
  const taken = pending.take();
  expect(setsOf(taken?.ops)).toEqual([1, 2]);
  expect(taken?.batches.map(({ entries }) => seqsOf(entries))).toEqual([[1], [2]]);
  expect([taken?.lsn, taken?.end]).toEqual([0, 2]);
  expect(taken?.coverage).toEqual([[OWN, 2]]);
  expect(pending.isDue).toBe(true);
  const next = pending.take();
  expect(setsOf(next?.ops)).toEqual([3]);
  expect([next?.lsn, next?.end]).toEqual([2, 3]);
  expect(next?.coverage).toEqual([[OWN, 3]]);
  expect(pending.isDue).toBe(false);
  expect(pending.take()).toBeUndefined();
});

test("one byte more, and the unit begins the next record", () => {
  const { pending, write } = start();
  write(READY_BYTES_MAX - 10);
  write(11);
  expect(setsOf(pending.take()?.ops)).toEqual([1]);
  expect(setsOf(pending.take()?.ops)).toEqual([2]);
});

test("units share a record up to the operations that it takes, however small they are", () => {
  const { pending, claims } = start();
  claims(READY_OPS_MAX - 1);
  for (let n = 0; n < 3; n += 1) claims(1);
  claims(READY_OPS_MAX);
  claims(READY_OPS_MAX + 1);
  const sizes: number[] = [];
  for (let taken = pending.take(); taken !== undefined; taken = pending.take()) sizes.push(taken.ops.length);
  expect(sizes).toEqual([READY_OPS_MAX, 2, READY_OPS_MAX, READY_OPS_MAX + 1]);
});

test("of what peers have sent a record takes less, also behind what is ours", () => {
  const { pending, claims } = start();
  claims(READY_TRANSFER_OPS_MAX - 1, 1);
  claims(1, 1);
  claims(1, 1);
  claims(READY_TRANSFER_OPS_MAX);
  claims(1, 1);
  const sizes = [pending.take(), pending.take(), pending.take()].map((taken) => taken?.ops.length);
  expect(sizes).toEqual([READY_TRANSFER_OPS_MAX, READY_TRANSFER_OPS_MAX + 1, 1]);
});

test("a unit above that has a record of its own", () => {
  const { pending, write } = start();
  for (const bytes of [10, READY_BYTES_MAX + 1, 10]) write(bytes);
  for (const seq of [1, 2, 3]) expect(setsOf(pending.take()?.ops)).toEqual([seq]);
});

test("what is taken takes no more units", () => {
  const { pending, write } = start();
  write(10);
  const taken = pending.take();
  write(10);
  expect(taken?.ops).toHaveLength(1);
  expect(taken?.batches).toHaveLength(1);
  expect(setsOf(pending.take()?.ops)).toEqual([2]);
});

test("coverage grows by our own writes and by claims of peers, of each origin by the highest; not by what peers bring", () => {
  const { pending, write, add } = start();
  const cover = (seq: number): Unit => {
    return { ops: [{ type: "cover", origin: OTHER, seq }], batch: { entries: [], via: 1 }, changes: [] };
  };
  write(10);
  add(cover(7));
  write(10, 1);
  add(cover(6));
  write(10);
  const coverage = pending.take()?.coverage;
  expect(new Map(coverage)).toEqual(
    new Map([
      [OWN, 3],
      [OTHER, 7],
    ]),
  );
  expect(coverage).toHaveLength(2);
  write(10, 1);
  expect(pending.take()?.coverage).toEqual([]);
});

/** What nobody waits for. */
const bookkeeping = (): Unit => ({
  ops: [{ type: "ack", peer: "other" as NodeId, origin: OWN, seq: 1 }],
  batch: { entries: [], via: undefined },
  changes: [],
});

test("what nobody waits for is no record of its own, and goes with the next one in its order", () => {
  const { pending, write, add } = start();
  add(bookkeeping(), true);
  expect(pending.isDue).toBe(false);
  expect(pending.take()).toBeUndefined();
  write(10);
  expect(pending.isDue).toBe(true);
  add(bookkeeping(), true);
  expect(pending.take()?.ops.map(({ type }) => type)).toEqual(["ack", "set", "ack"]);
  expect(pending.take()).toBeUndefined();
});

test("it becomes one when it is hurried, or has no room for what comes next", () => {
  const { pending, write, add } = start();
  pending.hurry();
  expect(pending.isDue).toBe(false);
  add(bookkeeping(), true);
  pending.hurry();
  expect(pending.isDue).toBe(true);
  expect(pending.take()?.ops).toHaveLength(1);
  add(bookkeeping(), true);
  write(READY_BYTES_MAX + 1);
  expect(pending.take()?.ops).toHaveLength(1);
  expect(setsOf(pending.take()?.ops)).toEqual([1]);
  expect(pending.isDue).toBe(false);
});
