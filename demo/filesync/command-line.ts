/** What every command here does alike: flags, one-line errors with a remedy, exit codes, a clean stop on a signal. */
import { type ParseArgsConfig, parseArgs } from "node:util";

/** Wrong use of a command: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Something in the world stands in the way; the message says what to do: exit code 1. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/**
 * Runs a command and sets the exit code: what `main` returns, 1 when it fails, 2 for wrong use. The signal is aborted by
 * SIGINT and SIGTERM; a second one ends the process at once.
 */
export async function runCommand(help: string, main: (signal: AbortSignal) => Promise<number>): Promise<void> {
  if (process.argv.slice(2).some((argument) => argument === "--help" || argument === "-h")) {
    process.stdout.write(`${help.trim()}\n`);
    return;
  }
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (stop.signal.aborted) process.exit(130);
      stop.abort(new CommandError(`stopped by ${name}`));
    });
  }
  // Whoever read our output has gone: stop, but do not die of it half way.
  process.stdout.on("error", () => stop.abort(new CommandError("the output was closed")));
  try {
    process.exitCode = await main(stop.signal);
  } catch (error) {
    if (error === stop.signal.reason) {
      process.exitCode = 130;
      return;
    }
    // What has a code was foreseen by whoever raised it; anything else is a bug, and its stack says where.
    const isForeseen = error instanceof UsageError || error instanceof CommandError || hasCode(error);
    process.stderr.write(`${isForeseen ? describeError(error) : String((error as Error).stack ?? error)}\n`);
    if (error instanceof UsageError) process.stderr.write("--help shows how it is used\n");
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}

type Flags<T extends NonNullable<ParseArgsConfig["options"]>> = ReturnType<
  typeof parseArgs<{ options: T; allowPositionals: true; strict: true }>
>;

/** As `parseArgs` of `node:util`, strict. @throws UsageError */
export function parseFlags<T extends NonNullable<ParseArgsConfig["options"]>>(
  options: T,
  args: readonly string[] = process.argv.slice(2),
): Flags<T> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    // The first sentence says what is wrong; the rest is advice for another program.
    throw new UsageError(describeError(error).split(". ")[0]);
  }
}

/** A whole number. @throws UsageError */
export function parseNumber(flag: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new UsageError(`--${flag} takes a whole number from ${least} to ${most}, not "${text}"`);
}

/** Resolves after a while. Rejects with the signal's reason. */
export async function pause(delayMs: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, delayMs);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

function hasCode(error: unknown): boolean {
  return error instanceof Error && "code" in error;
}

export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** One line to standard output. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
