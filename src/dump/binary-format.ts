/**
 * The binary dump, byte by byte; numbers are little-endian.
 *
 *     file    "WAVEKVD" 0x01, blocks, end
 *     block   u32 length of the payload, 1 to 32 MiB    u32 entries in it, 1 or more
 *             u32 crc32 of these 8 bytes                u32 crc32 of the payload
 *             payload: entries
 *     entry   u16 length, key in UTF-8    u32 length, value (codec/values.ts)    f64 expiresAt, 0: never
 *     end     u32 0    u32 0    u32 crc32 of these 8 bytes    u32 crc32 of what follows    f64 entries in the file
 *
 * A block with a damaged payload costs its own entries alone, and their number is known; without the end the file was
 * cut short. The last byte of the magic is the version.
 */
import { crc32 } from "node:zlib";

export const DUMP_MAGIC: Uint8Array = Buffer.from("WAVEKVD\u0001", "latin1");
export const BLOCK_HEADER_BYTES = 16;
export const END_PAYLOAD_BYTES = 8;
/** One entry of the largest size fits, with room to spare. */
export const BLOCK_BYTES_MAX = 32 * 1024 * 1024;
const FIXED_ENTRY_BYTES = 2 + 4 + 8;

export interface DumpedEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** Milliseconds since 1970; 0: never. */
  readonly expiresAt: number;
}

export interface BlockHeader {
  /** 0: the end. */
  readonly length: number;
  readonly count: number;
  readonly crc: number;
}

export function encodeEntry({ key, value, expiresAt }: DumpedEntry): Uint8Array {
  const bytes = Buffer.alloc(FIXED_ENTRY_BYTES + key.length + value.length);
  bytes.writeUInt16LE(key.length, 0);
  bytes.set(key, 2);
  bytes.writeUInt32LE(value.length, 2 + key.length);
  bytes.set(value, 6 + key.length);
  bytes.writeDoubleLE(expiresAt, bytes.length - 8);
  return bytes;
}

/** A block with its header. */
export function encodeBlock(entries: readonly Uint8Array[]): Uint8Array {
  const payload = Buffer.concat(entries);
  return Buffer.concat([encodeHeader(payload.length, entries.length, payload), payload]);
}

export function encodeEnd(count: number): Uint8Array {
  const payload = Buffer.alloc(END_PAYLOAD_BYTES);
  payload.writeDoubleLE(count);
  return Buffer.concat([encodeHeader(0, 0, payload), payload]);
}

function encodeHeader(length: number, count: number, payload: Uint8Array): Uint8Array {
  const header = Buffer.alloc(BLOCK_HEADER_BYTES);
  header.writeUInt32LE(length, 0);
  header.writeUInt32LE(count, 4);
  header.writeUInt32LE(crc32(header.subarray(0, 8)), 8);
  header.writeUInt32LE(crc32(payload), 12);
  return header;
}

/** @param bytes  BLOCK_HEADER_BYTES of them. @returns `undefined` if it is damaged */
export function decodeHeader(bytes: Uint8Array): BlockHeader | undefined {
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = header.readUInt32LE(0);
  const count = header.readUInt32LE(4);
  if (header.readUInt32LE(8) !== crc32(header.subarray(0, 8)) || length > BLOCK_BYTES_MAX) return undefined;
  if ((length === 0) !== (count === 0)) return undefined;
  return { length, count, crc: header.readUInt32LE(12) };
}

/** The entries of a payload; `undefined` if it is damaged. They are views into it. */
export function decodeBlock({ count, crc }: BlockHeader, payload: Uint8Array): DumpedEntry[] | undefined {
  if (crc32(payload) !== crc) return undefined;
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const entries: DumpedEntry[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + FIXED_ENTRY_BYTES > bytes.length) return undefined;
    const key = at + 2;
    const keyEnd = key + bytes.readUInt16LE(at);
    if (keyEnd + 12 > bytes.length) return undefined;
    const value = keyEnd + 4;
    const valueEnd = value + bytes.readUInt32LE(keyEnd);
    if (valueEnd + 8 > bytes.length) return undefined;
    const expiresAt = bytes.readDoubleLE(valueEnd);
    entries.push({ key: bytes.subarray(key, keyEnd), value: bytes.subarray(value, valueEnd), expiresAt });
    at = valueEnd + 8;
  }
  return entries.length === count ? entries : undefined;
}

/** The number of entries that the end names; `undefined` if it is damaged. */
export function decodeEnd({ crc }: BlockHeader, payload: Uint8Array): number | undefined {
  if (crc32(payload) !== crc) return undefined;
  return Buffer.from(payload.buffer, payload.byteOffset, payload.length).readDoubleLE(0);
}
