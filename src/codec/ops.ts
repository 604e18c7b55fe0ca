/**
 * StateOps as the payload of a record: one behind the other to the end of the bytes, each with its
 * kind as a byte. The kinds are frozen: a new one needs a new format version of the segment.
 */
import type { StateOp } from "../core/ops.ts";
import { isStamp } from "../hybrid-logical-clock.ts";
import { unreachable } from "../invariant.ts";
import { isEpoch } from "../types.ts";
import { ByteReader, type ByteWriter, DecodeError } from "./bytes.ts";
import { decodeEntries, ENCODED_KEY_BYTES_MAX, EntriesReader, EntriesWriter } from "./entries.ts";
import { EPOCH_BYTES, readNodeId } from "./origins.ts";

/** A run of sets: their number, then the entries. */
const SETS = 1;
const COVER = 2;
const ACK = 3;
const LEASE = 4;
const EXPIRE = 5;
const ROTATE = 6;
const COLLECT = 7;
const FRONTIER = 8;
/** Since format 2 of the segment. */
const UNCOVER = 9;

const KINDS_OF_COVERAGE = { cover: COVER, uncover: UNCOVER, frontier: FRONTIER };

/** Appends the ops of one record to `writer`. */
export function encodeOps(writer: ByteWriter, ops: readonly StateOp[]): void {
  const entries = new EntriesWriter(writer);
  for (let i = 0; i < ops.length; ) {
    const op = ops[i];
    if (op === undefined) break;
    if (op.type === "set") i = encodeSets(writer, entries, ops, i);
    else {
      encodeOp(writer, entries, op);
      i++;
    }
  }
}

/** The ops that `bytes` hold, all of them; keys and values are views. Throws DecodeError on damage. */
export function decodeOps(bytes: Uint8Array): StateOp[] {
  const reader = new ByteReader(bytes);
  const entries = new EntriesReader(reader);
  const ops: StateOp[] = [];
  while (reader.remaining > 0) {
    const kind = reader.u8();
    if (kind === SETS) for (const entry of decodeEntries(reader, entries)) ops.push({ type: "set", entry });
    else ops.push(decodeOp(reader, entries, kind));
  }
  return ops;
}

/** Writes the run of sets that begins at `start`, as one block, and returns where it ends. */
function encodeSets(writer: ByteWriter, entries: EntriesWriter, ops: readonly StateOp[], start: number): number {
  let end = start;
  while (ops[end]?.type === "set") end++;
  writer.u8(SETS);
  writer.varint(end - start);
  for (let i = start; i < end; i++) {
    const op = ops[i];
    if (op?.type === "set") entries.entry(op.entry);
  }
  return end;
}

function encodeOp(writer: ByteWriter, entries: EntriesWriter, op: Exclude<StateOp, { type: "set" }>): void {
  switch (op.type) {
    case "cover":
    case "uncover":
    case "frontier":
      writer.u8(KINDS_OF_COVERAGE[op.type]);
      entries.origin(op.origin);
      writer.varint(op.seq);
      return;
    case "ack":
      writer.u8(ACK);
      writer.string(op.peer);
      entries.origin(op.origin);
      writer.varint(op.seq);
      return;
    case "lease":
      writer.u8(LEASE);
      writer.varint(op.stamp);
      return;
    case "expire":
    case "collect":
      writer.u8(op.type === "expire" ? EXPIRE : COLLECT);
      writer.varint(op.key.length);
      writer.raw(op.key);
      entries.origin(op.origin);
      writer.varint(op.seq);
      return;
    case "rotate":
      writer.u8(ROTATE);
      writer.hex(op.epoch);
      return;
    default:
      unreachable(op);
  }
}

function decodeOp(reader: ByteReader, entries: EntriesReader, kind: number): StateOp {
  switch (kind) {
    case FRONTIER:
      return { type: "frontier", origin: entries.origin(), seq: reader.varint() };
    case COVER:
      return { type: "cover", origin: entries.origin(), seq: reader.varint() };
    case UNCOVER:
      return { type: "uncover", origin: entries.origin(), seq: reader.varint() };
    case ACK:
      return { type: "ack", peer: readNodeId(reader), origin: entries.origin(), seq: reader.varint() };
    case LEASE: {
      const stamp = reader.varint();
      if (stamp !== 0 && !isStamp(stamp)) throw new DecodeError("an impossible stamp");
      return { type: "lease", stamp };
    }
    case EXPIRE:
    case COLLECT: {
      const length = reader.varint();
      if (length === 0 || length > ENCODED_KEY_BYTES_MAX) throw new DecodeError("an impossible key length");
      const type = kind === EXPIRE ? "expire" : "collect";
      return { type, key: reader.bytes(length), origin: entries.origin(), seq: reader.varint() };
    }
    case ROTATE: {
      const epoch = reader.hex(EPOCH_BYTES);
      if (!isEpoch(epoch)) throw new DecodeError("an epoch that is none");
      return { type: "rotate", epoch };
    }
    default:
      throw new DecodeError(`an op of the unknown kind ${kind}`);
  }
}
