import { expect, test } from "vitest";
import { MemoryDisk } from "../../../src/storage/memory-disk.ts";
import { FaultyDisk } from "../../models/faulty-disk.ts";
import {
  commit,
  contentsOf,
  countingRandom,
  DIRECTORY,
  type OpenedStore,
  open,
  put,
  valuesOf,
} from "../../models/store-harness.ts";

test("200 checkpoints and 40 reopenings leave as many files and bytes as the first ones", async () => {
  const disk = new MemoryDisk();
  let opened = await open(disk, { segmentBytes: 4_000 });
  const sizes: number[] = [];
  for (let round = 1; round <= 200; round++) {
    for (let n = 0; n < 5; n++) await commit(opened, [put(opened.state, 5 * round + n, `k${n}`, "v".repeat(50))]);
    await opened.store.checkpoint();
    if (round % 5 === 0) {
      await opened.store.close();
      opened = await open(disk, { segmentBytes: 4_000 });
    }
    const names = await disk.list(DIRECTORY);
    expect(names.filter((name) => name.endsWith(".snapshot")).length).toBeLessThanOrEqual(2);
    expect(names.filter((name) => name.endsWith(".log")).length).toBeLessThanOrEqual(4);
    expect(names.filter((name) => name.endsWith(".tmp"))).toEqual([]);
    sizes.push(disk.usedBytes);
  }
  // Sequence numbers get longer by a byte or two.
  expect(Math.max(...sizes.slice(-20))).toBeLessThan(Math.max(...sizes.slice(10, 30)) * 1.1);
  await opened.store.close();
});

test("a checkpoint without news writes nothing", async () => {
  const disk = new FaultyDisk(new MemoryDisk());
  const opened = await open(disk);
  await commit(opened, [put(opened.state, 1, "a", "1")]);
  await opened.store.checkpoint();
  const before = disk.calls.length;
  await opened.store.checkpoint();
  expect(disk.calls.slice(before)).toEqual([]);
  await opened.store.close();
});

