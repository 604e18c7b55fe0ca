/**
 * Finds out what a data directory holds: the newest state that snapshots and log give together. Changes
 * nothing in the directory; repair.ts does, once it is clear what is to be done.
 */
import { DecodeError } from "../codec/bytes.ts";
import { FILE_HEADER_BYTES, FILE_HEADER_BYTES_MAX, type FileHeader, parseFileHeader } from "../codec/file-header.ts";
import { decodeOps } from "../codec/ops.ts";
import { CoreState } from "../core/core-state.ts";
import { ReplicaError } from "../errors.ts";
import { type Epoch, type Lsn, makeOrigin } from "../types.ts";
import type { Disk } from "./disk.ts";
import { type Listing, segmentName, snapshotName, withFile } from "./files.ts";
import type { Identity } from "./identity.ts";
import { type LogPosition, scanSegment } from "./scan.ts";
import { loadSnapshot } from "./snapshot-reader.ts";
import type { Cut } from "./wal.ts";

export interface RecoveryProgress {
  readonly phase: "snapshot" | "log";
  /** Read so far, and what there is to read. */
  readonly bytes: number;
  readonly bytesTotal: number;
  /** In the state so far. */
  readonly entries: number;
}

/** Where the log ends, and in what condition. */
export interface LogEnd {
  /** Begins the segment in which the log goes on. */
  readonly cut: Cut;
  /** The intact header of that segment and its checksum; absent if the file is missing or of no use. */
  readonly segment?: {
    readonly header: FileHeader;
    readonly version: number;
    readonly seed: number;
    readonly fileBytes: number;
  };
  /** Behind the last good record. */
  readonly position: LogPosition;
  /** Closed in good order: everything is known to be durable. */
  readonly closed: boolean;
  /** See SegmentScan; damaged also if a segment is missing, foreign to the chain or without a header. */
  readonly tail: "none" | "torn" | "damaged";
  /** Segments behind it which are of no use. */
  readonly unusable: readonly number[];
  /** What a crash left while a segment was created: without a record. */
  readonly leftover?: number;
}

export interface Found {
  readonly state: CoreState;
  readonly end: LogEnd;
  /** The snapshot that the state was built on, if any. */
  readonly base: number | undefined;
  /** Snapshots that are damaged, or incomplete because the log is. */
  readonly badSnapshots: readonly number[];
  /** Bytes of the log above the snapshot. */
  readonly logBytes: number;
}

/** Progress is reported this often, and at the end. */
const PROGRESS_BYTES = 1024 * 1024;
/** Under which a state has no origin yet. */
const NO_EPOCH = "0000000000000000" as Epoch;

/**
 * @throws ReplicaError ERR_FORMAT_VERSION, ERR_FOREIGN_DIRECTORY; ERR_CORRUPT if nothing can be used
 * @throws what the disk throws: an unreadable file is not an absent one
 */
export async function findState(
  disk: Disk,
  directory: string,
  listing: Listing,
  identity: Identity,
  onProgress: (progress: RecoveryProgress) => void,
): Promise<Found> {
  const files = await readHeaders(disk, directory, listing, identity);
  const badSnapshots: number[] = [];
  let isLogShort = false;
  const isLogWhole = files.segments.has(1) || (files.segments.size === 0 && files.snapshots.size === 0);
  const bases = [...files.snapshots.keys()].sort((a, b) => b - a);
  for (const base of isLogWhole ? [...bases, undefined] : bases) {
    const found = await build(disk, directory, files, identity, base, onProgress);
    if (found === "bad snapshot" || found === "short log") {
      if (base !== undefined) badSnapshots.push(base);
      isLogShort ||= found === "short log";
      continue;
    }
    // What a snapshot rests on had been synced, however its absence may look.
    const end: LogEnd = isLogShort ? { ...found.end, tail: "damaged" } : found.end;
    return { ...found, end, badSnapshots };
  }
  throw new ReplicaError(
    "ERR_CORRUPT",
    `no snapshot in ${directory} can be used, and the log does not go back to its beginning`,
  );
}

interface HeadedFile {
  readonly fileBytes: number;
  /** Absent: damaged. */
  readonly header?: FileHeader;
  /** Of the format. */
  readonly version: number;
  readonly seed: number;
}

