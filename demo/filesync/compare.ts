/** Whether folders hold the same files, byte by byte. Looks at regular files only, as the synchronisation does. */
import { readdir, readFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
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

/** Every regular file below a directory, relative, `/` between segments. */
export async function listFiles(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .filter((path) => !path.startsWith(`${PRIVATE_DIRECTORY}/`));
}

async function readOrUndefined(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
