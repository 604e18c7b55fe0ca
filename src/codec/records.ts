/**
 * The frame of a record of the log: 24 bytes, then the ops of one commit; storage/FORMAT.md has the table.
 *
 * A record's checksum is seeded with its segment's header and covers the checksum of the record before
 * it. So a record can be checked by itself, which is how recovery tells a torn tail from damage with
 * good records behind it, while stale, swapped or misplaced ones break the chain.
 */
import { crc32 } from "node:zlib";
import type { Lsn } from "../types.ts";

export const RECORD_HEADER_BYTES = 24;
/**
 * What a length field may say, of the format and not of the store: far above what a commit takes, since a
 * record that was written has to be readable. Nothing is allocated for bytes that the file does not have.
 */
export const PAYLOAD_BYTES_MAX = 2 ** 30;

/**
 * What a record without a payload says. "closed": the log was closed in good order. "sealed": there is a
 * next segment; such a record is the last of its segment and not a link of the chain, since the next
 * segment, which continues the chain, was there before it.
 */
export type RecordMark = "none" | "closed" | "sealed";

export interface RecordHeader {
  /** Bytes of the payload. */
  readonly length: number;
  /** Checksum of this record. */
  readonly crc: number;
  /** Checksum of the record before, across segments; 0 for the first of all. */
  readonly chain: number;
  /** Everything before this record was durable before this record was written. */
  readonly synced: boolean;
  readonly mark: RecordMark;
  /** The lsn before the ops of this record. */
  readonly lsn: Lsn;
}

const FLAG_SYNCED = 1;
const MARKS: readonly RecordMark[] = ["none", "closed", "sealed"];
const HIGH = 2 ** 32;

/**
 * Fills in the header of a record whose payload stands already behind the first RECORD_HEADER_BYTES.
 *
 * @param seed  checksum of the segment's header
 * @returns the checksum of the record
 */
export function sealRecord(
  record: Uint8Array,
  seed: number,
  { chain, synced, mark, lsn }: Pick<RecordHeader, "chain" | "synced" | "mark" | "lsn">,
): number {
  const view = new DataView(record.buffer, record.byteOffset, RECORD_HEADER_BYTES);
  view.setUint32(4, record.length - RECORD_HEADER_BYTES, true);
  view.setUint32(8, chain, true);
  view.setUint32(12, (synced ? FLAG_SYNCED : 0) + 2 * MARKS.indexOf(mark), true);
  view.setUint32(16, lsn % HIGH, true);
  view.setUint32(20, Math.floor(lsn / HIGH), true);
  const crc = crc32(record.subarray(4), seed);
  view.setUint32(0, crc, true);
  return crc;
}

/**
 * Reads the header at `at`, of which all bytes are there. Says nothing about the checksum.
 * @returns undefined if no record can begin like that
 */
export function parseRecordHeader(view: DataView, at: number): RecordHeader | undefined {
  const length = view.getUint32(at + 4, true);
  const flags = view.getUint32(at + 12, true);
  const mark = MARKS[flags >>> 1];
  if (length > PAYLOAD_BYTES_MAX || mark === undefined) return undefined;
  // An empty record without a mark is none: zeros, which a file system may leave behind the end, are no record.
  if ((length === 0) !== (mark !== "none")) return undefined;
  const lsn = view.getUint32(at + 20, true) * HIGH + view.getUint32(at + 16, true);
  if (!Number.isSafeInteger(lsn)) return undefined;
  const crc = view.getUint32(at, true);
  return { length, crc, chain: view.getUint32(at + 8, true), synced: (flags & FLAG_SYNCED) !== 0, mark, lsn };
}

/** The checksum that the record in `bytes` (header and payload) should carry. */
export function recordCrc(bytes: Uint8Array, seed: number): number {
  return crc32(bytes.subarray(4), seed);
}
