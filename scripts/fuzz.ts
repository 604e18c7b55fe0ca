/**
 * npm run fuzz -- [--runs N] [--seed N] [--target NAME]
 *
 * Feeds damaged and malicious inputs, made from good ones, to every decoder: N in all (default 1,000,000), the same ones
 * for the same seed. Ends with 1 at the first one that makes a decoder throw something that is not its own, hang, or make
 * more than its share of memory, and prints it, for test/fuzz/corpus.
 */
import { parseArgs } from "node:util";
import { Finding, fuzz } from "./fuzz/run.ts";
import { targets } from "./fuzz/targets.ts";

const { values } = parseArgs({
  options: { runs: { type: "string" }, seed: { type: "string" }, target: { type: "string" } },
});
const runs = Number(values.runs ?? 1_000_000);
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
const chosen = targets.filter(({ name }) => values.target === undefined || values.target === name);
if (!(Number.isSafeInteger(runs) && runs > 0 && Number.isSafeInteger(seed)) || chosen.length === 0) {
  console.error(`--runs and --seed take whole numbers, --target one of: ${targets.map(({ name }) => name).join(", ")}`);
  process.exit(2);
}

const each = Math.ceil(runs / chosen.length);
console.log(`${each * chosen.length} inputs, --seed ${seed}`);
const startMs = performance.now();
try {
  for (const target of chosen) {
    const { accepted, slowestMs, mostParts } = fuzz(target, each, seed);
    const share = ((100 * accepted) / each).toFixed(1);
    const columns = [target.name.padEnd(15), `${each} inputs`, `${share} % accepted`.padStart(16)];
    console.log(
      `${columns.join("  ")}, slowest ${slowestMs.toFixed(1)} ms, at most ${mostParts.toFixed(1)} parts a byte`,
    );
  }
} catch (error) {
  if (!(error instanceof Finding)) throw error;
  console.error(`${error.message}\nagain with: npm run fuzz -- --runs ${runs} --seed ${seed}`);
  if (error.cause !== undefined) console.error(error.cause);
  process.exit(1);
}
const { heapUsed } = process.memoryUsage();
console.log(
  `${((performance.now() - startMs) / 1000).toFixed(1)} s, heap ${Math.round(heapUsed / 2 ** 20)} MiB, nothing found`,
);
