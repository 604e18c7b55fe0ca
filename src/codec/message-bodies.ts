/**
 * The fields of each message, in the order in which the functions below write them. A vector is its number
 * of pairs and then pairs of origin (see EntriesWriter) and seq; hexadecimal ids are bytes; a time is a
 * float of 64 bits. Kinds, flags and codes are frozen; new fields go to the end of a body.
 */
import type { VectorPairs } from "../core/version-vector.ts";
import { assert, unreachable } from "../invariant.ts";
import { DIGEST_BUCKETS, ORIGINS_MAX, PEERS_MAX } from "../limits.ts";
import type {
  Ack,
  BucketDigest,
  Bye,
  ByeCode,
  Digests,
  Frontier,
  Hello,
  Links,
  Listing,
  Message,
  Page,
  Probe,
  Round,
  Supply,
} from "../sync/messages.ts";
import { isEpoch, type NodeId, type Origin, type Seq } from "../types.ts";
import { type ByteReader, type ByteWriter, DecodeError } from "./bytes.ts";
import { decodeEntries, ENCODED_KEY_BYTES_MAX, EntriesReader, EntriesWriter, encodeEntries } from "./entries.ts";
import { readEphemeral, writeEphemeral } from "./ephemeral-body.ts";
import { EPOCH_BYTES, readNodeId } from "./origins.ts";

const HELLO = 1;
const PAGE = 2;
const ACK = 3;
const LINKS = 4;
const PROBE = 5;
const BYE = 6;
const DIGESTS = 7;
const LISTING = 8;
const ROUND = 9;
const FRONTIER = 10;
const EPHEMERAL = 11;
const SUPPLY = 12;

const KINDS: ReadonlySet<number> = new Set([
  HELLO,
  PAGE,
  ACK,
  LINKS,
  PROBE,
  BYE,
  DIGESTS,
  LISTING,
  ROUND,
  FRONTIER,
  EPHEMERAL,
  SUPPLY,
]);

const PAGE_LAST = 1;
const PAGE_MARK = 2;
const PAGE_ACK_NOW = 4;

const DIGESTS_LIST = 1;
const DIGESTS_BULK = 2;

const BYE_NUMBERS: Readonly<Record<ByeCode, number>> = {
  internal: 0,
  closing: 1,
  "protocol-version": 2,
  "cluster-mismatch": 3,
  "identity-clash": 4,
  duplicate: 5,
  self: 6,
  "bad-frame": 7,
  silent: 8,
  "too-many-peers": 9,
  "new-epoch": 10,
  unauthenticated: 11,
};
const BYE_CODES: ReadonlyMap<number, ByeCode> = new Map(
  Object.entries(BYE_NUMBERS).map(([code, number]) => [number, code as ByeCode]),
);

/** What a page may hold. We send far fewer (PAGE_ENTRIES_MAX), a later version may send more. */
const PAGE_ENTRIES_LIMIT = 65_536;
const ADDRESSES_MAX = 64;
/** Of an address, a cluster id, the detail of a bye. */
const TEXT_BYTES_MAX = 512;
/** An origin's index and a seq: nothing is shorter. */
const PAIR_BYTES_MIN = 2;
/** A length and one byte. */
const TEXT_BYTES_MIN = 2;
const HEX64_BYTES = 8;

/** Writes kind and fields. Links beyond PEERS_MAX and addresses beyond 64 or longer than 512 bytes are left out. */
export function writeMessage(writer: ByteWriter, message: Message): void {
  switch (message.type) {
    case "hello":
      writer.varint(HELLO);
      writeHello(writer, message);
      return;
    case "page":
      writer.varint(PAGE);
      writePage(writer, message);
      return;
    case "ack":
      writer.varint(ACK);
      writer.varint(message.frames);
      writeVector(writer, new EntriesWriter(writer), message.vector);
      writer.varint(message.kept);
      return;
    case "digests":
      writer.varint(DIGESTS);
      writeDigests(writer, message);
      return;
    case "listing":
      writer.varint(LISTING);
      writeListing(writer, message);
      return;
    case "round":
      writer.varint(ROUND);
      writeRound(writer, message);
      return;
    case "frontier":
      writer.varint(FRONTIER);
      writeVector(writer, new EntriesWriter(writer), message.vector);
      return;
    case "ephemeral":
      writer.varint(EPHEMERAL);
      writeEphemeral(writer, message);
      return;
    case "supply":
      writer.varint(SUPPLY);
      writeLinks(writer, message.prune);
      writeLinks(writer, message.graft);
      return;
    case "links":
      writer.varint(LINKS);
      writeLinks(writer, message.links);
      return;
    case "probe":
      writer.varint(PROBE);
      writer.hex(message.digest);
      writer.f64(message.wallClock);
      return;
    case "bye":
      writer.varint(BYE);
      writer.varint(BYE_NUMBERS[message.code]);
      writer.string(cutText(message.detail));
      return;
    default:
      unreachable(message);
  }
}

