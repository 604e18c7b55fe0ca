/**
 * Runs the test suite on other lines of Node: `npm run test:lines`, or `-- 22 24 path/to/a.test.ts` for a choice of
 * lines and files. Prints one result per line of Node and exits with 1 if any of them failed.
 *
 * The binaries come from npm's `node-<platform>-<arch>` packages, which need no install script and no other host.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const DEFAULT_LINES = ["22", "24"];

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const chosen = process.argv.slice(2).filter((argument) => /^\d+$/.test(argument));
const filters = process.argv.slice(2).filter((argument) => !/^\d+$/.test(argument));
const binaries = mkdtempSync(join(tmpdir(), "wavekv-node-"));
process.once("exit", () => rmSync(binaries, { recursive: true, force: true }));

run(process.execPath, ["scripts/setup.mjs", "--build"], "setup");
const results = (chosen.length > 0 ? chosen : DEFAULT_LINES).map(test);
for (const { line, version, outcome } of results) console.log(`node ${line} (${version}): ${outcome}`);
process.exitCode = results.every(({ outcome }) => outcome === "passed") ? 0 : 1;

function test(line) {
  const binary = install(line);
  if (binary === undefined) return { line, version: "-", outcome: "could not be installed" };
  const version = spawnSync(binary, ["--version"], { encoding: "utf8" }).stdout.trim();
  console.log(`\n== node ${line} (${version})`);
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  // First on the path, so that the processes which the tests start are of the same line.
  const env = {
    ...process.env,
    PATH: `${dirname(binary)}${process.platform === "win32" ? ";" : ":"}${process.env.PATH}`,
  };
  const { status } = spawnSync(binary, [vitest, "run", ...filters], { cwd: root, stdio: "inherit", env });
  return { line, version, outcome: status === 0 ? "passed" : "failed" };
}

/** The path of a `node` of that line, or undefined. */
function install(line) {
  const platform = process.platform === "win32" ? "win" : process.platform;
  const name = `node-${platform}-${process.arch}`;
  const prefix = join(binaries, line);
  const options = [
    "--prefix",
    prefix,
    "--no-save",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--loglevel",
    "error",
  ];
  const { status } = spawnSync("npm", ["install", ...options, `${name}@${line}`], {
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  if (status !== 0) return undefined;
  return join(prefix, "node_modules", name, "bin", process.platform === "win32" ? "node.exe" : "node");
}

function run(command, args, name) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status === 0) return;
  console.error(`${name} failed, see above`);
  process.exit(1);
}
