/** Crashes the store on purpose, and counts what does not survive that should. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseFlags, parseNumber, print, runCommand, UsageError } from "../demo/filesync/tools.ts";
import { runCheckpoints } from "./crash/checkpoints.ts";
import { MODES, type Mode, runKills } from "./crash/kills.ts";
import { PLANTS, type Plant } from "./crash/reports.ts";

const HELP = `
Crashes the store on purpose. One of

  npm run crash -- --kills N [--mode always|interval|os|all] [--seed N] [--plant FAULT]
  npm run crash -- --sweep
  npm run crash -- --checkpoints N

  --kills N        kills a writing process N times, at random moments, and compares what it recovers with a ledger
                   that is kept outside of it; the default, with 50 kills
  --mode M         the durability of the writes; all, the default: each in turn
  --seed N         repeats what is written and which moments are aimed at; default: another one each time
  --plant FAULT    ${PLANTS.join(" or ")}: a deliberate fault, to see that it is found
  --sweep          a disk in memory loses power at every call of a script, and again at every call of the recovery
  --checkpoints N  takes N checkpoints and fails if they leave files, bytes or file descriptors behind; at least 5

Exit codes: 0 all is well, 1 something was lost, torn or left behind, 2 wrong use, 130 stopped.
`;

const SWEEP_TESTS = ["test/crash/every-disk-call.test.ts", "test/crash/every-replica-call.test.ts"];

await runCommand(HELP, async (signal) => {
  const { values, positionals } = parseFlags({
    kills: { type: "string" },
    mode: { type: "string", default: "all" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    plant: { type: "string" },
    sweep: { type: "boolean", default: false },
    checkpoints: { type: "string" },
  });
  if (positionals[0] !== undefined) throw new UsageError(`unexpected argument "${positionals[0]}"`);
  const { kills, sweep, checkpoints } = values;
  if ([kills !== undefined, sweep, checkpoints !== undefined].filter(Boolean).length > 1)
    throw new UsageError("--kills, --sweep and --checkpoints exclude one another");
  if (sweep) return await runSweep(signal);
  if (checkpoints !== undefined) {
    const count = parseNumber("checkpoints", checkpoints, 5, 1_000_000);
    return await withTemporaryDirectory((directory) => checkpointsCommand(directory, count, signal));
  }
  const count = parseNumber("kills", kills ?? "50", 1, 100_000);
  const modes = parseModes(values.mode);
  const seed = parseNumber("seed", values.seed, 0, 2 ** 32 - 1);
  const plant = parsePlant(values.plant);
  return await withTemporaryDirectory((directory) => killsCommand(directory, count, modes, seed, plant, signal));
});

async function killsCommand(
  directory: string,
  kills: number,
  modes: readonly Mode[],
  seed: number,
  plant: Plant | undefined,
  signal: AbortSignal,
): Promise<number> {
  print(`seed ${seed}`);
  const planted = plant === undefined ? {} : { plant };
  const result = await runKills({ directory, kills, modes, seed, ...planted, signal, onLine: print });
  for (const problem of result.problems) print(`wrong: ${problem}`);
  print(`${result.checkpoints} checkpoints and flushes, ${result.killsInRecovery} kills in recovery`);
  const { acknowledged, lost, torn, slowestRecoveryMs } = result;
  print(
    `acknowledged ${acknowledged}, lost ${lost}, torn ${torn}, kills ${result.kills}, ` +
      `slowest recovery ${slowestRecoveryMs.toFixed(0)} ms`,
  );
  return result.problems.length === 0 ? 0 : 1;
}

async function checkpointsCommand(directory: string, count: number, signal: AbortSignal): Promise<number> {
  const { first, last, problems } = await runCheckpoints(directory, count, signal, (usage) =>
    print(`checkpoint ${usage.checkpoint}: ${usage.bytes} bytes, ${usage.files} files`),
  );
  for (const problem of problems) print(`wrong: ${problem}`);
  print(
    `checkpoints ${last.checkpoint}, bytes ${first.bytes} then ${last.bytes}, files ${first.files} then ${last.files}, ` +
      `file descriptors ${first.descriptors} then ${last.descriptors}`,
  );
  return problems.length === 0 ? 0 : 1;
}

/** The tests that sweep every disk call, with a larger scope than in the suite: they need the parts that are not public. */
async function runSweep(signal: AbortSignal): Promise<number> {
  const checkout = fileURLToPath(new URL("../../", import.meta.url));
  const vitest = join(checkout, "node_modules", "vitest", "vitest.mjs");
  const child = spawn(
    process.execPath,
    [vitest, "run", "--disable-console-intercept", "--testTimeout=3600000", ...SWEEP_TESTS],
    {
      cwd: checkout,
      env: { ...process.env, WAVEKV_SWEEP: "full" },
      stdio: ["inherit", "pipe", "inherit"],
    },
  );
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    process.stdout.write(text);
  });
  const abort = (): void => void child.kill("SIGTERM");
  signal.addEventListener("abort", abort, { once: true });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  signal.throwIfAborted();
  let crashPoints = 0;
  let images = 0;
  for (const [, points, opened] of output.matchAll(/(\d+) crash points, (\d+) images/g)) {
    crashPoints += Number(points);
    images += Number(opened);
  }
  print(
    `crash points ${crashPoints}, images ${images}, ${code === 0 ? "all a prefix of the commits" : "not all right"}`,
  );
  return code === 0 && images > 0 ? 0 : 1;
}

async function withTemporaryDirectory<T>(use: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "wavekv-crash-"));
  try {
    return await use(join(directory, "data"));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function parseModes(text: string): readonly Mode[] {
  const modes = MODES.filter((mode) => text === "all" || text === mode);
  if (modes.length === 0) throw new UsageError(`--mode takes ${MODES.join(", ")} or all, not "${text}"`);
  return modes;
}

function parsePlant(text: string | undefined): Plant | undefined {
  const plant = PLANTS.find((name) => name === text);
  if (text !== undefined && plant === undefined) throw new UsageError(`--plant takes ${PLANTS.join(" or ")}`);
  return plant;
}
