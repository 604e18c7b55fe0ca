/**
 * The blocks of a snapshot: 12 bytes of frame, then entries, bookkeeping, or the footer;
 * storage/FORMAT.md has the tables. The checksum of a block is seeded with that of the block before it,
 * the first one with the file's header.
 */
import { crc32 } from "node:zlib";
import type { Entry, Lsn } from "../types.ts";
import { ByteReader, type ByteWriter, DecodeError } from "./bytes.ts";
import { decodeEntries, encodeEntries } from "./entries.ts";
import { PAYLOAD_BYTES_MAX } from "./records.ts";

export const BLOCK_HEADER_BYTES = 12;
/** Entries in one piece of an order: those of a chunk of the ordered keys. */
export const ORDER_PIECE_MAX = 512;
/** Payload of the footer: three counters and a SHA-256. */
export const FOOTER_BYTES = 56;

export type BlockKind = keyof typeof KIND_NUMBERS;
/** Frozen: these are on disks. "entries" is of format 1, which is read and no longer written. */
const KIND_NUMBERS = { ops: 1, entries: 2, footer: 3, columns: 4, order: 5, unordered: 6 } as const;
const KINDS = new Map<number, BlockKind>([
  [KIND_NUMBERS.ops, "ops"],
  [KIND_NUMBERS.entries, "entries"],
  [KIND_NUMBERS.footer, "footer"],
  [KIND_NUMBERS.columns, "columns"],
  [KIND_NUMBERS.order, "order"],
  [KIND_NUMBERS.unordered, "unordered"],
]);

export interface BlockHeader {
  readonly kind: BlockKind;
  /** Bytes of the payload. */
  readonly length: number;
  readonly crc: number;
}

export interface Footer {
  /** Entries in the snapshot. */
  readonly entries: number;
  /** Records of the log that must be intact for the snapshot to be complete. */
  readonly requiredRecords: number;
  /** The lsn of the state when the last entry was taken. */
  readonly endLsn: Lsn;
  /** SHA-256 of the file up to this block. */
  readonly sha256: Uint8Array;
}

/**
 * Fills in the frame of a block whose payload stands already behind the first BLOCK_HEADER_BYTES.
 * @returns its checksum: the seed of the next block
 */
export function sealBlock(block: Uint8Array, kind: BlockKind, seed: number): number {
  const view = new DataView(block.buffer, block.byteOffset, BLOCK_HEADER_BYTES);
  view.setUint32(4, block.length - BLOCK_HEADER_BYTES, true);
  view.setUint32(8, KIND_NUMBERS[kind], true);
  const crc = crc32(block.subarray(4), seed);
  view.setUint32(0, crc, true);
  return crc;
}

/** @returns undefined if no block begins like that */
export function parseBlockHeader(bytes: Uint8Array): BlockHeader | undefined {
  if (bytes.length < BLOCK_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, BLOCK_HEADER_BYTES);
  const kind = KINDS.get(view.getUint32(8, true));
  const length = view.getUint32(4, true);
  if (kind === undefined || length === 0 || length > PAYLOAD_BYTES_MAX) return undefined;
  return { kind, length, crc: view.getUint32(0, true) };
}

/** The checksum that the block (frame and payload) should carry. */
export function blockCrc(block: Uint8Array, seed: number): number {
  return crc32(block.subarray(4), seed);
}

/** Entries with their places in the change log, ascending. */
export function encodeEntriesBlock(writer: ByteWriter, entries: readonly Entry[], lsns: readonly Lsn[]): void {
  writer.varint(lsns.length);
  let last = 0;
  for (const lsn of lsns) {
    writer.varint(lsn - last);
    last = lsn;
  }
  encodeEntries(writer, entries);
}

/** The entries are views into `payload`. @throws DecodeError */
export function decodeEntriesBlock(payload: Uint8Array): { entries: Entry[]; lsns: Lsn[] } {
  const reader = new ByteReader(payload);
  const count = reader.varint();
  if (count > payload.length) throw new DecodeError("more entries than bytes");
  const lsns: Lsn[] = [];
  let last = 0;
  for (let index = 0; index < count; index++) {
    const delta = reader.varint();
    last += delta;
    if (delta === 0 || !Number.isSafeInteger(last)) throw new DecodeError("an lsn does not ascend");
    lsns.push(last);
  }
  const entries = decodeEntries(reader);
  if (entries.length !== count) throw new DecodeError("not one lsn per entry");
  return { entries, lsns };
}

/** A piece of the order of the keys: pairs of four bytes of a key behind the shared ones, and the number of its entry in the file. */
export interface KeyOrder {
  readonly sharedLength: number;
  readonly cells: Uint32Array;
}

/** @param length  of `cells`, pairs counted as two */
export function encodeOrder(writer: ByteWriter, sharedLength: number, cells: Uint32Array, length: number): void {
  writer.u16(sharedLength);
  writer.u16(length / 2);
  for (let at = 0; at < length; at++) writer.u32(cells[at]!);
}

/** All pieces of an order block. @throws DecodeError */
export function decodeOrder(payload: Uint8Array): KeyOrder[] {
  const reader = new ByteReader(payload);
  const pieces: KeyOrder[] = [];
  while (reader.remaining > 0) {
    const sharedLength = reader.u16();
    const count = reader.u16();
    if (count === 0 || count > ORDER_PIECE_MAX) throw new DecodeError("an order of an impossible length");
    pieces.push({ sharedLength, cells: numbersOf(reader.bytes(count * 8)) });
  }
  return pieces;
}

/** The numbers of entries that have no place in the order. @throws DecodeError */
export function decodeUnordered(payload: Uint8Array): Uint32Array {
  if (payload.length % 4 !== 0) throw new DecodeError("half a number");
  return numbersOf(payload);
}

function numbersOf(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const numbers = new Uint32Array(bytes.length / 4);
  for (let at = 0; at < numbers.length; at++) numbers[at] = view.getUint32(at * 4, true);
  return numbers;
}

export function encodeFooter({ entries, requiredRecords, endLsn, sha256 }: Footer): Uint8Array {
  const bytes = Buffer.alloc(BLOCK_HEADER_BYTES + FOOTER_BYTES);
  [entries, requiredRecords, endLsn].forEach((value, index) => {
    bytes.writeBigUInt64LE(BigInt(value), BLOCK_HEADER_BYTES + 8 * index);
  });
  bytes.set(sha256, BLOCK_HEADER_BYTES + 24);
  return bytes;
}

/** @throws DecodeError */
export function decodeFooter(payload: Uint8Array): Footer {
  if (payload.length !== FOOTER_BYTES) throw new DecodeError("a footer of another length");
  const view = new DataView(payload.buffer, payload.byteOffset, FOOTER_BYTES);
  const [entries = 0, requiredRecords = 0, endLsn = 0] = [0, 8, 16].map((at) => Number(view.getBigUint64(at, true)));
  if (![entries, requiredRecords, endLsn].every(Number.isSafeInteger)) throw new DecodeError("a counter is too large");
  return { entries, requiredRecords, endLsn, sha256: payload.slice(24) };
}