interface Files {
  readonly snapshots: ReadonlyMap<number, HeadedFile>;
  readonly segments: ReadonlyMap<number, HeadedFile>;
}

async function readHeaders(disk: Disk, directory: string, listing: Listing, identity: Identity): Promise<Files> {
  const read = async (name: string, kind: FileHeader["kind"]): Promise<HeadedFile> => {
    const parsed = await readHeader(disk, `${directory}/${name}`, kind);
    const { fileBytes } = parsed;
    if (parsed.type === "bad") return { fileBytes, version: 0, seed: 0 };
    const { header, version, crc: seed } = parsed;
    if (header.nodeId !== identity.nodeId || header.clusterId !== identity.clusterId) {
      throw new ReplicaError(
        "ERR_FOREIGN_DIRECTORY",
        `${name} in ${directory} belongs to replica "${header.nodeId}" of cluster "${header.clusterId}"`,
      );
    }
    return { fileBytes, header, version, seed };
  };
  const snapshots = new Map<number, HeadedFile>();
  const segments = new Map<number, HeadedFile>();
  for (const number of listing.snapshots) snapshots.set(number, await read(snapshotName(number), "snapshot"));
  for (const number of listing.segments) segments.set(number, await read(segmentName(number), "log"));
  return { snapshots, segments };
}

/** @throws ReplicaError ERR_FORMAT_VERSION */
export async function readHeader(
  disk: Disk,
  path: string,
  kind: FileHeader["kind"],
): Promise<
  | { type: "bad"; fileBytes: number }
  | { type: "header"; version: number; header: FileHeader; crc: number; fileBytes: number }
> {
  return withFile(disk.open(path, "read"), async (file) => {
    const fileBytes = await file.size();
    const buffer = Buffer.alloc(FILE_HEADER_BYTES_MAX);
    const parsed = parseFileHeader(buffer.subarray(0, await file.read(buffer, 0)), kind);
    if (parsed.type === "newer") {
      throw new ReplicaError(
        "ERR_FORMAT_VERSION",
        `${path} has format ${parsed.version}, which this version does not read`,
      );
    }
    return { ...parsed, fileBytes };
  });
}

/** Builds the state on one snapshot, or on none. "short log": the snapshot is whole, but rests on records that are not there. */
async function build(
  disk: Disk,
  directory: string,
  files: Files,
  identity: Identity,
  base: number | undefined,
  onProgress: (progress: RecoveryProgress) => void,
): Promise<Omit<Found, "badSnapshots"> | "bad snapshot" | "short log"> {
  const state = new CoreState(makeOrigin(identity.nodeId, NO_EPOCH));
  let start: Cut = { number: 1, records: 0, lsn: 0, chain: 0 };
  let requiredRecords = 0;
  let snapshotBytes = 0;
  const logBytes = [...files.segments].reduce(
    (sum, [number, { fileBytes }]) => (number < (base ?? 1) ? sum : sum + fileBytes),
    0,
  );
  let reported = 0;
  const report = (phase: RecoveryProgress["phase"], bytes: number): void => {
    if (bytes - reported < PROGRESS_BYTES && bytes < snapshotBytes + logBytes) return;
    reported = bytes;
    const bytesTotal = snapshotBytes + logBytes;
    // What comes will be as what has come: overwrites lower the guess.
    state.table.expect(Math.ceil((state.table.size * bytesTotal) / bytes));
    onProgress({ phase, bytes, bytesTotal, entries: state.table.size });
  };
  if (base !== undefined) {
    const { header, seed, fileBytes } = files.snapshots.get(base) ?? { seed: 0, fileBytes: 0 };
    if (header === undefined || header.number !== base) return "bad snapshot";
    snapshotBytes = fileBytes;
    const footer = await withFile(disk.open(`${directory}/${snapshotName(base)}`, "read"), (file) =>
      loadSnapshot(file, header, seed, state, (bytes) => report("snapshot", bytes)),
    );
    if (footer === undefined) return "bad snapshot";
    start = cutOf(header);
    requiredRecords = footer.requiredRecords;
  }
  // All in no order, from the log alone: found at once in the end, it takes a fraction of the time.
  else state.table.deferOrder();
  const end = await walkLog(disk, directory, files.segments, start, base !== undefined, state, (bytes) =>
    report("log", snapshotBytes + bytes),
  );
  if (base === undefined) for (const _ of state.table.sortKeys()) await turnOf(disk, directory);
  if (end.position.records < requiredRecords) return "short log";
  return { state, end, base, logBytes };
}

