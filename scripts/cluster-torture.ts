/** Tortures a cluster of real processes, and counts what does not come out whole. scripts/cluster.js starts one for the demo. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseFlags, parseNumber, print, runCommand, UsageError } from "../demo/filesync/tools.ts";
import { runTorture } from "./cluster-torture/run.ts";

const HELP = `
Tortures a cluster: processes are killed, frozen, wiped and set back, their clocks go wrong, links are cut, deaf in one
direction and slow, while all write. Then it heals, waits until all hold the same, measures what writes and rest cost
without faults, and compares what is there with a ledger kept outside.

  npm run cluster -- [--nodes N] [--minutes N | --seconds N] [--seed N] [--verbose]

  --nodes N    processes, 3 to 12; default 5
  --minutes N  how long faults go on; default 1
  --seconds N  the same, for short runs
  --seed N     repeats which faults and writes are drawn, though not what they meet; default: another one each time
  --verbose    prints each fault

Exit codes: 0 all is well, 1 something was lost, torn, has come back or differs, 2 wrong use, 130 stopped.
`;

await runCommand(HELP, async (signal) => {
  const { values, positionals } = parseFlags({
    nodes: { type: "string", default: "5" },
    minutes: { type: "string" },
    seconds: { type: "string" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    verbose: { type: "boolean", default: false },
  });
  if (positionals[0] !== undefined) throw new UsageError(`unexpected argument "${positionals[0]}"`);
  const { minutes, seconds, verbose } = values;
  if (minutes !== undefined && seconds !== undefined) throw new UsageError("--minutes or --seconds, not both");
  const durationMs =
    seconds === undefined
      ? parseNumber("minutes", minutes ?? "1", 1, 1440) * 60_000
      : parseNumber("seconds", seconds, 1, 3600) * 1000;
  const nodes = parseNumber("nodes", values.nodes, 3, 12);
  const seed = parseNumber("seed", values.seed, 0, 2 ** 31);
  const directory = mkdtempSync(join(tmpdir(), "wavekv-cluster-"));
  try {
    print(`seed ${seed}, ${nodes} nodes, ${durationMs / 1000} s of faults`);
    const onLine = (line: string): void => {
      if (verbose) print(line);
    };
    const result = await runTorture({ directory, nodes, durationMs, seed, signal, onLine });
    const { totals, faults, convergedMs, bytesPerWrite, deliveriesPerWrite, idleBytesPerSecond, problems } = result;
    for (const problem of problems) print(`wrong: ${problem}`);
    print(`faults: ${[...faults].map(([fault, count]) => `${count} ${fault}`).join(", ")}`);
    print(
      `writes ${totals.writes}, steps acknowledged ${totals.acknowledged}, by two nodes ${totals.safe}, ` +
        `bytes sent per write ${bytesPerWrite.toFixed(0)}`,
    );
    if (deliveriesPerWrite !== undefined && idleBytesPerSecond !== undefined) {
      print(
        `without faults: entries delivered per write ${deliveriesPerWrite.toFixed(2)} to ${nodes - 1} others, ` +
          `at rest ${idleBytesPerSecond.toFixed(0)} bytes a second over each link`,
      );
    }
    const converged = convergedMs === undefined ? "not converged" : `converged in ${(convergedMs / 1000).toFixed(1)} s`;
    print(`${converged}, ${problems.length === 0 ? "nothing lost, nothing torn" : `${problems.length} problems`}`);
    return problems.length === 0 ? 0 : 1;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
