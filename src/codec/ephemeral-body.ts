/**
 * The body of an `ephemeral` message:
 *
 *     taken       varint
 *     held        a count, and so many authors
 *     news        a count, and so many of: author, from, leaseMs, ageMs (varints), flags (u8: CLOSED), cells
 *     author      nodeId, generation (varint), incarnation (8 bytes), version (varint)
 *     cells       a count, and so many of: key, version minus that of the cell before (varint; `from` at first),
 *                 0 for a removed one or the length of the value plus 1 (varint), value
 *
 * Versions ascend from cell to cell and stay within those that the news is about: what does otherwise is refused here,
 * so that nobody behind needs to ask.
 */
import {
  EPHEMERAL_BYTES_MAX,
  EPHEMERAL_ENTRIES_MAX,
  EPHEMERAL_LEASE_MS_MAX,
  EPHEMERAL_LEASE_MS_MIN,
  EPHEMERAL_VALUE_BYTES_MAX,
  KEY_BYTES_MAX,
  PEERS_MAX,
} from "../limits.ts";
import type { AuthorNews, AuthorVersion, EphemeralCell, EphemeralNews } from "../sync/messages.ts";
import { type ByteReader, type ByteWriter, DecodeError } from "./bytes.ts";
import { readNodeId } from "./origins.ts";

const CLOSED = 1;
const INCARNATION_BYTES = 8;
/** A name of one byte, two numbers, the incarnation. */
const AUTHOR_BYTES_MIN = 2 + 2 + INCARNATION_BYTES;
const NEWS_BYTES_MIN = AUTHOR_BYTES_MIN + 5;
/** A key of one byte, two numbers. */
const CELL_BYTES_MIN = 4;
/** As many may be removed as there may be. */
const CELLS_MAX = 2 * EPHEMERAL_ENTRIES_MAX;

export function writeEphemeral(writer: ByteWriter, { taken, held, news }: EphemeralNews): void {
  writer.varint(taken);
  writer.varint(held.length);
  for (const author of held) writeAuthor(writer, author);
  writer.varint(news.length);
  for (const each of news) writeNews(writer, each);
}

/** Keys are copied, values are views into the bytes. Throws DecodeError. */
export function readEphemeral(reader: ByteReader): EphemeralNews {
  const taken = reader.varint();
  const heldCount = reader.count(PEERS_MAX, AUTHOR_BYTES_MIN);
  const held = Array.from({ length: heldCount }, () => readAuthor(reader));
  const newsCount = reader.count(PEERS_MAX, NEWS_BYTES_MIN);
  const news = Array.from({ length: newsCount }, () => readNews(reader));
  return { type: "ephemeral", taken, held, news };
}

function writeAuthor(writer: ByteWriter, { nodeId, generation, incarnation, version }: AuthorVersion): void {
  writer.string(nodeId);
  writer.varint(generation);
  writer.hex(incarnation);
  writer.varint(version);
}

function readAuthor(reader: ByteReader): AuthorVersion {
  const nodeId = readNodeId(reader);
  const generation = reader.varint();
  const incarnation = reader.hex(INCARNATION_BYTES);
  return { nodeId, generation, incarnation, version: reader.varint() };
}

function writeNews(writer: ByteWriter, news: AuthorNews): void {
  writeAuthor(writer, news);
  writer.varint(news.from);
  writer.varint(news.leaseMs);
  writer.varint(news.ageMs);
  writer.u8(news.closed ? CLOSED : 0);
  writer.varint(news.cells.length);
  let before = news.from;
  for (const { key, version, value } of news.cells) {
    writer.string(key);
    writer.varint(version - before);
    before = version;
    writer.varint(value === null ? 0 : value.length + 1);
    if (value !== null) writer.raw(value);
  }
}

function readNews(reader: ByteReader): AuthorNews {
  const author = readAuthor(reader);
  const from = reader.varint();
  if (author.version === 0 || from >= author.version) throw new DecodeError("news of nothing");
  const leaseMs = reader.varint();
  if (leaseMs < EPHEMERAL_LEASE_MS_MIN || leaseMs > EPHEMERAL_LEASE_MS_MAX) throw new DecodeError("an absurd lease");
  const ageMs = reader.varint();
  const flags = reader.u8();
  if (flags > CLOSED) throw new DecodeError("unknown flags of news");
  return { ...author, from, leaseMs, ageMs, closed: flags === CLOSED, cells: readCells(reader, from, author.version) };
}

function readCells(reader: ByteReader, from: number, to: number): EphemeralCell[] {
  const count = reader.count(CELLS_MAX, CELL_BYTES_MIN);
  const cells: EphemeralCell[] = [];
  let version = from;
  let bytes = 0;
  for (let i = 0; i < count; i++) {
    const key = reader.string(KEY_BYTES_MAX);
    if (key === "") throw new DecodeError("an empty key");
    const step = reader.varint();
    if (step === 0 || step > to - version) throw new DecodeError("cells that are not in the order of their versions");
    version += step;
    const length = reader.varint();
    if (length > EPHEMERAL_VALUE_BYTES_MAX + 1) throw new DecodeError(`an ephemeral value of ${length - 1} bytes`);
    const value = length === 0 ? null : reader.bytes(length - 1);
    bytes += value === null ? 0 : value.length;
    if (bytes > EPHEMERAL_BYTES_MAX) throw new DecodeError("more than one process may have");
    cells.push({ key, value, version });
  }
  return cells;
}
