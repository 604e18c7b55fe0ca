/** Which plots there are, and what of the results each of them shows. */
import { describeValue } from "./report.ts";
import { type Run, seriesOf } from "./results.ts";
import { median } from "./statistics.ts";
import { type Chart, type ChartLine, chartSvg } from "./svg.ts";
import type { System, Workload } from "./workload.ts";

interface Plot {
  /** Of the file, without `.svg`. */
  readonly name: string;
  /** What it is drawn from: all of them that were measured. */
  readonly workloads: readonly string[];
  readonly chart: (measured: readonly [Measured, ...Measured[]]) => Chart;
}

interface Measured {
  readonly workload: Workload;
  readonly run: Run;
}

/** A line of the plot of costs. */
interface Curve {
  readonly name: string;
  readonly workload: string;
  readonly figure: string;
  /** What has to grow with the entries. */
  readonly isLinear?: boolean;
}

const CURVES: readonly Curve[] = [
  { name: "bootstrap", workload: "bootstrap", figure: "time", isLinear: true },
  { name: "put", workload: "memory", figure: "insert" },
  { name: "get", workload: "memory", figure: "get, uniform" },
  { name: "row of a scan", workload: "memory", figure: "scan, rows" },
  { name: "digest of a put", workload: "digest", figure: "digest" },
  { name: "1,000 missed", workload: "catch-up", figure: "time" },
  { name: "a second at rest", workload: "idle", figure: "processor" },
];

const milliseconds = (value: number): string => describeValue(value, "ms").replace(/\.0+(?= )/, "");

export const PLOTS: readonly Plot[] = [
  {
    name: "throughput",
    workloads: ["durable"],
    chart: ([{ workload, run }]) => ({
      title: "Durable puts a second",
      note: "Each writer waits until its put is on the disk. Higher is better.",
      xLabel: "concurrent writers",
      yLabel: "puts a second",
      isYLogarithmic: true,
      lines: linesBySize(workload, run, "put"),
      describeY: rate,
    }),
  },
  {
    name: "latency",
    workloads: ["latency"],
    chart: ([{ workload, run }]) => {
      const words = ["p50", "p90", "p99", "p99.9"];
      return {
        title: "From a put to the event on another replica",
        note: "Two processes on one machine over a WebSocket, in memory. Lower is better.",
        xLabel: "percentile of the puts",
        yLabel: "milliseconds",
        words,
        isYLogarithmic: true,
        lines: linesOf(workload, (system) =>
          words.flatMap((figure, index) => pointOf(run, "in memory", system, figure, index)),
        ),
        describeY: milliseconds,
      };
    },
  },
  {
    name: "memory",
    workloads: ["memory"],
    chart: ([{ workload, run }]) => ({
      title: "Memory for each entry",
      note: "Keys of 20 bytes, values of 100; resident, after a full collection. Lower is better.",
      xLabel: "entries",
      yLabel: "bytes for each entry",
      isYLogarithmic: true,
      lines: linesBySize(workload, run, "bytes per entry"),
      describeY: (value) => describeValue(value, "B").replace(/\.0+(?= )/, ""),
    }),
  },
  {
    name: "catch-up",
    workloads: ["difference"],
    chart: ([{ workload, run }]) => ({
      title: "Catching up on 10⁴ entries",
      note: "A replica was away and comes back: from the connection to having all, durably. Lower is better.",
      xLabel: "entries missed",
      yLabel: "milliseconds",
      isYLogarithmic: true,
      lines: linesBySize(workload, run, "time"),
      describeY: milliseconds,
    }),
  },
  {
    name: "size",
    workloads: [...new Set(CURVES.map(({ workload }) => workload))],
    chart: (measured) => ({
      title: "What the size of the store does to costs",
      note: "Each as a multiple of what it costs at the smallest size measured. All but bootstrap should be flat.",
      xLabel: "entries",
      yLabel: "times the cost",
      isYLogarithmic: true,
      lines: CURVES.flatMap((curve) => lineOfCurve(curve, measured)),
      describeY: (value) => describeValue(value, "").trim().replace(/\.0+$/, ""),
    }),
  },
  {
    name: "growth",
    workloads: ["growth"],
    chart: ([{ workload, run }]) => ({
      title: "What one write costs in a cluster",
      note: "Simulated, converged clusters of so many replicas; the writes come from all of them. Lower is better.",
      xLabel: "replicas",
      yLabel: "for each write and replica",
      isYLogarithmic: true,
      lines: ["messages", "bytes", "times it arrives"]
        .flatMap((figure, index): ChartLine[] => {
          const points = sizes(run).flatMap((size) => pointOf(run, size, "wavekv", figure, size));
          const style = index === 0 ? "ours" : "peer";
          return points.length === 0 ? [] : [{ name: figure, style, points }];
        })
        .filter(({ points }) => points.length > 0 && workload.systems.length > 0),
      describeY: (value) => describeValue(value, "").trim().replace(/\.0+$/, ""),
    }),
  },
];

/** Those that can be drawn from these runs, as file name and text. */
export function plotsOf(workloads: readonly Workload[], runs: readonly Run[]): [string, string][] {
  return PLOTS.flatMap(({ name, workloads: wanted, chart }): [string, string][] => {
    const measured = wanted.flatMap((one): Measured[] => {
      const workload = workloads.find((candidate) => candidate.name === one);
      const run = runs.find((candidate) => candidate.workload === one);
      return workload === undefined || run === undefined ? [] : [{ workload, run }];
    });
    const [first, ...others] = measured;
    if (first === undefined) return [];
    const drawn = chart([first, ...others]);
    return drawn.lines.length === 0 ? [] : [[`${name}.svg`, chartSvg(drawn)]];
  });
}

/** What a curve costs at each size, as a multiple of what it costs at the smallest. */
function lineOfCurve({ name, workload, figure, isLinear }: Curve, measured: readonly Measured[]): ChartLine[] {
  const found = measured.find((one) => one.workload.name === workload);
  if (found === undefined) return [];
  const { run } = found;
  const isRate = found.workload.figures[figure]?.better === "more";
  const costs = sizes(run)
    .flatMap((size) => pointOf(run, size, "wavekv", figure, size))
    .map(([size, value]): [number, number] => [size, isRate ? 1 / value : value]);
  const [first] = costs;
  if (first === undefined || costs.length < 2) return [];
  const points = costs.map(([size, cost]): [number, number] => [size, cost / first[1]]);
  return [{ name, style: isLinear === true ? "limit" : "peer", points }];
}

function linesBySize(workload: Workload, run: Run, figure: string): ChartLine[] {
  return linesOf(workload, (system) => sizes(run).flatMap((size) => pointOf(run, size, system, figure, size)));
}

function linesOf(workload: Workload, pointsOf: (system: string) => [number, number][]): ChartLine[] {
  return workload.systems.flatMap((system): ChartLine[] => {
    const points = pointsOf(system.name);
    return points.length === 0 ? [] : [{ name: system.name, style: styleOf(system), points }];
  });
}

function pointOf(run: Run, size: number | string, system: string, figure: string, x: number): [number, number][] {
  const one = seriesOf(run, size, system, figure);
  return one === undefined ? [] : [[x, median(one.samples)]];
}

function sizes(run: Run): number[] {
  const numbers = run.series.map(({ size }) => size).filter((size) => typeof size === "number");
  return [...new Set(numbers)].sort((a, b) => a - b);
}

function styleOf({ kind }: System): ChartLine["style"] {
  return kind === "wavekv" ? "ours" : kind;
}

function rate(value: number): string {
  return describeValue(value, "/s").replace(/\.0+/, "").replace("/s", "").trim();
}
