/** What the tests of the replica share: opening that is undone, and waiting for an event with a deadline. */
import { afterEach, expect } from "vitest";
import { type Logger, openReplica, type Replica } from "../../../src/index.ts";
import type { ReplicaOptions } from "../../../src/options.ts";

const opened: Replica[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((replica) => replica.close({ timeoutMs: 5000 }).catch(() => undefined)));
});

export const silent: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Opens a replica that is closed when the test is over. */
export async function open(options: ReplicaOptions = {}): Promise<Replica> {
  const replica = await openReplica({ logger: silent, ...options });
  opened.push(replica);
  return replica;
}

/** A logger that keeps its lines, "level: message". */
export function recordingLogger(): Logger & { lines: string[] } {
  const lines: string[] = [];
  const add = (level: string) => (message: string) => void lines.push(`${level}: ${message}`);
  return { lines, debug: add("debug"), info: add("info"), warn: add("warn"), error: add("error") };
}

/** Resolves once `condition` holds, looked at in every turn of the event loop; fails after ten seconds. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ten seconds: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** All promise reactions have run, and everything that a memory disk does. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The code of the error and its message, of a rejection or a throw. */
export async function failureOf(call: () => unknown): Promise<{ code: unknown; message: string }> {
  try {
    await call();
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
    const { code, message } = error as Error & { code?: unknown };
    return { code, message };
  }
  throw new Error("it did not fail");
}
