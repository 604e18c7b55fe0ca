/**
 * Origins as they are read from bytes. Those that were read lately are known by their bytes: the next one is nearly always
 * among them, to put one together costs many times as much, and the vectors of all sessions then hold on to one and the
 * same string.
 */
import { isEpoch, isNodeId, makeOrigin, type NodeId, type Origin } from "../types.ts";
import { ByteReader, DecodeError, readUtf8 } from "./bytes.ts";

export const EPOCH_BYTES = 8;
const NODE_ID_BYTES_MAX = 64;

interface Known {
  readonly bytes: Uint8Array;
  readonly origin: Origin;
}

/** Each has one place, by its hash: another one that comes to it takes it over. A power of two. */
const PLACES = 8192;
const known: (Known | undefined)[] = new Array<Known | undefined>(PLACES).fill(undefined);

/** Reads the nodeId as a string and the bytes of the epoch. Throws DecodeError. */
export function readOrigin(reader: ByteReader): Origin {
  const length = reader.varint();
  if (length > NODE_ID_BYTES_MAX) throw new DecodeError(`a string of ${length} bytes`);
  const bytes = reader.bytes(length + EPOCH_BYTES);
  const place = placeOf(bytes);
  const held = known[place];
  if (held !== undefined && isEqual(held.bytes, bytes)) return held.origin;
  const nodeId = readUtf8(bytes, 0, length);
  if (!isNodeId(nodeId)) throw new DecodeError("a nodeId that is none");
  const epoch = new ByteReader(bytes, length).hex(EPOCH_BYTES);
  if (!isEpoch(epoch)) throw new DecodeError("an epoch that is none");
  const origin = makeOrigin(nodeId, epoch);
  known[place] = { bytes: bytes.slice(), origin };
  return origin;
}

/** Reads a nodeId as a string. Throws DecodeError. */
export function readNodeId(reader: ByteReader): NodeId {
  const nodeId = reader.string(NODE_ID_BYTES_MAX);
  if (!isNodeId(nodeId)) throw new DecodeError("a nodeId that is none");
  return nodeId;
}

/** FNV-1a. */
function placeOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < bytes.length; index += 1) hash = Math.imul(hash ^ bytes[index]!, 0x01000193);
  return (hash ^ (hash >>> 15)) & (PLACES - 1);
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index += 1) if (a[index] !== b[index]) return false;
  return true;
}
