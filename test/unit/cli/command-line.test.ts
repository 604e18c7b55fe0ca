/** `wavekv` over a disk in memory: what it is told to do, what it reports, and that it changes nothing. */
import { beforeAll, describe, expect, test } from "vitest";
import { openReplica, type Replica } from "wavekv";
import { inProcessNetwork } from "wavekv/transports/in-process";
import { runCommandLine } from "../../../src/cli/command-line.ts";
import type { InspectReport } from "../../../src/cli/inspect.ts";
import type { KeyList } from "../../../src/cli/keys.ts";
import type { VerifyCommandReport } from "../../../src/cli/verify.ts";
import { diskError, MemoryDisk } from "../../../src/storage/memory-disk.ts";
import { MemoryHost } from "./memory-host.ts";

const DIRECTORY = "/data";
const NOW = 1_800_000_000_000;
const silent = (): void => undefined;
const logger = { debug: silent, info: silent, warn: silent, error: silent };

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(disk: MemoryDisk, ...args: string[]): Promise<Result> {
  const written = { out: "", err: "" };
  const outputOf = (name: "out" | "err") => ({
    isTerminal: false,
    hasColours: false,
    write: (text: string) => {
      written[name] += text;
    },
  });
  const clock = { now: () => NOW };
  const code = await runCommandLine(args, {
    disk,
    clock,
    host: new MemoryHost(),
    out: outputOf("out"),
    err: outputOf("err"),
  });
  return { code, ...written };
}

async function inspect(disk: MemoryDisk, ...args: string[]): Promise<InspectReport & Partial<KeyList>> {
  const { out, err } = await run(disk, "inspect", DIRECTORY, "--json", ...args);
  expect(err).toBe("");
  return JSON.parse(out) as InspectReport & Partial<KeyList>;
}

async function verify(disk: MemoryDisk): Promise<VerifyCommandReport> {
  const { code, out, err } = await run(disk, "verify", DIRECTORY, "--json");
  expect(err).toBe("");
  const report = JSON.parse(out) as VerifyCommandReport;
  expect(report.ok).toBe(report.problems.length === 0);
  expect(code).toBe(report.ok ? 0 : 1);
  return report;
}

function start(disk: MemoryDisk): Promise<Replica> {
  const clock = { now: () => NOW - 10_000 };
  return openReplica({ directory: DIRECTORY, disk, nodeId: "n1", clusterId: "prod", clock, logger });
}

/** Two snapshots with the log since the older one, closed in good order. */
async function written(): Promise<MemoryDisk> {
  const disk = new MemoryDisk();
  const replica = await start(disk);
  await replica.put("a/1", "one");
  await replica.put("a/2", "two");
  await replica.checkpoint();
  await replica.put("b/1", "three", { ttlMs: 10_000 });
  await replica.delete("a/2");
  await replica.checkpoint();
  await replica.put("b/2", "four", { ttlMs: 10_001 });
  await replica.close();
  return disk;
}

const NAMES = ["0000000002.log", "0000000002.snapshot", "0000000003.log", "0000000003.snapshot", "identity"];
const LAST_LOG = `${DIRECTORY}/0000000003.log`;

let whole: MemoryDisk;
beforeAll(async () => {
  whole = await written();
  expect((await whole.list(DIRECTORY)).sort()).toEqual(NAMES);
});

function damaged(path: string, change: (bytes: Uint8Array) => Uint8Array): MemoryDisk {
  const disk = whole.clone(true);
  disk.put(path, change(disk.bytesOf(path).slice()));
  return disk;
}

async function without(...names: string[]): Promise<MemoryDisk> {
  const disk = whole.clone(true);
  for (const name of names) await disk.remove(`${DIRECTORY}/${name}`);
  return disk;
}

function flip(at: (bytes: Uint8Array) => number) {
  return (bytes: Uint8Array): Uint8Array => {
    bytes[at(bytes)]! ^= 1;
    return bytes;
  };
}

