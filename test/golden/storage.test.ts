/**
 * A small store, byte by byte as it is on disks: logs and snapshots of format 1 and 2. If this fails, old directories cannot be read any more:
 * raise the format version and add files, never change these.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { MemoryDisk } from "../../src/storage/memory-disk.ts";
import type { Entry, NodeId, Origin } from "../../src/types.ts";
import { commit, contentsOf, countingRandom, DIRECTORY, open, type OpenedStore, put } from "../models/store-harness.ts";
import { readLog, readSnapshot } from "./storage/independent-reader.ts";

const LOG = "0000000002.log";
const SNAPSHOT = "0000000002.snapshot";
/** Files of one store, the formats of its log and of its snapshot in their names. Only the last ones are still written. */
const STORES = ["log-1.snapshot-1", "log-1.snapshot-2", "log-2.snapshot-2"].map((formats) => ({
  formats,
  log: `${formats.slice(0, 5)}.log`,
  snapshot: `${formats}.snapshot`,
}));
const WRITTEN = STORES[2]!;
const OTHER = "other/00000000000000bb" as Origin;

async function write(): Promise<{ disk: MemoryDisk; opened: OpenedStore }> {
  const disk = new MemoryDisk();
  const opened = await open(disk, { random: countingRandom(), nodeId: "näme" as NodeId });
  const { state, store } = opened;
  await commit(opened, [{ type: "lease", stamp: 2 ** 50 }]);
  const foreign: Entry = {
    key: Buffer.from("ö"),
    value: Buffer.alloc(0),
    stamp: 2 ** 49,
    origin: OTHER,
    seq: 300,
    expiresAt: 0,
  };
  await commit(opened, [
    put(state, 1, "a", "one"),
    { type: "set", entry: foreign },
    { type: "cover", origin: OTHER, seq: 300 },
  ]);
  await commit(opened, [put(state, 2, "b", null)]);
  await store.checkpoint();
  const expiring: Entry = {
    key: Buffer.from("c"),
    value: Buffer.from([0, 255]),
    stamp: 2 ** 48,
    origin: state.origin,
    seq: 3,
    expiresAt: 2 ** 41,
  };
  await commit(opened, [
    { type: "set", entry: expiring },
    put(state, 4, "a", "two"),
    put(state, 5, "d", "x".repeat(200)),
  ]);
  await commit(opened, [
    { type: "expire", key: Buffer.from("c"), origin: state.origin, seq: 3 },
    { type: "ack", peer: "other" as NodeId, origin: state.origin, seq: 4 },
  ]);
  await commit(opened, [{ type: "rotate", epoch: "ffffffffffffff01" as never }]);
  return { disk, opened };
}

const golden = (name: string): Buffer =>
  Buffer.from(readFileSync(new URL(`storage/${name}.hex`, import.meta.url), "utf8").replaceAll(/\s/g, ""), "hex");

test.each([
  [LOG, WRITTEN.log],
  [SNAPSHOT, WRITTEN.snapshot],
])("%s is written as %s always was", async (name, as) => {
  const { disk, opened } = await write();
  await opened.store.close();
  expect(hexOf(disk.bytesOf(`${DIRECTORY}/${name}`))).toEqual(hexOf(golden(as)));
});

test.each(STORES)("the golden files of $formats open", async ({ log, snapshot }) => {
  const { opened } = await write();
  const disk = new MemoryDisk();
  await disk.makeDirectory(DIRECTORY);
  disk.put(`${DIRECTORY}/${LOG}`, golden(log));
  disk.put(`${DIRECTORY}/${SNAPSHOT}`, golden(snapshot));
  const readOnly = await open(disk, { nodeId: "näme" as NodeId, readOnly: true });
  expect(contentsOf(readOnly.state)).toEqual(contentsOf(opened.state));
  expect(readOnly.state.table.digestRoot()).toBe(opened.state.table.digestRoot());
  expect((await disk.list(DIRECTORY)).sort()).toEqual([LOG, SNAPSHOT]);
});

test("a segment of format 1 is written to no more once there is another one", async () => {
  const disk = new MemoryDisk();
  await disk.makeDirectory(DIRECTORY);
  disk.put(`${DIRECTORY}/${LOG}`, golden("log-1.log"));
  disk.put(`${DIRECTORY}/${SNAPSHOT}`, golden("log-1.snapshot-2.snapshot"));
  const opened = await open(disk, { nodeId: "näme" as NodeId });
  const { origin } = opened.state;
  await commit(opened, [{ type: "uncover", origin, seq: 0 }, put(opened.state, 1, "e", "three")]);
  await opened.store.close();
  const old = readLog(Buffer.from(disk.bytesOf(`${DIRECTORY}/${LOG}`)));
  expect([old.records.length, old.marks]).toEqual([4, ["closed", "sealed"]]);
  const next = readLog(Buffer.from(disk.bytesOf(`${DIRECTORY}/0000000003.log`)));
  expect(next.records[0]?.ops).toMatchObject([{ uncover: 0, origin }, { key: "e" }]);
});

describe("a reader that shares no code with the store, written after FORMAT.md,", () => {
  test.each(STORES)("reads the log of $formats", ({ log }) => {
    const { header, records, marks } = readLog(golden(log));
    expect(header).toMatchObject({
      number: 2,
      records: 4,
      lsn: 3,
      nodeId: "näme",
      clusterId: "test",
      epoch: "0000000000000002",
    });
    expect(records.map(({ lsn }) => lsn)).toEqual([3, 6, 6]);
    expect(marks).toEqual(["closed"]);
    const origin = "näme/0000000000000002";
    expect(records[0]?.ops).toEqual([
      { key: "c", value: "00ff", stamp: 2 ** 48, origin, seq: 3, expiresAt: 2 ** 41 },
      { key: "a", value: "74776f", stamp: 1004, origin, seq: 4, expiresAt: 0 },
      { key: "d", value: "78".repeat(200), stamp: 1005, origin, seq: 5, expiresAt: 0 },
    ]);
    expect(records[1]?.ops).toEqual([
      { expire: "c", origin, seq: 3 },
      { ack: "other", origin, seq: 4 },
    ]);
    expect(records[2]?.ops).toEqual([{ rotate: "ffffffffffffff01" }]);
  });

  test.each(STORES)("reads the snapshot of $formats", ({ formats, snapshot }) => {
    const { header, ops, entries, order, unordered, footer } = readSnapshot(golden(snapshot));
    expect(header).toMatchObject({ number: 2, records: 4, lsn: 3, nodeId: "näme" });
    const origin = "näme/0000000000000002";
    expect(ops).toEqual([
      { lease: 2 ** 50 },
      { cover: 2, origin },
      { cover: 300, origin: OTHER },
    ]);
    expect(entries).toEqual([
      { lsn: 1, key: "a", value: "6f6e65", stamp: 1001, origin, seq: 1, expiresAt: 0 },
      { lsn: 2, key: "ö", value: "", stamp: 2 ** 49, origin: OTHER, seq: 300, expiresAt: 0 },
      { lsn: 3, key: "b", value: null, stamp: 1002, origin, seq: 2, expiresAt: 0 },
    ]);
    // Keys have an order since format 2, tombstones never.
    expect([order, unordered]).toEqual([formats.endsWith("snapshot-1") ? [] : [0, 1], []]);
    expect(footer).toEqual({ entries: 3, required: 4, endLsn: 3 });
  });
});

/** Lines of 32 bytes, so that a difference shows where it is. */
function hexOf(bytes: Uint8Array): string[] {
  return (
    Buffer.from(bytes)
      .toString("hex")
      .match(/.{1,64}/g) ?? []
  );
}
