/** Runs seeds until one fails, and prints what it found as JSON. Started by scripts/planted.ts on a copy with a planted bug. */
import { drawPlan } from "../simulate/plan.ts";
import { runPlan } from "../simulate/run.ts";

/** What `planted.ts` reads. */
export interface Catch {
  /** Up to the one that failed, or all. */
  readonly seeds: number;
  readonly kind?: string;
  readonly message?: string;
}

const seedsMax = Number(process.argv[2]);
let result: Catch = { seeds: seedsMax };
for (let seed = 1; seed <= seedsMax; seed++) {
  const { failure } = await runPlan(drawPlan(seed));
  if (failure === undefined) continue;
  result = { seeds: seed, kind: failure.kind, message: failure.message.slice(0, 300) };
  break;
}
console.log(JSON.stringify(result));
