/** Files are damaged in every way at hand: a wrong value is never served, and nothing goes missing without a word. */
import { crc32 } from "node:zlib";
import { beforeAll, describe, expect, test } from "vitest";
import type { StateOp } from "../../src/core/ops.ts";
import { isReplicaError } from "../../src/errors.ts";
import { MemoryDisk } from "../../src/storage/memory-disk.ts";
import { FaultyDisk, SURVIVALS } from "../models/faulty-disk.ts";
import { commit, contentsOf, countingRandom, DIRECTORY, open, put, valuesOf } from "../models/store-harness.ts";

const HEADER_BYTES = 192;
const RECORD_HEADER_BYTES = 24;
/** Commits in the log. */
const LAST = 16;

/** Two snapshots and the log since the older one, over several segments; `isClosed`: in good order. */
let closed: MemoryDisk;
let killed: MemoryDisk;
/** What the state was after each commit, by its marker. */
const prefixes = new Map<string | undefined, Record<string, string>>();

beforeAll(async () => {
  killed = new MemoryDisk();
  const opened = await open(killed, { segmentBytes: 470 });
  prefixes.set(undefined, {});
  await commit(opened, [{ type: "lease", stamp: 9_000 }]);
  for (let n = 1; n <= LAST; n++) {
    const ops: StateOp[] = [
      put(opened.state, 3 * n, "marker", String(n)),
      put(opened.state, 3 * n + 1, `k${n % 4}`, `v${n}`),
    ];
    await commit(opened, ops);
    prefixes.set(String(n), valuesOf(opened.state));
    if (n === 4 || n === 8) await opened.store.checkpoint();
  }
  closed = killed.clone(true);
  const again = await open(closed);
  await again.store.close();
  expect((await closed.list(DIRECTORY)).sort()).toEqual([
    "0000000002.log",
    "0000000002.snapshot",
    "0000000003.log",
    "0000000003.snapshot",
    "0000000004.log",
    "identity",
  ]);
});

function pathOf(name: string): string {
  return `${DIRECTORY}/${name}`;
}

async function files(disk: MemoryDisk): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of await disk.list(DIRECTORY)) found[name] = Buffer.from(disk.bytesOf(pathOf(name))).toString("hex");
  return found;
}

/** What costs a second open is checked now and then only. */
let judged = 0;

/** Opens a damaged copy; says what became of it after checking that it is one of the honest outcomes. */
async function judge(disk: MemoryDisk, where: string, isSilentLossFair = false): Promise<string> {
  const before = await files(disk);
  const isThorough = ++judged % 16 === 0;
  const strictly = isThorough ? disk.clone(true) : disk;
  let opened: Awaited<ReturnType<typeof open>>;
  try {
    opened = await open(disk, { random: countingRandom(7_000) });
  } catch (error) {
    if (!isReplicaError(error)) throw error;
    expect(await files(disk), `${where}: a refused directory is untouched`).toEqual(before);
    return error.code;
  }
  const values = valuesOf(opened.state);
  const { recovery } = opened;
  expect(values, `${where}: a prefix`).toEqual(prefixes.get(values.marker));
  const isComplete = values.marker === String(LAST);
  const isNoticed = recovery.corrupt || recovery.truncatedBytes > 0;
  if (!isComplete && !isSilentLossFair) expect(isNoticed, `${where}: loss is noticed`).toBe(true);
  if (recovery.corrupt && !isComplete) expect(recovery, where).toMatchObject({ rotated: true, why: "damaged" });
  if (recovery.corrupt && isThorough) {
    await expect(open(strictly, { strict: true }), where).rejects.toMatchObject({ code: "ERR_CORRUPT" });
    expect(await files(strictly), `${where}: strict changes nothing`).toEqual(before);
  }
  const report = await opened.store.verify();
  // Damage to what recovery did not need is for `verify` to find.
  const isSpare = !isNoticed && report.problems.length > 0;
  if (!isSpare) expect(report.problems, `${where}: repaired`).toEqual([]);
  if (isThorough) {
    // What recovery made of it is stable, and can be written to.
    await commit(opened, [put(opened.state, 400, "after", "damage")]);
    const contents = contentsOf(opened.state);
    await opened.store.close();
    const again = await open(disk);
    expect(again.recovery, where).toMatchObject({ corrupt: false, rotated: false, truncatedBytes: 0 });
    expect(contentsOf(again.state), where).toEqual(contents);
    await again.store.close();
  }
  if (isSpare) return "spare";
  return recovery.corrupt ? "corrupt" : recovery.truncatedBytes > 0 ? "torn" : "clean";
}