/** Whether a message of this kind may come from somebody who has not said hello; so may what we do not know. */
export function isGreeting(kind: number): boolean {
  return kind === HELLO || kind === BYE || !KINDS.has(kind);
}

/** Reads the fields of a message, or `undefined` if the kind is not known. Throws DecodeError. */
export function readMessage(kind: number, reader: ByteReader): Message | undefined {
  switch (kind) {
    case HELLO:
      return readHello(reader);
    case PAGE:
      return readPage(reader);
    case ACK:
      return readAck(reader);
    case LINKS:
      return { type: "links", links: readLinks(reader) } satisfies Links;
    case PROBE:
      return { type: "probe", digest: reader.hex(HEX64_BYTES), wallClock: readTime(reader) } satisfies Probe;
    case DIGESTS:
      return readDigests(reader);
    case LISTING:
      return readListing(reader);
    case ROUND:
      return readRound(reader);
    case FRONTIER:
      return { type: "frontier", vector: readVector(reader, new EntriesReader(reader)) } satisfies Frontier;
    case EPHEMERAL:
      return readEphemeral(reader);
    case SUPPLY:
      return { type: "supply", prune: readLinks(reader), graft: readLinks(reader) } satisfies Supply;
    case BYE:
      return readBye(reader);
    default:
      return undefined;
  }
}

function writeHello(writer: ByteWriter, hello: Hello): void {
  writer.varint(hello.versionMin);
  writer.varint(hello.versionMax);
  assert(Buffer.byteLength(hello.clusterId) <= TEXT_BYTES_MAX, "a cluster id has at most 512 bytes");
  writer.string(hello.clusterId);
  writer.string(hello.nodeId);
  writer.hex(hello.epoch);
  writer.hex(hello.incarnation);
  const origins = new EntriesWriter(writer);
  writeVector(writer, origins, hello.vector);
  const addresses = hello.addresses.filter(isText).slice(0, ADDRESSES_MAX);
  writer.varint(addresses.length);
  for (const address of addresses) writer.string(address);
  writeLinks(writer, hello.links);
  writer.f64(hello.wallClock);
  writeVector(writer, origins, hello.frontier);
  writer.varint(hello.features);
}

function readHello(reader: ByteReader): Hello {
  const versionMin = reader.varint();
  const versionMax = reader.varint();
  const clusterId = reader.string(TEXT_BYTES_MAX);
  const nodeId = readNodeId(reader);
  const epoch = reader.hex(EPOCH_BYTES);
  if (!isEpoch(epoch)) throw new DecodeError("an epoch that is none");
  const incarnation = reader.hex(HEX64_BYTES);
  const origins = new EntriesReader(reader);
  const vector = readVector(reader, origins);
  const addressCount = reader.count(ADDRESSES_MAX, 1);
  const addresses: string[] = [];
  for (let i = 0; i < addressCount; i++) addresses.push(reader.string(TEXT_BYTES_MAX));
  const links = readLinks(reader);
  const wallClock = readTime(reader);
  const frontier = readVector(reader, origins);
  // Those who came before the field end here.
  const features = reader.remaining === 0 ? 0 : reader.varint();
  return {
    type: "hello",
    versionMin,
    versionMax,
    clusterId,
    nodeId,
    epoch,
    incarnation,
    vector,
    addresses,
    links,
    wallClock,
    frontier,
    features,
  };
}

function writePage(writer: ByteWriter, page: Page): void {
  writer.u8((page.last ? PAGE_LAST : 0) | (page.mark === null ? 0 : PAGE_MARK) | (page.ackNow ? PAGE_ACK_NOW : 0));
  writer.varint(page.runFrom);
  writer.varint(page.runTo);
  const into = new EntriesWriter(writer);
  encodeEntries(writer, page.entries, into);
  if (page.mark !== null) writeVector(writer, into, page.mark);
}

function readPage(reader: ByteReader): Page {
  const flags = reader.u8();
  if (flags > (PAGE_LAST | PAGE_MARK | PAGE_ACK_NOW)) throw new DecodeError("unknown flags of a page");
  const runFrom = reader.varint();
  const runTo = reader.varint();
  const from = new EntriesReader(reader);
  const entries = decodeEntries(reader, from, PAGE_ENTRIES_LIMIT);
  const mark = (flags & PAGE_MARK) === 0 ? null : readVector(reader, from);
  const last = (flags & PAGE_LAST) !== 0;
  return { type: "page", entries, last, runFrom, runTo, mark, ackNow: (flags & PAGE_ACK_NOW) !== 0 };
}

function readAck(reader: ByteReader): Ack {
  const frames = reader.varint();
  const vector = readVector(reader, new EntriesReader(reader));
  return { type: "ack", frames, vector, kept: reader.varint() };
}

