/** What is committed of a measurement: the JSON lines, the page made of them, the plots, and the table in the README. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LEFT_OUT } from "./peers.ts";
import { checkout, home } from "./places.ts";
import { plotsOf } from "./plots.ts";
import { describeRatio, describeSize, describeValue, describeVerdict, markdownTables, rowsOf } from "./report.ts";
import { against, type Run, runsOfLines, runToLines, seriesOf } from "./results.ts";
import { median } from "./statistics.ts";
import type { Workload } from "./workload.ts";

export const RESULTS = join(home, "results.jsonl");
export const PAGE = join(home, "RESULTS.md");
export const README = join(checkout, "README.md");
const PLOT_DIRECTORY = join(home, "plots");
const FROM = "<!-- speed: npm run bench -- --write -->";
const TO = "<!-- speed -->";

/** Lines of the README: a workload, one of its sizes, and a figure. */
const README_ROWS: readonly (readonly [label: string, workload: string, size: number | string, figure: string])[] = [
  ["`get`, a string of 100", "memory", 1_000_000, "get, uniform"],
  ["`put`, memory only", "memory", 1_000_000, "overwrite"],
  ["batches of 1,000, memory only", "memory", 1_000_000, "put in batches"],
  ["rows of a scan", "memory", 1_000_000, "scan, rows"],
  ["memory of an entry", "memory", 1_000_000, "bytes per entry"],
  ["durable `put`, 1 writer", "durable", 1, "put"],
  ["durable `put`, 256 writers", "durable", 256, "put"],
  ["durable batches of 1,000", "batches", 1000, "put"],
  ["bootstrap of 10⁵ entries", "bootstrap", 100_000, "entries"],
  ["catch-up of 1,000 on 10⁵", "catch-up", 100_000, "time"],
  ["live replication", "live", 10_000, "writes"],
  ["latency of a put, p50", "latency", "in memory", "p50"],
];

/** What is committed so far. */
export function readResults(): Run[] {
  return existsSync(RESULTS) ? runsOfLines(readFileSync(RESULTS, "utf8")) : [];
}

/** Earlier runs, without what was measured again since. */
export function mergeRuns(earlier: readonly Run[], later: readonly Run[]): Run[] {
  const names = new Set(later.flatMap((run) => run.series.map((one) => JSON.stringify([one.workload, one.size]))));
  const kept = earlier
    .map((run) => ({
      ...run,
      series: run.series.filter((one) => !names.has(JSON.stringify([one.workload, one.size]))),
    }))
    .filter(({ series }) => series.length > 0);
  return [...kept, ...later.filter(({ series }) => series.length > 0)];
}

/** The runs of each workload as one, in the order of the workloads and of their sizes. */
export function byWorkload(workloads: readonly Workload[], runs: readonly Run[]): [Workload, Run][] {
  return workloads.flatMap((workload): [Workload, Run][] => {
    const own = runs.filter((run) => run.workload === workload.name);
    const [first] = own;
    if (first === undefined) return [];
    const order = workload.sizes.full.map(String);
    const series = own.flatMap((run) => run.series);
    const loads = own.flatMap(({ load }) => load);
    const whole: Run = {
      ...first,
      at: own.map(({ at }) => at).toSorted()[0] ?? first.at,
      rounds: Math.min(...own.map(({ rounds }) => rounds)),
      load: [Math.min(...loads), Math.max(...loads)],
      failures: own.flatMap(({ failures }) => failures),
      note: [...new Set(own.flatMap(({ note }) => note ?? []))].join(" "),
      series: series.toSorted((a, b) => order.indexOf(String(a.size)) - order.indexOf(String(b.size))),
    };
    return [[workload, whole]];
  });
}

/** Writes everything, from these runs and what was committed before. */
export function writeDocuments(workloads: readonly Workload[], later: readonly Run[]): void {
  const runs = mergeRuns(readResults(), later);
  writeFileSync(RESULTS, `${runs.flatMap(runToLines).join("\n")}\n`);
  // Read back, so that the page is made of what is committed, to the last digit.
  const whole = byWorkload(workloads, readResults());
  mkdirSync(PLOT_DIRECTORY, { recursive: true });
  const plots = plotsOf(
    workloads,
    whole.map(([, run]) => run),
  );
  for (const [name, svg] of plots) writeFileSync(join(PLOT_DIRECTORY, name), svg);
  writeFileSync(
    PAGE,
    resultsPage(
      whole,
      plots.map(([name]) => name),
    ),
  );
  writeFileSync(README, withSpeed(readFileSync(README, "utf8"), speedTable(whole)));
}

/** The README with another table between the marks. @throws when it has no marks */
export function withSpeed(readme: string, table: string): string {
  const from = readme.indexOf(FROM);
  const to = readme.indexOf(TO, from + FROM.length);
  if (from < 0 || to < 0) throw new Error(`README.md has no place for the table: ${FROM} and ${TO}`);
  return `${readme.slice(0, from + FROM.length)}\n\n${table}\n\n${readme.slice(to)}`;
}

