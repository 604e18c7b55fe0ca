/** Whether folders hold the same, byte by byte: files and whether they can be run, links, directories. */
import { createHash } from "node:crypto";
import { closeSync, lstatSync, openSync, readSync } from "node:fs";
import { open, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { pause } from "./command-line.ts";
import { isAbsence } from "./file-errors.ts";
import { PRIVATE_DIRECTORY } from "./paths.ts";

export interface Comparison {
  /** One line per path that is not the same everywhere. */
  readonly differences: readonly string[];
  /** In the first folder. */
  readonly files: number;
  readonly bytes: number;
}

/** What is at a path; `text` is the same for the same kind, size, mode and target. */
interface Item {
  readonly text: string;
  readonly bytes: number;
  readonly isFile: boolean;
}

const EQUAL_LOOKS = 3;
const LOOK_EVERY_MS = 250;
/** So many files are read without a break: synchronously, because of ten thousand small ones each trip to the thread pool counts. */
const FILES_AT_ONCE = 50;
const BUFFER_BYTES = 256 * 1024;

/**
 * Compares two or more folders.
 *
 * @param folders by the names that the differences use
 * @returns differences may also be due to changes while it reads
 */
export async function compareFolders(folders: ReadonlyMap<string, string>): Promise<Comparison> {
  const listings = new Map<string, Map<string, Item>>();
  const paths = new Set<string>();
  for (const [name, directory] of folders) {
    const listing = await listItems(directory);
    listings.set(name, listing);
    for (const path of listing.keys()) paths.add(path);
  }
  const differences: string[] = [];
  const buffers = Array.from(folders, () => Buffer.allocUnsafe(BUFFER_BYTES));
  for (const [count, path] of [...paths].sort().entries()) {
    if (count % FILES_AT_ONCE === 0) await turn();
    const missing = [...listings].filter(([, listing]) => !listing.has(path)).map(([name]) => name);
    const texts = Array.from(listings.values(), (listing) => listing.get(path)?.text ?? "nothing");
    const described = Array.from(folders.keys(), (name, index) => `${name} ${texts[index]}`).join(", ");
    if (missing.length > 0) differences.push(`${path}: missing in ${missing.join(", ")}`);
    else if (new Set(texts).size > 1) differences.push(`${path}: ${described}`);
    else if ([...listings.values()][0]?.get(path)?.isFile === true) {
      const files = Array.from(folders.values(), (directory) => join(directory, path));
      if (!areSame(files, buffers)) differences.push(`${path}: the contents differ (${described})`);
    }
  }
  const items = [...([...listings.values()][0]?.values() ?? [])].filter(({ isFile }) => isFile);
  return {
    differences,
    files: items.length,
    bytes: items.reduce((sum, { bytes }) => sum + bytes, 0),
  };
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

/** Equal for folders that hold the same, on whatever machines they are. */
export async function digestFolder(directory: string): Promise<{ digest: string; entries: number; bytes: number }> {
  const items = await listItems(directory);
  const digest = createHash("sha256");
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  let bytes = 0;
  for (const path of [...items.keys()].sort()) {
    const item = items.get(path);
    digest.update(`${JSON.stringify(path)} ${item?.text}\n`);
    if (item?.isFile !== true) continue;
    bytes += item.bytes;
    await using file = await open(join(directory, path));
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length);
      if (bytesRead === 0) break;
      digest.update(buffer.subarray(0, bytesRead));
    }
  }
  return { digest: digest.digest("hex"), entries: items.size, bytes };
}

/** Every regular file below a directory, relative, `/` between segments. As `listItems` otherwise. */
export async function listFiles(directory: string): Promise<string[]> {
  return (await walk(directory)).filter(({ kind }) => kind === "file").map(({ path }) => path);
}

async function listItems(directory: string): Promise<Map<string, Item>> {
  const items = new Map<string, Item>();
  for (const { path, kind } of await walk(directory)) {
    try {
      if (kind === "directory") items.set(path, { text: "directory", bytes: 0, isFile: false });
      else if (kind === "link")
        items.set(path, { text: `link to ${await readlink(join(directory, path))}`, bytes: 0, isFile: false });
      else {
        const { size, mode } = lstatSync(join(directory, path));
        const text = `${size} bytes${(mode & 0o100) === 0 ? "" : ", executable"}`;
        items.set(path, { text, bytes: size, isFile: true });
      }
    } catch (error) {
      if (!isAbsence(error)) throw error;
    }
  }
  return items;
}

/** Directories that go while we look hold nothing; the directory itself has to be there. */
async function walk(directory: string): Promise<{ path: string; kind: "file" | "link" | "directory" }[]> {
  const found: { path: string; kind: "file" | "link" | "directory" }[] = [];
  const pending = [""];
  for (let prefix = pending.pop(); prefix !== undefined; prefix = pending.pop()) {
    const at = prefix;
    const entries = await readdir(join(directory, prefix), { withFileTypes: true }).catch((error: unknown) => {
      if (at !== "" && isAbsence(error)) return [];
      throw error;
    });
    for (const entry of entries) {
      const path = `${prefix}${entry.name}`;
      if (path === PRIVATE_DIRECTORY) continue;
      if (entry.isFile()) found.push({ path, kind: "file" });
      else if (entry.isSymbolicLink()) found.push({ path, kind: "link" });
      else if (entry.isDirectory()) {
        found.push({ path, kind: "directory" });
        pending.push(`${path}/`);
      }
    }
  }
  return found;
}

/** @param buffers as many as files, all of one size */
function areSame(files: readonly string[], buffers: readonly Buffer[]): boolean {
  const handles: number[] = [];
  try {
    for (const file of files) handles.push(openSync(file, "r"));
    for (;;) {
      const parts = buffers.map((buffer, index) => buffer.subarray(0, readSync(handles[index] ?? -1, buffer)));
      const [first = Buffer.alloc(0)] = parts;
      if (parts.some((part) => !part.equals(first))) return false;
      if (first.length === 0) return true;
    }
  } catch (error) {
    if (isAbsence(error)) return false;
    throw error;
  } finally {
    for (const handle of handles) closeSync(handle);
  }
}
