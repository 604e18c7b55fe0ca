/** A node of the cluster, seen from outside: a name, a directory, and a process that comes and goes. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Answer, Job, Report, Request } from "./messages.ts";

const CHILD_SCRIPT = fileURLToPath(new URL("./child.js", import.meta.url));
const STDERR_CHARS_MAX = 2000;
const OPEN_MS_MAX = 60_000;
const CLOSE_MS_MAX = 20_000;

interface Life {
  readonly process: ChildProcess;
  /** Once it has ended and everything that it reported was handed on. */
  readonly ended: Promise<void>;
  readonly waiting: Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>;
  isExpectedToEnd: boolean;
}

/** What a process is asked and does not answer, because it has ended. */
export class GoneError extends Error {
  override readonly name = "GoneError";
}

export class NodeProcess {
  readonly nodeId: string;
  readonly directory: string;
  /** Where it listens; undefined while it does not run. */
  port: number | undefined;
  readonly #onReport: (report: Report, node: NodeProcess) => void;
  readonly #onProblem: (problem: string) => void;
  #life: Life | undefined;
  #nextId = 1;

  constructor(
    nodeId: string,
    directory: string,
    onReport: (report: Report, node: NodeProcess) => void,
    onProblem: (problem: string) => void,
  ) {
    this.nodeId = nodeId;
    this.directory = directory;
    this.#onReport = onReport;
    this.#onProblem = onProblem;
  }

  /** Resolves when it is open; also if it ends before, which is reported as a problem. */
  async start(job: Pick<Job, "seeds" | "seed" | "firstNumber">): Promise<void> {
    const { nodeId, directory } = this;
    // Standard input stays open as long as we live: the child ends itself when it closes.
    const child = spawn(process.execPath, [CHILD_SCRIPT, JSON.stringify({ ...job, nodeId, directory })], {
      stdio: "pipe",
    });
    let line = "";
    let stderr = "";
    let opened: () => void = () => undefined;
    const isOpen = new Promise<void>((resolve) => {
      opened = resolve;
    });
    const deadline = setTimeout(() => {
      this.#onProblem(`${nodeId} does not open`);
      child.kill("SIGKILL");
    }, OPEN_MS_MAX);
    child.stdin.on("error", () => undefined);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (line + text).split("\n");
      line = lines.pop() ?? "";
      for (const whole of lines) {
        const report = JSON.parse(whole) as Report;
        if (report.type === "opened") {
          this.port = report.port;
          opened();
        }
        if (report.type === "answer") life.waiting.get(report.id)?.resolve(report.answer);
        this.#onReport(report, this);
      }
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-STDERR_CHARS_MAX);
    });
    const ended = new Promise<void>((resolve) => {
      child.on("error", (error) => {
        stderr += String(error);
        resolve();
      });
      child.on("close", (code) => {
        if (!life.isExpectedToEnd)
          this.#onProblem(`${nodeId} has ended by itself, exit code ${code}: ${stderr.trim()}`);
        resolve();
      });
    }).then(() => {
      this.port = undefined;
      for (const { reject } of life.waiting.values()) reject(new GoneError(`${nodeId} has ended`));
    });
    const life: Life = { process: child, ended, waiting: new Map(), isExpectedToEnd: false };
    this.#life = life;
    await Promise.race([isOpen, ended]);
    clearTimeout(deadline);
  }

  /** @throws GoneError when it has ended, or ends before it has answered */
  async ask(request: Request): Promise<Answer> {
    const life = this.#life;
    if (life === undefined || this.port === undefined) throw new GoneError(`${this.nodeId} does not run`);
    const id = this.#nextId++;
    try {
      return await new Promise((resolve, reject) => {
        life.waiting.set(id, { resolve, reject });
        life.process.stdin?.write(`${JSON.stringify({ ...request, id })}\n`);
      });
    } finally {
      life.waiting.delete(id);
    }
  }

  freeze(): void {
    this.#life?.process.kill("SIGSTOP");
  }

  thaw(): void {
    this.#life?.process.kill("SIGCONT");
  }

  /** As if the power failed for the process alone. Resolves when it is gone. Idempotent. */
  async kill(): Promise<void> {
    await this.#end((life) => life.process.kill("SIGKILL"));
  }

  /** Lets it close in good order. */
  async close(): Promise<void> {
    let deadline: NodeJS.Timeout | undefined;
    await this.#end(({ process }) => {
      process.stdin?.end(`${JSON.stringify({ type: "close", id: 0 })}\n`);
      deadline = setTimeout(() => {
        this.#onProblem(`${this.nodeId} was told to close and does not end`);
        process.kill("SIGKILL");
      }, CLOSE_MS_MAX);
    });
    clearTimeout(deadline);
  }

  async #end(how: (life: Life) => void): Promise<void> {
    const life = this.#life;
    if (life === undefined) return;
    life.isExpectedToEnd = true;
    how(life);
    await life.ended;
    if (this.#life === life) this.#life = undefined;
  }
}
