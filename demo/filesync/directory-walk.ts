/**
 * A way into a directory below the folder that no link can bend, not even one that is swapped in while we are on it.
 *
 * Node has no openat. Linux has the same by another name: an open directory is reachable as `/proc/self/fd/N`, whatever has happened
 * to its path meanwhile. So every step opens one segment of what the step before has opened, and refuses links. Elsewhere each
 * segment is looked at before use, which leaves a moment in which somebody who can write to the folder could swap one.
 */
import { closeSync, constants, existsSync, openSync } from "node:fs";
import { lstat, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "./file-errors.ts";

const HAS_PROC = process.platform === "linux" && existsSync("/proc/self/fd");

/** What is in the way: `at` is the path of it, relative. */
export interface Obstacle {
  readonly at: string;
  readonly code: string;
}

/**
 * Calls `use` with a name by which the directory can be reached for as long as the call takes.
 *
 * @param segments below `root`, checked by `pathProblem`
 * @param create   make what is missing of them
 * @returns what `use` returns, or what is in the way: a file or a link (ENOTDIR), nothing at all (ENOENT)
 */
export async function inDirectory<T>(
  root: string,
  segments: readonly string[],
  create: boolean,
  use: (directory: string) => Promise<T>,
): Promise<T | Obstacle> {
  return HAS_PROC ? await byHandle(root, segments, create, use) : await byName(root, segments, create, use);
}

export function isObstacle(result: unknown): result is Obstacle {
  return typeof result === "object" && result !== null && "at" in result && "code" in result;
}

/** The walk itself is synchronous: what it looks at was looked at just before, and a trip to the thread pool costs far more. */
async function byHandle<T>(
  root: string,
  segments: readonly string[],
  create: boolean,
  use: (directory: string) => Promise<T>,
): Promise<T | Obstacle> {
  let handle = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for (const [index, segment] of segments.entries()) {
      const next = await step(`/proc/self/fd/${handle}/${segment}`, create);
      if (typeof next === "string") return { at: segments.slice(0, index + 1).join("/"), code: next };
      closeSync(handle);
      handle = next;
    }
    return await use(`/proc/self/fd/${handle}`);
  } finally {
    closeSync(handle);
  }
}

async function step(path: string, create: boolean): Promise<number | string> {
  for (let isMade = !create; ; isMade = true) {
    try {
      return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    } catch (error) {
      const code = codeOf(error);
      if (code === "ELOOP") return "ENOTDIR";
      if (code === "ENOTDIR") return code;
      if (code !== "ENOENT") throw error;
      if (isMade) return code;
      await makeDirectory(path);
    }
  }
}

async function byName<T>(
  root: string,
  segments: readonly string[],
  create: boolean,
  use: (directory: string) => Promise<T>,
): Promise<T | Obstacle> {
  for (let count = 1; count <= segments.length; count++) {
    const at = segments.slice(0, count).join("/");
    const path = join(root, at);
    for (let isMade = !create; ; isMade = true) {
      try {
        if (!(await lstat(path)).isDirectory()) return { at, code: "ENOTDIR" };
        break;
      } catch (error) {
        if (codeOf(error) !== "ENOENT") throw error;
        if (isMade) return { at, code: "ENOENT" };
        await makeDirectory(path);
      }
    }
  }
  return await use(join(root, ...segments));
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o755 });
  } catch (error) {
    // Somebody else made it, or has removed its parent: the next look tells.
    if (!["EEXIST", "ENOENT"].includes(codeOf(error))) throw error;
  }
}
