/**
 * The proof on real files and processes: work in all three folders, replicas killed and wiped in the middle of it, and after each step
 * the folders must be equal, byte by byte, with conflict copies where two have edited and nowhere else. What moves is counted by
 * the replicas and held against what has changed.
 */
import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { appendFile, chmod, mkdir, open, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { churn, seededRandom } from "./churn.ts";
import { CLUSTER_NAMES, Cluster } from "./cluster.ts";
import { CommandError, pause } from "./command-line.ts";
import { listFiles } from "./compare.ts";
import { hashOf } from "./content.ts";
import { Observer } from "./observer.ts";
import { formatBytes } from "./output.ts";
import { conflictPath, isConflictCopy } from "./paths.ts";

export interface CheckOptions {
  /** Holds everything; must exist, and be empty. */
  readonly directory: string;
  /** Of random work. */
  readonly seconds: number;
  readonly seed: number;
  readonly smallFiles: number;
  readonly largeBytes: number;
  readonly showOutput: boolean;
  readonly print: (line: string) => void;
  readonly signal: AbortSignal;
}

const STEP_MS_MAX = 600_000;
/** Bounds on what all replicas together send. */
const RENAME_BYTES_MAX = 64 * 1024;
const APPEND_BYTES_MAX = 3 * 1024 * 1024;
const LARGE = "films/large.bin";
const RENAMED = "archive/2024/renamed.bin";
const WRITE_BYTES = 1024 * 1024;

interface Stage {
  readonly cluster: Cluster;
  readonly observer: Observer;
  readonly options: CheckOptions;
  readonly signal: AbortSignal;
  /** Where a path is in the folder of a replica. */
  readonly at: (name: string, path: string) => string;
}

/**
 * Runs it and prints what happens; the last line says how it went. Leaves no process behind.
 * @returns whether all of it held
 */
export async function runCheck(options: CheckOptions): Promise<boolean> {
  const { directory, seed, seconds, showOutput, print } = options;
  const died = new AbortController();
  const signal = AbortSignal.any([options.signal, died.signal]);
  await using cluster = new Cluster(directory, (message) => died.abort(new CommandError(message)), { showOutput });
  await cluster.start(signal);
  print(`seed ${seed}: three replicas, below ${directory}`);
  const observer = new Observer(cluster, signal);
  const at = (name: string, path: string): string => join(cluster.folders.get(name) ?? "", path);
  const stage: Stage = { cluster, observer, options, signal, at };
  const startMs = performance.now();
  try {
    await randomWork(stage, seconds);
    const conflicts = new Set((await listFiles(at("a", ""))).filter(isConflictCopy));
    await manySmallFiles(stage);
    await largeFile(stage);
    await cheapRename(stage);
    await cheapAppend(stage);
    const expected = await bothSides(stage);
    const { files, bytes } = await lostFolder(stage);
    const found = (await listFiles(at("a", ""))).filter((path) => isConflictCopy(path) && !conflicts.has(path));
    if (found.length !== 1 || found[0] !== expected)
      throw new CommandError(`conflict copies: expected ${expected}, found ${found.join(", ") || "none"}`);
    // First, so that the verdict is the last line.
    await cluster.stop();
    const took = `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
    print(`equal: ${files} files, ${bytes} bytes in each folder, ${took} in all`);
    return true;
  } catch (error) {
    if (!(error instanceof CommandError) || signal.aborted) throw error;
    await cluster.stop();
    print(error.message);
    print(`FAILED (seed ${seed})`);
    return false;
  }
}

/** Waits until all is calm and equal, and says what has moved for what has changed; `undefined`: nobody has counted it. */
async function settled(
  { observer, options, signal }: Stage,
  title: string,
  changedBytes: number | undefined,
  work: () => Promise<void>,
): Promise<{ movedBytes: number; files: number; bytes: number }> {
  await observer.look();
  const before = observer.movedBytes;
  const startMs = performance.now();
  await work();
  const { files, bytes } = await observer.converge(STEP_MS_MAX);
  signal.throwIfAborted();
  const movedBytes = observer.movedBytes - before;
  const took = `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
  const changed = changedBytes === undefined ? "" : ` for ${formatBytes(changedBytes)} changed`;
  const moved = `moved ${formatBytes(movedBytes)}${changed}`;
  options.print(`  equal  ${title}: ${moved}, ${took}`);
  return { movedBytes, files, bytes };
}

async function randomWork(stage: Stage, seconds: number): Promise<void> {
  const { cluster, options, signal } = stage;
  const { seed, print } = options;
  print(`random work in all folders for ${seconds} s; one replica is killed, the data of another wiped`);
  const counts = { text: "" };
  const first = Math.floor(seededRandom(seed)() * CLUSTER_NAMES.length);
  const nameOf = (index: number): string => CLUSTER_NAMES[index % CLUSTER_NAMES.length] ?? "a";
  const disturb = async (): Promise<void> => {
    for (const [name, wipe] of [
      [nameOf(first), false],
      [nameOf(first + 1), true],
    ] as const) {
      await pause((seconds * 1000) / 4, signal);
      await cluster.kill(name);
      print(`  ${name} is killed (SIGKILL)${wipe ? ", its data is wiped" : ""}; work in its folder goes on`);
      await pause((seconds * 1000) / 8, signal);
      await cluster.restart(name, { wipe }, signal);
      print(`  ${name} is back`);
    }
  };
  await settled(stage, "random work", undefined, async () => {
    const folders = [...cluster.folders.values()];
    const [done] = await Promise.all([churn({ folders, durationMs: seconds * 1000, seed, signal }), disturb()]);
    counts.text = Object.entries(done)
      .map(([action, count]) => `${count} x ${action}`)
      .join(", ");
    print(`  ${counts.text}; waits until the folders are equal`);
  });
}

async function manySmallFiles(stage: Stage): Promise<void> {
  const { options, at, signal } = stage;
  const { smallFiles, print, seed } = options;
  print(`${smallFiles} small files in nested folders, empty folders, a link, a program`);
  const random = seededRandom(seed + 1);
  const files: { path: string; content: Buffer }[] = [];
  for (let index = 0; index < smallFiles; index++) {
    const path = `tree/${index % 10}/${index % 97}/${index % 3 === 0 ? "deep/er/" : ""}file-${index}.txt`;
    const content = Buffer.alloc(Math.floor(random() ** 2 * 8192), `${index} ${random()} `);
    files.push({ path, content });
  }
  const changedBytes = files.reduce((sum, { content }) => sum + content.length, 0);
  await settled(stage, `${smallFiles} small files`, changedBytes, async () => {
    for (const { path, content } of files) {
      await mkdir(join(at("a", path), ".."), { recursive: true });
      await writeFile(at("a", path), content);
    }
    signal.throwIfAborted();
    await mkdir(at("b", "tree/empty/below"), { recursive: true });
    await symlink("0/0", at("b", "tree/link"));
    await writeFile(at("c", "program"), "#!/bin/sh\n");
    await chmod(at("c", "program"), 0o755);
  });
}

async function largeFile(stage: Stage): Promise<void> {
  const { cluster, observer, options, at, signal } = stage;
  const { largeBytes, print } = options;
  print(`a file of ${formatBytes(largeBytes)}; a receiver is killed on the way, then the data of the other one wiped`);
  const partOf = (name: string): number => {
    const download = observer.status(name)?.downloads.find(({ path }) => path === LARGE);
    return download === undefined ? (hasAll(name) ? 1 : 0) : download.bytes / download.totalBytes;
  };
  await settled(stage, "the large file", largeBytes, async () => {
    await mkdir(join(at("b", LARGE), ".."));
    await writeRandom(at("b", LARGE), largeBytes);
    for (const [name, part] of [
      ["c", 0.1],
      ["a", 0.3],
    ] as const) {
      await observer.until(`progress on ${name}`, STEP_MS_MAX, () => partOf(name) > part);
      await cluster.kill(name);
      print(
        `  ${name} is killed at ${Math.round(partOf(name) * 100)} %${name === "a" ? ", and its data is wiped" : ""}`,
      );
    }
    for (const name of ["c", "a"]) {
      await cluster.restart(name, { wipe: name === "a" }, signal);
      await observer.until(`progress on ${name} after its restart`, STEP_MS_MAX, () => partOf(name) > 0);
      print(`  ${name} is back, with ${Math.round(partOf(name) * 100)} % of it`);
    }
  });

  /** Small ones, as in the tests, may be through before anybody looks. */
  function hasAll(name: string): boolean {
    return statSync(at(name, LARGE), { throwIfNoEntry: false })?.size === largeBytes;
  }
}

async function cheapRename(stage: Stage): Promise<void> {
  const { at, options } = stage;
  options.print("the large file gets another name in another folder");
  const { movedBytes } = await settled(stage, "the rename", 0, async () => {
    await mkdir(join(at("c", RENAMED), ".."), { recursive: true });
    await rename(at("c", LARGE), at("c", RENAMED));
  });
  mustBeBelow("the rename", movedBytes, RENAME_BYTES_MAX);
}

async function cheapAppend(stage: Stage): Promise<void> {
  const { at, options } = stage;
  options.print("1 KB is appended to it");
  const { movedBytes } = await settled(stage, "the append", 1000, async () => {
    await appendFile(at("a", RENAMED), randomBytes(1000));
  });
  mustBeBelow("the append", movedBytes, APPEND_BYTES_MAX);
}

/** @returns where the loser must be, alone */
async function bothSides(stage: Stage): Promise<string> {
  const { cluster, at, options, signal } = stage;
  options.print("edits on both sides of one file, on one side of others, and both edits and deletes");
  const loser = Buffer.from("written on b while it was down\n");
  for (const path of ["both.txt", "only-a.txt", "only-b.txt", "deleted-on-a.txt"])
    await writeFile(at("a", path), "base\n");
  await stage.observer.converge(STEP_MS_MAX);
  await settled(stage, "the edits", 4 * loser.length, async () => {
    await cluster.kill("b");
    await writeFile(at("a", "both.txt"), "written on a\n");
    await writeFile(at("a", "only-a.txt"), "written on a\n");
    await rm(at("a", "deleted-on-a.txt"));
    // The others must have settled before b returns, or who was first is anybody's guess.
    await pause(2500, signal);
    await writeFile(at("b", "both.txt"), loser);
    await writeFile(at("b", "only-b.txt"), loser);
    await writeFile(at("b", "deleted-on-a.txt"), loser);
    await cluster.restart("b", { wipe: false }, signal);
  });
  const kept = conflictPath("both.txt", hashOf(loser));
  for (const [path, content] of [
    ["both.txt", "written on a\n"],
    ["only-a.txt", "written on a\n"],
    ["only-b.txt", String(loser)],
    ["deleted-on-a.txt", String(loser)],
    [kept, String(loser)],
  ] as const) {
    const found = await readFile(at("c", path), "utf8").catch(() => "nothing");
    if (found !== content)
      throw new CommandError(`${path} holds ${JSON.stringify(found)}, not ${JSON.stringify(content)}`);
  }
  return kept;
}

async function lostFolder(stage: Stage): Promise<{ files: number; bytes: number }> {
  const { cluster, at, options, signal } = stage;
  options.print("c loses its folder, but not its data");
  return await settled(stage, "the lost folder", 0, async () => {
    await cluster.kill("c");
    await rm(at("c", ""), { recursive: true });
    await mkdir(at("c", ""));
    await cluster.restart("c", { wipe: false }, signal);
  });
}

async function writeRandom(path: string, bytes: number): Promise<void> {
  await using file = await open(path, "w");
  for (let written = 0; written < bytes; written += WRITE_BYTES)
    await file.write(randomBytes(Math.min(WRITE_BYTES, bytes - written)));
}

function mustBeBelow(what: string, bytes: number, bytesMax: number): void {
  if (bytes >= bytesMax) throw new CommandError(`${what} moved ${bytes} bytes; it should be less than ${bytesMax}`);
}
