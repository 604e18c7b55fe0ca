/** What a command is: how it is called, what its help says, and what it does. */
import type { WallClock } from "../clock.ts";
import type { Disk } from "../storage/disk.ts";
import type { Host } from "./host.ts";
import { grouped, type Output } from "./output.ts";

/** What the commands need of the process. */
export interface Surroundings {
  /** The files of stores. */
  readonly disk: Disk;
  readonly clock: WallClock;
  readonly host: Host;
  readonly out: Output;
  readonly err: Output;
}

export interface Flag {
  readonly type: "boolean" | "string";
  /** May be given more than once. */
  readonly multiple?: true;
  /** What stands for its value in the help. */
  readonly value?: string;
  readonly help: string;
}

/** What was given: positional arguments, and flags by name. */
export interface Given {
  readonly args: readonly string[];
  flag(name: string): boolean;
  text(name: string): string | undefined;
  texts(name: string): readonly string[];
}

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** Names of the positional arguments, as the help shows them. Those in brackets may be left out. */
  readonly takes: readonly string[];
  readonly flags: Readonly<Record<string, Flag>>;
  /** What there is to know beside the flags. */
  readonly notes?: string;
  /** What a user would type, behind `wavekv`, and what it does. */
  readonly examples: readonly (readonly [string, string])[];
  /** @returns the exit code */
  run(given: Given, surroundings: Surroundings): Promise<number>;
}

/** Wrong use: told with the way to the help, exit code 2. */
export class UsageError extends Error {}

/** A failure that its message explains; `code` for those who read JSON. */
export class CommandError extends Error {
  readonly code: string;
  readonly exitCode: number;

  constructor(code: string, message: string, exitCode = 1) {
    super(message);
    this.code = code;
    this.exitCode = exitCode;
  }
}

/** @throws UsageError */
export function wholeNumber(name: string, text: string | undefined, most: number): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text) || Number(text) > most) {
    throw new UsageError(`--${name} takes a whole number from 0 to ${grouped(most)}`);
  }
  return Number(text);
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `500ms`, `30s`, `5m`, `12h`, `7d`. @throws UsageError */
export function duration(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const [, amount = "", unit = ""] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(text) ?? [];
  const ms = Number(amount) * (UNITS_MS[unit] ?? 0);
  if (!(ms > 0)) throw new UsageError(`--${name} takes a time such as 500ms, 30s, 5m, 12h or 7d`);
  return ms;
}
