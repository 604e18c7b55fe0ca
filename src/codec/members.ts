/** Member records: how a replica announces itself in the reserved part of the key space. */
import { MEMBER_KIND_BYTE, RESERVED_PREFIX_BYTE } from "../limits.ts";
import { type Epoch, isEpoch, isNodeId, type NodeId } from "../types.ts";
import { decodeValue, encodeValue, isValue } from "./values.ts";

export interface MemberRecord {
  readonly nodeId: NodeId;
  /** Where it can be dialed. */
  readonly addresses: readonly string[];
  readonly epoch: Epoch;
  /** Of the library that it runs. */
  readonly version: string;
  /** How it merges, by prefix: names of kinds. */
  readonly merge: Readonly<Record<string, string>>;
}

const PREFIX_BYTES = 2;
const ADDRESSES_MAX = 64;
const TEXT_MAX = 512;

/** All keys of member records. */
export const MEMBER_RANGE = {
  gte: Uint8Array.of(RESERVED_PREFIX_BYTE, MEMBER_KIND_BYTE),
  lt: Uint8Array.of(RESERVED_PREFIX_BYTE, MEMBER_KIND_BYTE + 1),
};

export function memberKey(nodeId: NodeId): Uint8Array {
  const name = Buffer.from(nodeId);
  const key = new Uint8Array(PREFIX_BYTES + name.length);
  key.set(MEMBER_RANGE.gte);
  key.set(name, PREFIX_BYTES);
  return key;
}

export function encodeMember(record: Omit<MemberRecord, "nodeId" | "merge"> & Partial<MemberRecord>): Uint8Array {
  const { addresses, epoch, version, merge = {} } = record;
  // Left out where there is none: then the record is what it was before there were merge kinds.
  return encodeValue({ addresses, epoch, version, ...(Object.keys(merge).length === 0 ? {} : { merge }) });
}

/** The record, or `undefined` if it is not one that we understand. Fields that we do not know are ignored. */
export function decodeMember(key: Uint8Array, value: Uint8Array): MemberRecord | undefined {
  const nodeId: unknown = Buffer.from(key.subarray(PREFIX_BYTES)).toString("utf8");
  if (!isNodeId(nodeId) || !isValue(value)) return undefined;
  const record = decodeValue(value);
  if (typeof record !== "object" || record === null) return undefined;
  const { addresses, epoch, version, merge = {} } = record as Record<string, unknown>;
  if (!isEpoch(epoch) || !isText(version) || !Array.isArray(addresses)) return undefined;
  const known = { nodeId, addresses: addresses.filter(isText).slice(0, ADDRESSES_MAX), epoch, version };
  return { ...known, merge: mergeOf(merge) };
}

function mergeOf(merge: unknown): Record<string, string> {
  if (typeof merge !== "object" || merge === null) return {};
  return Object.fromEntries(
    Object.entries(merge).flatMap(([prefix, kind]: [string, unknown]) =>
      isText(prefix) && isText(kind) ? [[prefix, kind] as const] : [],
    ),
  );
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length <= TEXT_MAX;
}
