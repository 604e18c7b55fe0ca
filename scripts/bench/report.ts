/** The table: each figure of ours, against the limit and the best peer, with its targets. As text, and as Markdown. */
import { against, type Comparison, type Run, seriesOf, type Verdict, verdicts } from "./results.ts";
import { median } from "./statistics.ts";
import type { Figure, Workload } from "./workload.ts";

export interface Row {
  readonly size: number | string;
  readonly figure: string;
  readonly ours: string;
  readonly limit: string;
  readonly peer: string;
  /** Empty where sizes are too small to judge. */
  readonly targets: readonly Verdict[];
}

/** A row for each figure and size that was measured for us. */
export function rowsOf(workload: Workload, run: Run): Row[] {
  return sizesOf(run).flatMap((size) =>
    Object.entries(workload.figures).flatMap(([figure, { unit }]): Row[] => {
      const ours = seriesOf(run, size, "wavekv", figure);
      if (ours === undefined) return [];
      const compared = (kind: string): string => {
        const comparison = against(workload, run, size, figure, (system) => system.kind === kind);
        return comparison === undefined ? "" : describeComparison(comparison);
      };
      return [
        {
          size,
          figure,
          ours: describeValue(median(ours.samples), unit),
          limit: compared("limit"),
          peer: compared("peer"),
          targets: run.scale === "full" ? verdicts(workload, run, size, figure) : [],
        },
      ];
    }),
  );
}

/** For a terminal. */
export function textTable(workload: Workload, run: Run): string {
  const lines = [["", "wavekv", "of the limit", "of the best peer", "target"]];
  let size: number | string | undefined;
  for (const row of rowsOf(workload, run)) {
    if (row.size !== size) lines.push([`${describeSize(row.size)} ${workload.sizeName}`, "", "", "", ""]);
    size = row.size;
    lines.push([`  ${row.figure}`, row.ours, row.limit, row.peer, row.targets.map(describeVerdict).join("; ")]);
  }
  const widths = [0, 1, 2, 3].map((column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const body = lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return [`${workload.name}: median of ${run.rounds}, load ${run.load.join(" to ")}`, ...body].join("\n");
}

/** Every system at every figure, with our ratio to each; one table for each size. */
export function markdownTables(workload: Workload, run: Run): string {
  const parts: string[] = [];
  for (const size of sizesOf(run)) {
    const figures = Object.keys(workload.figures).filter((figure) =>
      run.series.some((one) => one.size === size && one.figure === figure),
    );
    const lines = [
      `| ${describeSize(size)} ${workload.sizeName} | ${figures.join(" | ")} |`,
      `|---|${figures.map(() => "--:|").join("")}`,
    ];
    for (const system of workload.systems) {
      const cells = figures.map((figure) => {
        const one = seriesOf(run, size, system.name, figure);
        const unit = workload.figures[figure]?.unit ?? "";
        if (one === undefined) return "";
        const value = describeValue(median(one.samples), unit);
        if (system.kind === "wavekv") return `**${value}**`;
        const comparison = against(workload, run, size, figure, ({ name }) => name === system.name);
        return comparison === undefined ? value : `${value} (${describeRatio(comparison.ratio)})`;
      });
      if (cells.some((cell) => cell !== "")) lines.push(`| ${system.name} | ${cells.join(" | ")} |`);
    }
    parts.push(lines.join("\n"));
  }
  return parts.join("\n\n");
}

export function describeVerdict({ target, value, isMet }: Verdict): string {
  const bound = target.atLeast === undefined ? `<= ${target.atMost}` : `>= ${target.atLeast}`;
  const of = target.against === "itself" ? "" : ` x ${target.against}`;
  return `${bound}${of}: ${isMet ? "met" : `MISSED (${describeNumber(value)})`}`;
}

export function sizesOf(run: Run): (number | string)[] {
  return [...new Set(run.series.map(({ size }) => size))];
}

export function describeSize(size: number | string): string {
  return typeof size === "number" ? size.toLocaleString("en-US") : size;
}

export function describeComparison({ ratio, system }: Comparison): string {
  return `${describeRatio(ratio)} ${system.name}`;
}

export function describeRatio(ratio: number): string {
  return `${describeNumber(ratio)} x`;
}

/** Three digits, with k and M for rates. */
export function describeValue(value: number, unit: Figure["unit"]): string {
  if (unit !== "/s") return `${describeNumber(value)} ${unit}`;
  if (value >= 1e6) return `${describeNumber(value / 1e6)} M/s`;
  return value >= 1e3 ? `${describeNumber(value / 1e3)} k/s` : `${describeNumber(value)} /s`;
}

function describeNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const digits =
    Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 0.095 || value === 0 ? 2 : 4;
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en-US") : value.toFixed(digits);
}
