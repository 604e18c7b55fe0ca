/**
 * Every decoder of ours, with good inputs to start from and what has to hold for bad ones: it returns, or throws its own
 * kind of error; what it made of the bytes is bounded by the bytes; and what it accepts can be written again.
 */
import { crc32 } from "node:zlib";
import { ByteReader, ByteWriter, DecodeError } from "../../src/codec/bytes.ts";
import { decodeEntries, encodeEntries } from "../../src/codec/entries.ts";
import { decodeRun, encodeRun } from "../../src/codec/entry-runs.ts";
import { encodeFileHeader, parseFileHeader } from "../../src/codec/file-header.ts";
import { decodeKey } from "../../src/codec/keys.ts";
import { decodeMember, encodeMember, memberKey } from "../../src/codec/members.ts";
import { decodeMessage, encodeMessage } from "../../src/codec/messages.ts";
import { decodeOps, encodeOps } from "../../src/codec/ops.ts";
import { parseRecordHeader, RECORD_HEADER_BYTES, sealRecord } from "../../src/codec/records.ts";
import {
  BLOCK_HEADER_BYTES,
  decodeEntriesBlock,
  decodeFooter,
  decodeOrder,
  encodeEntriesBlock,
  encodeFooter,
  encodeOrder,
  parseBlockHeader,
} from "../../src/codec/snapshots.ts";
import { decodeValue, encodeValue, isValue } from "../../src/codec/values.ts";
import { EntryRun } from "../../src/core/entry-run.ts";
import { EntryTable } from "../../src/core/table.ts";
import { parseToken, tokenOf } from "../../src/data/write-tokens.ts";
import { isReplicaError } from "../../src/errors.ts";
import { parseIdentity, sealIdentity } from "../../src/storage/identity.ts";
import type { Epoch, NodeId } from "../../src/types.ts";
import { acceptorHandshake, dialerHandshake } from "../../transports/authentication-handshake.ts";
import type { Chance } from "./random.ts";
import {
  sampleEntries,
  sampleMessage,
  sampleNodeId,
  sampleOps,
  sampleOrigin,
  sampleText,
  sampleValue,
} from "./samples.ts";

export interface Target {
  readonly name: string;
  /** A good input; one that is well-formed, where good ones cannot be made up. */
  sample(chance: Chance): Uint8Array;
  /** Whether samples are accepted. Default true. */
  readonly acceptsSamples?: boolean;
  /** Makes checksums true again, so that damage gets behind them. Default: there are none. */
  reseal?(bytes: Uint8Array): Uint8Array;
  /** Decodes. Throws Refused where the input is not accepted, something else where that is a bug. */
  run(bytes: Uint8Array): unknown;
}

/** The input was refused, as it should be when it is bad. */
export class Refused extends Error {}

const value = (chance: Chance): Uint8Array => encodeValue(sampleValue(chance));