/** The table of the README. */
export function speedTable(whole: readonly [Workload, Run][]): string {
  const lines = ["| | wavekv | of the limit | of the best peer |", "|---|--:|---|---|"];
  for (const [label, name, size, figure] of README_ROWS) {
    const [workload, run] = whole.find(([candidate]) => candidate.name === name) ?? [];
    if (workload === undefined || run === undefined) continue;
    const ours = seriesOf(run, size, "wavekv", figure);
    if (ours === undefined) continue;
    const compared = (kind: string): string => {
      const found = against(workload, run, size, figure, (system) => system.kind === kind);
      return found === undefined ? "" : `${describeRatio(found.ratio)} ${found.system.name}`;
    };
    const value = describeValue(median(ours.samples), workload.figures[figure]?.unit ?? "");
    lines.push(`| ${label} | ${value} | ${compared("limit")} | ${compared("peer")} |`);
  }
  return lines.join("\n");
}

/** `RESULTS.md`. */
export function resultsPage(whole: readonly [Workload, Run][], plots: readonly string[]): string {
  return [
    "# Results of the benchmark",
    "Written by `npm run bench -- --write` from [results.jsonl](results.jsonl), which has every sample. Do not edit.",
    howMeasured(whole),
    "## Targets",
    "What was set as a goal before measuring, as ratios to the limit or to a peer in the same run.",
    targetTable(whole),
    ...(plots.length === 0
      ? []
      : ["## Plots", plots.map((name) => `![${name.replace(".svg", "")}](plots/${name})`).join("\n\n")]),
    "## Workloads",
    "In brackets: wavekv's figure divided by that of the line.",
    ...whole.flatMap(([workload, run]) => section(workload, run)),
    "## Left out",
    Object.entries(LEFT_OUT)
      .map(([name, why]) => `- ${name}: ${why}.`)
      .join("\n"),
    "",
  ]
    .join("\n\n")
    .replace(/\n+$/, "\n");
}

function howMeasured(whole: readonly [Workload, Run][]): string {
  const [, run] = whole[0] ?? [];
  if (run === undefined) return "Nothing has been measured yet.";
  const { machine } = run;
  const versions = Object.entries(machine.versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ");
  const loads = whole.flatMap(([, { load }]) => load);
  return [
    `Measured on a virtual machine that others used at the same time: ${machine.cores} cores (${machine.processor}), ${machine.memoryGiB} GiB, ${machine.system}, Node.js ${machine.node}; ${versions}.`,
    `Its load was ${Math.min(...loads)} to ${Math.max(...loads)} processes for ${machine.cores} cores. **So only ratios count, and absolute figures are far below what an idle machine gives.**`,
    "Each system runs in a process of its own, one after the other, round after round; a ratio is the median of the ratios of the rounds, and a figure the median of all rounds.",
    "Where the disk and the network do not matter, time is that of the processor, of all threads of the process, which leaves out what others do to the machine, though not what they do to its caches.",
    "The limit is the least JavaScript that could do the job; it does far less than a store has to, as each workload says.",
  ].join("\n");
}

function targetTable(whole: readonly [Workload, Run][]): string {
  const lines = whole.flatMap(([workload, run]) =>
    rowsOf(workload, run).flatMap(({ size, figure, ours, targets }) =>
      targets.map((verdict) => ({
        row: verdict.target.row,
        isMet: verdict.isMet,
        line: `| ${verdict.target.row} | ${workload.name}, ${describeSize(size)} ${workload.sizeName}: ${figure} | ${ours} | ${describeVerdict(verdict)} |`,
      })),
    ),
  );
  const met = lines.filter(({ isMet }) => isMet).length;
  return [
    `${met} of ${lines.length} are met.`,
    "",
    "| # | figure | wavekv | target |",
    "|--:|---|--:|---|",
    ...lines.toSorted((a, b) => a.row - b.row).map(({ line }) => line),
  ].join("\n");
}

function section(workload: Workload, run: Run): string[] {
  const time = workload.time === "processor" ? "Processor time." : "Time on the clock.";
  const systems = workload.systems.map(({ name, what }) => `- ${name}: ${what}`).join("\n");
  const failures = [...new Set(run.failures.map(({ size, system }) => `${system} at ${describeSize(size)}`))];
  return [
    `### ${workload.name}`,
    `${workload.what} ${time} Median of ${run.rounds}; ${run.at.slice(0, 10)}, load ${run.load.join(" to ")}.`,
    systems,
    ...(run.note ? [run.note] : []),
    markdownTables(workload, run),
    ...(workload.profile === undefined ? [] : [`**Profile.** ${workload.profile}`]),
    ...(failures.length === 0 ? [] : [`Did not end in time, or failed: ${failures.join(", ")}.`]),
  ];
}
