import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import ts from "typescript";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lockDirectory } from "../../../src/storage/directory-lock.ts";

let directory = "";
let program = "";
let children: ChildProcess[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "wavekv-lock-"));
  // The other process runs the same code: it needs nothing but Node.js once the types are gone.
  const source = readFileSync(new URL("../../../src/storage/directory-lock.ts", import.meta.url), "utf8");
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  program = join(mkdtempSync(join(tmpdir(), "wavekv-program-")), "lock.mjs");
  writeFileSync(
    program,
    `${outputText}
    const lock = await lockDirectory(process.argv[2]);
    process.stdout.write(JSON.stringify({ pid: process.pid, heldBy: lock.heldBy ?? null }) + "\\n");
    process.stdin.once("end", () => lock.release?.().then(() => process.exit(0))).resume();`,
  );
});

afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children = [];
  for (const made of [directory, dirname(program)]) rmSync(made, { recursive: true, force: true });
});

async function lockElsewhere(): Promise<{ child: ChildProcess; pid: number; heldBy: string | null }> {
  const child = spawn(process.execPath, [program, directory], { stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return { child, ...(JSON.parse(String(line)) as { pid: number; heldBy: string | null }) };
}

async function lockHere(): Promise<{ release(): Promise<void> }> {
  const lock = await lockDirectory(directory);
  if ("heldBy" in lock) throw new Error(lock.heldBy);
  return lock;
}

test("another process that lives keeps us out, and its death by SIGKILL lets us in", async () => {
  const other = await lockElsewhere();
  expect(other.heldBy).toBeNull();
  expect(await lockDirectory(directory)).toEqual({ heldBy: `process ${other.pid}` });
  other.child.kill("SIGKILL");
  await once(other.child, "exit");
  expect(await readdir(directory), "what it left behind").toEqual(["lock"]);
  const lock = await lockHere();
  await lock.release();
  expect(await readdir(directory)).toEqual([]);
});

test("another process learns who we are, touches nothing, and gets in after the release", async () => {
  const lock = await lockHere();
  const before = await readFile(join(directory, "lock"), "utf8");
  expect((await lockElsewhere()).heldBy).toBe(`process ${process.pid}`);
  expect(await readFile(join(directory, "lock"), "utf8")).toBe(before);
  await lock.release();
  expect((await lockElsewhere()).heldBy).toBeNull();
});

test("the same process is refused as well", async () => {
  const lock = await lockHere();
  expect(await lockDirectory(directory)).toEqual({ heldBy: `this process (pid ${process.pid})` });
  await lock.release();
  await (await lockHere()).release();
});

const parent = ourParent();
test.each([
  ["of a process that is gone", { pid: 2 ** 22 + 1 }],
  ["of an earlier process with the number of a living one", { pid: parent.pid, startTime: "1" }],
  ["from before a reboot", { ...parent, bootId: "another boot" }],
  ["that was cut short", undefined],
])("a lock file %s is taken over", async (_name, holder) => {
  const text = holder === undefined ? '{"pid":' : JSON.stringify({ ...parent, ...holder, tag: "old" });
  writeFileSync(join(directory, "lock"), text);
  const lock = await lockHere();
  expect(JSON.parse(await readFile(join(directory, "lock"), "utf8"))).toMatchObject({ pid: process.pid });
  await lock.release();
});

test("a lock file of a living process whose socket we do not see is respected", async () => {
  writeFileSync(join(directory, "lock"), JSON.stringify({ ...parent, tag: "foreign" }));
  expect(await lockDirectory(directory)).toEqual({ heldBy: `process ${parent.pid}` });
  expect(await readdir(directory)).toEqual(["lock"]);
});

/** A process that is not us and lives as long as we do: our parent. */
function ourParent(): { pid: number; startTime: string; bootId: string } {
  const read = (path: string): string => {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return "";
    }
  };
  const stat = read(`/proc/${process.ppid}/stat`);
  const startTime = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  return { pid: process.ppid, startTime, bootId: read("/proc/sys/kernel/random/boot_id").trim() };
}
