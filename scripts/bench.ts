/** Measures this library, the peers that a user would pick instead, and the limit, in one run. */
import { appendFileSync, readFileSync } from "node:fs";
import { CommandError, parseFlags, parseNumber, print, runCommand, UsageError } from "../demo/filesync/tools.ts";
import { byWorkload, writeDocuments } from "./bench/documents.ts";
import { installPeers } from "./bench/peers.ts";
import { textTable } from "./bench/report.ts";
import { type Run, runsOfLines, runToLines } from "./bench/results.ts";
import { runWorkload } from "./bench/run.ts";
import { WORKLOADS } from "./bench/workloads.ts";

const HELP = `
Measures wavekv, the peers that a user would pick instead, and the limit, which is the least JavaScript that could do the
job: one after the other, round after round, each in a process of its own. Prints our ratios to the limit and to the best
peer, and which targets are met. The peers are installed at the first use.

  npm run bench -- [--only NAME]... [--size SIZE]... [--rounds N] [--quick] [--json] [--write]

  --only NAME     this workload; may be given several times, or with commas between the names
  --size SIZE     of its sizes only this one; may be given several times
  --rounds N      how often each system is measured; default 5, and 1 with --quick
  --quick         small sizes, to see that everything runs; says nothing about speed
  --no-peers      without them: needs no network
  --json          JSON lines instead of the table: one for each run of a workload, then one for each series of samples
  --out FILE      adds the JSON lines to a file as well, as soon as a workload is done
  --write         takes what was measured into scripts/bench: results.jsonl, RESULTS.md and the plots, and into the README.
                  Workloads that were not measured stay as they were
  --from FILE     measures nothing, and takes the JSON lines of --out instead
  --list          names the workloads

Exit codes: 0 everything ran, whatever came of the targets; 1 something did not run; 2 wrong use.
`;

await runCommand(HELP, async (signal) => {
  const { values, positionals } = parseFlags({
    only: { type: "string", multiple: true, default: [] },
    size: { type: "string", multiple: true, default: [] },
    rounds: { type: "string" },
    quick: { type: "boolean", default: false },
    "no-peers": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    out: { type: "string" },
    from: { type: "string" },
    write: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
  });
  if (positionals[0] !== undefined) throw new UsageError(`unexpected argument "${positionals[0]}"`);
  const scale = values.quick ? "quick" : "full";
  if (values.list) {
    for (const { name, what } of WORKLOADS) print(`${name.padEnd(14)} ${what}`);
    return 0;
  }
  if (values.write && values.quick)
    throw new UsageError("--write takes no figures of --quick: they say nothing about speed");
  if (values.from !== undefined) return useFile(values.from, values.write);
  if (values.write && values["no-peers"]) throw new UsageError("--write needs the peers: leave --no-peers away");
  const rounds = values.rounds === undefined ? (values.quick ? 1 : 5) : parseNumber("rounds", values.rounds, 1, 100);
  const chosen = chooseWorkloads(values.only);
  checkSizes(
    values.size,
    chosen.flatMap(({ sizes }) => sizes[scale].map(String)),
  );
  if (!values["no-peers"]) installPeers(progress);

  const runs: Run[] = [];
  for (const workload of chosen) {
    const run = await runWorkload(workload, {
      scale,
      rounds,
      withPeers: !values["no-peers"],
      sizes: values.size,
      signal,
      progress,
    });
    runs.push(run);
    const lines = runToLines(run);
    if (values.out !== undefined) appendTo(values.out, lines);
    if (values.json) for (const line of lines) print(line);
    else print(`\n${textTable(workload, run)}`);
  }
  if (values.write) writeDocuments(WORKLOADS, runs);
  if (scale === "quick" && !values.json) print("\nSizes of --quick say nothing about speed.");
  return runs.some(({ failures }) => failures.length > 0) ? 1 : 0;
});

function chooseWorkloads(names: readonly string[]): typeof WORKLOADS {
  const wanted = names.flatMap((name) => name.split(","));
  const unknown = wanted.find((name) => !WORKLOADS.some((workload) => workload.name === name));
  if (unknown !== undefined) {
    throw new UsageError(
      `there is no workload "${unknown}"; there are ${WORKLOADS.map(({ name }) => name).join(", ")}`,
    );
  }
  return wanted.length === 0 ? WORKLOADS : WORKLOADS.filter(({ name }) => wanted.includes(name));
}

function checkSizes(wanted: readonly string[], known: readonly string[]): void {
  const unknown = wanted.find((size) => !known.includes(size));
  if (unknown !== undefined) {
    throw new UsageError(`no chosen workload has the size "${unknown}"; there are ${[...new Set(known)].join(", ")}`);
  }
}

function useFile(path: string, isWritten: boolean): number {
  let runs: Run[];
  try {
    runs = runsOfLines(readFileSync(path, "utf8"));
  } catch (error) {
    throw new CommandError(`${path} cannot be read: ${(error as Error).message}`);
  }
  const small = runs.find(({ scale }) => scale === "quick");
  if (isWritten && small !== undefined)
    throw new CommandError(`${path} has figures of --quick: they say nothing about speed`);
  for (const [workload, run] of byWorkload(WORKLOADS, runs)) print(`\n${textTable(workload, run)}`);
  if (isWritten) writeDocuments(WORKLOADS, runs);
  return 0;
}

function appendTo(path: string, lines: readonly string[]): void {
  try {
    appendFileSync(path, `${lines.join("\n")}\n`);
  } catch (error) {
    throw new CommandError(`${path} cannot be written: ${(error as Error).message}`);
  }
}

/** What is being done, for whoever waits: on the same line where that is possible. */
function progress(line: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
}