export const targets: readonly Target[] = [
  {
    name: "value",
    sample: value,
    run(bytes) {
      const good = isValue(bytes);
      const decoded = attempt(() => decodeValue(bytes), good ? "isValue accepts what decodeValue refuses" : undefined);
      if (!good) throw new Error("isValue refuses what decodeValue accepts");
      if (!isValue(encodeValue(decoded))) throw new Error("what was decoded cannot be encoded");
      return decoded;
    },
  },
  {
    name: "frame",
    sample: (chance) => encodeMessage(sampleMessage(chance, value), chance.below(2 ** 20)),
    run: readFrame,
  },
  {
    name: "message",
    sample: (chance) => encodeMessage(sampleMessage(chance, value), 5),
    reseal: (bytes) => (bytes.length < 7 ? bytes : frameAround(bytes.subarray(7))),
    run: readFrame,
  },
  {
    name: "entries",
    sample: (chance) => written((writer) => encodeEntries(writer, sampleEntries(chance, value))),
    run: (bytes) => attempt(() => decodeEntries(new ByteReader(bytes))),
  },
  {
    name: "ops",
    sample: (chance) => written((writer) => encodeOps(writer, sampleOps(chance, value))),
    run(bytes) {
      const ops = attempt(() => decodeOps(bytes));
      const again = decodeOps(written((writer) => encodeOps(writer, ops)));
      if (again.length !== ops.length) throw new Error("other ops come back than went in");
      return ops;
    },
  },
  {
    name: "record",
    sample(chance) {
      const record = Buffer.alloc(RECORD_HEADER_BYTES + 1 + chance.below(9));
      sealRecord(record, chance.bits(), { chain: chance.bits(), synced: chance.oneIn(2), mark: "none", lsn: 7 });
      return record;
    },
    run(bytes) {
      if (bytes.length < RECORD_HEADER_BYTES) throw new Refused();
      return accepted(parseRecordHeader(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0));
    },
  },
  {
    name: "snapshot block",
    sample(chance) {
      const entries = sampleEntries(chance, value);
      return written((writer) =>
        encodeEntriesBlock(
          writer,
          entries,
          entries.map((_, index) => 3 * index + 1),
        ),
      );
    },
    run: (bytes) => attempt(() => decodeEntriesBlock(bytes)),
  },
  {
    name: "snapshot columns",
    sample(chance) {
      const table = new EntryTable();
      for (const [index, entry] of sampleEntries(chance, value).entries()) table.set(entry, 3 * index + 1);
      const run = new EntryRun();
      table.copyChanges(run, 0, table.lastLsn, Number.MAX_SAFE_INTEGER);
      return run.count === 0 ? Buffer.alloc(0) : written((writer) => encodeRun(writer, run));
    },
    acceptsSamples: false,
    run: (bytes) => attempt(() => decodeRun(bytes, new EntryRun())),
  },
  {
    name: "snapshot order",
    sample: (chance) =>
      written((writer) => encodeOrder(writer, chance.below(9), Uint32Array.of(chance.bits(), 1, chance.bits(), 0), 4)),
    run: (bytes) => attempt(() => decodeOrder(bytes)),
  },
  {
    name: "snapshot frame",
    sample: (chance) => encodeFooter({ entries: 1, requiredRecords: 2, endLsn: 3, sha256: chance.bytes(32) }),
    run(bytes) {
      const header = parseBlockHeader(bytes);
      return [header, attempt(() => decodeFooter(bytes.subarray(BLOCK_HEADER_BYTES)))];
    },
  },
  {
    name: "file header",
    sample(chance) {
      const names = { nodeId: sampleNodeId(chance), clusterId: "prod", epoch: chance.hex64() as Epoch };
      const numbers = { number: 1 + chance.below(9), records: chance.below(99), lsn: chance.integer(), chain: 1 };
      return encodeFileHeader({
        kind: chance.oneIn(2) ? "log" : "snapshot",
        salt: chance.hex64(),
        ...names,
        ...numbers,
      });
    },
    reseal(bytes) {
      const header = Buffer.from(bytes);
      const size = header.length < 16 ? 0 : header.readUInt16LE(10);
      if (size >= 16 && size <= header.length) header.writeUInt32LE(crc32(header.subarray(0, size - 4)), size - 4);
      return header;
    },
    run(bytes) {
      const read = [parseFileHeader(bytes, "log"), parseFileHeader(bytes, "snapshot")];
      return accepted(read.find(({ type }) => type !== "bad"));
    },
  },
  {
    name: "identity",
    sample: (chance) =>
      Buffer.from(
        sealIdentity(
          `wavekv identity 1\n${JSON.stringify({ nodeId: sampleNodeId(chance), clusterId: "prod", pending: null, tag: chance.hex64(), fingerprint: "" })}\n`,
        ),
      ),
    reseal(bytes) {
      const lines = Buffer.from(bytes).toString("utf8").split("\n");
      return Buffer.from(sealIdentity(`${lines.slice(0, 2).join("\n")}\n`));
    },
    run(bytes) {
      const identity = parseIdentity(Buffer.from(bytes).toString("utf8"));
      return accepted(identity.type === "bad" ? undefined : identity);
    },
  },
  {
    name: "key",
    sample: (chance) => Buffer.from(sampleText(chance)),
    run: (bytes) => attempt(() => decodeKey(bytes)),
  },
  {
    name: "member",
    sample: (chance) => encodeMember({ addresses: ["ws://1:1"], epoch: chance.hex64() as Epoch, version: "0.1.0" }),
    run: (bytes) => accepted(decodeMember(memberKey("a" as NodeId), bytes)),
  },
  {
    name: "token",
    sample: (chance) => Buffer.from(tokenOf(sampleOrigin(chance), chance.integer())),
    run: (bytes) => attempt(() => parseToken(Buffer.from(bytes).toString("utf8"))),
  },
  {
    name: "handshake",
    // Without the secret nothing goes further than a challenge.
    acceptsSamples: false,
    sample: (chance) => chance.of([challenge(chance), answer(chance), welcome()]),
    run(bytes) {
      const acceptor = acceptorHandshake(SELF, [SECRET], NONCE);
      const answered = dialerHandshake(SELF, SECRET, NONCE);
      if (acceptor.opening !== undefined) answered.receive(acceptor.opening);
      const steps = [acceptor, answered, dialerHandshake(SELF, SECRET, NONCE)].map((side) => side.receive(bytes));
      if (steps.some(({ type }) => type === "proved")) throw new Error("it was proved by somebody who has no secret");
      return accepted(steps.find(({ type }) => type === "continue"));
    },
  },
];

