/** Whether folders hold the same files, byte by byte. Looks at regular files only, as the synchronisation does. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { pause } from "./command-line.ts";
import { PRIVATE_DIRECTORY } from "./paths.ts";

export interface Comparison {
  /** One line per file that is not the same everywhere. */
  readonly differences: readonly string[];
  /** In the first folder. */
  readonly files: number;
  readonly bytes: number;
}

const EQUAL_LOOKS = 3;
const LOOK_EVERY_MS = 250;

/**
 * Compares two or more folders.
 *
 * @param folders by the names that the differences use
 * @returns differences may also be due to changes while it reads
 */
export async function compareFolders(folders: ReadonlyMap<string, string>): Promise<Comparison> {
  const listings = new Map<string, Set<string>>();
  const paths = new Set<string>();
  for (const [name, directory] of folders) {
    const listing = new Set(await listFiles(directory));
    listings.set(name, listing);
    for (const path of listing) paths.add(path);
  }
  const differences: string[] = [];
  let bytes = 0;
  for (const path of [...paths].sort()) {
    const missing = [...listings].filter(([, listing]) => !listing.has(path)).map(([name]) => name);
    const contents = new Map<string, Buffer | undefined>();
    for (const [name, directory] of folders)
      if (!missing.includes(name)) contents.set(name, await readOrUndefined(join(directory, path)));
    const [first] = contents.values();
    bytes += first?.length ?? 0;
    if (missing.length > 0) differences.push(`${path}: missing in ${missing.join(", ")}`);
    else if ([...contents.values()].some((content) => content === undefined || first?.equals(content) !== true))
      differences.push(
        `${path}: ${[...contents].map(([name, content]) => `${name} ${content?.length ?? "no"} B`).join(", ")}`,
      );
  }
  const [firstListing] = listings.values();
  return { differences, files: firstListing?.size ?? 0, bytes };
}

/** Compares until the folders are equal several times in a row, so that a moment of calm does not count, or time is up. */
export async function waitForEquality(
  folders: ReadonlyMap<string, string>,
  deadlineMs: number,
  signal: AbortSignal,
): Promise<Comparison> {
  const endMs = performance.now() + deadlineMs;
  for (let equalLooks = 0; ; ) {
    const result = await compareFolders(folders);
    equalLooks = result.differences.length === 0 ? equalLooks + 1 : 0;
    if (equalLooks === EQUAL_LOOKS || performance.now() > endMs) return result;
    await pause(LOOK_EVERY_MS, signal);
  }
}

/**
 * Every regular file below a directory, relative, `/` between segments. Directories that go while we look
 * hold nothing; the directory itself has to be there.
 */
export async function listFiles(directory: string): Promise<string[]> {
  const files: string[] = [];
  const pending = [""];
  for (let prefix = pending.pop(); prefix !== undefined; prefix = pending.pop()) {
    const entries = await readdir(join(directory, prefix), { withFileTypes: true }).catch((error: unknown) => {
      if (prefix !== "" && isAbsence(error)) return [];
      throw error;
    });
    for (const entry of entries) {
      const path = `${prefix}${entry.name}`;
      if (entry.isFile()) files.push(path);
      else if (entry.isDirectory() && path !== PRIVATE_DIRECTORY) pending.push(`${path}/`);
    }
  }
  return files;
}

/** Whether an error says that a file, or a directory on the way to it, is not there (any more). */
export function isAbsence(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

async function readOrUndefined(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}
