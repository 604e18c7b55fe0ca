/** Starts processes that may be killed at any moment, and reads what they report. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Job, parseReport, type Report } from "./reports.ts";

/** The script that a child runs; beside this file once both are compiled. */
export const CHILD_SCRIPT = fileURLToPath(new URL("./child.js", import.meta.url));
const STDERR_CHARS_MAX = 2000;

export interface Ending {
  /** `null` if a signal has ended it. */
  readonly code: number | null;
  /** The last that it wrote to standard error. */
  readonly stderr: string;
}

export interface Child {
  kill(): void;
  /** Resolves when the process has ended and everything that it has reported was handed on. */
  readonly ended: Promise<Ending>;
}

/** @param onReport  gets the reports in order; one that the end has cut off is left out */
export function startChild(job: Job, onReport: (report: Report, child: Child) => void): Child {
  // Standard input stays open as long as we live: the child ends itself when it closes.
  const child = spawn(process.execPath, [CHILD_SCRIPT, JSON.stringify(job)], { stdio: "pipe" });
  let line = "";
  let stderr = "";
  const ended = new Promise<Ending>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stderr }));
  });
  const started: Child = { kill: () => void child.kill("SIGKILL"), ended };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const lines = (line + text).split("\n");
    line = lines.pop() ?? "";
    for (const whole of lines) onReport(parseReport(whole), started);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-STDERR_CHARS_MAX);
  });
  return started;
}