describe("wrong use", () => {
  test.each([
    [[], "which command?"],
    [["srve", DIRECTORY], 'no command "srve"; did you mean serve?'],
    [["ins"], "did you mean inspect?"],
    [["help", "pt"], "did you mean put?"],
    [["--json", "status"], "the command comes first, not --json"],
    [["inspect"], "inspect: DIR is missing"],
    [["inspect", ""], "which directory?"],
    [["inspect", DIRECTORY, "more"], 'unexpected argument "more"'],
    [["inspect", DIRECTORY, "--wrong"], "inspect takes no --wrong"],
    [["inspect", DIRECTORY, "--jsno"], "did you mean --json?"],
    [["inspect", DIRECTORY, "--json=yes"], "--json takes no value"],
    [["inspect", DIRECTORY, "--keys", "--limit", "--json"], "--limit needs a value"],
    [["verify", DIRECTORY, "--keys"], "verify takes no --keys"],
    [["inspect", DIRECTORY, "--prefix", "a"], "need --keys"],
    [["inspect", DIRECTORY, "--keys", "--prefix"], "--prefix"],
    [["inspect", DIRECTORY, "--keys", "--limit", "1000001"], "whole number from 0 to 1,000,000"],
    [["inspect", DIRECTORY, "--keys", "--limit", "1.5"], "whole number"],
    [["inspect", DIRECTORY, "--keys", "--limit", ""], "whole number"],
    [["a\u001b[2J"], 'no command "a\\u001b[2J"'],
  ])("%j", async (args, message) => {
    const { code, out, err } = await run(whole, ...args);
    expect(code).toBe(2);
    expect(out).toBe("");
    expect(err.split("\n")[0]).toContain(message);
    // A mistake is told in two lines, unless nothing was asked for.
    if (args.length === 0) expect(err).toContain("\n  verify ");
    else expect(err.split("\n")[1]).toMatch(/^Try: wavekv (?:\w+ )?--help$/);
    expect(err).not.toContain("\u001b");
  });

  test.each([
    ["--help", "Exit codes"],
    ["-h", "Exit codes"],
    ["help", "Exit codes"],
    ["help inspect", "Usage: wavekv inspect DIR"],
    ["inspect --help", "Usage: wavekv inspect DIR"],
    ["put -h", "--ttl TIME"],
  ])("but %s is asked for", async (line, text) => {
    const { code, out, err } = await run(whole, ...line.split(" "));
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain(text);
    expect(Math.max(...out.split("\n").map(({ length }) => length))).toBeLessThanOrEqual(120);
  });
});

