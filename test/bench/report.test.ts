import { describe, expect, test } from "vitest";
import { mergeRuns, withSpeed } from "../../scripts/bench/documents.ts";
import { describeValue, describeVerdict, rowsOf } from "../../scripts/bench/report.ts";
import { type Run, runsOfLines, runToLines } from "../../scripts/bench/results.ts";
import { limit, peer, type Target, type Workload, wavekv } from "../../scripts/bench/workload.ts";

const machine = { processor: "a processor", cores: 2, memoryGiB: 4, system: "linux", node: "v20.19.0", versions: {} };

const workload = (targets: readonly Target[]): Workload => ({
  name: "work",
  what: "",
  time: "clock",
  sizeName: "entries",
  sizes: { full: [10, 100], quick: [1] },
  systems: [wavekv(""), limit("slow limit", ""), limit("fast limit", ""), peer("other", "")],
  figures: { put: { unit: "/s", better: "more" }, time: { unit: "ms", better: "less" } },
  targets,
  measure: async () => ({}),
});

const run = (samples: Readonly<Record<string, readonly number[]>>, figure = "put", size = 10): Run => ({
  workload: "work",
  scale: "full",
  at: "2026-01-01T00:00:00.000Z",
  rounds: 3,
  load: [1, 2],
  machine,
  failures: [],
  series: Object.entries(samples).map(([system, values]) => ({
    workload: "work",
    size,
    system,
    figure,
    samples: values,
  })),
});

const samples = {
  wavekv: [50, 60, 70],
  "slow limit": [60, 60, 60],
  "fast limit": [100, 120, 140],
  other: [10, 10, 10],
};

describe("a row", () => {
  test("compares with the best of each kind", () => {
    const [row] = rowsOf(workload([]), run(samples));
    expect(row).toMatchObject({ ours: "60.0 /s", limit: "0.50 x fast limit", peer: "6.00 x other" });
  });

  test("takes the least for the best where less is better", () => {
    const [row] = rowsOf(workload([]), run(samples, "time"));
    expect(row).toMatchObject({ limit: "1.00 x slow limit" });
  });

  test.each([
    [{ against: "fast limit", atLeast: 0.5 }, true],
    [{ against: "fast limit", atLeast: 0.51 }, false],
    [{ against: "best peer", atMost: 6 }, true],
    [{ against: "best peer", atMost: 5.9 }, false],
    [{ against: "itself", atMost: 60 }, true],
    [{ against: "itself", atMost: 59 }, false],
  ])("judges %o", (bound, isMet) => {
    const target = { row: 1, figure: "put", ...bound };
    expect(rowsOf(workload([target]), run(samples))[0]?.targets).toMatchObject([{ isMet }]);
  });

  test("judges one size against another", () => {
    const target = { row: 1, figure: "put", size: 100, against: "itself at 10", atMost: 2 };
    const both = { ...run(samples), series: [...run(samples).series, ...run({ wavekv: [121] }, "put", 100).series] };
    const [, large] = rowsOf(workload([target]), both);
    expect(large?.targets.map(describeVerdict)).toEqual(["<= 2 x itself at 10: MISSED (2.02)"]);
  });

  test("does not judge small sizes, nor what was not measured", () => {
    const target = { row: 1, figure: "put", against: "itself", atMost: 1 };
    expect(rowsOf(workload([target]), { ...run(samples), scale: "quick" })[0]?.targets).toEqual([]);
    const absent = { row: 1, figure: "put", against: "nobody", atMost: 1 };
    expect(rowsOf(workload([absent]), run(samples))[0]?.targets).toEqual([]);
  });
});

test("runs come back from their lines", () => {
  const one = run(samples);
  expect(runsOfLines(runToLines(one).join("\n"))).toEqual([one]);
});

test("what is measured again replaces what was, size by size", () => {
  const earlier = run({ wavekv: [1] });
  const other = run({ wavekv: [2] }, "put", 100);
  const later = run({ wavekv: [3] });
  const values = mergeRuns([earlier, other], [later]).map(({ series }) => series[0]?.samples[0]);
  expect(values).toEqual([2, 3]);
});

test("the README's table is replaced, and nothing else", () => {
  const marked = "before\n<!-- speed: npm run bench -- --write -->\nold\n<!-- speed -->\nafter";
  expect(withSpeed(marked, "new")).toBe(
    "before\n<!-- speed: npm run bench -- --write -->\n\nnew\n\n<!-- speed -->\nafter",
  );
  expect(() => withSpeed("nothing", "new")).toThrow("no place");
});

test.each([
  [1_234_567, "/s", "1.23 M/s"],
  [999, "/s", "999 /s"],
  [45_600, "/s", "45.6 k/s"],
  [0.5, "ms", "0.50 ms"],
  [1234, "ms", "1,234 ms"],
  [0.0123, "x", "0.0123 x"],
])("%d %s is %s", (value, unit, text) => {
  expect(describeValue(value, unit)).toBe(text);
});
