/** The 192 bytes that every segment of the log and every snapshot begins with; storage/FORMAT.md has the table. */
import { crc32 } from "node:zlib";
import { type Epoch, isEpoch, isNodeId, type Lsn, type NodeId } from "../types.ts";

/** What is written. Every version up to it is read. Of a segment, 2 has a kind of op more than 1. */
export const FORMAT_VERSION = { log: 2, snapshot: 2 };
export const FILE_HEADER_BYTES = 192;
/** Clusters have names as replicas do, with the same bound. */
export const CLUSTER_ID_BYTES_MAX = 64;

const MAGIC = { log: "wavekvL\n", snapshot: "wavekvS\n" };
/** No version may have a longer header: what bounds the read that tells an unknown version from damage. */
export const FILE_HEADER_BYTES_MAX = 4096;

export interface FileHeader {
  readonly kind: keyof typeof MAGIC;
  /** The segment's number; of a snapshot, that of the first segment which is not in it. */
  readonly number: number;
  /** Records of the log before this segment, or in this snapshot. Their running number starts at 1. */
  readonly records: number;
  /** The lsn before the first record of this segment, or up to which the snapshot holds entries. */
  readonly lsn: Lsn;
  /** The epoch under which this replica authored at that moment. */
  readonly epoch: Epoch;
  /** Random: seeds the checksums, so that nobody can make up a value that looks like a record. 16 hex digits. */
  readonly salt: string;
  /** Checksum of the last record before; 0 if there is none. */
  readonly chain: number;
  readonly nodeId: NodeId;
  readonly clusterId: string;
}

export type ParsedHeader =
  /** `crc` seeds the checksums of what follows. */
  | { readonly type: "header"; readonly version: number; readonly header: FileHeader; readonly crc: number }
  /** Intact, but of a version that this code does not know. */
  | { readonly type: "newer"; readonly version: number }
  | { readonly type: "bad" };

export function encodeFileHeader(header: FileHeader): Uint8Array {
  const bytes = Buffer.alloc(FILE_HEADER_BYTES);
  bytes.write(MAGIC[header.kind], 0, "latin1");
  bytes.writeUInt16LE(FORMAT_VERSION[header.kind], 8);
  bytes.writeUInt16LE(FILE_HEADER_BYTES, 10);
  bytes.writeUInt32LE(header.chain, 12);
  bytes.writeBigUInt64LE(BigInt(header.number), 16);
  bytes.writeBigUInt64LE(BigInt(header.records), 24);
  bytes.writeBigUInt64LE(BigInt(header.lsn), 32);
  bytes.write(header.epoch, 40, "hex");
  bytes.write(header.salt, 48, "hex");
  bytes.writeUInt8(Buffer.byteLength(header.nodeId), 56);
  bytes.write(header.nodeId, 57, "utf8");
  bytes.writeUInt8(Buffer.byteLength(header.clusterId), 121);
  bytes.write(header.clusterId, 122, "utf8");
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 188)), 188);
  return bytes;
}

/** @param bytes  the beginning of the file: FILE_HEADER_BYTES_MAX of it, or all there is */
export function parseFileHeader(bytes: Uint8Array, kind: FileHeader["kind"]): ParsedHeader {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length < 16 || view.toString("latin1", 0, 8) !== MAGIC[kind]) return { type: "bad" };
  const version = view.readUInt16LE(8);
  const size = view.readUInt16LE(10);
  if (size < 16 || size > FILE_HEADER_BYTES_MAX || size > view.length) return { type: "bad" };
  // In every version the checksum ends the header: a flipped bit in the version is damage, not the future.
  const crc = view.readUInt32LE(size - 4);
  if (crc32(view.subarray(0, size - 4)) !== crc) return { type: "bad" };
  if (version > FORMAT_VERSION[kind]) return { type: "newer", version };
  if (version === 0 || size !== FILE_HEADER_BYTES) return { type: "bad" };
  const nodeId = view.toString("utf8", 57, 57 + view.readUInt8(56));
  const epoch = view.toString("hex", 40, 48);
  const clusterBytes = view.readUInt8(121);
  const [number, records, lsn] = [16, 24, 32].map((at) => Number(view.readBigUInt64LE(at)));
  if (!isCount(number) || !isCount(records) || !isCount(lsn) || number === 0) return { type: "bad" };
  if (!isNodeId(nodeId) || !isEpoch(epoch) || clusterBytes > CLUSTER_ID_BYTES_MAX) return { type: "bad" };
  const clusterId = view.toString("utf8", 122, 122 + clusterBytes);
  const salt = view.toString("hex", 48, 56);
  const chain = view.readUInt32LE(12);
  const header = { kind, number, records, lsn, epoch, salt, chain, nodeId, clusterId };
  return { type: "header", version, header, crc };
}

function isCount(value: number | undefined): value is number {
  return value !== undefined && Number.isSafeInteger(value);
}