describe("inspect", () => {
  test("says whose directory it is and what is in it", async () => {
    const { code, out } = await run(whole, "inspect", DIRECTORY, "--json");
    expect(code).toBe(0);
    expect(out.endsWith("}\n")).toBe(true);
    const report = await inspect(whole);
    const replica = await start(whole.clone(true));
    const { digest, epoch, bytes } = replica.status();
    await replica.close();
    expect(report).toMatchObject({ ok: true, nodeId: "n1", clusterId: "prod", epoch, digest, bytes });
    expect(report).toMatchObject({ entries: 3, tombstones: 1, damage: [], staleLock: false });
    expect(report.recovery).toEqual({ closedInGoodOrder: true, cutBytes: 0, newEpoch: null });
    expect(report.members).toMatchObject([{ nodeId: "n1", epoch, addresses: [] }]);
    expect(report.coverage).toEqual([{ nodeId: "n1", epoch, seq: report.lsn }]);
    expect(report.keys).toBeUndefined();
  });

  test("lists the files with the part of the log that they hold", async () => {
    const { files, fileBytes, lsn } = await inspect(whole);
    // The member record comes first, so the puts have the lsns from 2 on.
    expect(files.map(({ bytes: _, ...rest }) => Object.values(rest).join(" "))).toEqual([
      "0000000002.log 4 5 spare",
      "0000000002.snapshot 1 3 spare",
      "0000000003.log 6 6 in use",
      "0000000003.snapshot 1 5 in use",
      "identity   in use",
    ]);
    expect(lsn).toBe(6);
    expect(fileBytes).toBe(whole.usedBytes);
  });

  test("changes nothing, also where recovery would", async () => {
    const disk = damaged(LAST_LOG, (bytes) => bytes.subarray(0, bytes.length - 1));
    disk.put(`${DIRECTORY}/0000000009.log.tmp`, Uint8Array.of(1));
    disk.put(`${DIRECTORY}/lock`, Uint8Array.of(1));
    disk.put(`${DIRECTORY}/theirs`, Uint8Array.of(1));
    const contents = async () =>
      Promise.all(
        (await disk.list(DIRECTORY)).sort().map(async (name) => [name, disk.bytesOf(`${DIRECTORY}/${name}`)]),
      );
    const before = structuredClone(await contents());
    const report = await inspect(disk, "--keys");
    await verify(disk);
    expect(await contents()).toEqual(before);
    expect(report.staleLock).toBe(true);
    const unfinished = report.files.filter(({ condition }) => condition === "unfinished");
    expect(unfinished.map(({ name }) => name)).toEqual(["0000000009.log.tmp"]);
    expect(report.files.map(({ name }) => name)).not.toContain("theirs");
  });

  test("counts what recovery would cut off a torn log", async () => {
    const size = whole.bytesOf(LAST_LOG).length;
    const { recovery, damage, files } = await inspect(
      damaged(LAST_LOG, (bytes) => Buffer.concat([bytes, Buffer.alloc(7, 1)])),
    );
    expect(recovery).toEqual({ closedInGoodOrder: false, cutBytes: 7, newEpoch: "unclean" });
    expect(damage).toEqual([]);
    expect(files.find(({ name }) => name === "0000000003.log")).toMatchObject({ bytes: size + 7, condition: "torn" });
  });

  test("names damage in the log", async () => {
    const { recovery, damage, files } = await inspect(
      damaged(
        LAST_LOG,
        flip((bytes) => Buffer.from(bytes).indexOf("four")),
      ),
    );
    expect(recovery).toMatchObject({ newEpoch: "damaged" });
    expect(damage).toEqual([expect.stringMatching(/^0000000003\.log: has no good record from byte \d+ on$/)]);
    expect(files.find(({ name }) => name === "0000000003.log")?.condition).toBe("damaged");
  });

  test("falls back to the older snapshot, as recovery does", async () => {
    const { entries, files, damage } = await inspect(
      damaged(
        `${DIRECTORY}/0000000003.snapshot`,
        flip(() => 300),
      ),
    );
    expect(entries).toBe(3);
    expect(damage).toEqual([expect.stringContaining("0000000003.snapshot")]);
    expect(files.map(({ condition }) => condition)).toEqual(["in use", "in use", "in use", "damaged", "in use"]);
  });

  test("still lists the files where nothing can be used", async () => {
    const disk = await without("0000000002.snapshot", "0000000003.snapshot");
    const { code, out } = await run(disk, "inspect", DIRECTORY, "--keys");
    expect(code).toBe(1);
    expect(out).toMatch(/nothing can be used: .*; restore a backup/);
    expect(out).toMatch(/0000000003\.log +[\d,]+ +cut off/);
    expect(await inspect(disk)).toMatchObject({ ok: false, nodeId: "n1", entries: null, recovery: null });
  });

  test("takes the owner from the log where the identity is lost", async () => {
    const report = await inspect(await without("identity"));
    expect(report).toMatchObject({ nodeId: "n1", clusterId: "prod", entries: 3, damage: ["identity: is absent"] });
    expect(report.recovery?.newEpoch).toBe("damaged");
  });

  test("tells a process that ended by itself from a torn write", async () => {
    const disk = new MemoryDisk();
    const replica = await start(disk);
    await replica.put("a", 1);
    const killed = disk.clone(true);
    await replica.close();
    const { recovery } = await inspect(killed);
    expect(recovery).toEqual({ closedInGoodOrder: false, cutBytes: 0, newEpoch: "unclean" });
    expect((await verify(killed)).ok).toBe(true);
  });

  test("says which files are of no use", async () => {
    const disk = damaged(
      `${DIRECTORY}/0000000002.log`,
      flip((bytes) => bytes.length - 40),
    );
    disk.put(`${DIRECTORY}/0000000003.snapshot`, Uint8Array.of(1));
    disk.put(`${DIRECTORY}/0000000001.log.damaged`, Uint8Array.of(1));
    const { files } = await inspect(disk);
    expect(Object.fromEntries(files.map(({ name, condition }) => [name, condition]))).toEqual({
      "0000000001.log.damaged": "set aside",
      "0000000002.log": "damaged",
      "0000000002.snapshot": "in use",
      "0000000003.log": "cut off",
      "0000000003.snapshot": "damaged",
      identity: "in use",
    });
  });

  test("knows what a crash leaves where a segment was being made", async () => {
    const disk = whole.clone(true);
    disk.put(`${DIRECTORY}/0000000004.log`, new Uint8Array(0));
    const { files, damage, recovery } = await inspect(disk);
    expect(files.find(({ name }) => name === "0000000004.log")?.condition).toBe("unfinished");
    expect(damage).toEqual([]);
    expect(recovery).toEqual({ closedInGoodOrder: true, cutBytes: 0, newEpoch: null });
  });

  test("lists members and coverage of all, in order", async () => {
    const disk = new MemoryDisk();
    const network = inProcessNetwork();
    const ours = await openReplica({ directory: DIRECTORY, disk, nodeId: "m", logger, transport: network.transport() });
    for (const nodeId of ["z", "a"]) {
      const other = await openReplica({ nodeId, logger, transport: network.transport() });
      await other.put(nodeId, 1);
      for await (const { type } of ours.watch({ key: nodeId, initial: true })) if (type === "put") break;
      await other.close();
    }
    await ours.close();
    const { members, coverage } = await inspect(disk);
    expect(members.map(({ nodeId }) => nodeId)).toEqual(["a", "m", "z"]);
    expect(coverage.map(({ nodeId }) => nodeId)).toEqual(["a", "m", "z"]);
  });

  test("knows a copy", async () => {
    expect((await inspect(whole.clone())).recovery).toMatchObject({ closedInGoodOrder: true, newEpoch: "copied" });
  });

  test("is readable", async () => {
    const { out } = await run(whole, "inspect", DIRECTORY);
    expect(out).toMatch(/^cluster +prod$/m);
    expect(out).toMatch(/^0000000003\.snapshot +[\d,]+ +in use +lsn 1 to 5$/m);
    expect(out).not.toContain("\u001b");
  });
});

