/** Stops what scripts/cluster.js has started, from another terminal. */

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CommandError, parseFlags, parseNumber, pause, print, runCommand, UsageError } from "../demo/filesync/tools.ts";

const HELP = `
Stops the replicas that scripts/cluster.js has started.

  node dist/scripts/stop.js DIR [--seconds N]

  DIR           where the cluster keeps its folders, as it has printed
  --seconds N   how long to wait until it has stopped, default 15
`;

const LOOK_EVERY_MS = 50;

await runCommand(HELP, async (signal) => {
  const { values, positionals } = parseFlags({ seconds: { type: "string", default: "15" } });
  const [directory, ...rest] = positionals;
  if (directory === undefined || rest.length > 0) throw new UsageError("stop takes one directory");
  const waitMs = parseNumber("seconds", values.seconds, 1, 3600) * 1000;
  const pidFile = join(directory, "cluster.pid");
  const pid = await readPid(pidFile);
  if (!(await isCluster(pid))) throw new CommandError(`no cluster runs in ${directory} any more; remove ${pidFile}`);
  process.kill(pid, "SIGTERM");
  const endMs = performance.now() + waitMs;
  while (existsSync(pidFile)) {
    if (performance.now() > endMs) throw new CommandError(`process ${pid} has not stopped within ${values.seconds} s`);
    await pause(LOOK_EVERY_MS, signal);
  }
  print("stopped");
  return 0;
});

async function readPid(pidFile: string): Promise<number> {
  let text: string;
  try {
    text = await readFile(pidFile, "utf8");
  } catch (error) {
    throw new CommandError(`no cluster runs there: ${pidFile} cannot be read`, { cause: error });
  }
  const pid = Number(text);
  if (!Number.isSafeInteger(pid) || pid < 2) throw new CommandError(`${pidFile} does not hold a process id; remove it`);
  return pid;
}

/** A process id may have gone to another program since; where the system tells, its command line must be the cluster's. */
async function isCluster(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
    if (process.platform !== "linux") return true;
    return /\bcluster\.[jt]s\b/.test(await readFile(`/proc/${pid}/cmdline`, "utf8"));
  } catch {
    return false;
  }
}
