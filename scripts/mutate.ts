/**
 * npm run mutate: changes one operator, condition or statement at a time in a copy of the tree, and shows whether a test
 * of its room, or else the simulator, notices. What nothing notices is printed, to be looked at by a person.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { choicesOf } from "./crash/random.ts";
import { type Mutant, mutantsOf } from "./mutate/mutants.ts";
import { CHECKOUT, change, withCopy } from "./planted/copy.ts";

const USAGE = `npm run mutate -- [--sample N] [--seed N] [--only TEXT] [--seeds N]

  --sample N   so many mutants, drawn by the seed (default 40; 0: all of them, which takes hours)
  --seed N     which ones are drawn (default 1)
  --from N     leaves out the first N that are drawn: to go on where an earlier run ended
  --only TEXT  files whose name contains it
  --seeds N    seeds of the simulator for what the tests do not notice (default 40, as in npm test)
`;
const ROOMS = ["src/core", "src/sync", "src/storage"];
/** Quick ones first: they see most, and whoever sees it ends the hunt. */
const TESTS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  "src/core": [
    ["test/unit/core", "test/unit/sync/replicator.test.ts"],
    ["test/property/table.test.ts", "test/property/convergence.test.ts"],
  ],
  "src/sync": [
    [
      "test/unit/sync/replicator.test.ts",
      "test/unit/sync/settler.test.ts",
      "test/unit/sync/room.test.ts",
      "test/unit/sync/conflicts.test.ts",
      "test/unit/sync/ephemeral.test.ts",
    ],
    [
      "test/unit/sync/settling.test.ts",
      "test/property/convergence.test.ts",
      "test/property/paged-catch-up.test.ts",
      "test/property/ephemeral.test.ts",
    ],
  ],
  "src/storage": [["test/golden/storage.test.ts", "test/unit/storage"], ["test/crash"]],
};
const HUNT_MS_MAX = 10 * 60_000;

process.exitCode = main();

function main(): number {
  const { values } = parseArgs({
    options: {
      sample: { type: "string", default: "40" },
      seed: { type: "string", default: "1" },
      from: { type: "string", default: "0" },
      only: { type: "string", default: "" },
      seeds: { type: "string", default: "40" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) {
    console.log(USAGE);
    return 0;
  }
  const all = ROOMS.flatMap(filesOf)
    .filter((file) => file.includes(values.only))
    .flatMap((file) => mutantsOf(file, readFileSync(join(CHECKOUT, file), "utf8")).map((mutant) => ({ file, mutant })));
  const drawn = draw(all, Number(values.sample), Number(values.seed)).slice(Number(values.from));
  console.log(`${all.length} mutants, of which ${drawn.length} are tried`);
  let killed = 0;
  withCopy((directory) => {
    for (const { file, mutant } of drawn) {
      const by = killerOf(directory, file, mutant, Number(values.seeds));
      if (by !== undefined) killed += 1;
      const { line, text, replacement } = mutant;
      const what = text.replace(/\s+/g, " ").slice(0, 100);
      console.log(`${by === undefined ? "SURVIVED" : `killed by ${by}`}: ${file}:${line}  ${what}  ->  ${replacement}`);
    }
  });
  console.log(`${killed} of ${drawn.length} killed: ${((100 * killed) / Math.max(1, drawn.length)).toFixed(1)} %`);
  return 0;
}

function filesOf(room: string): string[] {
  return readdirSync(join(CHECKOUT, room))
    .filter((name) => name.endsWith(".ts"))
    .map((name) => `${room}/${name}`);
}

/** @param count  0: all */
function draw<T>(items: readonly T[], count: number, seed: number): T[] {
  const random = choicesOf(seed);
  const left = [...items];
  const drawn: T[] = [];
  while (left.length > 0 && (count === 0 || drawn.length < count))
    drawn.push(...left.splice(random.below(left.length), 1));
  return drawn;
}

/** Who notices; `undefined`: nobody. */
function killerOf(directory: string, file: string, mutant: Mutant, seeds: number): string | undefined {
  const room = file.slice(0, file.lastIndexOf("/"));
  change(directory, file, mutant.source);
  try {
    for (const tests of TESTS[room] ?? []) {
      const args = [join(directory, "node_modules/vitest/vitest.mjs"), "run", "--bail=1", ...tests];
      const { status } = spawnSync(process.execPath, args, { cwd: directory, stdio: "ignore", timeout: HUNT_MS_MAX });
      // Also one that never ends is noticed.
      if (status !== 0) return "tests";
    }
    const args = [join(directory, "dist/scripts/planted/hunt.js"), String(seeds)];
    const { stdout } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: HUNT_MS_MAX });
    return stdout.includes('"kind"') || !stdout.includes("{") ? "simulator" : undefined;
  } finally {
    change(directory, file, readFileSync(join(CHECKOUT, file), "utf8"));
  }
}
