/** npm run explore: every interleaving of a small scope, on the real core. */
import { parseArgs } from "node:util";
import { openCore } from "./explore/open-core.ts";
import { SCOPES } from "./explore/scopes.ts";
import { search } from "./explore/search.ts";

const USAGE = `npm run explore -- [--scope NAME] [--depth N] [--states N]

  --scope NAME   ${Object.keys(SCOPES).join(", ")}; default: all but the last
  --depth N      no way longer than this (default 60)
  --states N     no more states than this, of each scope (default 20000)
`;

process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      scope: { type: "string" },
      depth: { type: "string" },
      states: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) {
    console.log(USAGE);
    return 0;
  }
  const names = values.scope === undefined ? Object.keys(SCOPES).slice(0, -1) : [values.scope];
  const core = await openCore();
  let code = 0;
  for (const name of names) {
    const scope = SCOPES[name];
    if (scope === undefined) {
      console.error(USAGE);
      return 2;
    }
    const startMs = performance.now();
    const { states, steps, quiet, collected, depth, exhausted, failure } = search(core, scope, {
      depthMax: Number(values.depth ?? 60),
      statesMax: Number(values.states ?? 20_000),
    });
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    console.log(
      `${name}: ${scope.replicas} replicas, ${scope.keys} keys, ${scope.writes} writes, ${scope.cuts} cuts, ${scope.crashes} crashes, ${scope.waits} waits, ${scope.ticks} ticks: ` +
        `${states} states, ${steps} steps, depth ${depth}, ${exhausted ? "exhausted" : "not exhausted"}, ` +
        `${quiet} healed and compared, ${collected} with something collected, ${seconds} s`,
    );
    if (failure === undefined) continue;
    code = 1;
    console.log(`  ${failure.message}, after: ${failure.actions.join(", ")}`);
  }
  return code;
}
