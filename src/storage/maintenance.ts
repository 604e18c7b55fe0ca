/** What is done to the files of a store as a whole: removing what is superfluous, checking, copying. */

import { DecodeError } from "../codec/bytes.ts";
import { FILE_HEADER_BYTES } from "../codec/file-header.ts";
import { decodeOps } from "../codec/ops.ts";
import type { CoreState } from "../core/core-state.ts";
import { ReplicaError } from "../errors.ts";
import type { Disk } from "./disk.ts";
import {
  codeOf,
  copyBytes,
  IDENTITY_FILE,
  listDirectory,
  replaceFile,
  segmentName,
  snapshotName,
  withFile,
} from "./files.ts";
import { readIdentity } from "./identity.ts";
import { readHeader } from "./recovery.ts";
import { scanSegment } from "./scan.ts";
import { checkSnapshot } from "./snapshot-reader.ts";

/** Two, and the log since the older one: damage to the newest costs nothing. */
const SNAPSHOTS_KEPT = 2;

export interface VerifyReport {
  readonly ok: boolean;
  /** One sentence for each thing that is wrong. */
  readonly problems: readonly string[];
  /** With a value, not counting the store's own. */
  readonly entries: number;
  /** That were read. */
  readonly bytes: number;
}

/** The segment that is written to, and how much of it is whole records. */
export interface LogLimit {
  readonly number: number;
  readonly bytes: number;
}

/** Removes the snapshots and segments that recovery would not need even if the newest snapshot were damaged. */
export async function pruneStore(disk: Disk, directory: string): Promise<void> {
  const { segments, snapshots } = await listDirectory(disk, directory);
  const oldestKept = snapshots.at(-SNAPSHOTS_KEPT);
  if (oldestKept === undefined) return;
  const names = [
    ...snapshots.filter((number) => number < oldestKept).map(snapshotName),
    ...segments.filter((number) => number < oldestKept).map(segmentName),
  ];
  for (const name of names) await disk.remove(`${directory}/${name}`);
  if (names.length > 0) await disk.syncDirectory(directory);
}

/** Reads every file of the store. @param limit  absent: the log has no writer */
export async function verifyStore(
  disk: Disk,
  directory: string,
  state: CoreState,
  limit: LogLimit | undefined,
): Promise<VerifyReport> {
  const problems: string[] = [];
  let bytes = 0;
  const check = async (name: string, problem: () => Promise<string | undefined>): Promise<void> => {
    try {
      const found = await problem();
      if (found !== undefined) problems.push(`${name}: ${found}`);
    } catch (error) {
      problems.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  await check(IDENTITY_FILE, async () => {
    const read = await readIdentity(disk, directory);
    if (read.type !== "identity") return `is ${read.type}`;
    // A copy that was never opened, such as a backup, is as it should be; its next opener takes a new epoch.
    return read.isCopy && limit !== undefined ? "is that of another copy" : undefined;
  });
  const { segments, snapshots } = await listDirectory(disk, directory);
  for (const number of snapshots) {
    await check(snapshotName(number), () =>
      withFile(disk.open(`${directory}/${snapshotName(number)}`, "read"), async (file) => {
        bytes += await file.size();
        return (await checkSnapshot(file)) ? undefined : "is damaged";
      }),
    );
  }
  // Removing the segments below is not atomic: a crash in the midst of it leaves any of them, with gaps in between.
  const oldestNeeded = snapshots.at(-SNAPSHOTS_KEPT) ?? 0;
  let before: { number: number; records: number; chain: number } | undefined;
  for (const number of segments) {
    if (limit !== undefined && number > limit.number) break;
    const path = `${directory}/${segmentName(number)}`;
    await check(segmentName(number), async () => {
      const previous = before;
      before = undefined;
      const read = await readHeader(disk, path, "log");
      if (read.type === "bad") return "has no intact header";
      const { records, chain } = read.header;
      const size = limit?.number === number ? limit.bytes : read.fileBytes;
      const scan = await withFile(disk.open(path, "read"), (file) =>
        scanSegment(file, size, read.crc, { offset: FILE_HEADER_BYTES, records, chain }, isDecodable),
      );
      bytes += size;
      // A torn seal shows nowhere but here: what follows continues the last good record.
      const isLast = number === (limit?.number ?? segments.at(-1));
      before = { number: number + 1, records: scan.end.records, chain: scan.end.chain };
      if (read.header.number !== number) return `says that it is segment ${read.header.number}`;
      if (
        previous !== undefined &&
        number > oldestNeeded &&
        (previous.number !== number || previous.records !== records || previous.chain !== chain)
      ) {
        return "does not continue the segment before it";
      }
      if (scan.tail === "damaged" || (scan.tail === "torn" && isLast)) {
        return `has no good record from byte ${scan.end.offset} on`;
      }
      return undefined;
    });
  }
  return { ok: problems.length === 0, problems, entries: state.table.live, bytes };
}

function isDecodable(payload: Uint8Array): boolean {
  try {
    decodeOps(payload);
    return true;
  } catch (error) {
    if (error instanceof DecodeError) return false;
    throw error;
  }
}

/** Copies a store into an empty directory, which is made if it is not there. @throws ReplicaError ERR_OPTION */
export async function copyStore(
  disk: Disk,
  directory: string,
  target: string,
  limit: LogLimit | undefined,
): Promise<void> {
  if ((await namesIn(disk, target)).length > 0) throw new ReplicaError("ERR_OPTION", `${target} is not empty`);
  await disk.makeDirectory(target);
  const { segments, snapshots } = await listDirectory(disk, directory);
  const names = [
    ...snapshots.map(snapshotName),
    ...segments.filter((number) => limit === undefined || number <= limit.number).map(segmentName),
    // The last one: a copy that was cut short is told by its absence.
    IDENTITY_FILE,
  ];
  for (const name of names) {
    const isLast = limit !== undefined && name === segmentName(limit.number);
    await withFile(disk.open(`${directory}/${name}`, "read"), async (source) => {
      const size = isLast ? limit.bytes : await source.size();
      await replaceFile(disk, target, name, (file) => copyBytes(source, file, size));
    });
  }
}

async function namesIn(disk: Disk, directory: string): Promise<string[]> {
  try {
    return await disk.list(directory);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
}