/** Lets others have a turn of the event loop: as reading does, by asking the disk for something. */
async function turnOf(disk: Disk, directory: string): Promise<void> {
  await disk.list(directory);
}

/** Replays the segments from `start` on, up to the end of the log or to damage. */
async function walkLog(
  disk: Disk,
  directory: string,
  segments: ReadonlyMap<number, HeadedFile>,
  start: Cut,
  isAfterSnapshot: boolean,
  state: CoreState,
  onProgress: (bytes: number) => void,
): Promise<LogEnd> {
  const last = Math.max(start.number - 1, ...segments.keys());
  const behind = (number: number): number[] => [...segments.keys()].filter((at) => at > number).sort((a, b) => a - b);
  let read = 0;
  let end: LogEnd | undefined;
  // Behind a snapshot, and behind a seal, there has been a durable segment: its absence is damage.
  let isNextCertain = isAfterSnapshot;
  let cut = start;
  while (cut.number <= last) {
    const { number } = cut;
    const { header, version = 0, seed = 0, fileBytes = 0 } = segments.get(number) ?? {};
    if (header === undefined || !isContinuation(header, cut)) {
      // The header is synced before anything else is written: without records, it is a creation that was cut short.
      const isCutShort = header === undefined && segments.has(number) && fileBytes <= FILE_HEADER_BYTES;
      if (isNextCertain || number < last || !isCutShort) return damagedAt(cut, behind(number - 1));
      return { ...(end ?? emptyLog(cut)), leftover: number };
    }
    const from = { offset: FILE_HEADER_BYTES, records: cut.records, chain: cut.chain };
    const scan = await withFile(disk.open(`${directory}/${segmentName(number)}`, "read"), (file) =>
      scanSegment(file, fileBytes, seed, from, (payload, lsn) => {
        onProgress(read + payload.length);
        return replay(state, payload, lsn);
      }),
    );
    read += fileBytes;
    onProgress(read);
    cut = { number: number + 1, records: scan.end.records, lsn: state.lsn, chain: scan.end.chain };
    // What is followed by a segment had been synced before, up to the seal: if only that is torn, the next one fits.
    const next = segments.get(cut.number)?.header;
    const isWhole = scan.tail === "none" || (scan.tail === "torn" && next !== undefined && isContinuation(next, cut));
    const tail = isWhole ? "none" : number < last ? "damaged" : scan.tail;
    const segment = { header, version, seed, fileBytes };
    end = { cut: cutOf(header), segment, position: scan.end, closed: scan.closed, tail, unusable: [] };
    if (tail !== "none") return { ...end, unusable: behind(number) };
    isNextCertain = scan.sealed;
  }
  if (isNextCertain) return damagedAt(cut, []);
  return end ?? emptyLog(cut);
}

/** The log ends where `cut` should begin a segment, and should not end there. */
function damagedAt(cut: Cut, unusable: readonly number[]): LogEnd {
  return { ...emptyLog(cut), tail: "damaged", unusable };
}

function emptyLog(cut: Cut): LogEnd {
  const position = { offset: FILE_HEADER_BYTES, records: cut.records, chain: cut.chain };
  return { cut, position, closed: false, tail: "none", unusable: [] };
}

function cutOf({ number, records, lsn, chain }: FileHeader): Cut {
  return { number, records, lsn, chain };
}

function isContinuation(header: FileHeader, cut: Cut): boolean {
  return (
    header.number === cut.number &&
    header.records === cut.records &&
    header.chain === cut.chain &&
    header.lsn === cut.lsn
  );
}

function replay(state: CoreState, payload: Uint8Array, lsn: Lsn): boolean {
  try {
    state.replay(decodeOps(payload), lsn);
    return true;
  } catch (error) {
    if (error instanceof DecodeError) return false;
    throw error;
  }
}