describe("inspect --keys", () => {
  test("lists what a scan would, and what has expired", async () => {
    const { keys, hasMore } = await inspect(whole, "--keys");
    expect(hasMore).toBe(false);
    expect(keys).toMatchObject([
      { key: "a/1", nodeId: "n1", bytes: 4, expiresAt: null },
      { key: "b/1", nodeId: "n1", bytes: 6, expiresAt: NOW },
      { key: "b/2", nodeId: "n1", bytes: 5, expiresAt: NOW + 1 },
    ]);
    const replica = await start(whole.clone(true));
    expect(keys?.map(({ version }) => version)).toEqual(
      ["a/1", "b/1", "b/2"].map((key) => replica.entry(key)?.version),
    );
    await replica.close();
  });

  test.each([
    ["2", ["a/1", "b/1"], true],
    ["3", ["a/1", "b/1", "b/2"], false],
    ["0", [], true],
  ])("stops at --limit %s", async (limit, expected, more) => {
    const { keys, hasMore } = await inspect(whole, "--keys", "--limit", limit);
    expect(keys?.map(({ key }) => key)).toEqual(expected);
    expect(hasMore).toBe(more);
  });

  test("keeps to --prefix", async () => {
    const { keys } = await inspect(whole, "--keys", "--prefix", "b/");
    expect(keys?.map(({ key }) => key)).toEqual(["b/1", "b/2"]);
  });

  test("shows in text which keys are over", async () => {
    const { out } = await run(whole, "inspect", DIRECTORY, "--keys");
    expect(out).toMatch(/^a\/1 +4 +n1 +never/m);
    expect(out).toMatch(/^b\/1 .*Z, over /m);
    expect(out).toMatch(/^b\/2 .*Z /m);
    expect(out).not.toMatch(/^b\/2 .*over/m);
    expect(out).toMatch(/\n3 keys\n$/);
    const { out: first } = await run(whole, "inspect", DIRECTORY, "--keys", "--limit", "1");
    expect(first).toMatch(/\nthe first 1 key; --limit shows more\n$/);
  });
});

