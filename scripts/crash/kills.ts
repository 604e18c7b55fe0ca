/** Kills a process that writes, at random moments, again and again, and holds what it finds each time against a ledger. */
import type { Durability } from "wavekv";
import { type Child, type Ending, startChild } from "./children.ts";
import { Ledger } from "./ledger.ts";
import { type Choices, choicesOf } from "./random.ts";
import type { Plant, Report, Task } from "./reports.ts";

export const MODES = ["always", "interval", "os"] as const;
export type Mode = (typeof MODES)[number];

export interface KillOptions {
  readonly directory: string;
  readonly kills: number;
  /** Taken in turn, one for each life of the process. */
  readonly modes: readonly Mode[];
  /** Repeats what is written and which moments are aimed at; the moments that are hit depend on the machine. */
  readonly seed: number;
  readonly plant?: Plant;
  readonly signal: AbortSignal;
  /** A line for each kill. */
  readonly onLine: (line: string) => void;
}

export interface KillResult {
  acknowledged: number;
  lost: number;
  torn: number;
  kills: number;
  /** How many of the kills came before the process had recovered. */
  killsInRecovery: number;
  checkpoints: number;
  slowestRecoveryMs: number;
  /** What is wrong, in sentences. The run ends with the first life that has any. */
  problems: string[];
}

const WORK_MS_MAX = 300;
/** One kill in so many comes while the process recovers. */
const RECOVERY_KILL_EVERY = 4;
/** A life that reports nothing for so long hangs. */
const SILENCE_MS_MAX = 30_000;
const INTERVAL_MS = 20;
const RECOVERY_MS_GUESS = 20;

/** @throws the signal's reason; the child is gone by then */
export async function runKills(options: KillOptions): Promise<KillResult> {
  const { kills, modes, seed, plant, signal } = options;
  const choices = choicesOf(seed);
  const ledger = new Ledger();
  let recoveryMs = RECOVERY_MS_GUESS;
  const result: KillResult = {
    acknowledged: 0,
    lost: 0,
    torn: 0,
    kills: 0,
    killsInRecovery: 0,
    checkpoints: 0,
    slowestRecoveryMs: 0,
    problems: [],
  };
  while (result.kills < kills && result.problems.length === 0) {
    const mode = modes[result.kills % modes.length] ?? "always";
    const planted = plant === undefined ? {} : { plant };
    const task: Task = { type: "work", seed: choices.below(2 ** 31), firstNumber: ledger.nextNumber, ...planted };
    const life = await live(options, ledger, result, mode, task, drawKill(choices, recoveryMs));
    signal.throwIfAborted();
    result.kills += 1;
    if (life.isRead) recoveryMs = life.recoveryMs;
    else result.killsInRecovery += 1;
    const found = life.isRead ? `found ${life.prefix ?? "no"} of ${life.sentBefore} writes` : "killed in recovery";
    options.onLine(`kill ${result.kills}, mode ${mode}: ${found}, then ${life.acknowledged} acknowledged`);
  }
  // Twice: the second one opens what was closed in good order.
  for (let round = 1; round <= 2 && result.problems.length === 0; round++) {
    await live(options, ledger, result, "always", { type: "read" }, undefined);
    signal.throwIfAborted();
  }
  return result;
}

/** When a life ends: so many milliseconds after it has begun to open the directory, or after it has read it. */
interface KillPlan {
  readonly after: "opening" | "read";
  readonly delayMs: number;
}

/** @param recoveryMs  how long the last recovery took */
function drawKill(choices: Choices, recoveryMs: number): KillPlan {
  const isEarly = choices.below(RECOVERY_KILL_EVERY) === 0;
  if (isEarly) return { after: "opening", delayMs: choices.fraction() * recoveryMs };
  return { after: "read", delayMs: choices.fraction() * WORK_MS_MAX };
}

interface Life {
  /** It came as far as to tell what it had recovered. */
  isRead: boolean;
  recoveryMs: number;
  /** Writes sent since the check before. */
  sentBefore: number;
  prefix: number | undefined;
  acknowledged: number;
}

/** Runs the process once, until the plan kills it or, without one, until it ends. */
async function live(
  { directory, signal }: KillOptions,
  ledger: Ledger,
  result: KillResult,
  mode: Mode,
  task: Task,
  plan: KillPlan | undefined,
): Promise<Life> {
  const life: Life = { isRead: false, recoveryMs: 0, sentBefore: 0, prefix: undefined, acknowledged: 0 };
  const found = new Map<string, string>();
  let timer: NodeJS.Timeout | undefined;
  let isKilled = false;
  const killLater = (child: Child, delayMs: number): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      isKilled = true;
      child.kill();
    }, delayMs);
  };
  const onReport = (report: Report, child: Child): void => {
    if (report.type === plan?.after) killLater(child, plan.delayMs);
    switch (report.type) {
      case "opening":
        return;
      case "opened":
        life.recoveryMs = report.tookMs;
        result.slowestRecoveryMs = Math.max(result.slowestRecoveryMs, report.tookMs);
        if (report.corrupt) result.problems.push("the replica says that its directory was damaged");
        for (const name of report.names.filter((other) => /\.(tmp|damaged)$/.test(other)))
          result.problems.push(`${name} was left behind`);
        return;
      case "entry":
        found.set(report.key, String(report.value));
        return;
      case "read": {
        life.isRead = true;
        const { lost, torn, prefix, problems, sent } = ledger.check(found);
        Object.assign(life, { prefix, sentBefore: sent });
        result.lost += lost;
        result.torn += torn;
        result.problems.push(...problems);
        return;
      }
      case "sent":
        ledger.sent(report.number, report.writes);
        return;
      case "acknowledged":
        ledger.acknowledged(report.number);
        life.acknowledged += 1;
        result.acknowledged += 1;
        return;
      case "checkpoint":
        result.checkpoints += 1;
        return;
      case "refused":
      case "failed":
        result.problems.push(`without a cause: ${JSON.stringify(report)}`);
        return;
    }
  };
  const child = startChild({ directory, durability: durabilityOf(mode), task }, onReport);
  const silence = setTimeout(() => {
    result.problems.push(`the process has not ended within ${SILENCE_MS_MAX / 1000} s`);
    child.kill();
  }, SILENCE_MS_MAX);
  const abort = (): void => child.kill();
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) child.kill();
  try {
    const ending = await child.ended;
    if (!isKilled && !signal.aborted) result.problems.push(...complaintsAbout(ending, plan));
  } finally {
    clearTimeout(timer);
    clearTimeout(silence);
    signal.removeEventListener("abort", abort);
  }
  return life;
}

function complaintsAbout({ code, stderr }: Ending, plan: KillPlan | undefined): string[] {
  if (plan === undefined && code === 0) return [];
  return [`the process has ended by itself, exit code ${code}: ${stderr.trim()}`];
}

function durabilityOf(mode: Mode): Durability {
  return mode === "interval" ? { intervalMs: INTERVAL_MS } : mode;
}
