/** The process that is killed: does a job on a directory and reports on it. Started by scripts/crash.js, not by hand. */
import { readdirSync, writeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { type BatchOperation, isReplicaError, openReplica, type Replica } from "wavekv";
import { choicesOf } from "./random.ts";
import { type Job, type Report, type Task, writtenValue } from "./reports.ts";
import { drawStep, type Step } from "./workload.ts";

const WRITERS = 6;
const PAUSE_MS_MAX = 40;
const PUTS_AFTER_REFUSAL = 3;
const STDOUT = 1;

// Whoever started us has gone: so do we.
const leave = (): never => process.exit(3);
process.stdin.on("close", leave).resume();

const { directory, durability, task } = JSON.parse(process.argv[2] ?? "") as Job;
const replica = await open();
if (replica !== undefined) {
  if (task.type === "work") await work(replica, task);
  if (task.type === "puts") await putAll(replica, task);
  if (task.type === "read") await verify(replica);
  await attempt("close", () => replica.close());
}
process.stdin.off("close", leave).destroy();

async function open(): Promise<Replica | undefined> {
  report({ type: "opening" });
  const startMs = performance.now();
  const opened = await attempt("open", () => openReplica({ directory, durability, nodeId: "n1" }));
  if (opened === undefined) return undefined;
  const tookMs = performance.now() - startMs;
  const { truncatedBytes = 0, corrupt = false } = opened.status().durability.recovered ?? {};
  report({ type: "opened", tookMs, truncatedBytes, corrupt, names: readdirSync(directory) });
  for (const [key, value] of opened.entries()) report({ type: "entry", key, value });
  report({ type: "read" });
  return opened;
}

async function work(opened: Replica, { seed, firstNumber, plant }: Extract<Task, { type: "work" }>): Promise<void> {
  let nextNumber = firstNumber;
  const write = async (step: Step): Promise<void> => {
    const number = nextNumber++;
    report({ type: "sent", number, writes: step.writes });
    const done = plant === "split-batch" ? issueInTwo(opened, number, step) : issue(opened, number, step);
    if (plant === "early-ack") report({ type: "acknowledged", number });
    await done;
    if (plant !== "early-ack") report({ type: "acknowledged", number });
  };
  const writer = async (writerSeed: number): Promise<void> => {
    const choices = choicesOf(writerSeed);
    for (;;) {
      // Now and then several at once, without waiting in between.
      const burst = choices.below(8) === 0 ? 2 + choices.below(12) : 1;
      await Promise.all(Array.from({ length: burst }, () => write(drawStep(choices))));
    }
  };
  const checkpoints = async (): Promise<void> => {
    const choices = choicesOf(seed);
    for (;;) {
      await delay(choices.below(PAUSE_MS_MAX));
      if (choices.below(4) === 0) await opened.flush();
      else await opened.checkpoint();
      report({ type: "checkpoint" });
    }
  };
  await Promise.all([...Array.from({ length: WRITERS }, (_, index) => writer(seed + index + 1)), checkpoints()]);
}

function issue(opened: Replica, number: number, { isBatch, writes, ttlMs }: Step): Promise<unknown> {
  const options = ttlMs === undefined ? {} : { ttlMs };
  if (isBatch) {
    return opened.batch(
      writes.map(([key, length]): BatchOperation => {
        return length === null
          ? { type: "del", key }
          : { type: "put", key, value: writtenValue(number, key, length), ...options };
      }),
    );
  }
  const [[key, length] = ["", null]] = writes;
  return length === null ? opened.delete(key) : opened.put(key, writtenValue(number, key, length), options);
}

async function issueInTwo(opened: Replica, number: number, step: Step): Promise<void> {
  await issue(opened, number, { ...step, writes: step.writes.slice(0, 1) });
  if (step.writes.length > 1) await issue(opened, number, { ...step, writes: step.writes.slice(1) });
}

async function putAll(
  opened: Replica,
  { count, bytes, parallel = false }: Extract<Task, { type: "puts" }>,
): Promise<void> {
  let refusals = 0;
  const put = async (number: number): Promise<void> => {
    const key = `put-${number}`;
    report({ type: "sent", number, writes: [[key, bytes]] });
    try {
      await opened.put(key, writtenValue(number, key, bytes));
      report({ type: "acknowledged", number });
    } catch (error) {
      refusals += 1;
      report({ type: "refused", number, code: codeOf(error) });
    }
  };
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  if (parallel) await Promise.all(numbers.map(put));
  else for (const number of numbers) if (refusals <= PUTS_AFTER_REFUSAL) await put(number);
}

async function verify(opened: Replica): Promise<void> {
  const { ok, problems } = await opened.verify();
  if (!ok) report({ type: "failed", call: "verify", code: problems.join("; ") });
}

async function attempt<T>(call: "open" | "close", run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run();
  } catch (error) {
    report({ type: "failed", call, code: codeOf(error) });
    return undefined;
  }
}

function codeOf(error: unknown): string {
  return isReplicaError(error) ? error.code : String(error);
}

/** In one piece: the parent reads a line whole, or it was cut off by the kill. */
function report(message: Report): void {
  let rest = Buffer.from(`${JSON.stringify(message)}\n`);
  while (rest.length > 0) rest = rest.subarray(writeSync(STDOUT, rest));
}
