/** `npm run bench` as a process. Uses `dist`. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { runsOfLines } from "../../scripts/bench/results.ts";
import { WORKLOADS } from "../../scripts/bench/workloads.ts";

const DEADLINE_MS = 120_000;
const script = fileURLToPath(new URL("../../dist/scripts/bench.js", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "wavekv-bench-test-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const bench = (...flags: string[]): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(process.execPath, [script, ...flags], { encoding: "utf8", timeout: DEADLINE_MS });

test.each([
  [["--only", "nothing"], `there is no workload "nothing"; there are memory, `],
  [["--only", "durable", "--size", "17"], `no chosen workload has the size "17"; there are 1, 16, 256, 4096`],
  [["--rounds", "0"], `--rounds takes a whole number from 1 to 100, not "0"`],
  [["--quick", "--write"], "--write takes no figures of --quick"],
  [["--no-peers", "--write"], "--write needs the peers"],
  [["--fast"], "--fast"],
  [["durable"], `unexpected argument "durable"`],
])("wrong use: %j", (flags, message) => {
  const { status, stderr, stdout } = bench(...flags);
  expect(stderr).toContain(message);
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
});

test("--list names every workload", () => {
  const { status, stdout } = bench("--list");
  expect(status).toBe(0);
  expect(
    stdout
      .trim()
      .split("\n")
      .map((line) => line.split(" ")[0]),
  ).toEqual(WORKLOADS.map(({ name }) => name));
});

test("a file that has no results is refused, and nothing is written", () => {
  const path = join(directory, "bad.jsonl");
  writeFileSync(path, "not JSON\n");
  expect(bench("--from", path, "--write")).toMatchObject({ status: 1, stdout: "" });
  expect(bench("--from", join(directory, "absent"))).toMatchObject({ status: 1 });
});

test("measures in rounds, ours and the limit, prints lines, and takes them back", { timeout: DEADLINE_MS }, () => {
  const path = join(directory, "out.jsonl");
  const flags = ["--quick", "--no-peers", "--rounds", "2", "--only", "batches,growth", "--json", "--out", path];
  const { status, stdout, stderr } = bench(...flags);
  expect({ status, failures: stderr.match(/failed.*/g) }).toEqual({ status: 0, failures: null });
  const runs = runsOfLines(stdout);
  expect(readFileSync(path, "utf8")).toBe(stdout);
  expect(runs.map(({ workload, failures }) => [workload, failures])).toEqual([
    ["batches", []],
    ["growth", []],
  ]);
  expect(runs[0]?.series.map(({ system, figure, samples }) => [system, figure, samples.length])).toEqual([
    ["wavekv", "put", 2],
    ["wavekv", "longest turn", 2],
    ["append and sync", "put", 2],
    ["append and sync", "longest turn", 2],
  ]);
  // Interleaved: one system after the other within a round.
  const order = stderr.split("\n").filter((line) => line.startsWith("batches"));
  expect(order.map((line) => line.split(": ")[1])).toEqual([
    "round 1 of 2, wavekv",
    "round 1 of 2, append and sync",
    "round 2 of 2, wavekv",
    "round 2 of 2, append and sync",
  ]);
  // Of one seed the figures are the same.
  expect(runs[1]?.series.every(({ samples: [first, second] }) => first === second)).toBe(true);
  const again = bench("--from", path);
  expect(again.status).toBe(0);
  expect(again.stdout).toContain("append and sync");
  expect(bench("--from", path, "--write").stderr).toContain("--quick");
});

test("a cluster of three writes, is cut and heals; ours and the limit", { timeout: DEADLINE_MS }, () => {
  const { status, stdout, stderr } = bench("--quick", "--no-peers", "--only", "cluster", "--json");
  expect({ status, failures: stderr.match(/failed.*/g) }).toEqual({ status: 0, failures: null });
  const [run] = runsOfLines(stdout);
  const figuresOf = (system: string): string[] =>
    (run?.series ?? []).filter((one) => one.system === system).map(({ figure }) => figure);
  const both = ["writes", "latency, p50", "latency, p99"];
  expect(figuresOf("bare pages")).toEqual(both);
  const ours = ["cut for", "connected after healing", "converged after healing", "longest turn"];
  expect(figuresOf("wavekv")).toEqual([...both, ...ours]);
});

test("writes with a write concern: all of them are answered, and the turns watched", { timeout: DEADLINE_MS }, () => {
  const { status, stdout, stderr } = bench("--quick", "--only", "acks", "--size", "64", "--json");
  expect({ status, failures: stderr.match(/failed.*/g) }).toEqual({ status: 0, failures: null });
  const [run] = runsOfLines(stdout);
  expect(run?.series.map(({ figure, samples }) => [figure, samples.every((sample) => sample > 0)])).toEqual([
    ["put", true],
    ["put, for each second of processor", true],
    ["p50", true],
    ["p99", true],
    ["longest turn", true],
  ]);
});

test("settling moves what differs, and not much more", { timeout: DEADLINE_MS }, () => {
  const { status, stdout, stderr } = bench("--quick", "--no-peers", "--only", "settle,digest", "--json");
  expect({ status, failures: stderr.match(/failed.*/g) }).toEqual({ status: 0, failures: null });
  const [settle, digest] = runsOfLines(stdout);
  const figures = Object.fromEntries((settle?.series ?? []).map(({ figure, samples }) => [figure, samples[0]]));
  // Ten entries, and the announcements of the two replicas.
  expect(figures["entries moved"]).toBe(12);
  expect(figures["of the bytes of a full transfer"]).toBeLessThan(0.1);
  const share = digest?.series.find(({ figure }) => figure === "digest, of a put")?.samples[0];
  expect(share).toBeGreaterThan(0);
  expect(share).toBeLessThan(1);
});