describe("verify", () => {
  test("a whole directory, and a copy that was never opened, are fine", async () => {
    expect(await verify(whole)).toMatchObject({ ok: true, entries: 3, problems: [] });
    expect(await verify(whole.clone())).toMatchObject({ ok: true });
    const { out } = await run(whole, "verify", DIRECTORY);
    expect(out).toMatch(/^ok: \/data, .* read, 3 entries\n$/);
  });

  test.each([
    ["0000000003.log", flip((bytes) => bytes.length - 1), "0000000003.log: has no good record"],
    ["0000000003.log", flip((bytes) => Buffer.from(bytes).indexOf("four")), "0000000003.log: has no good record"],
    [
      "0000000003.log",
      (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.alloc(7, 1)]),
      "0000000003.log: has no good",
    ],
    ["0000000002.snapshot", flip((bytes) => bytes.length - 1), "0000000002.snapshot: is damaged"],
    ["identity", flip(() => 30), "identity: is bad"],
  ])("damage in %s is one problem", async (name, change, problem) => {
    const { problems } = await verify(damaged(`${DIRECTORY}/${name}`, change));
    expect(problems).toEqual([expect.stringContaining(problem)]);
  });

  test("damage in a spare segment shows, and where the next one no longer continues it", async () => {
    const disk = damaged(
      `${DIRECTORY}/0000000002.log`,
      flip((bytes) => bytes.length - 40),
    );
    const { problems } = await verify(disk);
    expect(problems).toEqual([
      expect.stringMatching(/^0000000002\.log: has no good record from byte \d+ on$/),
      "0000000003.log: does not continue the segment before it",
    ]);
    expect((await inspect(disk)).damage).toEqual([]);
  });

  test("a file that the disk cannot read is one, beside what that means", async () => {
    const disk = whole.clone(true);
    const open = disk.open.bind(disk);
    disk.open = async (path) => {
      const file = await open(path);
      const read = file.read.bind(file);
      const fails = (position: number) => path === LAST_LOG && position > 0;
      const failing = {
        read: (buffer: Uint8Array, position: number) => (fails(position) ? eio() : read(buffer, position)),
      };
      return Object.assign(file, failing);
    };
    const eio = () => Promise.reject(diskError("EIO", "read"));
    const { problems } = await verify(disk);
    expect(problems).toEqual([
      "0000000003.log: EIO: read",
      "nothing can be used: EIO: read; the disk fails; copy what can still be read",
    ]);
  });

  test("of several problems each is told", async () => {
    const disk = damaged(
      `${DIRECTORY}/0000000002.snapshot`,
      flip((bytes) => bytes.length - 1),
    );
    disk.put(`${DIRECTORY}/identity`, Uint8Array.of(1));
    const { code, out } = await run(disk, "verify", DIRECTORY);
    expect(code).toBe(1);
    expect(out).toMatch(/^2 problems in \/data, .*\n {2}identity: is bad\n {2}0000000002\.snapshot: is damaged\n$/);
  });

  // No file is bad by itself then.
  test.each([
    ["the last segment", ["0000000003.log"], "0000000003.log: is missing"],
    ["all but the identity", NAMES.filter((name) => name !== "identity"), "and all of the log"],
    ["what goes back to the beginning", ["0000000002.snapshot", "0000000003.snapshot"], "nothing can be used"],
  ])("misses %s", async (_, names, problem) => {
    const { problems } = await verify(await without(...names));
    expect(problems).toEqual([expect.stringContaining(problem)]);
  });
});

