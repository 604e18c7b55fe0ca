/** The binary dump as a stream: binary-format.ts has its bytes. */
import { isUtf8 } from "../codec/bytes.ts";
import { decodeKey, encodeKey } from "../codec/keys.ts";
import { decodeValue, encodeValue, isValue } from "../codec/values.ts";
import type { EntryInfo } from "../data/reader.ts";
import { ReplicaError } from "../errors.ts";
import {
  BLOCK_HEADER_BYTES,
  type BlockHeader,
  DUMP_MAGIC,
  type DumpedEntry,
  decodeBlock,
  decodeEnd,
  decodeHeader,
  END_PAYLOAD_BYTES,
  encodeBlock,
  encodeEnd,
  encodeEntry,
} from "./binary-format.ts";
import type { ReadEntry } from "./importer.ts";

const BLOCK_BYTES = 64 * 1024;
const NOTHING = new Uint8Array(0);

/** Turns entries into chunks of a dump. */
export function* binaryChunks(entries: Iterable<EntryInfo>): Generator<{ bytes: Uint8Array; entries: number }> {
  // Leaves with the first block, not before: the entries are those of the moment at which the iteration begins.
  let beginning = DUMP_MAGIC;
  let block: Uint8Array[] = [];
  let blockBytes = 0;
  let count = 0;
  for (const { key, value, expiresAt = 0 } of entries) {
    const entry = encodeEntry({ key: encodeKey(key), value: encodeValue(value), expiresAt });
    block.push(entry);
    blockBytes += entry.length;
    count += 1;
    if (blockBytes < BLOCK_BYTES) continue;
    yield { bytes: Buffer.concat([beginning, encodeBlock(block)]), entries: block.length };
    beginning = NOTHING;
    block = [];
    blockBytes = 0;
  }
  const last = block.length > 0 ? encodeBlock(block) : NOTHING;
  yield { bytes: Buffer.concat([beginning, last, encodeEnd(count)]), entries: block.length };
}

/** Whether a stream that begins with these bytes is a binary dump, of whatever version. */
export function isBinaryDump(beginning: Uint8Array): boolean {
  const name = DUMP_MAGIC.subarray(0, -1);
  return beginning.length >= name.length && Buffer.compare(beginning.subarray(0, name.length), name) === 0;
}

/** @throws ReplicaError ERR_CORRUPT if it is no dump, ERR_FORMAT_VERSION if it is one of a later version */
export async function* readBinary(source: AsyncIterable<Uint8Array | string>): AsyncGenerator<ReadEntry> {
  const reader = new Reader(source);
  const magic = await reader.take(DUMP_MAGIC.length);
  if (magic === undefined || !isBinaryDump(magic)) {
    throw new ReplicaError("ERR_CORRUPT", "this is no binary dump of wavekv: it begins with other bytes");
  }
  if (Buffer.compare(magic, DUMP_MAGIC) !== 0) {
    throw new ReplicaError("ERR_FORMAT_VERSION", "the dump was made by a later version of wavekv: import it with that");
  }
  let position = 0;
  for (;;) {
    const at = reader.offset;
    const header = await readBlockHeader(reader);
    if (header === undefined) {
      yield { type: "damaged", position: position + 1, reason: `nothing can be read from byte ${at} of the dump on` };
      return;
    }
    const isEnd = header.length === 0;
    const payload = await reader.take(isEnd ? END_PAYLOAD_BYTES : header.length);
    if (isEnd) {
      if (payload === undefined || decodeEnd(header, payload) !== position) {
        yield { type: "damaged", position: position + 1, reason: `the end of the dump, at byte ${at}, is damaged` };
      }
      return;
    }
    const entries = payload === undefined ? undefined : decodeBlock(header, payload);
    if (entries === undefined) {
      const reason = `the block at byte ${at} is damaged`;
      for (let index = 0; index < header.count; index++) yield { type: "damaged", position: ++position, reason };
    } else {
      for (const entry of entries) yield readEntry(++position, entry);
    }
  }
}

async function readBlockHeader(reader: Reader): Promise<BlockHeader | undefined> {
  const bytes = await reader.take(BLOCK_HEADER_BYTES);
  return bytes === undefined ? undefined : decodeHeader(bytes);
}

function readEntry(position: number, { key, value, expiresAt }: DumpedEntry): ReadEntry {
  if (!isUtf8(key, 0, key.length)) return { type: "damaged", position, reason: "the key is not UTF-8" };
  if (!isValue(value)) return { type: "damaged", position, reason: "the value is none" };
  const bytes = key.length + value.length;
  const expiry = expiresAt > 0 ? expiresAt : undefined;
  return { type: "entry", position, key: decodeKey(key), value: decodeValue(value), expiresAt: expiry, bytes };
}

/** Takes as many bytes as it is asked for, whatever the chunks in which they come. */
class Reader {
  readonly #chunks: AsyncIterator<Uint8Array | string>;
  #parts: Uint8Array[] = [];
  #held = 0;
  #offset = 0;

  constructor(source: AsyncIterable<Uint8Array | string>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  /** Bytes taken so far. */
  get offset(): number {
    return this.#offset;
  }

  /** @returns `undefined` if there are not so many left */
  async take(length: number): Promise<Uint8Array | undefined> {
    while (this.#held < length) {
      const next = await this.#chunks.next();
      if (next.done === true) return undefined;
      const chunk = typeof next.value === "string" ? Buffer.from(next.value, "latin1") : next.value;
      this.#parts.push(chunk);
      this.#held += chunk.length;
    }
    const bytes =
      this.#parts.length === 1 && this.#parts[0] !== undefined ? this.#parts[0] : Buffer.concat(this.#parts);
    this.#parts = [bytes.subarray(length)];
    this.#held -= length;
    this.#offset += length;
    return bytes.subarray(0, length);
  }
}
