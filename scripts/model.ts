/**
 * npm run model -- [--runs N] [--seed N]
 *
 * Holds replicas against a sorted array under random calls of the whole data API (test/property/store.test.ts), N times on
 * a disk and N times in memory; default 2,500. A failure prints its seed and the shortest script that shows it.
 */
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { runs: { type: "string" }, seed: { type: "string" } } });
const { runs = "2500", seed } = values;
for (const [name, value] of Object.entries({ runs, seed: seed ?? "1" })) {
  if (/^-?\d{1,10}$/.test(value)) continue;
  console.error(`--${name} takes a whole number, not ${value}`);
  process.exit(2);
}
const env = { ...process.env, WAVEKV_RUNS: runs, ...(seed === undefined ? {} : { WAVEKV_SEED: seed }) };
const { status } = spawnSync(
  process.execPath,
  ["node_modules/vitest/vitest.mjs", "run", "test/property/store.test.ts"],
  {
    env,
    stdio: "inherit",
  },
);
process.exit(status ?? 1);
