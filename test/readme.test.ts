/** What the README shows compiles against the published types and runs. Uses `dist`. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Block, blocksOf, Workbench } from "./readme/blocks.ts";

const DEADLINE_MS = 20_000;

const checkout = fileURLToPath(new URL("../", import.meta.url));
const DOCUMENTS = ["README.md", "src/cli/OPERATIONS.md"];

describe.each(DOCUMENTS)("%s", (document) => {
  const blocks = blocksOf(readFileSync(join(checkout, document), "utf8"));
  let workbench: Workbench;
  beforeAll(() => {
    workbench = new Workbench(checkout, checkout);
    expect(workbench.compile(blocks)).toEqual([]);
  });
  afterAll(() => workbench.dispose());

  const runnable = blocks.filter(({ compileOnly }) => !compileOnly);
  test.each(runnable)("line $line runs", async (block) => {
    expect(await workbench.run(block, DEADLINE_MS)).toBeUndefined();
  });
});

describe("the runner", () => {
  let packageDirectory: string;
  let workbench: Workbench;
  beforeAll(() => {
    packageDirectory = mkdtempSync(join(tmpdir(), "wavekv-stand-in-"));
    mkdirSync(join(packageDirectory, "lib"));
    const exports = { ".": { types: "./lib/index.d.ts", default: "./lib/index.js" } };
    writeFileSync(join(packageDirectory, "package.json"), JSON.stringify({ name: "wavekv", type: "module", exports }));
    writeFileSync(join(packageDirectory, "lib/index.js"), "export const one = 1;");
    writeFileSync(join(packageDirectory, "lib/index.d.ts"), "export declare const one: number;");
    workbench = new Workbench(packageDirectory, checkout);
  });
  afterAll(() => {
    workbench.dispose();
    rmSync(packageDirectory, { recursive: true, force: true });
  });

  let nextLine = 1;
  const typescript = (code: string): Block => ({ language: "ts", compileOnly: false, code, line: nextLine++ * 100 });
  const compileAndRun = async (code: string, deadlineMs = DEADLINE_MS): Promise<string | undefined> => {
    const block = typescript(code);
    expect(workbench.compile([block])).toEqual([]);
    return await workbench.run(block, deadlineMs);
  };

  test("finds the blocks that take part", () => {
    const markdown = [
      "```ts",
      "a();",
      "```",
      "1. item",
      "   ```ts no-run",
      "   b();",
      "   ```",
      "```js",
      "```",
      "```sh",
      "rm -rf x",
      "```",
      "````sh run",
      "```",
      "````",
    ].join("\n");
    expect(blocksOf(markdown)).toEqual([
      { language: "ts", compileOnly: false, code: "a();\n", line: 1 },
      { language: "ts", compileOnly: true, code: "b();\n", line: 5 },
      { language: "sh", compileOnly: false, code: "```\n", line: 13 },
    ]);
  });

  test.each(["```ts norun\n```", "```sh no-run\n```", "```ts\nnever closed"])("refuses %j", (markdown) => {
    expect(() => blocksOf(markdown)).toThrow(/line 1/);
  });

  test("objects to wrong types, with the line of the file", () => {
    const block = { ...typescript(`import { one } from "wavekv";\n\nconst text: string = one;\n`), line: 7 };
    expect(workbench.compile([block])).toEqual([expect.stringMatching(/^line 10: .*not assignable/)]);
  });

  test("objects to a name that the package does not export", () => {
    expect(workbench.compile([typescript(`import { two } from "wavekv";\nvoid two;`)])).toHaveLength(1);
  });

  test("runs a block in an empty directory", async () => {
    const code = `import { readdirSync } from "node:fs";
      import { one } from "wavekv";
      await using nothing = { async [Symbol.asyncDispose]() {} };
      process.exitCode = readdirSync(".").length + one - 1 + (nothing ? 0 : 1);`;
    expect(await compileAndRun(code)).toBeUndefined();
  });

  test("objects to a failure, and shows it", async () => {
    expect(await compileAndRun(`throw new Error("shown");`)).toMatch(/^ended with 1.*shown/s);
  });

  test("objects to a block that does not end", async () => {
    expect(await compileAndRun("setInterval(() => {}, 1000);", 1000)).toMatch(/^still running/);
  });

  test("objects to a process left behind", async () => {
    const code = `import { spawn } from "node:child_process";
      spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" }).unref();`;
    expect(await compileAndRun(code)).toMatch(/^left a process behind/);
  });

  test.each([
    ["false | true", /^ended with 1/],
    ["test -f package.json", undefined],
  ])("runs a shell block: %s", async (code, expected) => {
    const complaint = await workbench.run({ language: "sh", compileOnly: false, code, line: 1 }, DEADLINE_MS);
    if (expected === undefined) expect(complaint).toBeUndefined();
    else expect(complaint).toMatch(expected);
  });
});
