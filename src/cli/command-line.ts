/** The command line: which command is meant, what it is given, and how failures are told. */
import { parseArgs } from "node:util";
import type { WallClock } from "../clock.ts";
import { type ErrorCode, isReplicaError } from "../errors.ts";
import { InvariantError } from "../invariant.ts";
import type { Disk } from "../storage/disk.ts";
import { VERSION } from "../version.ts";
import { inspect, inspectText } from "./inspect.ts";
import { KEYS_LIMIT_DEFAULT, KEYS_LIMIT_MAX, keysText, listKeys } from "./keys.ts";
import { escaped, grouped, type Output, paintFor } from "./output.ts";
import { progressOn } from "./progress.ts";
import { withSurvey } from "./survey.ts";
import { verify, verifyText } from "./verify.ts";

/** What the commands need of the process. */
export interface Surroundings {
  /** Its lock is asked for, and nothing is ever written to it. */
  readonly disk: Disk;
  readonly clock: WallClock;
  readonly out: Output;
  readonly err: Output;
}

const USAGE = `
Looks at the data directory of a replica while no process holds it. Changes nothing in it.

  wavekv inspect DIR    what is in it: replica, entries, members, coverage, files, damage
    --keys              list the keys too, with version, size of the value, author and expiry
    --prefix P          only the keys that begin with P
    --limit N           at most so many keys, default ${grouped(KEYS_LIMIT_DEFAULT)}, at most ${grouped(KEYS_LIMIT_MAX)}
  wavekv verify DIR     reads and checks every byte, and lists what is wrong

  --json                one JSON object instead of text
  --help, --version

Exit codes: 0 fine; 1 the directory has problems, or cannot be read; 2 wrong use.
`;

const OPTIONS = {
  json: { type: "boolean" },
  keys: { type: "boolean" },
  prefix: { type: "string" },
  limit: { type: "string" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
} as const;

type Flag = keyof typeof OPTIONS;
const FLAGS = new Map<string, readonly Flag[]>([
  ["inspect", ["json", "keys", "prefix", "limit"]],
  ["verify", ["json"]],
]);

interface Command {
  readonly name: string;
  readonly directory: string;
  readonly json: boolean;
  /** Which keys to list; absent: none. */
  readonly keys?: { readonly prefix: string; readonly limit: number };
}

class UsageError extends Error {}

/** @returns the exit code. Rejects with bugs of ours only. */
export async function runCommandLine(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const { out, err } = surroundings;
  let command: Command | string;
  try {
    command = parse(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    err.write(`wavekv: ${error.message}\n${USAGE}`);
    return 2;
  }
  if (typeof command === "string") {
    out.write(command);
    return 0;
  }
  try {
    return await execute(command, surroundings);
  } catch (error) {
    if (error instanceof InvariantError || !isForeseen(error)) throw error;
    const { code, message } = explain(error);
    if (command.json) out.write(`${JSON.stringify({ ok: false, error: { code, message } })}\n`);
    err.write(`${paintFor(err)("red", "wavekv:")} ${escaped(message)}\n`);
    return 1;
  }
}

async function execute(command: Command, { disk, clock, out, err }: Surroundings): Promise<number> {
  const { name, directory, json, keys } = command;
  const paint = paintFor(out);
  const progress = progressOn(err);
  const { report, text } = await withSurvey(disk, directory, progress, async (survey) => {
    if (name === "verify") {
      const report = await verify(disk, survey);
      return { report, text: () => verifyText(report, paint) };
    }
    const report = inspect(survey);
    if (keys === undefined || survey.found === undefined) return { report, text: () => inspectText(report, paint) };
    const list = listKeys(survey.found.state, keys);
    return {
      report: { ...report, ...list },
      text: () => [...inspectText(report, paint), ...keysText(list, clock.now(), paint)],
    };
  }).finally(() => progress.end());
  out.write(json ? `${JSON.stringify(report)}\n` : `${text().join("\n")}\n`);
  return report.ok ? 0 : 1;
}

/** @returns the command, or what to print instead of one */
function parse(args: readonly string[]): Command | string {
  const { values, positionals } = parseFlags(args);
  if (values.help === true) return USAGE.slice(1);
  if (values.version === true) return `${VERSION}\n`;
  const [name, directory, ...rest] = positionals;
  if (name === undefined) throw new UsageError("which command?");
  const allowed = FLAGS.get(name);
  if (allowed === undefined) throw new UsageError(`there is no command "${escaped(name)}"`);
  if (directory === undefined || directory === "") throw new UsageError(`${name} which directory?`);
  if (rest[0] !== undefined) throw new UsageError(`unexpected argument "${escaped(rest[0])}"`);
  for (const flag of Object.keys(values) as Flag[]) {
    if (!allowed.includes(flag)) throw new UsageError(`${name} takes no --${flag}`);
  }
  const { json = false, keys = false, prefix, limit } = values;
  if (!keys && (prefix !== undefined || limit !== undefined)) throw new UsageError("--prefix and --limit need --keys");
  const command = { name, directory, json };
  return keys ? { ...command, keys: { prefix: prefix ?? "", limit: parseLimit(limit) } } : command;
}

function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, strict: true });
  } catch (error) {
    if (!String((error as NodeJS.ErrnoException).code).startsWith("ERR_PARSE_ARGS")) throw error;
    throw new UsageError(escaped((error as Error).message));
  }
}

function parseLimit(text: string | undefined): number {
  if (text === undefined) return KEYS_LIMIT_DEFAULT;
  const limit = Number(text);
  if (!/^\d+$/.test(text) || limit > KEYS_LIMIT_MAX) {
    throw new UsageError(`--limit takes a whole number from 0 to ${grouped(KEYS_LIMIT_MAX)}`);
  }
  return limit;
}

/** What a person can do about it, where the message does not say. */
const REMEDIES: Partial<Record<ErrorCode, string>> = {
  ERR_LOCKED: "stop that process, or call status() and verify() in it, or look at a copy made with its backup()",
  ERR_FORMAT_VERSION: "use the version of wavekv that wrote it, or a later one",
  ERR_FOREIGN_DIRECTORY: "files of two replicas are mixed here; move those that do not belong to another place",
};
const SYSTEM_REMEDIES: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "check the path"],
  ["ENOTDIR", "give the directory that openReplica gets"],
  ["EACCES", "run this as the user who owns it"],
  ["EPERM", "run this as the user who owns it"],
  ["EIO", "the disk fails; copy what can still be read"],
]);

function isForeseen(error: unknown): error is Error & { code: string } {
  // Those of the system look like EACCES, those that Node.js raises for our mistakes like ERR_INVALID_ARG_TYPE.
  return (
    isReplicaError(error) || (error instanceof Error && "code" in error && /^E[A-Z0-9]+$/.test(String(error.code)))
  );
}

function explain(error: Error & { code: string }): { code: string; message: string } {
  const remedy = isReplicaError(error) ? REMEDIES[error.code] : SYSTEM_REMEDIES.get(error.code);
  return { code: error.code, message: remedy === undefined ? error.message : `${error.message}; ${remedy}` };
}