const SELF = { nodeId: "self" as NodeId, clusterId: "prod" };
const SECRET = Buffer.from("a secret that no input knows");
const NONCE = new Uint8Array(32);

function readFrame(bytes: Uint8Array): unknown {
  const decoded = decodeMessage(bytes);
  if (decoded.type === "bad") throw new Refused();
  if (decoded.type === "message") {
    const again = decodeMessage(encodeMessage(decoded.message, decoded.number));
    if (again.type !== "message") throw new Error(`what was decoded comes back as ${again.type}`);
  }
  return decoded;
}

/** A frame with a good checksum and the number 5. */
function frameAround(body: Uint8Array): Uint8Array {
  const frame = Buffer.concat([Buffer.of(0x57, 1, 0, 0, 0, 0, 5), body]);
  frame.writeUInt32LE(crc32(Buffer.concat([body, Buffer.of(5)])), 2);
  return frame;
}

function challenge(chance: Chance): Uint8Array {
  return (
    acceptorHandshake({ ...SELF, nodeId: sampleNodeId(chance) }, [chance.bytes(16)], chance.bytes(32)).opening ?? NONCE
  );
}

function answer(chance: Chance): Uint8Array {
  const step = dialerHandshake({ ...SELF, nodeId: sampleNodeId(chance) }, chance.bytes(16), chance.bytes(32)).receive(
    challenge(chance),
  );
  return step.type === "continue" ? step.send : NONCE;
}

function welcome(): Uint8Array {
  return Buffer.concat([Buffer.of(0x58, 1, 3, 32), NONCE]);
}

function written(write: (writer: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter();
  write(writer);
  return writer.copy();
}

/** @param bug  what it would mean if it were refused; undefined: nothing */
function attempt<T>(decode: () => T, bug?: string): T {
  try {
    return decode();
  } catch (error) {
    if (bug !== undefined) throw new Error(bug, { cause: error });
    if (error instanceof DecodeError || isReplicaError(error)) throw new Refused();
    throw error;
  }
}

function accepted<T>(result: T | undefined): T {
  if (result === undefined) throw new Refused();
  return result;
}
