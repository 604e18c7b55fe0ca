/** Reads the records of one segment of the log, and judges what stands behind the last good one. */
import { parseRecordHeader, RECORD_HEADER_BYTES, type RecordMark, recordCrc } from "../codec/records.ts";
import type { Lsn } from "../types.ts";
import type { DiskFile } from "./disk.ts";
import { ReadAhead } from "./read-ahead.ts";

/** Read in pieces of this size: what is replayed between two turns of the event loop. */
const PIECE_BYTES = 64 * 1024;
const FIRST_PIECE_BYTES = 8 * 1024;
/** Bytes that the search behind damage may checksum. A forged value could otherwise make it take for ever. */
const SEARCH_BYTES_MAX = 256 * 1024 * 1024;

/** A place between two records. */
export interface LogPosition {
  /** In the file of the segment, bytes. */
  readonly offset: number;
  /** Records of the log before it. */
  readonly records: number;
  /** Checksum of the record before it. */
  readonly chain: number;
}

export interface SegmentScan {
  /** Behind the last good record. */
  readonly end: LogPosition;
  /** The last good record says that the log was closed in good order, and nothing follows. */
  readonly closed: boolean;
  /** The last good record says that there is a next segment. */
  readonly sealed: boolean;
  /**
   * What follows: nothing; what a crash leaves of writes that were never synced; or bytes that cannot
   * come from a crash, because a record behind them says that they had been synced.
   */
  readonly tail: "none" | "torn" | "damaged";
}

/**
 * @param size     bytes of the file to look at
 * @param seed     checksum of the segment's header
 * @param start    where the records begin
 * @param onRecord gets the payload, valid during the call, and the lsn before it; false: it makes no sense
 * @throws what the disk throws
 */
export async function scanSegment(
  file: DiskFile,
  size: number,
  seed: number,
  start: LogPosition,
  onRecord: (payload: Uint8Array, lsn: Lsn) => boolean,
): Promise<SegmentScan> {
  const input = new ReadAhead(file, start.offset, size, PIECE_BYTES, FIRST_PIECE_BYTES);
  try {
    return await scanFrom(input, file, size, seed, start, onRecord);
  } finally {
    await input.settle();
  }
}

async function scanFrom(
  input: ReadAhead,
  file: DiskFile,
  size: number,
  seed: number,
  start: LogPosition,
  onRecord: (payload: Uint8Array, lsn: Lsn) => boolean,
): Promise<SegmentScan> {
  let { offset, records, chain } = start;
  let lsn = 0;
  let mark: RecordMark = "none";
  let wanted = RECORD_HEADER_BYTES;
  while (offset < size) {
    let bad = !(await input.fill(wanted));
    wanted = RECORD_HEADER_BYTES;
    const { bytes } = input;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 0;
    while (!bad && at + RECORD_HEADER_BYTES <= bytes.length) {
      const header = parseRecordHeader(view, at);
      if (header === undefined || header.chain !== chain || header.lsn < lsn) bad = true;
      else if (offset + at + RECORD_HEADER_BYTES + header.length > size) bad = true;
      if (header === undefined || bad) break;
      const end = at + RECORD_HEADER_BYTES + header.length;
      if (end > bytes.length) {
        wanted = end - at;
        break;
      }
      bad = recordCrc(bytes.subarray(at, end), seed) !== header.crc;
      if (bad) break;
      if (header.mark === "none" && !onRecord(bytes.subarray(at + RECORD_HEADER_BYTES, end), header.lsn)) {
        return { end: { offset: offset + at, records, chain }, closed: false, sealed: false, tail: "damaged" };
      }
      at = end;
      ({ lsn, mark } = header);
      if (mark === "sealed") continue;
      chain = header.crc;
      records += 1;
    }
    offset += at;
    input.skip(at);
    if (bad) {
      const position = { offset, records, chain };
      const damaged = await isSyncedRecordBehind(file, offset, size, seed, lsn);
      return { end: position, closed: false, sealed: false, tail: damaged ? "damaged" : "torn" };
    }
  }
  return { end: { offset, records, chain }, closed: mark === "closed", sealed: mark === "sealed", tail: "none" };
}

/**
 * Whether a good record lies anywhere at or behind `offset` that was written when everything before it was
 * durable. Errs on the side of damage where the search would take too long.
 */
async function isSyncedRecordBehind(
  file: DiskFile,
  offset: number,
  size: number,
  seed: number,
  lsnMin: Lsn,
): Promise<boolean> {
  const bytes = Buffer.alloc(Math.min(size - offset, SEARCH_BYTES_MAX));
  const filled = await file.read(bytes, offset);
  const view = new DataView(bytes.buffer, bytes.byteOffset, filled);
  let budget = SEARCH_BYTES_MAX;
  // From the bad record on: it may be good in itself and only miss the one before it.
  for (let at = 0; at + RECORD_HEADER_BYTES <= filled; at++) {
    const header = parseRecordHeader(view, at);
    if (header === undefined || !header.synced || header.lsn < lsnMin) continue;
    const end = at + RECORD_HEADER_BYTES + header.length;
    if (end > filled) continue;
    budget -= end - at;
    if (budget < 0 || recordCrc(bytes.subarray(at, end), seed) === header.crc) return true;
  }
  return false;
}
