/**
 * npm run simulate: clusters of the production code on virtual time, network and disks, under faults. One seed decides
 * everything and replays exactly.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Campaign, runCampaign } from "./simulate/campaign.ts";
import { htmlOf } from "./simulate/html.ts";
import { drawPlan, type Plan } from "./simulate/plan.ts";
import { type Outcome, runPlan } from "./simulate/run.ts";
import { shrink } from "./simulate/shrink.ts";
import { Trace } from "./simulate/trace.ts";

const USAGE = `npm run simulate -- [options]

  --seeds N      run N seeds (default 1000), on all cores; fails if something expected was never reached
  --from N       the first of them (default 1)
  --minutes N    as many seeds as that takes; prints memory and handles
  --workers N    threads (default: one for each core)
  --seed N       one seed, with its trace hash; a failure is made smaller
  --plan FILE    one plan, as a failure leaves it
  --trace        with --seed or --plan: prints what happened
  --html FILE    with --seed or --plan: draws it
`;
/** Below so many seeds not everything can be expected to be reached. */
const SEEDS_FOR_FACTS = 2000;
const FAILURES_MAX = 5;
const PROGRESS_MS = 10_000;

const print = (line: string): void => console.log(line);

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string" },
      from: { type: "string" },
      minutes: { type: "string" },
      workers: { type: "string" },
      seed: { type: "string" },
      plan: { type: "string" },
      trace: { type: "boolean" },
      html: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) {
    print(USAGE);
    return 0;
  }
  const { trace = false, html } = values;
  if (values.plan !== undefined) return await one(JSON.parse(readFileSync(values.plan, "utf8")) as Plan, trace, html);
  if (values.seed !== undefined) return await one(drawPlan(wholeNumber("--seed", values.seed)), trace, html);
  const minutes = values.minutes === undefined ? undefined : wholeNumber("--minutes", values.minutes);
  return await many(
    wholeNumber("--from", values.from ?? "1"),
    minutes === undefined ? wholeNumber("--seeds", values.seeds ?? "1000") : undefined,
    wholeNumber("--workers", values.workers ?? String(availableParallelism())),
    minutes === undefined ? undefined : AbortSignal.timeout(minutes * 60_000),
  );
}

async function one(plan: Plan, isTraced: boolean, html: string | undefined): Promise<number> {
  const trace = isTraced || html !== undefined ? new Trace() : undefined;
  const outcome = await runPlan(plan, trace);
  if (isTraced) trace?.print(print);
  if (html !== undefined && trace !== undefined) {
    writeFileSync(html, htmlOf(plan, outcome, trace));
    print(`drawn in ${html}`);
  }
  print(
    `seed ${plan.seed}: ${outcome.events} events, ${(outcome.virtualMs / 1000).toFixed(1)} s of virtual time, trace ${outcome.traceHash}`,
  );
  if (outcome.failure === undefined) return 0;
  printFailure(outcome);
  await printShrunk(plan, outcome);
  return 1;
}

async function many(
  from: number,
  seeds: number | undefined,
  workers: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  const startMs = performance.now();
  let printedMs = startMs;
  const campaign = await runCampaign({
    from,
    seeds,
    workers,
    failuresMax: FAILURES_MAX,
    ...(signal === undefined ? {} : { signal }),
    onProgress: (state) => {
      if (performance.now() - printedMs < PROGRESS_MS) return;
      printedMs = performance.now();
      printProgress(state, startMs);
    },
  });
  printProgress(campaign, startMs);
  for (const [name, times] of [...campaign.facts.counts].sort()) print(`${String(times).padStart(9)}  ${name}`);
  for (const { seed, outcome } of campaign.failures) {
    print(`seed ${seed} fails; replay it with: npm run simulate -- --seed ${seed} --trace`);
    printFailure(outcome);
  }
  const [first] = campaign.failures;
  if (first !== undefined) {
    await printShrunk(drawPlan(first.seed), first.outcome);
    return 1;
  }
  const missing = campaign.facts.missing();
  if (missing.length > 0) print(`never reached: ${missing.join(", ")}`);
  const isComplete = missing.length === 0 || campaign.seeds < SEEDS_FOR_FACTS;
  print(
    `${campaign.seeds} seeds, ${campaign.failures.length} failures${isComplete ? "" : ", and not everything was reached"}`,
  );
  return isComplete ? 0 : 1;
}

function printProgress({ seeds, events, virtualMs, failures }: Campaign, startMs: number): void {
  const seconds = (performance.now() - startMs) / 1000;
  const { rss, heapUsed } = process.memoryUsage();
  const cpu = process.cpuUsage();
  const failing = failures.length === 0 ? "" : ` (seeds ${failures.map(({ seed }) => seed).join(", ")})`;
  print(
    `${seeds} seeds in ${seconds.toFixed(0)} s (${(seeds / seconds).toFixed(1)}/s, ` +
      `${((cpu.user + cpu.system) / 1000 / seeds).toFixed(1)} ms CPU each), ${events} events, ` +
      `${(virtualMs / 3_600_000).toFixed(1)} h of virtual time, ${failures.length} failures${failing}; ` +
      `rss ${mib(rss)}, heap ${mib(heapUsed)}, handles ${process.getActiveResourcesInfo().length}`,
  );
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

function printFailure({ failure }: Outcome): void {
  if (failure === undefined) return;
  print(`  ${failure.kind}, ${(failure.atMs / 1000).toFixed(3)} s into it: ${failure.message}`);
  if (failure.kind === "exception") print(failure.stack);
}

async function printShrunk(plan: Plan, outcome: Outcome): Promise<void> {
  const shrunk = await shrink(plan, outcome);
  const file = join(tmpdir(), `wavekv-plan-${plan.seed}.json`);
  writeFileSync(file, JSON.stringify(shrunk.plan, undefined, 1));
  const { hosts, steps } = shrunk.plan;
  print(`made smaller in ${shrunk.runs} runs: ${hosts.length} replicas, ${steps.length} steps`);
  for (const step of steps) print(`  ${JSON.stringify(step)}`);
  printFailure(shrunk.outcome);
  print(`replay it with: npm run simulate -- --plan ${file} --trace`);
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new Error(`${name} takes a whole number, not "${text}"\n\n${USAGE}`);
  return value;
}
