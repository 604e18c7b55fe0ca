/** What was measured, in memory and as JSON lines: one line for the run of a workload, then one for each series of samples. */

import type { Machine } from "./machine.ts";
import { median, ratioOf } from "./statistics.ts";
import type { Scale, System, Target, Workload } from "./workload.ts";

export interface Series {
  readonly workload: string;
  readonly size: number | string;
  readonly system: string;
  readonly figure: string;
  /** One for each round, in order. */
  readonly samples: readonly number[];
}

export interface Failure {
  readonly size: number | string;
  readonly system: string;
  readonly message: string;
}

export interface Run {
  readonly workload: string;
  readonly scale: Scale;
  /** Date and time, ISO. */
  readonly at: string;
  readonly rounds: number;
  /** Of the machine, before and after. */
  readonly load: readonly [number, number];
  readonly machine: Machine;
  readonly failures: readonly Failure[];
  /** What a reader has to know of this run beside what the workload says, put in by hand. */
  readonly note?: string;
  readonly series: readonly Series[];
}

export function runToLines(run: Run): string[] {
  const { series, ...header } = run;
  return [
    JSON.stringify({ type: "run", ...header }),
    ...series.map((one) =>
      JSON.stringify({
        type: "series",
        ...one,
        samples: one.samples.map(shortened),
        median: shortened(median(one.samples)),
      }),
    ),
  ];
}

/** @throws SyntaxError, when it is not what `runToLines` makes */
export function runsOfLines(text: string): Run[] {
  const runs: (Run & { readonly series: Series[] })[] = [];
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const { type, ...rest } = JSON.parse(line) as { type: string };
    if (type === "run") runs.push({ ...(rest as Run), series: [] });
    else {
      const { median: _, ...one } = rest as unknown as Series & { median: number };
      runs.at(-1)?.series.push(one);
    }
  }
  return runs;
}

export function seriesOf(run: Run, size: number | string, system: string, figure: string): Series | undefined {
  return run.series.find((one) => one.size === size && one.system === system && one.figure === figure);
}

export interface Comparison {
  readonly system: System;
  /** What the other one has. */
  readonly median: number;
  /** Ours over theirs. */
  readonly ratio: number;
}

/** Against the best of a kind, at one figure. */
export function against(
  workload: Workload,
  run: Run,
  size: number | string,
  figure: string,
  accepts: (system: System) => boolean,
): Comparison | undefined {
  const ours = seriesOf(run, size, "wavekv", figure);
  if (ours === undefined) return undefined;
  let best: Comparison | undefined;
  for (const system of workload.systems) {
    if (system.kind === "wavekv" || !accepts(system)) continue;
    const theirs = seriesOf(run, size, system.name, figure);
    if (theirs === undefined) continue;
    const other = median(theirs.samples);
    const isBetter =
      best === undefined || (workload.figures[figure]?.better === "more" ? other > best.median : other < best.median);
    if (isBetter) best = { system, median: other, ratio: ratioOf(ours.samples, theirs.samples) };
  }
  return best;
}

export interface Verdict {
  readonly target: Target;
  readonly value: number;
  readonly isMet: boolean;
}

/** What came of the targets of a figure, as far as it was measured. */
export function verdicts(workload: Workload, run: Run, size: number | string, figure: string): Verdict[] {
  return workload.targets.flatMap((target): Verdict[] => {
    if (target.figure !== figure || (target.size !== undefined && target.size !== size)) return [];
    const value = valueFor(target, workload, run, size);
    if (value === undefined || Number.isNaN(value)) return [];
    const { atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY } = target;
    return [{ target, value, isMet: value >= atLeast && value <= atMost }];
  });
}

function valueFor(target: Target, workload: Workload, run: Run, size: number | string): number | undefined {
  const [itself, other] = target.against.split(" at ");
  if (itself === "itself") {
    const ours = seriesOf(run, size, "wavekv", target.figure);
    if (ours === undefined || other === undefined) return ours === undefined ? undefined : median(ours.samples);
    const elsewhere = seriesOf(run, Number(other), "wavekv", target.figure);
    return elsewhere === undefined ? undefined : median(ours.samples) / median(elsewhere.samples);
  }
  const accepts = (system: System): boolean =>
    target.against === "best peer" ? system.kind === "peer" : system.name === target.against;
  return against(workload, run, size, target.figure, accepts)?.ratio;
}

/** Six digits are more than the noise leaves. */
function shortened(value: number): number {
  return Number(value.toPrecision(6));
}
