/** A place for a run: given by the user and kept, or temporary and removed afterwards. */
import { mkdir, mkdtemp, readdir, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CommandError, describeError } from "./command-line.ts";

/**
 * Calls `use` with a directory, and removes it afterwards, whatever happened, unless it was given.
 *
 * @param keep made if absent, must be empty, stays
 */
export async function withDirectory<T>(keep: string | undefined, use: (directory: string) => Promise<T>): Promise<T> {
  if (keep !== undefined) {
    await mkdir(keep, { recursive: true }).catch((error: unknown) => {
      throw new CommandError(`${keep} cannot be made (${describeError(error)}); choose another directory`);
    });
    if ((await readdir(keep)).length > 0) throw new CommandError(`${keep} is not empty; choose another directory`);
    return await use(await realpath(keep));
  }
  const directory = await realpath(await mkdtemp(join(tmpdir(), "filesync-")));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
