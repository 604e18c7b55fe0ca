/** Starts the processes that measure, one at a time, and ends them when it is over. */
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import type { Figures, Scale, Task, Workload } from "./workload.ts";

const DEADLINE_MS: Record<Scale, number> = { full: 240_000, quick: 20_000 };
const STDERR_CHARACTERS_MAX = 2000;
/** So that a collection in the middle is the system's own doing, not that of a small default. */
const OPTIONS = ["--expose-gc", "--max-old-space-size=12288", "--max-semi-space-size=16"];

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** @throws what went wrong, as the last lines that the process wrote */
export async function runTask(
  workload: Workload,
  task: Task & { readonly prepare?: boolean },
  signal: AbortSignal,
): Promise<Figures> {
  signal.throwIfAborted();
  const child = fork(join(import.meta.dirname, "child.js"), [workload.name, JSON.stringify(task)], {
    execArgv: OPTIONS,
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  running.add(child);
  const deadlineMs = task.scale === "full" ? (workload.deadlineMs ?? DEADLINE_MS.full) : DEADLINE_MS[task.scale];
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-STDERR_CHARACTERS_MAX);
  });
  return await new Promise<Figures>((resolve, reject) => {
    let figures: Figures | undefined;
    const stop = (): void => void child.kill("SIGKILL");
    const deadline = setTimeout(() => {
      said += `\nnot done after ${deadlineMs / 1000} s`;
      stop();
    }, deadlineMs);
    signal.addEventListener("abort", stop, { once: true });
    child.on("message", (message) => {
      figures = message as Figures;
    });
    child.once("close", (code) => {
      running.delete(child);
      clearTimeout(deadline);
      signal.removeEventListener("abort", stop);
      if (signal.aborted) reject(signal.reason as Error);
      else if (code === 0 && figures !== undefined) resolve(figures);
      else reject(new Error(said.trim() || `the process ended with ${code}`));
    });
  });
}
