/** Reads snapshots: into a state when a store opens, or only to see whether they are whole. */
import { createHash } from "node:crypto";
import { DecodeError } from "../codec/bytes.ts";
import { FILE_HEADER_BYTES, FILE_HEADER_BYTES_MAX, type FileHeader, parseFileHeader } from "../codec/file-header.ts";
import { decodeOps } from "../codec/ops.ts";
import {
  BLOCK_HEADER_BYTES,
  type BlockKind,
  blockCrc,
  decodeEntriesBlock,
  decodeFooter,
  type Footer,
  parseBlockHeader,
} from "../codec/snapshots.ts";
import type { CoreState } from "../core/core-state.ts";
import { makeOrigin } from "../types.ts";
import type { DiskFile } from "./disk.ts";
import { ReadAhead } from "./read-ahead.ts";

/** Read at once, and worked through between two turns of the event loop; a block may be larger. */
const PIECE_BYTES = 64 * 1024;

/** Gets each block but the footer, valid during the call. A DecodeError from here means a damaged snapshot. */
type OnBlock = (kind: BlockKind, payload: Uint8Array, fileBytes: number) => void;

/**
 * Loads a snapshot into a fresh state.
 *
 * @param header      of this file, as parsed
 * @param seed        checksum of the header
 * @param onProgress  bytes read so far
 * @returns undefined if anything of it is damaged: the state is to be thrown away then
 * @throws what the disk throws
 */
export async function loadSnapshot(
  file: DiskFile,
  header: FileHeader,
  seed: number,
  state: CoreState,
  onProgress: (bytes: number) => void,
): Promise<Footer | undefined> {
  let entries = 0;
  const footer = await readBlocks(file, seed, (kind, payload, fileBytes) => {
    if (kind === "ops") {
      for (const op of decodeOps(payload)) state.execute(op);
    } else {
      const block = decodeEntriesBlock(payload);
      block.entries.forEach((entry, index) => {
        const lsn = block.lsns[index] ?? 0;
        if (lsn <= state.lsn || lsn > header.lsn) throw new DecodeError("an entry out of its place");
        state.load(entry, lsn);
      });
      entries += block.entries.length;
    }
    onProgress(fileBytes);
  });
  if (footer === undefined || footer.entries !== entries) return undefined;
  state.loaded(header.lsn, makeOrigin(header.nodeId, header.epoch));
  return footer;
}

/** Whether the file is a whole snapshot, down to the SHA-256. @throws what the disk throws */
export async function checkSnapshot(file: DiskFile): Promise<boolean> {
  const head = Buffer.alloc(FILE_HEADER_BYTES_MAX);
  const parsed = parseFileHeader(head.subarray(0, await file.read(head, 0)), "snapshot");
  if (parsed.type !== "header") return false;
  const hash = createHash("sha256").update(head.subarray(0, FILE_HEADER_BYTES));
  const footer = await readBlocks(file, parsed.crc, (_kind, _payload, _bytes, block) => hash.update(block));
  return footer !== undefined && hash.digest().equals(footer.sha256);
}

async function readBlocks(
  file: DiskFile,
  seed: number,
  onBlock: (...block: [...Parameters<OnBlock>, whole: Uint8Array]) => void,
): Promise<Footer | undefined> {
  const input = new ReadAhead(file, FILE_HEADER_BYTES, await file.size(), PIECE_BYTES);
  try {
    return await readFrom(input, seed, onBlock);
  } finally {
    await input.settle();
  }
}

async function readFrom(
  input: ReadAhead,
  seed: number,
  onBlock: (...block: [...Parameters<OnBlock>, whole: Uint8Array]) => void,
): Promise<Footer | undefined> {
  for (let position = FILE_HEADER_BYTES; ; ) {
    if (!(await input.fill(BLOCK_HEADER_BYTES))) return undefined;
    const header = parseBlockHeader(input.bytes);
    if (header === undefined) return undefined;
    const wanted = BLOCK_HEADER_BYTES + header.length;
    if (!(await input.fill(wanted))) return undefined;
    const block = input.bytes.subarray(0, wanted);
    if (blockCrc(block, seed) !== header.crc) return undefined;
    seed = header.crc;
    position += wanted;
    input.skip(wanted);
    const payload = block.subarray(BLOCK_HEADER_BYTES);
    try {
      if (header.kind === "footer") return (await input.fill(1)) ? undefined : decodeFooter(payload);
      onBlock(header.kind, payload, position, block);
    } catch (error) {
      if (error instanceof DecodeError) return undefined;
      throw error;
    }
  }
}
