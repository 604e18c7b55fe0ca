/** The status of a running node as a file beside its data, so that `filesync status` needs no connection to it. */
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "./file-errors.ts";
import type { NodeStatus } from "./status.ts";

const NAME = "status.json";

/** Writes it, whole or not at all. Not made durable: it speaks of a process. */
export async function writeStatus(data: string, status: NodeStatus): Promise<void> {
  const temporary = join(data, `${NAME}.new`);
  await writeFile(temporary, JSON.stringify(status), { mode: 0o600 });
  await rename(temporary, join(data, NAME));
}

export async function removeStatus(data: string): Promise<void> {
  await rm(join(data, NAME), { force: true });
}

/** @returns undefined when no node runs on this data */
export async function readStatus(data: string): Promise<NodeStatus | undefined> {
  try {
    // Written by ourselves, whole or not at all.
    const status = JSON.parse(await readFile(join(data, NAME), "utf8")) as NodeStatus;
    process.kill(status.pid, 0);
    return status;
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(codeOf(error)) || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