function writeDigests(writer: ByteWriter, { list, bulk, buckets }: Digests): void {
  writer.u8((list ? DIGESTS_LIST : 0) | (bulk ? DIGESTS_BULK : 0));
  writer.varint(buckets.length);
  for (const { index, sum } of buckets) {
    writer.varint(index);
    writer.hex(sum);
  }
}

function readDigests(reader: ByteReader): Digests {
  const flags = reader.u8();
  const count = reader.count(DIGEST_BUCKETS, 1 + HEX64_BYTES);
  const buckets: BucketDigest[] = [];
  for (let i = 0; i < count; i++) buckets.push({ index: readBucket(reader), sum: reader.hex(HEX64_BYTES) });
  return { type: "digests", list: (flags & DIGESTS_LIST) !== 0, bulk: (flags & DIGESTS_BULK) !== 0, buckets };
}

function writeListing(writer: ByteWriter, { differing, listed, entries, busy, size }: Listing): void {
  writeBuckets(writer, differing);
  writeBuckets(writer, listed);
  encodeEntries(writer, entries);
  writer.varint(busy.length);
  for (const key of busy) {
    writer.varint(key.length);
    writer.raw(key);
  }
  writer.varint(size);
}

function readListing(reader: ByteReader): Listing {
  const differing = readBuckets(reader);
  const listed = readBuckets(reader);
  const entries = decodeEntries(reader);
  const count = reader.count(Number.MAX_SAFE_INTEGER, TEXT_BYTES_MIN);
  const busy: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const length = reader.varint();
    if (length === 0 || length > ENCODED_KEY_BYTES_MAX) throw new DecodeError("an impossible key length");
    busy.push(reader.bytes(length));
  }
  return { type: "listing", differing, listed, entries, busy, size: reader.varint() };
}

function writeBuckets(writer: ByteWriter, buckets: readonly number[]): void {
  writer.varint(buckets.length);
  for (const index of buckets) writer.varint(index);
}

function readBuckets(reader: ByteReader): number[] {
  const count = reader.count(DIGEST_BUCKETS, 1);
  return Array.from({ length: count }, () => readBucket(reader));
}

function readBucket(reader: ByteReader): number {
  const index = reader.varint();
  if (index >= DIGEST_BUCKETS) throw new DecodeError("a bucket that does not exist");
  return index;
}

function writeRound(writer: ByteWriter, { number, members, low, high }: Round): void {
  writer.varint(number);
  writeLinks(writer, members);
  const origins = new EntriesWriter(writer);
  writeVector(writer, origins, low);
  writeVector(writer, origins, high);
}

function readRound(reader: ByteReader): Round {
  const number = reader.varint();
  const members = readLinks(reader);
  const origins = new EntriesReader(reader);
  const low = readVector(reader, origins);
  return { type: "round", number, members, low, high: readVector(reader, origins) };
}

function readBye(reader: ByteReader): Bye {
  // A reason from a later version is one that we cannot act upon.
  const code = BYE_CODES.get(reader.varint()) ?? "internal";
  return { type: "bye", code, detail: reader.string(TEXT_BYTES_MAX) };
}

function writeVector(writer: ByteWriter, origins: EntriesWriter, vector: VectorPairs): void {
  assert(vector.length <= ORIGINS_MAX, "a version vector has at most ORIGINS_MAX origins");
  writer.varint(vector.length);
  for (const [origin, seq] of vector) {
    origins.origin(origin);
    writer.varint(seq);
  }
}

function readVector(reader: ByteReader, origins: EntriesReader): VectorPairs {
  const count = reader.count(ORIGINS_MAX, PAIR_BYTES_MIN);
  const pairs: [Origin, Seq][] = [];
  for (let i = 0; i < count; i++) pairs.push([origins.origin(), reader.varint()]);
  return pairs;
}

function writeLinks(writer: ByteWriter, links: readonly NodeId[]): void {
  const count = Math.min(links.length, PEERS_MAX);
  writer.varint(count);
  for (const nodeId of links.slice(0, count)) writer.string(nodeId);
}

function readLinks(reader: ByteReader): NodeId[] {
  const count = reader.count(PEERS_MAX, TEXT_BYTES_MIN);
  const links: NodeId[] = [];
  for (let i = 0; i < count; i++) links.push(readNodeId(reader));
  return links;
}

function readTime(reader: ByteReader): number {
  const time = reader.f64();
  if (!Number.isFinite(time)) throw new DecodeError("a time that is none");
  return time;
}

function isText(text: string): boolean {
  return Buffer.byteLength(text) <= TEXT_BYTES_MAX;
}

/** The beginning of a text, well-formed: what is for people may be cut. */
function cutText(text: string): string {
  // One code unit takes three bytes at most; a surrogate pair that the cut splits is mended like any lone half.
  return text.slice(0, Math.floor(TEXT_BYTES_MAX / 3)).toWellFormed();
}
