/** Two processes, one of which has data and the other gets it over a WebSocket on this machine. */
import { type ChildProcess, fork } from "node:child_process";
import type { Task } from "../workload.ts";

export interface PairOptions {
  /** Synced to the disk before it is passed on and before it counts; for peers that cannot, memory only. */
  readonly durable: boolean;
  readonly directory: string;
}

/** The end that has data, in a process of its own. */
export interface Source {
  readonly address: string;
  /** Puts the entries of these numbers, as fast as it can: `keyOf(number)`, and `text` or a value of 100 characters. */
  fill(from: number, to: number): Promise<void>;
  /** Puts one whose value says when, by the clock that all processes of a machine share. */
  stamp(number: number): unknown;
  close(): Promise<void>;
}

/** The end that gets it. */
export interface Sink {
  /** Resolves when it has so many entries. */
  until(count: number): Promise<void>;
  /** Told the value of every entry that comes from now on. */
  onEntry(listener: (value: string) => void): void;
  /** All that came in, without what the network adds. Undefined where it cannot be told. */
  receivedBytes(): number | undefined;
  disconnect(): Promise<void>;
  /**
   * Connects again, and resolves with the milliseconds from the connection to having so many entries.
   * @param connected  called at the connection, by ours
   */
  catchUp(count: number, connected?: () => void): Promise<number>;
  close(): Promise<void>;
}

export interface PairSystem {
  openSource(options: PairOptions): Promise<Source>;
  /** Resolves when it is about to connect, or connected. */
  openSink(address: string, options: PairOptions): Promise<Sink>;
}

/** What a partner can be asked for. */
export type Answers = Readonly<Record<string, (...numbers: number[]) => unknown>>;

/** The other process, as the one that measures sees it. */
export class Partner {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** @param workload whose `partner` runs there */
  static start(workload: string, task: Task): Partner {
    const [script = ""] = process.argv.slice(1);
    const child = fork(script, [workload, JSON.stringify({ ...task, partner: true })], { stdio: "inherit" });
    process.on("exit", () => child.kill("SIGKILL"));
    return new Partner(child);
  }

  /** Asks for one thing at a time. Rejects when the partner ends. */
  ask<T>(name: string, ...numbers: number[]): Promise<T> {
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error(`the partner ended while it was asked for ${name}`));
      this.#child.once("exit", ended);
      this.#child.once("message", (message) => {
        this.#child.off("exit", ended);
        resolve((message as { answer: T }).answer);
      });
      this.#child.send({ name, numbers });
    });
  }

  stop(): void {
    this.#child.kill("SIGKILL");
  }
}

/** Answers what the parent asks, until it goes. */
export function answer(answers: Answers): void {
  process.on("message", (message) => {
    const { name, numbers } = message as { name: string; numbers: number[] };
    void Promise.resolve(answers[name]?.(...numbers)).then((result) => process.send?.({ answer: result }));
  });
}

/** Resolves when it is so, asked every few milliseconds. */
export async function until(isSo: () => boolean, everyMs = 2): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, everyMs));
}

/** By a clock that all processes of a machine share, milliseconds. */
export function sharedNowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