describe("what cannot be looked at", () => {
  async function refusal(disk: MemoryDisk, directory = DIRECTORY): Promise<string> {
    for (const command of ["inspect", "verify"]) {
      const { code, out, err } = await run(disk, command, directory);
      expect(code).toBe(1);
      expect(out).toBe("");
      expect(err).toMatch(/^wavekv: [^\n]+\n$/);
    }
    const { code, out, err } = await run(disk, "verify", directory, "--json");
    expect(code).toBe(1);
    const { ok, error } = JSON.parse(out) as { ok: boolean; error: { code: string; message: string } };
    expect(ok).toBe(false);
    expect(err).toContain(error.message);
    return `${error.code} ${error.message}`;
  }

  test("a directory that is held", async () => {
    const disk = whole.clone(true);
    const replica = await start(disk);
    expect(await refusal(disk)).toMatch(/^ERR_LOCKED .*held by another opener.*; stop that process/);
    await replica.close();
    expect((await verify(disk)).ok).toBe(true);
  });

  test("no directory, and one without a store", async () => {
    expect(await refusal(whole, "/none")).toMatch(/^ENOENT .*; check the path$/);
    const disk = new MemoryDisk();
    await disk.makeDirectory(DIRECTORY);
    disk.put("/data/theirs", Uint8Array.of(1));
    expect(await refusal(disk)).toMatch(/^ERR_OPTION there is no store in \/data; give/);
  });

  test("one that we may not read", async () => {
    const disk = whole.clone(true);
    disk.open = () => Promise.reject(diskError("EACCES", "the file"));
    expect(await refusal(disk)).toMatch(/^EACCES .*; run this as the user who owns it$/);
  });

  test("a newer format, of the directory and of a file", async () => {
    const { crc32 } = await import("node:zlib");
    const text = "wavekv identity 2\n{}\n";
    const identity = `${text}${crc32(text).toString(16).padStart(8, "0")}\n`;
    const newer = damaged(`${DIRECTORY}/identity`, () => Buffer.from(identity));
    expect(await refusal(newer)).toMatch(/^ERR_FORMAT_VERSION .*format 2.*; use the version of wavekv that wrote it/);
    const header = damaged(LAST_LOG, (bytes) => {
      const buffer = Buffer.from(bytes);
      buffer.writeUInt16LE(99, 8);
      buffer.writeUInt32LE(crc32(buffer.subarray(0, 188)), 188);
      return buffer;
    });
    expect(await refusal(header)).toMatch(/^ERR_FORMAT_VERSION .*0000000003\.log.*format 99/);
  });

  test("files of two replicas", async () => {
    const disk = whole.clone(true);
    const other = new MemoryDisk();
    await (await openReplica({ directory: DIRECTORY, disk: other, nodeId: "n2", logger })).close();
    disk.put(LAST_LOG, other.bytesOf(`${DIRECTORY}/0000000001.log`));
    expect(await refusal(disk)).toMatch(/^ERR_FOREIGN_DIRECTORY .*"n2".*; files of two replicas/);
  });
});
