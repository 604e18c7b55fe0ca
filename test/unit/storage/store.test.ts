import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Disk } from "../../../src/storage/disk.ts";
import { MemoryDisk } from "../../../src/storage/memory-disk.ts";
import { nodeDisk } from "../../../src/storage/node-disk.ts";
import { commit, contentsOf, countingRandom, DIRECTORY, open, put, valuesOf } from "../../models/store-harness.ts";

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "wavekv-store-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

let directories = 0;
const disks: [string, () => { disk: Disk; directory: string }][] = [
  ["in memory", () => ({ disk: new MemoryDisk(), directory: "data" })],
  ["on the real disk", () => ({ disk: nodeDisk, directory: join(root, `deep/${++directories}`) })],
];

describe.each(disks)("a store %s", (_name, make) => {
  test("gives back after a clean close exactly what was appended", async () => {
    const { disk, directory } = make();
    const first = await open(disk, { directory });
    expect(first.recovery).toMatchObject({ created: true, rotated: true, why: "created", corrupt: false });
    await commit(first, [{ type: "lease", stamp: 5000 }]);
    await commit(first, [put(first.state, 1, "a", "1"), put(first.state, 2, "b", "2")]);
    await commit(first, [put(first.state, 3, "a", null)]);
    const peer = "p".repeat(64) as never;
    await commit(first, [
      { type: "cover", origin: "other/00000000000000aa" as never, seq: 9 },
      { type: "ack", peer, origin: first.state.origin, seq: 2 },
    ]);
    const before = contentsOf(first.state);
    await first.store.close();

    const second = await open(disk, { directory });
    expect(second.recovery).toMatchObject({
      created: false,
      rotated: false,
      corrupt: false,
      truncatedBytes: 0,
      entries: 1,
    });
    expect(contentsOf(second.state)).toEqual(before);
    await second.store.close();
  });

  test("gives back after checkpoints what snapshot and log hold together, and keeps few files", async () => {
    const { disk, directory } = make();
    const first = await open(disk, { directory });
    for (let seq = 1; seq <= 40; seq++) {
      await commit(first, [put(first.state, seq, `k${seq % 7}`, `v${seq}`)]);
      if (seq % 5 === 0) await first.store.checkpoint();
    }
    const before = contentsOf(first.state);
    const report = await first.store.verify();
    expect(report).toMatchObject({ ok: true, problems: [], entries: 7 });
    await first.store.close();
    expect((await disk.list(directory)).filter((name) => name.endsWith(".snapshot"))).toHaveLength(2);

    const second = await open(disk, { directory });
    expect(contentsOf(second.state)).toEqual(before);
    await second.store.close();
  });

  test("is refused to a second opener until it is closed", async () => {
    const { disk, directory } = make();
    const first = await open(disk, { directory });
    await expect(open(disk, { directory })).rejects.toMatchObject({ code: "ERR_LOCKED" });
    await expect(open(disk, { directory, readOnly: true })).rejects.toMatchObject({ code: "ERR_LOCKED" });
    await first.store.close();
    await (await open(disk, { directory })).store.close();
  });

  test("opens a backup under a new epoch, with the same values", async () => {
    const { disk, directory } = make();
    const first = await open(disk, { directory });
    await commit(first, [put(first.state, 1, "a", "1")]);
    await first.store.checkpoint();
    await commit(first, [put(first.state, 2, "b", "2")]);
    await first.store.backup(`${directory}-backup`);
    await commit(first, [put(first.state, 3, "c", "3")]);
    await expect(first.store.backup(`${directory}-backup`)).rejects.toMatchObject({ code: "ERR_OPTION" });
    const copy = await open(disk, { directory: `${directory}-backup`, random: countingRandom(1000) });
    expect(valuesOf(copy.state)).toEqual({ a: "1", b: "2" });
    expect(copy.recovery).toMatchObject({ rotated: true, why: "copied", corrupt: false });
    expect(copy.state.origin).not.toBe(first.state.origin);
    await copy.store.close();
    await first.store.close();
  });
});

test("a commit above every usual size comes back whole: a clear may be as large as the store", async () => {
  const disk = new MemoryDisk();
  const first = await open(disk);
  const ops = Array.from({ length: 40 }, (_, index) => put(first.state, index + 1, `k${index}`, "x".repeat(2 ** 20)));
  await commit(first, ops);
  await commit(first, [put(first.state, 99, "after", "it")]);
  await first.store.checkpoint();
  const again = await open(disk.clone(true));
  expect(again.recovery).toMatchObject({ corrupt: false, truncatedBytes: 0, entries: 41 });
  expect(again.state.table.digestRoot()).toBe(first.state.table.digestRoot());
});

test("directories are for their owner only", async () => {
  const directory = join(root, "modes");
  const opened = await open(nodeDisk, { directory });
  expect((await stat(directory)).mode & 0o777).toBe(0o700);
  for (const name of await nodeDisk.list(directory)) {
    expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
  }
  await opened.store.close();
});

test("a directory that is removed below a live store: no write is acknowledged once that is noticed", async () => {
  const disk = new MemoryDisk();
  const opened = await open(disk);
  await commit(opened, [{ type: "lease", stamp: 1 }, put(opened.state, 1, "a", "1")]);
  for (const name of await disk.list(DIRECTORY)) await disk.remove(`${DIRECTORY}/${name}`);
  const late = commit(opened, [{ type: "lease", stamp: 2 }, put(opened.state, 2, "b", "2")]);
  await expect(late).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
  await expect(late).rejects.toThrow("removed");
  await expect(commit(opened, [put(opened.state, 3, "c", "3")])).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
});
