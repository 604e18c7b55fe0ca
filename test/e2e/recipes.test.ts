/** The recipes run as their readers would run them, each in a process of its own, and print what they promise. Uses `dist`. */
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const OUTPUT: Record<string, string[]> = {
  configuration: ["ERR_VALUE", "mail: smtp://127.0.0.1, 1000 ms", "search: http://127.0.0.1:9200, 50 ms", "1 batch"],
  cron: ["a, then b"],
  "feature-flags": ["before: false", "user 7: true, user 42: false"],
  presence: ["here: ada, bob", "ada: lost", "bob: closed"],
  "service-registry": ["p1 at http://127.0.0.1:8001", "p1"],
  "session-store": ["apple, pear", "0"],
};

const DEADLINE_MS = 20_000;
const path = (relative: string): string => fileURLToPath(new URL(`../../${relative}`, import.meta.url));

test("there is an expectation for each of them", () => {
  const names = readdirSync(path("demo/recipes")).map((name) => name.replace(/\.ts$/, ""));
  expect(names.sort()).toEqual(Object.keys(OUTPUT).sort());
});

test.each(Object.entries(OUTPUT))("%s", async (name, lines) => {
  const run = promisify(execFile);
  const { stdout, stderr } = await run(process.execPath, [path(`dist/demo/recipes/${name}.js`)], {
    timeout: DEADLINE_MS,
  });
  expect(stderr).toBe("");
  expect(stdout.trimEnd().split("\n")).toEqual(lines);
});
