/** The command line: which command is meant, what it is given, and how failures are told. */
import { parseArgs } from "node:util";
import { type ErrorCode, isReplicaError } from "../errors.ts";
import { InvariantError } from "../invariant.ts";
import { VERSION } from "../version.ts";
import { type Command, CommandError, type Given, type Surroundings, UsageError } from "./command.ts";
import { del, evict, get, members, put, scan, status, watch } from "./commands-data.ts";
import { inspectCommand, verifyCommand } from "./commands-directory.ts";
import { backup, checkpoint, exportEntries, importEntries } from "./commands-dump.ts";
import { commandHelp, generalHelp, nearest } from "./help.ts";
import { escaped, paintFor } from "./output.ts";
import { serve } from "./serve.ts";

export type { Surroundings } from "./command.ts";

const COMMANDS: readonly Command[] = [
  serve,
  get,
  put,
  del,
  scan,
  watch,
  status,
  members,
  evict,
  exportEntries,
  importEntries,
  backup,
  checkpoint,
  inspectCommand,
  verifyCommand,
];

/** @returns the exit code. Rejects with bugs of ours only. */
export async function runCommandLine(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const { out, err } = surroundings;
  const [first, ...rest] = args;
  const command = COMMANDS.find(({ name }) => name === first);
  try {
    if (command === undefined) {
      out.write(general(first, rest));
      return 0;
    }
    const given = parse(command, rest);
    if (given === "help") {
      out.write(commandHelp(command));
      return 0;
    }
    return await run(command, given, surroundings);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const isLost = command === undefined && first === undefined;
    const help = isLost
      ? generalHelp(COMMANDS)
      : `Try: wavekv ${command === undefined ? "" : `${command.name} `}--help\n`;
    err.write(`${paintFor(err)("red", "wavekv:")} ${error.message}\n${help}`);
    return 2;
  }
}

/** What to print where no command is given. @throws UsageError */
function general(first: string | undefined, rest: readonly string[]): string {
  if (first === "--version" || first === "-V") return `${VERSION}\n`;
  if (first === "help" && rest[0] !== undefined) {
    const asked = COMMANDS.find(({ name }) => name === rest[0]);
    if (asked === undefined) throw unknownCommand(rest[0]);
    return commandHelp(asked);
  }
  if (first === "--help" || first === "-h" || first === "help") return generalHelp(COMMANDS);
  if (first === undefined) throw new UsageError("which command?");
  throw first.startsWith("-")
    ? new UsageError(`the command comes first, not ${escaped(first)}`)
    : unknownCommand(first);
}

function unknownCommand(name: string): UsageError {
  const close = nearest(name, [...COMMANDS.map((command) => command.name), "help"]);
  return new UsageError(
    `there is no command "${escaped(name)}"${close === undefined ? "" : `; did you mean ${close}?`}`,
  );
}

async function run(command: Command, given: Given, surroundings: Surroundings): Promise<number> {
  const { out, err } = surroundings;
  try {
    return await command.run(given, surroundings);
  } catch (error) {
    if (error instanceof UsageError || error instanceof InvariantError || !isForeseen(error)) throw error;
    const { code, message } = explain(error);
    if (given.flag("json")) out.write(`${JSON.stringify({ ok: false, error: { code, message } })}\n`);
    err.write(`${paintFor(err)("red", "wavekv:")} ${escaped(message)}\n`);
    return error instanceof CommandError ? error.exitCode : 1;
  }
}

/** @throws UsageError */
function parse(command: Command, args: readonly string[]): Given | "help" {
  const { name, takes, flags } = command;
  const options = Object.fromEntries(
    Object.entries(flags).map(([flag, { type, multiple = false }]) => [flag, { type, multiple }]),
  );
  const { values, positionals, tokens } = readArgs(args, {
    ...options,
    help: { type: "boolean", short: "h", multiple: false },
  });
  if (values.help !== undefined) return "help";
  for (const token of tokens) {
    if (token.kind !== "option" || Object.hasOwn(flags, token.name)) continue;
    const close = nearest(token.name, Object.keys(flags));
    const hint = close === undefined ? "" : `; did you mean --${close}?`;
    throw new UsageError(`${name} takes no ${escaped(token.rawName)}${hint}`);
  }
  const needed = takes.filter((argument) => !argument.startsWith("["));
  const missing = needed[positionals.length];
  if (missing !== undefined) throw new UsageError(`${name}: ${missing} is missing`);
  const extra = positionals[takes.length];
  if (extra !== undefined) throw new UsageError(`unexpected argument "${escaped(extra)}"`);
  return {
    args: positionals,
    flag: (flag) => values[flag] === true,
    text: (flag) => (typeof values[flag] === "string" ? values[flag] : undefined),
    texts: (flag) => (Array.isArray(values[flag]) ? values[flag].map(String) : []),
  };
}

type Options = Record<string, { type: "boolean" | "string"; short?: string; multiple: boolean }>;

/** Unknown flags come through, so that they can be answered with a hint. @throws UsageError */
function readArgs(args: readonly string[], options: Options) {
  const parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: false, tokens: true });
  for (const token of parsed.tokens) {
    if (token.kind !== "option") continue;
    const option = options[token.name];
    if (option?.type === "boolean" && token.value !== undefined)
      throw new UsageError(`${token.rawName} takes no value`);
    // A value that looks like a flag was most likely forgotten; it may be given behind `=`.
    const isForgotten = token.value === undefined || (!token.inlineValue && /^--./.test(token.value));
    if (option?.type === "string" && isForgotten) throw new UsageError(`${token.rawName} needs a value`);
  }
  return parsed;
}

/** What a person can do about it, where the message does not say. */
const REMEDIES: Partial<Record<ErrorCode, string>> = {
  ERR_LOCKED: "stop that process, or ask it: wavekv status, get, export and others talk to one that runs",
  ERR_FORMAT_VERSION: "use the version of wavekv that wrote it, or a later one",
  ERR_FOREIGN_DIRECTORY: "files of two replicas are mixed here; move those that do not belong to another place",
};
const SYSTEM_REMEDIES: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "check the path"],
  ["ENOTDIR", "give the directory that openReplica gets"],
  ["EACCES", "run this as the user who owns it"],
  ["EPERM", "run this as the user who owns it"],
  ["EIO", "the disk fails; copy what can still be read"],
  ["EEXIST", "remove it, or choose another name"],
  ["ENOSPC", "free space on that disk"],
]);

function isForeseen(error: unknown): error is Error & { code: string } {
  if (error instanceof CommandError || isReplicaError(error)) return true;
  // Those of the system look like EACCES, those that Node.js raises for our mistakes like ERR_INVALID_ARG_TYPE.
  return error instanceof Error && "code" in error && /^E[A-Z0-9]+$/.test(String(error.code));
}

function explain(error: Error & { code: string }): { code: string; message: string } {
  const remedy = isReplicaError(error) ? REMEDIES[error.code] : SYSTEM_REMEDIES.get(error.code);
  return { code: error.code, message: remedy === undefined ? error.message : `${error.message}; ${remedy}` };
}
