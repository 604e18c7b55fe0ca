/** Runs `dist/scripts/crash/child.js`, which does a job on a directory, under whatever stands in front of it. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach } from "vitest";
import { Ledger } from "../../scripts/crash/ledger.ts";
import { type Job, parseReport, type Report, type Task } from "../../scripts/crash/reports.ts";

const CHILD = fileURLToPath(new URL("../../dist/scripts/crash/child.js", import.meta.url));
const DEADLINE_MS = 60_000;

export interface Run {
  readonly reports: readonly Report[];
  readonly code: number | null;
  readonly stderr: string;
}

/** A directory that is gone when the test has ended. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "wavekv-e2e-"));
  directories.push(directory);
  return directory;
}

const directories: string[] = [];
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

/** Node.js with the script and the job, in mode "always". */
export function commandOf(directory: string, task: Task): string[] {
  const job: Job = { directory, durability: "always", task };
  return [process.execPath, CHILD, JSON.stringify(job)];
}

/** @returns when the process has ended; killed at the deadline */
export async function run([program, ...rest]: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Run> {
  // Standard input stays open: the script ends itself when whoever started it has gone.
  const child = spawn(program!, rest, { stdio: "pipe", env: { ...process.env, ...env } });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const deadline = setTimeout(() => child.kill("SIGKILL"), DEADLINE_MS);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  clearTimeout(deadline);
  // The last line is empty, or cut off by a kill.
  return { reports: stdout.split("\n").slice(0, -1).map(parseReport), code, stderr };
}

export function ofType<T extends Report["type"]>(reports: readonly Report[], type: T): Extract<Report, { type: T }>[] {
  return reports.filter((report): report is Extract<Report, { type: T }> => report.type === type);
}

/** What is wrong with what `after` has read, given what `before` has sent and been told. */
export function problemsBetween(before: readonly Report[], after: readonly Report[]): readonly string[] {
  const ledger = new Ledger();
  for (const { number, writes } of ofType(before, "sent")) ledger.sent(number, writes);
  for (const { number } of ofType(before, "acknowledged")) ledger.acknowledged(number);
  const failures = ofType(after, "failed").map((report) => JSON.stringify(report));
  if (ofType(after, "read").length === 0) return ["it does not open", ...failures];
  const found = new Map(ofType(after, "entry").map(({ key, value }) => [key, String(value)]));
  return [...ledger.check(found).problems, ...failures];
}

/** Why a command cannot run here, or undefined when it can. */
export function obstacleTo(what: string, command: readonly string[]): string | undefined {
  const [program, ...rest] = command;
  const { status, error, stderr } = spawnSync(program!, rest, { encoding: "utf8" });
  if (error !== undefined) return `${what}: ${error.message}`;
  return status === 0 ? undefined : `${what} is not permitted: ${stderr.trim()}`;
}
