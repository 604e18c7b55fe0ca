/** What is committed of the benchmark agrees: results, page, plots, and the table in the README. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { byWorkload, resultsPage, speedTable, withSpeed } from "../../scripts/bench/documents.ts";
import { plotsOf } from "../../scripts/bench/plots.ts";
import { runsOfLines } from "../../scripts/bench/results.ts";
import { WORKLOADS } from "../../scripts/bench/workloads.ts";

const checkout = fileURLToPath(new URL("../../", import.meta.url));
const text = (path: string): string => readFileSync(join(checkout, path), "utf8");

const runs = runsOfLines(text("scripts/bench/results.jsonl"));
const whole = byWorkload(WORKLOADS, runs);
const plots = plotsOf(
  WORKLOADS,
  whole.map(([, run]) => run),
);

describe("what is committed", () => {
  test("is all of full size, of workloads that there are", () => {
    expect(runs.length).toBeGreaterThan(0);
    expect(runs.filter(({ scale }) => scale !== "full")).toEqual([]);
    expect(runs.filter(({ workload }) => !WORKLOADS.some(({ name }) => name === workload))).toEqual([]);
  });

  test("RESULTS.md is made of it", () => {
    const names = plots.map(([name]) => name);
    expect(text("scripts/bench/RESULTS.md")).toBe(resultsPage(whole, names));
  });

  test("the README's table is made of it", () => {
    const readme = text("README.md");
    expect(withSpeed(readme, speedTable(whole))).toBe(readme);
    expect(speedTable(whole).split("\n").length).toBeGreaterThan(5);
  });

  test.each(plots)("%s is made of it", (name, svg) => {
    expect(text(`scripts/bench/plots/${name}`)).toBe(svg);
  });
});

test("workloads name what they have", () => {
  for (const { name, systems, figures, targets, sizes } of WORKLOADS) {
    const names = systems.map((system) => system.name);
    expect(names[0], name).toBe("wavekv");
    for (const { figure, against, size } of targets) {
      expect(Object.keys(figures), name).toContain(figure);
      if (against !== "best peer" && !against.startsWith("itself")) expect(names, name).toContain(against);
      if (size !== undefined) expect(sizes.full, name).toContain(size);
    }
  }
});
