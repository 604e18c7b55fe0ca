/**
 * Brings a data directory into the form that its log can go on in. Every step may be cut short by a
 * crash: the next recovery finds the same state and takes the same steps. What damage made unusable is
 * set aside, never removed.
 */
import type { Random } from "../random.ts";
import type { Epoch } from "../types.ts";
import type { Disk } from "./disk.ts";
import { copyBytes, DAMAGED_SUFFIX, removeIfThere, replaceFile, segmentName, snapshotName, withFile } from "./files.ts";
import type { Identity } from "./identity.ts";
import type { Found, LogEnd } from "./recovery.ts";
import { createSegment, type OpenSegment } from "./wal.ts";

export interface Repaired {
  /** Durable up to its end; the log goes on there. */
  readonly segment: OpenSegment;
  /** Names of the files that now end in ".damaged". */
  readonly setAside: readonly string[];
}

/** @param epoch  for the header of a segment that has to be made */
export async function repair(
  disk: Disk,
  directory: string,
  random: Random,
  { nodeId, clusterId }: Identity,
  { end, badSnapshots }: Found,
  epoch: Epoch,
): Promise<Repaired> {
  const setAside: string[] = [];
  for (const name of [...badSnapshots.map(snapshotName), ...end.unusable.map(segmentName).reverse()]) {
    await disk.rename(`${directory}/${name}`, `${directory}/${name}${DAMAGED_SUFFIX}`);
    setAside.push(name + DAMAGED_SUFFIX);
  }
  if (end.leftover !== undefined) await removeIfThere(disk, `${directory}/${segmentName(end.leftover)}`);
  // Also what was renamed before the crash becomes durable before anything is built on it.
  await disk.syncDirectory(directory);
  const { segment, position, cut } = end;
  if (segment === undefined) {
    const salt = random.hex64();
    return {
      segment: await createSegment(disk, directory, { ...cut, kind: "log", nodeId, clusterId, epoch, salt }),
      setAside,
    };
  }
  const name = segmentName(cut.number);
  if (end.tail === "damaged" && segment.fileBytes > position.offset) {
    await copyTo(disk, directory, name, name + DAMAGED_SUFFIX, segment.fileBytes);
    setAside.push(name + DAMAGED_SUFFIX);
  }
  // The page cache may hold what the disk does not: only a new file, synced, is known to be on it.
  if (!isTrusted(end)) await copyTo(disk, directory, name, name, position.offset);
  return { segment: { ...segment, ...position, file: await disk.open(`${directory}/${name}`) }, setAside };
}

/** Bytes behind the last good record that are cut off. */
export function truncatedBytesOf({ segment, position }: LogEnd): number {
  return segment === undefined ? 0 : segment.fileBytes - position.offset;
}

function isTrusted(end: LogEnd): boolean {
  return end.closed && end.tail === "none";
}

async function copyTo(disk: Disk, directory: string, from: string, to: string, size: number): Promise<void> {
  await withFile(disk.open(`${directory}/${from}`, "read"), (source) =>
    replaceFile(disk, directory, to, (target) => copyBytes(source, target, size)),
  );
}
