/** What every disk has to do: the same suite for the real one, the one in memory, and the one that injects faults. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Disk, DiskFile } from "../../src/storage/disk.ts";
import { MemoryDisk } from "../../src/storage/memory-disk.ts";
import { nodeDisk } from "../../src/storage/node-disk.ts";
import { FaultyDisk } from "../models/faulty-disk.ts";

const root = mkdtempSync(join(tmpdir(), "wavekv-disk-"));
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

let directories = 0;
const disks: [string, () => { disk: Disk; directory: string }][] = [
  ["the real disk", () => ({ disk: nodeDisk, directory: join(root, String(++directories), "nested") })],
  ["the disk in memory", () => ({ disk: new MemoryDisk(), directory: "data" })],
  ["the faulty disk without a fault", () => ({ disk: new FaultyDisk(new MemoryDisk()), directory: "data" })],
];

async function textOf(file: DiskFile): Promise<string> {
  const buffer = Buffer.alloc(await file.size());
  expect(await file.read(buffer, 0)).toBe(buffer.length);
  return buffer.toString("latin1");
}

describe.each(disks)("%s", (_name, make) => {
  test("makes a directory with its parents, and does not mind one that is there", async () => {
    const { disk, directory } = make();
    await expect(disk.list(directory)).rejects.toMatchObject({ code: "ENOENT" });
    await disk.makeDirectory(directory);
    await disk.makeDirectory(directory);
    expect(await disk.list(directory)).toEqual([]);
  });

  test("creates what is not there, and opens what is", async () => {
    const { disk, directory } = make();
    await disk.makeDirectory(directory);
    const path = `${directory}/a`;
    await expect(disk.open(path)).rejects.toMatchObject({ code: "ENOENT" });
    await (await disk.create(path)).close();
    await expect(disk.create(path)).rejects.toMatchObject({ code: "EEXIST" });
    const file = await disk.open(path, "read");
    expect(await file.size()).toBe(0);
    await file.close();
    await file.close();
    expect(await disk.list(directory)).toEqual(["a"]);
  });

  test("writes several buffers at a position, fills holes with zeros, and reads up to the end", async () => {
    const { disk, directory } = make();
    await disk.makeDirectory(directory);
    const file = await disk.create(`${directory}/a`);
    await file.write([Buffer.from("abc"), Buffer.alloc(0), Buffer.from("def")], 2);
    expect(await textOf(file)).toBe("\0\0abcdef");
    await file.write([Buffer.from("XY")], 3);
    expect(await textOf(file)).toBe("\0\0aXYdef");
    const buffer = Buffer.alloc(10, "-");
    expect(await file.read(buffer, 6)).toBe(2);
    expect(buffer.toString()).toBe("ef--------");
    expect(await file.read(buffer, 100)).toBe(0);
    await file.sync();
    await file.truncate(4);
    expect(await textOf(file)).toBe("\0\0aX");
    await file.truncate(6);
    expect(await textOf(file)).toBe("\0\0aX\0\0");
    await file.close();
  });

  test("writes more than a system call takes at once, whole", async () => {
    const { disk, directory } = make();
    await disk.makeDirectory(directory);
    const file = await disk.create(`${directory}/a`);
    // More buffers than one `writev` takes on Linux (1,024).
    const buffers = Array.from({ length: 3_000 }, (_, index) => Buffer.alloc(5, index % 251));
    await file.write(buffers, 7);
    const read = Buffer.alloc(15_000);
    expect(await file.read(read, 7)).toBe(15_000);
    expect(read.equals(Buffer.concat(buffers))).toBe(true);
    await file.close();
  });

  test("renames over what is there, keeping the fingerprint, and removes", async () => {
    const { disk, directory } = make();
    await disk.makeDirectory(directory);
    for (const name of ["a", "b"]) {
      const file = await disk.create(`${directory}/${name}`);
      await file.write([Buffer.from(name)], 0);
      await file.close();
    }
    const fingerprint = await disk.fingerprint(`${directory}/a`);
    expect(await disk.fingerprint(`${directory}/b`)).not.toBe(fingerprint);
    await disk.rename(`${directory}/a`, `${directory}/b`);
    await disk.syncDirectory(directory);
    expect(await disk.list(directory)).toEqual(["b"]);
    expect(await disk.fingerprint(`${directory}/b`)).toBe(fingerprint);
    const file = await disk.open(`${directory}/b`);
    expect(await textOf(file)).toBe("a");
    await file.close();
    await disk.remove(`${directory}/b`);
    await expect(disk.remove(`${directory}/b`)).rejects.toMatchObject({ code: "ENOENT" });
    await expect(disk.rename(`${directory}/b`, `${directory}/c`)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("gives a directory to one at a time", async () => {
    const { disk, directory } = make();
    await disk.makeDirectory(directory);
    const lock = await disk.lock(directory);
    if ("heldBy" in lock) throw new Error(lock.heldBy);
    expect(await disk.lock(directory)).toHaveProperty("heldBy");
    await lock.release();
    const again = await disk.lock(directory);
    if ("heldBy" in again) throw new Error(again.heldBy);
    await again.release();
  });
});

describe("a power cut on the disk in memory", () => {
  test("takes what was not synced, content and names", async () => {
    const disk = new MemoryDisk();
    await disk.makeDirectory("d");
    const kept = await disk.create("d/kept");
    await disk.syncDirectory("d");
    await kept.write([Buffer.from("synced")], 0);
    await kept.sync();
    await kept.write([Buffer.from("lost")], 6);
    await (await disk.create("d/nameless")).sync();
    disk.crash();
    expect(await disk.list("d")).toEqual(["kept"]);
    expect(Buffer.from(disk.bytesOf("d/kept")).toString()).toBe("synced");
    await expect(kept.size(), "an open file is dead").rejects.toMatchObject({ code: "EBADF" });
  });

  test("may leave any sectors, and any names, of what was not synced", async () => {
    const disk = new MemoryDisk();
    await disk.makeDirectory("d");
    const file = await disk.create("d/a");
    await disk.syncDirectory("d");
    await file.write([Buffer.alloc(1_100, "x")], 100);
    await disk.rename("d/a", "d/b");
    const asked: string[] = [];
    disk.crash((what) => asked.push(what) === 3);
    // One name, and sectors 100-511, 512-1023 and 1024-1199.
    expect(asked).toEqual(["entry", "sector", "sector", "sector"]);
    const bytes = Buffer.from(disk.bytesOf("d/a"));
    expect(bytes.length).toBe(1_024);
    expect(bytes.subarray(0, 512).every((byte) => byte === 0)).toBe(true);
    expect(bytes.subarray(512).every((byte) => byte === 120)).toBe(true);
  });
});