test("checkpoints for which there is no space fail alone: appends go on, and nothing is left behind", async () => {
  const disk = new MemoryDisk();
  const opened = await open(disk);
  for (let n = 1; n <= 50; n++) await commit(opened, [put(opened.state, n, `k${n}`, "v".repeat(50))]);
  disk.capacityBytes = disk.usedBytes + 2_000;
  await expect(opened.store.checkpoint()).rejects.toMatchObject({ code: "ERR_STORAGE_FULL" });
  const used = disk.usedBytes;
  for (let n = 1; n <= 10; n++) {
    await expect(opened.store.checkpoint()).rejects.toMatchObject({ code: "ERR_STORAGE_FULL" });
  }
  expect(disk.usedBytes).toBe(used);
  expect((await disk.list(DIRECTORY)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  await commit(opened, [put(opened.state, 51, "after", "all")]);
  disk.capacityBytes = Number.POSITIVE_INFINITY;
  await opened.store.checkpoint();
  await opened.store.close();
  const again = await open(disk);
  expect(again.recovery).toMatchObject({ entries: 51, corrupt: false });
  await again.store.close();
});

test("the log is cut by itself once it outgrows the live entries, and overwriting for ever takes bounded space", async () => {
  const memory = new MemoryDisk();
  const warnings: unknown[] = [];
  const opened = await open(memory, {
    segmentBytes: 2_000,
    checkpointBytes: 10_000,
    durability: "os",
    onWarning: (message, error) => warnings.push([message, error]),
  });
  let most = 0;
  for (let n = 1; n <= 2_000; n++) {
    await commit(opened, [put(opened.state, n, `k${n % 10}`, "v".repeat(40))]);
    most = Math.max(most, memory.usedBytes);
  }
  // About 190 kB were appended. Two times the log since a snapshot, and a segment or two that are under way.
  expect(most).toBeGreaterThan(10_000);
  expect(most).toBeLessThan(40_000);
  expect(warnings).toEqual([]);
  const before = contentsOf(opened.state);
  await opened.store.close();
  const again = await open(memory);
  expect(contentsOf(again.state)).toEqual(before);
  await again.store.close();
});

/** The state runs ahead of the log, and keys are overwritten while the snapshot is under way. */
test("a snapshot that is overtaken by writers is complete with the log, and only with it", async () => {
  const memory = new MemoryDisk();
  const disk = new FaultyDisk(memory);
  const opened: OpenedStore = await open(disk, { durability: "os" });
  const { state, store } = opened;
  for (let n = 1; n <= 3_000; n++) await commit(opened, [put(state, n, `k${n}`, `first ${n}`)]);
  const slow = store.checkpoint();
  // The walk takes six blocks. Before it gets to them, keys of the later ones are overwritten, some in memory only.
  while (!disk.calls.some((call) => call.startsWith("write data/0000000002.snapshot.tmp"))) await Promise.resolve();
  const overwrites = Array.from({ length: 701 }, (_, index) => 1_500 + 2 * index);
  await commit(
    opened,
    overwrites.map((n) => put(state, 10_000 + n, `k${n}`, `second ${n}`)),
  );
  await slow;
  const before = contentsOf(state);
  const killed = memory.clone(true);
  const overtaken = Buffer.from(killed.bytesOf(`${DIRECTORY}/0000000002.snapshot`)).toString("latin1");
  expect(overtaken.includes("first 2900"), "an overwritten entry is not in the snapshot").toBe(false);
  expect(overtaken.includes("first 2901"), "its neighbour is").toBe(true);
  const again = await open(killed.clone(true));
  // Only the epoch is another one: the log was not closed.
  expect(again.recovery.why).toBe("unclean");
  expect({ ...contentsOf(again.state), origin: before.origin }).toEqual(before);

  // Without the end of the log that it rests on, the snapshot is not used: what is there is a prefix, not a mixture.
  const cut = killed.clone(true);
  const log = `${DIRECTORY}/0000000002.log`;
  cut.put(log, cut.bytesOf(log).slice(0, 400));
  const prefix = await open(cut, { random: countingRandom(500) });
  expect(prefix.recovery).toMatchObject({ corrupt: true, rotated: true, why: "damaged" });
  const values = valuesOf(prefix.state);
  expect(values.k2900, "the older version, from the log").toBe("first 2900");
  expect(Object.keys(values)).toHaveLength(3_000);
  await store.close();
});

test("what the state has executed and the log not yet taken is waited for", async () => {
  const disk = new MemoryDisk();
  const opened = await open(disk);
  const { state, store } = opened;
  await commit(opened, [put(state, 1, "a", "1")]);
  const lsn = state.lsn;
  const op = put(state, 2, "a", "2");
  state.execute(op);
  let isDone = false;
  const checkpoint = store.checkpoint().then(() => {
    isDone = true;
  });
  for (let turn = 0; turn < 500; turn++) await Promise.resolve();
  expect(isDone).toBe(false);
  expect(await disk.list(DIRECTORY)).not.toContain("0000000002.snapshot");
  await store.append([op], lsn);
  await checkpoint;
  const crashed = disk.clone(true);
  const again = await open(crashed);
  expect(valuesOf(again.state)).toEqual({ a: "2" });
  // And a close does not wait for what never comes.
  state.execute(put(state, 3, "b", "3"));
  await commit(again, [put(again.state, 3, "c", "3")]);
  again.state.execute(put(again.state, 4, "d", "4"));
  const abandoned = again.store.checkpoint();
  const rejected = expect(abandoned).rejects.toMatchObject({ code: "ERR_CLOSED" });
  for (let turn = 0; turn < 500; turn++) await Promise.resolve();
  await again.store.close();
  await rejected;
  expect((await open(crashed)).recovery).toMatchObject({ truncatedBytes: 0, corrupt: false });
});

test("read-only reads what is there, damaged or not, and changes nothing", async () => {
  const disk = new MemoryDisk();
  const first = await open(disk);
  await commit(first, [put(first.state, 1, "a", "1")]);
  await commit(first, [put(first.state, 2, "b", "2")]);
  disk.crash();
  const log = `${DIRECTORY}/0000000001.log`;
  disk.put(log, disk.bytesOf(log).slice(0, -3));
  const before = Buffer.from(disk.bytesOf(log)).toString("hex");
  const names = await disk.list(DIRECTORY);
  const opened = await open(disk, { readOnly: true });
  expect(valuesOf(opened.state)).toEqual({ a: "1" });
  expect(opened.recovery.truncatedBytes).toBeGreaterThan(0);
  await expect(commit(opened, [put(opened.state, 3, "c", "3")])).rejects.toMatchObject({ code: "ERR_READ_ONLY" });
  await expect(opened.store.flush()).rejects.toMatchObject({ code: "ERR_READ_ONLY" });
  await opened.store.close();
  expect(Buffer.from(disk.bytesOf(log)).toString("hex")).toBe(before);
  expect(await disk.list(DIRECTORY)).toEqual(names);
  await expect(open(new MemoryDisk(), { readOnly: true })).rejects.toMatchObject({ code: "ERR_OPTION" });
});

test("a copied directory takes a new epoch, once", async () => {
  const disk = new MemoryDisk();
  const first = await open(disk);
  const original = first.state.origin;
  await commit(first, [put(first.state, 1, "a", "1")]);
  await first.store.close();
  const copy = disk.clone();
  const opened = await open(copy, { random: countingRandom(300) });
  expect(opened.recovery).toMatchObject({ rotated: true, why: "copied", corrupt: false });
  expect(opened.state.origin).not.toBe(original);
  await opened.store.close();
  const again = await open(copy);
  expect(again.recovery).toMatchObject({ rotated: false });
  expect(again.state.origin).toBe(opened.state.origin);
  const untouched = await open(disk);
  expect(untouched.state.origin).toBe(original);
});

test("a nodeId that is not given is made once and kept", async () => {
  const disk = new MemoryDisk();
  const { nodeId: _given, ...options } = (await import("../../models/store-harness.ts")).storeOptions(disk);
  const { openStore } = await import("../../../src/storage/store.ts");
  const first = await openStore(options);
  expect(first.store.nodeId).toMatch(/^node-[0-9a-f]{16}$/);
  await first.store.close();
  const again = await openStore({ ...options, random: countingRandom(77) });
  expect(again.store.nodeId).toBe(first.store.nodeId);
});

test("long recoveries say how far they are", async () => {
  const disk = new MemoryDisk();
  const first = await open(disk, { durability: "os" });
  for (let n = 1; n <= 3; n++) {
    await commit(first, [put(first.state, n, `k${n}`, "v".repeat(900_000))]);
    if (n === 2) await first.store.checkpoint();
  }
  await first.store.close();
  const seen: { phase: string; bytes: number; bytesTotal: number; entries: number }[] = [];
  await open(disk, { onProgress: (progress) => seen.push(progress) });
  expect(seen.map(({ phase }) => phase)).toEqual(["snapshot", "log"]);
  const last = seen.at(-1);
  expect(last?.bytes).toBe(last?.bytesTotal);
  expect(last?.entries).toBe(3);
  expect(seen[0]?.bytes).toBeLessThan(last?.bytes ?? 0);
});