const BYTE_FILES = ["0000000002.log", "0000000003.log", "0000000004.log", "0000000002.snapshot", "0000000003.snapshot"];

describe("one damaged byte", () => {
  test.each(BYTE_FILES)("anywhere in %s", async (name) => {
    const size = closed.bytesOf(pathOf(name)).length;
    const outcomes: Record<string, number> = {};
    for (let at = 0; at < size; at++) {
      const disk = closed.clone(true);
      disk.bytesOf(pathOf(name))[at]! ^= 1 << (at % 8);
      const outcome = await judge(disk, `${name} byte ${at}`);
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
    const isLog = name.endsWith(".log");
    // The closing mark of the last segment is all that can be taken for a torn tail; a seal is of no use while the
    // next segment is there. The older snapshot, and the log before the newest one, recovery does not read.
    const harmless = !isLog ? {} : { [name === "0000000004.log" ? "torn" : "clean"]: RECORD_HEADER_BYTES };
    const noticed = size - (isLog ? RECORD_HEADER_BYTES : 0);
    expect(outcomes).toEqual({ [name.startsWith("0000000002") ? "spare" : "corrupt"]: noticed, ...harmless });
  });

  test("anywhere in the identity", async () => {
    for (let at = 0; at < closed.bytesOf(pathOf("identity")).length; at++) {
      const disk = closed.clone(true);
      disk.bytesOf(pathOf("identity"))[at]! ^= 1 << (at % 8);
      expect(await judge(disk, `identity byte ${at}`)).toBe("corrupt");
    }
  });
});

describe("a log that was not closed", () => {
  test("is cut at any length of its last segment, to whole batches", async () => {
    const name = pathOf("0000000004.log");
    const bytes = killed.bytesOf(name).slice();
    const outcomes = new Set<string>();
    for (let size = 0; size < bytes.length; size++) {
      const disk = killed.clone(true);
      disk.put(name, bytes.subarray(0, size));
      // Between two records nothing tells a cut from a shorter log. Without its header the segment cannot be:
      // the one before it is sealed.
      const outcome = await judge(disk, `cut at ${size}`, true);
      outcomes.add(outcome);
      if (size < HEADER_BYTES) expect(outcome, `cut at ${size}`).toBe("corrupt");
      else expect(outcome, `cut at ${size}`).not.toBe("corrupt");
    }
    expect([...outcomes].sort()).toEqual(["clean", "corrupt", "torn"]);
  });

  test.each([
    ["1 MiB of zeros", Buffer.alloc(2 ** 20)],
    ["1 MiB of noise", Buffer.from(Uint8Array.from({ length: 2 ** 20 }, (_, n) => (n * 197 + (n >> 3)) & 0xff))],
    ["one byte", Buffer.from([1])],
  ])("loses nothing to %s behind its end", async (_name, rubbish) => {
    const disk = killed.clone(true);
    disk.put(pathOf("0000000004.log"), Buffer.concat([killed.bytesOf(pathOf("0000000004.log")), rubbish]));
    const opened = await open(disk);
    expect(opened.recovery).toMatchObject({ truncatedBytes: rubbish.length, corrupt: false, why: "unclean" });
    expect(valuesOf(opened.state).marker).toBe(String(LAST));
  });

  test.each([0, 1, 2 ** 31 - 1, 2 ** 32 - 1])("survives a record that says it has %i bytes", async (length) => {
    const name = pathOf("0000000004.log");
    const bytes = Buffer.from(killed.bytesOf(name));
    const end = bytes.length;
    const grown = Buffer.concat([bytes, Buffer.alloc(64)]);
    grown.writeUInt32LE(length, end + 4);
    const disk = killed.clone(true);
    disk.put(name, grown);
    expect(await judge(disk, `length ${length}`)).toBe("torn");
    // And in the middle, with good records behind it.
    bytes.writeUInt32LE(length, HEADER_BYTES + 4);
    const damaged = killed.clone(true);
    damaged.put(name, bytes);
    expect(await judge(damaged, `length ${length} in the middle`)).toBe("corrupt");
  });
});

describe("records out of place", () => {
  const name = pathOf("0000000004.log");

  function splitRecords(bytes: Buffer): Buffer[] {
    const records: Buffer[] = [];
    for (let at = HEADER_BYTES; at < bytes.length; ) {
      const end = at + RECORD_HEADER_BYTES + bytes.readUInt32LE(at + 4);
      records.push(bytes.subarray(at, end));
      at = end;
    }
    return records;
  }

  test.each<[string, (records: Buffer[]) => (Buffer | undefined)[]]>([
    ["missing", ([first, , ...rest]) => [first, ...rest]],
    ["there twice", ([first, ...rest]) => [first, first, ...rest]],
    ["swapped", ([first, second, ...rest]) => [second, first, ...rest]],
  ])("one that is %s is damage, though each is good by itself", async (what, change) => {
    const bytes = Buffer.from(killed.bytesOf(name));
    const records = splitRecords(bytes);
    expect(records.length).toBeGreaterThan(2);
    const disk = killed.clone(true);
    const changed = change(records).flatMap((record) => (record === undefined ? [] : [record]));
    disk.put(name, Buffer.concat([bytes.subarray(0, HEADER_BYTES), ...changed]));
    expect(await judge(disk, what)).toBe("corrupt");
  });
});

describe("a recovery from damage that is cut short at any call", () => {
  test.each<[string, (disk: MemoryDisk) => unknown]>([
    ["a flipped bit, records behind it", (disk) => (disk.bytesOf(pathOf("0000000003.log"))[HEADER_BYTES + 30]! ^= 1)],
    ["a missing segment", (disk) => disk.remove(pathOf("0000000004.log"))],
    ["a header of no use", (disk) => (disk.bytesOf(pathOf("0000000004.log"))[0]! ^= 1)],
    ["a missing identity", (disk) => disk.remove(pathOf("identity"))],
  ])("ends under a new epoch, with the same prefix: %s", async (_name, damage) => {
    const disk = killed.clone(true);
    await damage(disk);
    await disk.syncDirectory(DIRECTORY);
    const before = (await open(killed.clone(true))).state.origin;
    const once = await open(disk.clone(true), { random: countingRandom(100) });
    for (const [survival, survives] of SURVIVALS) {
      for (let at = 1; ; at++) {
        const copy = disk.clone(true);
        const failing = new FaultyDisk(copy, { type: "crash", at });
        const opening = open(failing, { random: countingRandom(200) });
        if ((await Promise.race([opening, failing.crashed])) !== "crashed") break;
        copy.crash(survives());
        const where = `${survival}, call ${at}: ${failing.calls.at(-1)}`;
        const again = await open(copy, { random: countingRandom(300) });
        expect(valuesOf(again.state), where).toEqual(valuesOf(once.state));
        expect(again.state.origin, where).not.toBe(before);
        expect((await again.store.verify()).problems, where).toEqual([]);
        await again.store.close();
      }
    }
  });
});

describe("whole files", () => {
  test("a missing newest snapshot costs nothing", async () => {
    const disk = closed.clone(true);
    await disk.remove(pathOf("0000000003.snapshot"));
    expect(await judge(disk, "no newest snapshot")).toBe("clean");
  });

  test.each(["0000000003.log", "0000000004.log"])("a missing %s is noticed", async (name) => {
    const disk = closed.clone(true);
    await disk.remove(pathOf(name));
    expect(await judge(disk, `no ${name}`)).toBe("corrupt");
  });

  test("swapped segments are noticed", async () => {
    const disk = closed.clone(true);
    const [three, four] = [closed.bytesOf(pathOf("0000000003.log")), closed.bytesOf(pathOf("0000000004.log"))];
    disk.put(pathOf("0000000003.log"), four);
    disk.put(pathOf("0000000004.log"), three);
    expect(await judge(disk, "swapped")).toBe("corrupt");
  });

  test("a missing identity is noticed, and the owner is told from the log", async () => {
    const disk = closed.clone(true);
    await disk.remove(pathOf("identity"));
    expect(await judge(disk, "no identity")).toBe("corrupt");
  });

  // Also where the directory was copied: a copy keeps the identity, but not its fingerprint.
  test.each([
    ["", true],
    [" of a copy", false],
  ])("an identity%s alone is not an empty store", async (_name, keepFingerprints) => {
    const disk = closed.clone(keepFingerprints);
    for (const name of await disk.list(DIRECTORY)) if (name !== "identity") await disk.remove(pathOf(name));
    await expect(open(disk, { strict: true })).rejects.toMatchObject({ code: "ERR_CORRUPT" });
    const opened = await open(disk);
    expect(opened.recovery).toMatchObject({ created: false, corrupt: true, rotated: true, why: "damaged" });
  });

  test("when both snapshots are damaged the open is refused, since the log begins behind them", async () => {
    const disk = closed.clone(true);
    for (const name of ["0000000002.snapshot", "0000000003.snapshot"]) disk.bytesOf(pathOf(name))[300]! ^= 1;
    expect(await judge(disk, "both snapshots")).toBe("ERR_CORRUPT");
  });

  test.each(["0000000003.log", "0000000003.snapshot"])("a newer format of %s is refused", async (name) => {
    const disk = closed.clone(true);
    rewriteHeader(disk.bytesOf(pathOf(name)), (header) => header.writeUInt16LE(3, 8));
    expect(await judge(disk, name)).toBe("ERR_FORMAT_VERSION");
  });

  test.each(["0000000002.log", "0000000003.snapshot"])("%s of another replica is refused", async (name) => {
    const disk = closed.clone(true);
    rewriteHeader(disk.bytesOf(pathOf(name)), (header) => header.write("n2", 57));
    expect(await judge(disk, name)).toBe("ERR_FOREIGN_DIRECTORY");
  });

  test("another replica, another cluster, a newer identity: refused and untouched", async () => {
    const before = await files(closed);
    await expect(open(closed, { nodeId: "n2" as never })).rejects.toMatchObject({ code: "ERR_FOREIGN_DIRECTORY" });
    await expect(open(closed, { clusterId: "other" })).rejects.toMatchObject({ code: "ERR_FOREIGN_DIRECTORY" });
    expect(await files(closed)).toEqual(before);
    const disk = closed.clone(true);
    const text = Buffer.from(disk.bytesOf(pathOf("identity")))
      .toString()
      .replace("identity 1", "identity 2");
    const body = text.split("\n").slice(0, 2).join("\n");
    disk.put(pathOf("identity"), Buffer.from(`${body}\n${crc32(`${body}\n`).toString(16).padStart(8, "0")}\n`));
    expect(await judge(disk, "identity 2")).toBe("ERR_FORMAT_VERSION");
  });
});

function rewriteHeader(bytes: Uint8Array, change: (header: Buffer) => void): void {
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  change(header);
  header.writeUInt32LE(crc32(header.subarray(0, HEADER_BYTES - 4)), HEADER_BYTES - 4);
}
