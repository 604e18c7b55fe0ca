/** The executable on real directories: nothing in them changes, live holders are named, pipes may close. Uses `dist`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openReplica } from "wavekv";
import packageJson from "../../package.json" with { type: "json" };
import { lockForReading } from "../../src/storage/directory-lock.ts";

const MAIN = fileURLToPath(new URL(`../../${packageJson.bin.wavekv}`, import.meta.url));
const LIBRARY = new URL("../../dist/src/index.js", import.meta.url).href;
const DEADLINE_MS = 20_000;

interface Run {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

const started = new Set<ReturnType<typeof spawn>>();
let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "wavekv-cli-"));
});
afterEach(() => {
  for (const child of started) child.kill("SIGKILL");
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function node(...args: string[]) {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], timeout: DEADLINE_MS });
  started.add(child);
  child.once("close", () => started.delete(child));
  return child;
}

async function run(...args: string[]): Promise<Run> {
  const child = node(MAIN, ...args);
  const written = { out: "", err: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => (written.out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (written.err += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, ...written };
}

/** A process that has opened the directory and written to it, and holds it until it is killed. */
async function holder(directory: string) {
  const child = node(
    "--input-type=module",
    "-e",
    `import { openReplica } from ${JSON.stringify(LIBRARY)};
     const replica = await openReplica({ directory: ${JSON.stringify(directory)}, nodeId: "held" });
     await replica.put("key", "value");
     console.log("ready");
     setInterval(() => {}, 1000);`,
  );
  await once(child.stdout, "data");
  return child;
}

/** Everything about a directory that a reader could have changed by mistake. */
function contentsOf(directory: string): unknown {
  const { mtimeMs, ctimeMs } = statSync(directory);
  const files = readdirSync(directory)
    .sort()
    .map((name) => {
      const path = join(directory, name);
      const stats = statSync(path, { bigint: true });
      const { mtimeNs, ctimeNs, ino, mode } = stats;
      return { name, mtimeNs, ctimeNs, ino, mode, bytes: readFileSync(path, "hex") };
    });
  return { mtimeMs, ctimeMs, files };
}

describe("wavekv", () => {
  test("looks at a directory that was closed, and leaves it as it was", async () => {
    const directory = join(root, "closed");
    const replica = await openReplica({ directory, nodeId: "paris", clusterId: "prod" });
    await replica.put("a", 1);
    await replica.checkpoint();
    await replica.put("b", 2);
    await replica.close();
    const before = contentsOf(directory);
    const { code, out, err } = await run("inspect", directory, "--keys", "--json");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(JSON.parse(out)).toMatchObject({ nodeId: "paris", clusterId: "prod", entries: 2, keys: [{ key: "a" }, {}] });
    expect(await run("verify", directory)).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^ok: /) as unknown,
      err: "",
    });
    expect(contentsOf(directory)).toEqual(before);
  });

  test("names who holds a directory, and leaves what he leaves when he is killed", async () => {
    const directory = join(root, "held");
    const child = await holder(directory);
    const before = contentsOf(directory);
    for (const command of ["inspect", "verify"]) {
      const { code, out, err } = await run(command, directory);
      expect({ code, out }).toEqual({ code: 1, out: "" });
      expect(err).toContain(`is held by process ${child.pid}; `);
    }
    expect(contentsOf(directory)).toEqual(before);
    child.kill("SIGKILL");
    await once(child, "close");
    const left = contentsOf(directory);
    const { code, out } = await run("inspect", directory, "--json");
    expect(code).toBe(0);
    const recovery = { closedInGoodOrder: false, newEpoch: "unclean" };
    expect(JSON.parse(out)).toMatchObject({ entries: 1, staleLock: true, recovery });
    expect((await run("verify", directory)).code).toBe(0);
    expect(contentsOf(directory)).toEqual(left);
  });

  test.runIf(process.platform === "linux")("keeps writers out while it reads, without a file", async () => {
    const directory = join(root, "read");
    await (await openReplica({ directory })).close();
    const before = contentsOf(directory);
    const lock = await lockForReading(directory);
    if ("heldBy" in lock) throw new Error(lock.heldBy);
    await expect(openReplica({ directory })).rejects.toMatchObject({ code: "ERR_LOCKED" });
    expect((await run("inspect", directory)).err).toContain("is held by another process; ");
    expect(contentsOf(directory)).toEqual(before);
    await lock.release();
    await (await openReplica({ directory })).close();
  });

  test("a backup is whole", async () => {
    const [directory, target] = [join(root, "original"), join(root, "backup")];
    const replica = await openReplica({ directory });
    await replica.put("a", 1);
    await replica.backup(target);
    await replica.close();
    expect(await run("verify", target)).toMatchObject({ code: 0, err: "" });
  });

  test("ends quietly when nobody reads on", async () => {
    const directory = join(root, "large");
    const replica = await openReplica({ directory, durability: "os" });
    // More than a pipe holds.
    for (let batch = 0; batch < 2; batch++) {
      const keys = Array.from({ length: 2000 }, (_, index) => `key ${batch}-${index}`);
      await replica.batch(keys.map((key) => ({ type: "put", key, value: 1 })));
    }
    await replica.close();
    const child = node(MAIN, "inspect", directory, "--keys", "--limit", "4000");
    let err = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    child.stdout.destroy();
    const [code] = (await once(child, "close")) as [number | null];
    expect({ code, err }).toEqual({ code: 0, err: "" });
    // The same, read to its end: nothing is lost in the pipe.
    expect((await run("inspect", directory, "--keys", "--limit", "4000")).out).toMatch(/\n4000 keys\n$/);
  });

  test("says what is wrong with a path", async () => {
    const file = join(root, "file");
    writeFileSync(file, "");
    const empty = join(root, "empty");
    mkdirSync(empty);
    expect((await run("inspect", file)).err).toMatch(/^wavekv: ENOTDIR.*; give the directory that openReplica gets\n$/);
    expect((await run("verify", empty)).err).toMatch(/^wavekv: there is no store in .*\n$/);
    expect(readdirSync(empty)).toEqual([]);
    const missing = join(root, "missing");
    expect(await run("verify", missing)).toMatchObject({
      code: 1,
      err: expect.stringContaining("check the path") as unknown,
    });
    expect(readdirSync(root)).not.toContain("missing");
  });

  test("has the version of the package, and an exit code for wrong use", async () => {
    expect(await run("--version")).toEqual({ code: 0, out: `${packageJson.version}\n`, err: "" });
    expect(await run("put", "a", "b")).toMatchObject({ code: 2, out: "" });
    expect(await run("get", "a", "--at", root)).toMatchObject({ code: 3, out: "" });
  });

  test("can be executed", () => {
    expect(readFileSync(MAIN, "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
  });
});
