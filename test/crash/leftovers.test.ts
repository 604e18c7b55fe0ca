/** What a crash leaves behind when it comes while files are removed. */
import { expect, test } from "vitest";
import { MemoryDisk } from "../../src/storage/memory-disk.ts";
import { commit, DIRECTORY, open, put, valuesOf } from "../models/store-harness.ts";

const ROUNDS = 5;

test.each([1, 2, 3])(
  "segment %i outlived its removal, the one behind it did not: that is no damage",
  async (survivor) => {
    const disk = new MemoryDisk();
    const opened = await open(disk);
    const segments = new Map<string, Uint8Array>();
    for (let n = 1; n <= ROUNDS; n++) {
      await commit(opened, [put(opened.state, n, `k${n}`, "v")]);
      await opened.store.checkpoint();
      for (const name of await disk.list(DIRECTORY)) {
        if (name.endsWith(".log")) segments.set(name, disk.bytesOf(`${DIRECTORY}/${name}`).slice());
      }
    }
    const name = `000000000${survivor}.log`;
    expect(await disk.list(DIRECTORY), "it was removed").not.toContain(name);
    disk.put(`${DIRECTORY}/${name}`, segments.get(name)!);
    expect((await opened.store.verify()).problems).toEqual([]);
    await opened.store.close();
    const again = await open(disk);
    expect(again.recovery).toMatchObject({ corrupt: false, setAside: [] });
    expect(Object.keys(valuesOf(again.state))).toHaveLength(ROUNDS);
    expect((await again.store.verify()).problems).toEqual([]);
    await commit(again, [put(again.state, ROUNDS + 1, "more", "v")]);
    await again.store.checkpoint();
    expect(await disk.list(DIRECTORY), "the next checkpoint removes it").not.toContain(name);
    await again.store.close();
  },
);

// Found by 50 kills: one hit an opener between setting a dead one's lock aside and removing it.
test.each(["lock.2c83b407-2d31-494b-a996-1e7fbe9376da.tmp", "identity.tmp", "0000000007.snapshot.tmp"])(
  "%s of an opener that was killed is removed by the next one, other files are not",
  async (name) => {
    const disk = new MemoryDisk();
    await (await open(disk)).store.close();
    disk.put(`${DIRECTORY}/${name}`, Buffer.from("{}"));
    disk.put(`${DIRECTORY}/notes.tmp`, Buffer.from("mine"));
    await (await open(disk)).store.close();
    expect(await disk.list(DIRECTORY)).not.toContain(name);
    expect(await disk.list(DIRECTORY)).toContain("notes.tmp");
  },
);
