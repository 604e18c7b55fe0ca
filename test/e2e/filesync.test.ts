/** The demo as a user has it: real processes, real sockets, real files. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const program = (name: string): string => join(root, "dist", name);
const NODE = program("demo/filesync/filesync.js");
const MAIN = program("demo/filesync/main.js");

let place: string;
let children: ChildProcess[];

beforeAll(() => {
  const { status } = spawnSync(process.execPath, [join(root, "scripts/setup.mjs"), "--build"], { stdio: "inherit" });
  expect(status).toBe(0);
}, 180_000);

beforeEach(async () => {
  place = await mkdtemp(join(tmpdir(), "filesync-e2e-"));
  await mkdir(join(place, "folder"));
  await mkdir(join(place, "tmp"));
  children = [];
});

afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }
  await rm(place, { recursive: true });
});

/** Starts a program whose temporary files go to a place of ours. */
function start(
  file: string,
  args: readonly string[],
): { child: ChildProcess; output: () => string; ended: Promise<number | null> } {
  const child = spawn(process.execPath, [file, ...args], {
    env: { ...process.env, TMPDIR: join(place, "tmp") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (part: string) => (text += part));
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  return { child, output: () => text, ended };
}

/** Runs a program to its end. */
async function run(file: string, ...args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const { ended, output } = start(file, args);
  const code = await ended;
  return { code, output: output() };
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 60_000;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`no ${what} in time`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("a small check: equal after each step, a rename and an append move little, and nothing is left behind", async () => {
  const { code, output } = await run(
    MAIN,
    ...["--check", "--seconds", "2", "--seed", "7", "--files", "100", "--large-mb", "8"],
  );
  expect(output.trimEnd().split("\n").at(-1)).toMatch(/^equal: \d+ files, \d+ bytes in each folder, [\d.]+ s in all$/);
  expect(output).toContain("its data is wiped");
  // The bounds are the check's own: it fails when they are exceeded.
  expect(output).toMatch(/equal {2}the rename: moved [\d.]+ kB for 0 B changed/);
  expect(output).toMatch(/equal {2}the append: moved [\d.]+ kB for 1\.0 kB changed/);
  expect(code).toBe(0);
  expect(await readdir(join(place, "tmp"))).toEqual([]);
}, 300_000);

test("a check that is interrupted leaves nothing behind either", async () => {
  const { child, ended, output } = start(MAIN, ["--check", "--seconds", "600"]);
  await until("work", () => output().includes("random work"));
  child.kill("SIGINT");
  expect(await ended).toBe(130);
  expect(await readdir(join(place, "tmp"))).toEqual([]);
}, 60_000);

test("the demo carries a file along the chain, and Ctrl-C stops it with all its processes", async () => {
  const { child, ended, output } = start(MAIN, []);
  await until("hint", () => output().includes("Ctrl-C stops everything."));
  const [a, , c] = [...output().matchAll(/^ {2}[abc] {2}(ws:\S+) {2}(\S+)$/gm)];
  await writeFile(join(a![2]!, "hello.txt"), "hello");
  await until("file at the other end", () => existsSync(join(c![2]!, "hello.txt")));
  expect(await readFile(join(c![2]!, "hello.txt"), "utf8")).toBe("hello");
  await until("line", () => /c {2}received {2}hello\.txt \(5 B\) from a/.test(output()));
  child.kill("SIGINT");
  expect(await ended).toBe(0);
  expect(await isReachable(Number(new URL(a![1]!).port))).toBe(false);
  expect(await readdir(join(place, "tmp"))).toEqual([]);
}, 60_000);

test("the demo with a page serves it to who has the token, and Ctrl-C stops all of it", async () => {
  const { child, ended, output } = start(MAIN, ["--ui"]);
  await until("hint", () => output().includes("Ctrl-C stops everything."));
  const [, origin, token] = /The page: (http:\/\/127\.0\.0\.1:\d+)\/#token=(\w+)/.exec(output())!;
  expect((await fetch(origin!)).headers.get("content-type")).toContain("text/html");
  const [a, , c] = [...output().matchAll(/^ {2}[abc] {2}(ws:\S+) {2}(\S+)$/gm)];
  await writeFile(join(a![2]!, "hello.txt"), "hello");
  await until("file at the other end", () => existsSync(join(c![2]!, "hello.txt")));
  expect(token).toHaveLength(64);
  child.kill("SIGINT");
  expect(await ended).toBe(0);
  expect(await isReachable(Number(new URL(origin!).port))).toBe(false);
  expect(await readdir(join(place, "tmp"))).toEqual([]);
}, 60_000);

test("a replica that dies is told, and the others are stopped", async () => {
  const keep = join(place, "kept");
  const { ended, output } = start(MAIN, ["--keep", keep]);
  await until("hint", () => output().includes("Ctrl-C stops everything."));
  // Its folder goes away, which no replica survives.
  await rm(join(keep, "b/folder"), { recursive: true });
  expect(await ended).toBe(1);
  expect(output()).toContain("the folder has gone away");
  expect(output()).toContain("replica b has died (exit code 1)");
  expect(existsSync(join(keep, "a/data"))).toBe(true);
}, 60_000);

describe("wrong use and a world in the way: one line that says what to do", () => {
  test.each([
    [2, "unknown command", []],
    [2, "one folder", ["run"]],
    [2, "one folder", ["status"]],
    [2, "one folder", ["conflicts", "FOLDER", "FOLDER"]],
    [2, "at least one folder", ["check"]],
    [1, "no filesync runs on", ["status", "FOLDER", "--data", "DATA"]],
    [1, "cannot be read; check the path", ["check", "FOLDER/missing"]],
    [1, "--secret-file FILE: a secret has at least 16 bytes", ["run", "FOLDER", "--secret-file", "FILE"]],
    [2, "Unknown option '--nope'", ["run", "FOLDER", "--data", "DATA", "--nope"]],
    [2, "--listen takes HOST:PORT", ["run", "FOLDER", "--data", "DATA", "--listen", "7001"]],
    [2, "whole number from 0 to 65535", ["run", "FOLDER", "--data", "DATA", "--listen", "127.0.0.1:65536"]],
    [
      2,
      "without a secret this listens on 127.0.0.1 only",
      ["run", "FOLDER", "--data", "DATA", "--listen", "0.0.0.0:0"],
    ],
    [2, "--peer takes an address", ["run", "FOLDER", "--data", "DATA", "--peer", "localhost"]],
    [2, "is inside the folder", ["run", "FOLDER", "--data", "FOLDER/data"]],
    [2, "is inside the data directory", ["run", "FOLDER", "--data", "FOLDER/.."]],
    [1, "does not exist; create it", ["run", "FOLDER/missing", "--data", "DATA"]],
    [1, "is not a folder", ["run", "FILE", "--data", "DATA"]],
  ])("exit code %i: %s", async (expected, text, args) => {
    await writeFile(join(place, "file"), "");
    const names = { FOLDER: join(place, "folder"), DATA: join(place, "data"), FILE: join(place, "file") };
    const resolve = (arg: string): string =>
      arg.replace(/(?<=^| )(FOLDER|DATA|FILE)\b/, (name) => names[name as keyof typeof names]);
    const { code, output } = await run(NODE, ...args.map(resolve));
    expect(output).toContain(resolve(text));
    expect(output).not.toMatch(/^ +at /m);
    expect(code).toBe(expected);
    expect(await readdir(join(place, "folder"))).toEqual([]);
  });

  test("a port in use, data in use, data of another cluster", async () => {
    const folder = join(place, "folder");
    const data = join(place, "data");
    const first = start(NODE, ["run", folder, "--data", data, "--id", "one"]);
    await until("start", () => first.output().includes("listens on"));
    const locked = await run(NODE, "run", folder, "--data", data, "--id", "one");
    expect(locked).toMatchObject({ code: 1, output: expect.stringContaining("another --data") as string });
    first.child.kill("SIGTERM");
    expect(await first.ended).toBe(0);
    const foreign = await run(NODE, "run", folder, "--data", data, "--id", "one", "--cluster", "other");
    expect(foreign).toMatchObject({
      code: 1,
      output: expect.stringContaining("--cluster that the data was made with") as string,
    });

    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as AddressInfo;
    const busy = await run(NODE, "run", folder, "--data", join(place, "data2"), "--listen", `127.0.0.1:${port}`);
    server.close();
    expect(busy).toMatchObject({ code: 1, output: expect.stringContaining("another port") as string });
  });

  test("--help is no error", async () => {
    for (const file of [
      NODE,
      MAIN,
      ...["cluster", "stop", "churn", "check", "restart-wiped"].map((name) => program(`scripts/${name}.js`)),
    ]) {
      const { code, output } = await run(file, "--help");
      expect(output).toContain("\n  n"); // node ... or npm ...
      expect(code).toBe(0);
    }
  });
});

test("two folders of one's own, with blanks in their names: run, status, conflicts, check, in lines and in JSON", async () => {
  const [one, two] = [join(place, "my notes"), join(place, "a copy")];
  for (const folder of [one, two]) await mkdir(folder);
  const data = (folder: string): string[] => ["--data", `${folder} data`];
  const first = start(NODE, ["run", one, ...data(one), "--id", "one", "--json"]);
  await until("start", () => first.output().includes("listens on"));
  const address = /ws:[\d./:]+/.exec(first.output())![0];
  const second = start(NODE, ["run", two, ...data(two), "--id", "two", "--peer", address]);
  await writeFile(join(one, "f.txt"), "hello");
  await writeFile(join(two, "g.conflict-12345678.txt"), "kept");
  await until("equality", async () => (await run(NODE, "check", one, two)).output.startsWith("equal: 2 files"));
  await until("line", () => second.output().includes("received  f.txt (5 B) from one"));
  const events = first.output().trimEnd().split("\n");
  expect(events.map((line) => JSON.parse(line) as object)).toContainEqual(
    expect.objectContaining({ name: "one", type: "put", path: "f.txt", bytes: 5 }),
  );
  const digests = await Promise.all([one, two].map((folder) => run(NODE, "check", folder)));
  expect(digests[0]!.output).toBe(digests[1]!.output);
  expect((await run(NODE, "conflicts", one)).output).toBe("g.txt: what lost is in g.conflict-12345678.txt\n");
  await until("calm", async () => (await run(NODE, "status", two, ...data(two))).output.includes("up to date"));
  const { output } = await run(NODE, "status", two, ...data(two), "--json");
  expect(JSON.parse(output)).toMatchObject({
    name: "two",
    files: 2,
    peers: [{ name: "one", state: "live" }],
    conflicts: [{ path: "g.txt" }],
  });
  for (const { child, ended } of [first, second]) {
    child.kill("SIGINT");
    expect(await ended).toBe(0);
  }
  expect((await run(NODE, "status", two, ...data(two))).code).toBe(1);
}, 180_000);

test("the scripts: a cluster that is churned, checked and stopped from elsewhere", async () => {
  const keep = join(place, "kept");
  const cluster = start(program("scripts/cluster.js"), ["--keep", keep, "--no-tmux"]);
  await until("hint", () => cluster.output().includes("Ctrl-C stops everything."));
  const folders = ["a", "b", "c"].map((name) => join(keep, name, "folder"));
  expect((await run(program("scripts/churn.js"), ...folders, "--seconds", "1", "--seed", "3")).code).toBe(0);
  await until("equality", async () => (await run(program("scripts/check.js"), ...folders)).code === 0);
  expect((await run(program("scripts/stop.js"), keep)).code).toBe(0);
  expect(await cluster.ended).toBe(0);
  await writeFile(join(folders[0]!, "only here"), "x");
  const different = await run(program("scripts/check.js"), ...folders);
  expect(different.code).toBe(1);
  expect(different.output).toContain("only here: missing in");
  expect((await run(program("scripts/stop.js"), keep)).code).toBe(1);
  expect((await stat(keep)).isDirectory()).toBe(true);
}, 60_000);

async function isReachable(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
