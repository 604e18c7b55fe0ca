/** The files of a directory: how large they are, which part of the log they hold, and whether recovery needs them. */

import { segmentName, snapshotName } from "../storage/files.ts";
import type { Found } from "../storage/recovery.ts";
import { truncatedBytesOf } from "../storage/repair.ts";
import type { Lsn } from "../types.ts";
import { grouped, table } from "./output.ts";
import type { Survey } from "./survey.ts";

export interface FileReport {
  readonly name: string;
  readonly bytes: number;
  /** The part of the change log that it holds, both ends included; null if it holds none, or that is not known. */
  readonly firstLsn: Lsn | null;
  readonly lastLsn: Lsn | null;
  readonly condition: FileCondition;
}

export type FileCondition =
  /** Recovery reads it. */
  | "in use"
  /** Recovery does not need it as long as the newest snapshot is whole. Not read, but for its header. */
  | "spare"
  /** Recovery reads it up to a torn write, which it cuts off. */
  | "torn"
  /** Damaged; what is good of it is used. Of a snapshot: not used. */
  | "damaged"
  /** Good or not: it lies behind damage. */
  | "cut off"
  /** Was never finished, and holds nothing. */
  | "unfinished"
  /** An earlier recovery has put it aside; for people. */
  | "set aside";

/** In the order of their names. */
export function filesOf({ bytesByName, headers, listing, found }: Survey): FileReport[] {
  const reports = new Map<string, Omit<FileReport, "name" | "bytes">>();
  for (const number of listing.segments) {
    const header = headers.get(segmentName(number));
    const first = header === undefined ? null : header.lsn + 1;
    const last = headers.get(segmentName(number + 1))?.lsn ?? endOf(number, found);
    reports.set(segmentName(number), { ...lsns(first, last), condition: segmentCondition(number, found) });
  }
  for (const number of listing.snapshots) {
    const header = headers.get(snapshotName(number));
    const range = header === undefined ? lsns(null, null) : lsns(1, header.lsn);
    reports.set(snapshotName(number), { ...range, condition: snapshotCondition(number, found) });
  }
  return [...bytesByName].map(([name, bytes]) => ({
    name,
    bytes,
    ...(reports.get(name) ?? { ...lsns(null, null), condition: otherCondition(name) }),
  }));
}

function lsns(first: Lsn | null, last: Lsn | null): Pick<FileReport, "firstLsn" | "lastLsn"> {
  return first === null || last === null || last < first
    ? { firstLsn: null, lastLsn: null }
    : { firstLsn: first, lastLsn: last };
}

/** The last lsn of the segment in which the log goes on. */
function endOf(number: number, found: Found | undefined): Lsn | null {
  return found !== undefined && found.end.cut.number === number ? found.state.lsn : null;
}

function segmentCondition(number: number, found: Found | undefined): FileCondition {
  if (found === undefined) return "cut off";
  const { end, base = 1 } = found;
  if (number < base) return "spare";
  if (number === end.leftover) return "unfinished";
  if (number === end.cut.number && end.tail === "damaged") return "damaged";
  if (end.unusable.includes(number)) return "cut off";
  return number === end.cut.number && truncatedBytesOf(end) > 0 ? "torn" : "in use";
}

function snapshotCondition(number: number, found: Found | undefined): FileCondition {
  if (found === undefined || found.badSnapshots.includes(number)) return "damaged";
  return number === found.base ? "in use" : "spare";
}

function otherCondition(name: string): FileCondition {
  if (name.endsWith(".tmp")) return "unfinished";
  return name.endsWith(".damaged") ? "set aside" : "in use";
}

export function filesText(files: readonly FileReport[]): string[] {
  const rows = files.map(({ name, bytes, firstLsn, lastLsn, condition }) => {
    const range = firstLsn === null || lastLsn === null ? "" : `lsn ${grouped(firstLsn)} to ${grouped(lastLsn)}`;
    return [name, bytes, condition, range];
  });
  return table(rows, ["name", "bytes", "", ""]);
}
