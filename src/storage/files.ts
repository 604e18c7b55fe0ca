/** Names of the files in a data directory, and the few ways in which they are handled as a whole. */
import { ReplicaError } from "../errors.ts";
import type { Disk, DiskFile } from "./disk.ts";

const NUMBER_DIGITS = 10;
export const IDENTITY_FILE = "identity";
/** Not yet complete: removed by the next recovery. */
export const TEMPORARY_SUFFIX = ".tmp";
/** Set aside because of damage: never read nor removed by us. */
export const DAMAGED_SUFFIX = ".damaged";
const COPY_BYTES = 256 * 1024;

export function segmentName(number: number): string {
  return `${String(number).padStart(NUMBER_DIGITS, "0")}.log`;
}

export function snapshotName(number: number): string {
  return `${String(number).padStart(NUMBER_DIGITS, "0")}.snapshot`;
}

export interface Listing {
  /** Ascending. */
  readonly segments: readonly number[];
  /** Ascending. */
  readonly snapshots: readonly number[];
  readonly temporaries: readonly string[];
  readonly hasIdentity: boolean;
}

/** Files that are not ours are left alone. */
export async function listDirectory(disk: Disk, directory: string): Promise<Listing> {
  const names = await disk.list(directory);
  const numbers = (pattern: RegExp): number[] =>
    names
      .map((name) => Number(pattern.exec(name)?.[1] ?? 0))
      .filter((number) => number > 0)
      .sort((a, b) => a - b);
  return {
    segments: numbers(/^(\d{10})\.log$/),
    snapshots: numbers(/^(\d{10})\.snapshot$/),
    temporaries: names.filter((name) =>
      /^(identity|lock\.[0-9a-f-]{36}|\d{10}\.(log|snapshot)(\.damaged)?)\.tmp$/.test(name),
    ),
    hasIdentity: names.includes(IDENTITY_FILE),
  };
}

/** Runs `use` on an open file and closes it whatever happens. */
export async function withFile<T>(opening: Promise<DiskFile>, use: (file: DiskFile) => Promise<T>): Promise<T> {
  const file = await opening;
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** Writes a file so that it is there whole or not at all, durable when the promise resolves. `write` may read it back. */
export async function replaceFile(
  disk: Disk,
  directory: string,
  name: string,
  write: (file: DiskFile, path: string) => Promise<void>,
): Promise<void> {
  const temporary = `${directory}/${name}${TEMPORARY_SUFFIX}`;
  await removeIfThere(disk, temporary);
  try {
    await withFile(disk.create(temporary), async (file) => {
      await write(file, temporary);
      await file.sync();
    });
    await disk.rename(temporary, `${directory}/${name}`);
  } catch (error) {
    // A full disk needs the space at once, not at the next recovery, which would remove the file as well.
    await disk.remove(temporary).catch(() => undefined);
    throw error;
  }
  await disk.syncDirectory(directory);
}

/** Copies the first `size` bytes of `source` into an empty file. */
export async function copyBytes(source: DiskFile, target: DiskFile, size: number): Promise<void> {
  const buffer = Buffer.alloc(Math.min(COPY_BYTES, size));
  for (let position = 0; position < size; ) {
    const filled = await source.read(buffer.subarray(0, Math.min(buffer.length, size - position)), position);
    if (filled === 0) return;
    await target.write([buffer.subarray(0, filled)], position);
    position += filled;
  }
}

export async function removeIfThere(disk: Disk, path: string): Promise<void> {
  try {
    await disk.remove(path);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
}

export function codeOf(error: unknown): unknown {
  return typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
}

const FULL_CODES: ReadonlySet<unknown> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

/** What the embedder gets for an error of the disk; our own errors pass. */
export function storageError(what: string, cause: unknown): ReplicaError {
  if (cause instanceof ReplicaError) return cause;
  return FULL_CODES.has(codeOf(cause))
    ? new ReplicaError("ERR_STORAGE_FULL", `${what}: the disk is full; free space, then open again`, { cause })
    : new ReplicaError("ERR_STORAGE_FAILED", `${what}; close the replica and open it again`, { cause });
}

const OPEN_REMEDIES: Readonly<Record<string, string>> = {
  EACCES: "this user may not use it: change its permissions, or choose another directory",
  EPERM: "this user may not use it: change its permissions, or choose another directory",
  EROFS: "the file system is read-only: choose another directory, or open with readOnly",
  EEXIST: "a file is in its place: choose another directory",
  ENOTDIR: "a file is in its place: choose another directory",
};

/** As `storageError`, for a directory that could not be opened: says why, and what to do. */
export function openError(directory: string, cause: unknown): ReplicaError {
  if (cause instanceof ReplicaError || FULL_CODES.has(codeOf(cause)))
    return storageError(`cannot open ${directory}`, cause);
  const why = OPEN_REMEDIES[String(codeOf(cause))] ?? (cause instanceof Error ? cause.message : String(cause));
  return new ReplicaError("ERR_STORAGE_FAILED", `cannot open ${directory}: ${why}`, { cause });
}
