/**
 * npm run planted: applies one deliberate bug after the other to a copy of the tree, and shows which checker finds it,
 * and after how many seeds. A bug that nothing finds, or whose text is not in the source any more, is a failure.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { CHECKOUT, change, withCopy } from "./planted/copy.ts";
import type { Catch } from "./planted/hunt.ts";
import { MUTATIONS, type Mutation } from "./planted/mutations.ts";

const USAGE = `npm run planted -- [--only TEXT] [--missing] [--check] [--write]

  --only TEXT   bugs whose name contains it
  --missing     bugs that have no line in scripts/planted/RESULTS.md yet
  --check       only whether every text is there, once
  --write       also writes what came of each to scripts/planted/RESULTS.md, as soon as it is known; other lines stay
`;
const RESULTS = "scripts/planted/RESULTS.md";
const HUNT_MS_MAX = 30 * 60_000;

interface Result {
  readonly mutation: Mutation;
  /** "simulator", "tests", or undefined: nothing found it. */
  readonly by: string | undefined;
  readonly after: string;
  readonly found: string;
}

process.exitCode = main();

function main(): number {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      missing: { type: "boolean" },
      check: { type: "boolean" },
      write: { type: "boolean" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) {
    console.log(USAGE);
    return 0;
  }
  const lines = readLines();
  const chosen = MUTATIONS.filter(
    ({ name }) => name.includes(values.only ?? "") && !(values.missing === true && lines.has(name)),
  );
  const stale = chosen.flatMap(staleTexts);
  for (const complaint of stale) console.log(complaint);
  if (stale.length > 0 || values.check === true) {
    console.log(`${chosen.length} planted bugs, ${stale.length} of which do not apply`);
    return stale.length > 0 ? 1 : 0;
  }
  const results = chosen.map((mutation) => {
    const result = hunt(mutation);
    console.log(
      `${result.by === undefined ? "NOT FOUND" : `found by ${result.by}`} after ${result.after}: ${mutation.name} (${result.found})`,
    );
    if (values.write === true) {
      lines.set(mutation.name, lineOf(result));
      writeLines(lines);
    }
    return result;
  });
  const missed = results.filter(({ by }) => by === undefined).length;
  console.log(`${results.length} planted bugs, ${missed} not found`);
  return missed > 0 ? 1 : 0;
}

function staleTexts({ name, edits }: Mutation): string[] {
  return edits.flatMap(({ file, text }) => {
    const count = readFileSync(join(CHECKOUT, file), "utf8").split(text).length - 1;
    return count === 1 ? [] : [`"${name}": its text is ${count} times in ${file}`];
  });
}

/** A copy with the bug in it, until `use` returns. */
function withBug<T>({ edits }: Mutation, use: (directory: string) => T): T {
  return withCopy((directory) => {
    for (const { file, text, replacement } of edits) {
      change(
        directory,
        file,
        readFileSync(join(directory, file), "utf8").replace(text, () => replacement),
      );
    }
    return use(directory);
  });
}

function hunt(mutation: Mutation): Result {
  return withBug(mutation, (directory) => {
    if (mutation.seeds > 0) {
      const args = [join(directory, "dist/scripts/planted/hunt.js"), String(mutation.seeds)];
      const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: HUNT_MS_MAX });
      const last = stdout.trim().split("\n").at(-1) ?? "";
      // A bug that brings the process down, or never ends, is found as well.
      if (!last.startsWith("{"))
        return { mutation, by: "simulator", after: "a crash", found: stderr.trim().slice(0, 200) };
      const { seeds, kind, message = "" } = JSON.parse(last) as Catch;
      if (kind !== undefined)
        return { mutation, by: "simulator", after: `${seeds} seeds`, found: `${kind}: ${message}` };
      if (mutation.tests === undefined && mutation.scope === undefined)
        return { mutation, by: undefined, after: `${seeds} seeds`, found: "nothing" };
    }
    if (mutation.scope !== undefined) return explore(mutation, mutation.scope, directory);
    const args = [
      join(directory, "node_modules/vitest/vitest.mjs"),
      "run",
      "--reporter=json",
      ...(mutation.tests ?? []),
    ];
    const { stdout } = spawnSync(process.execPath, args, { cwd: directory, encoding: "utf8", timeout: HUNT_MS_MAX });
    const failed = failedTests(stdout);
    return { mutation, by: failed.length > 0 ? "tests" : undefined, after: "one run", found: failed.join("; ") };
  });
}

function explore(mutation: Mutation, scope: string, directory: string): Result {
  const args = [join(directory, "dist/scripts/explore.js"), "--scope", scope];
  const { stdout, status } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: HUNT_MS_MAX });
  const states = /(\d+) states/.exec(stdout)?.[1] ?? "?";
  const found = stdout.trim().split("\n").at(-1) ?? "";
  return {
    mutation,
    by: status === 1 ? "exhaustive search" : undefined,
    after: `${states} states`,
    found: found.trim(),
  };
}

interface TestReport {
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly status: string; readonly title: string }[];
  }[];
}

function failedTests(stdout: string): string[] {
  const report = JSON.parse(stdout.slice(stdout.indexOf("{"))) as TestReport;
  return report.testResults.flatMap(({ assertionResults }) =>
    assertionResults.filter(({ status }) => status === "failed").map(({ title }) => title),
  );
}

function lineOf({ mutation, by, after, found }: Result): string {
  const what = found
    .replace(/[0-9a-f]{16}/g, "...")
    .replace(/\s+/g, " ")
    .replaceAll("|", "/")
    .slice(0, 110)
    .trim();
  return `| ${mutation.name} | ${by ?? "**nothing**"} | ${after} | ${what} |`;
}

/** Lines of the table by name of the bug; none if there is no table. */
function readLines(): Map<string, string> {
  const file = join(CHECKOUT, RESULTS);
  const lines = existsSync(file) ? readFileSync(file, "utf8").split("\n") : [];
  return new Map(
    lines.filter((line) => line.startsWith("| ")).map((line) => [line.split(" | ")[0]?.slice(2) ?? "", line]),
  );
}

/** The table, in the order of the list. */
function writeLines(lines: ReadonlyMap<string, string>): void {
  const rows = MUTATIONS.flatMap(({ name }) => lines.get(name) ?? []);
  writeFileSync(
    join(CHECKOUT, RESULTS),
    `# Planted bugs

Written by \`npm run planted -- --write\`: each bug of mutations.ts in a copy of the tree, and who finds it first. A bug
that the simulator was given seeds for and the tests have found, the simulator has not.

| bug | found by | after | as |
| --- | -------- | ----- | -- |
${rows.join("\n")}
`,
  );
}
