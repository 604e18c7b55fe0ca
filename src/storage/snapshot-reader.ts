/** Reads snapshots: into a state when a store opens, or only to see whether they are whole. */
import { createHash } from "node:crypto";
import { DecodeError } from "../codec/bytes.ts";
import { decodeRun } from "../codec/entry-runs.ts";
import { FILE_HEADER_BYTES, FILE_HEADER_BYTES_MAX, type FileHeader, parseFileHeader } from "../codec/file-header.ts";
import { decodeOps } from "../codec/ops.ts";
import {
  BLOCK_HEADER_BYTES,
  type BlockKind,
  blockCrc,
  decodeEntriesBlock,
  decodeFooter,
  decodeOrder,
  decodeUnordered,
  type Footer,
  parseBlockHeader,
} from "../codec/snapshots.ts";
import type { CoreState } from "../core/core-state.ts";
import { EntryRun } from "../core/entry-run.ts";
import { unreachable } from "../invariant.ts";
import { type Lsn, makeOrigin } from "../types.ts";
import type { DiskFile } from "./disk.ts";
import { ReadAhead } from "./read-ahead.ts";
import { OrderLoader } from "./snapshot-order.ts";

/** Read at once, and worked through between two turns of the event loop; a block may be larger. */
const PIECE_BYTES = 128 * 1024;
/** As much as a block has. */
const FIRST_PIECE_BYTES = 64 * 1024;

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
  const loading = new Loading(state, header.lsn);
  const footer = await readBlocks(file, seed, (kind, payload, fileBytes) => {
    loading.take(kind, payload);
    onProgress(fileBytes);
  });
  if (footer === undefined || !loading.isWhole(footer)) return undefined;
  // Most of it is done by now: only if there is little order, as among tombstones, much is left.
  while (!loading.indexNext()) await turnOf(file);
  if (loading.isTwice) return undefined;
  state.loaded(header.lsn, makeOrigin(header.nodeId, header.epoch));
  return footer;
}

/** What the blocks of a snapshot make of a fresh state. */
class Loading {
  readonly #state: CoreState;
  readonly #lsnMax: Lsn;
  readonly #run = new EntryRun();
  readonly #order: OrderLoader;
  #entries = 0;
  #format: BlockKind | undefined;
  /** Begun behind the last entry. */
  #indexing: Generator<undefined, boolean> | undefined;
  #isTwice = false;

  constructor(state: CoreState, lsnMax: Lsn) {
    this.#state = state;
    this.#lsnMax = lsnMax;
    this.#order = new OrderLoader(state.table);
  }

  /** @throws DecodeError */
  take(kind: BlockKind, payload: Uint8Array): void {
    switch (kind) {
      case "ops":
        for (const op of decodeOps(payload)) this.#state.execute(op);
        return;
      case "columns":
        return this.#takeColumns(payload);
      case "order":
        this.indexNext();
        for (const piece of decodeOrder(payload)) this.#order.add(piece);
        return;
      case "unordered":
        this.indexNext();
        return this.#order.addUnordered(decodeUnordered(payload));
      case "entries":
        return this.#takeEntries(payload);
      case "footer":
        return;
      default:
        unreachable(kind);
    }
  }

  /** Whether everything is there and in order. */
  isWhole(footer: Footer): boolean {
    return footer.entries === this.#entries && this.#order.left === 0;
  }

  /** Whether a key came twice; certain once `indexNext` was true. */
  get isTwice(): boolean {
    return this.#isTwice;
  }

  /** Goes on to make the keys of columns known, a step at a time. Returns whether it is done. */
  indexNext(): boolean {
    if (this.#format !== "columns") return true;
    this.#indexing ??= this.#state.table.loaded();
    const { done = false, value } = this.#indexing.next();
    this.#isTwice ||= value === false;
    return done;
  }

  #takeColumns(payload: Uint8Array): void {
    const run = this.#run;
    decodeRun(payload, run);
    this.#checkPlaces(run.lsns[0] ?? 0, run.lsns[run.count - 1] ?? 0);
    this.#expectFormat("columns");
    this.#state.loadRun(run);
    this.#order.expect(run);
    this.#entries += run.count;
  }

  #expectFormat(format: BlockKind): void {
    if (this.#indexing !== undefined) throw new DecodeError("entries behind the order");
    this.#format ??= format;
    if (this.#format !== format) throw new DecodeError("entries of two formats");
  }

  /** Of format 1: one by one. */
  #takeEntries(payload: Uint8Array): void {
    this.#expectFormat("entries");
    const { entries, lsns } = decodeEntriesBlock(payload);
    entries.forEach((entry, index) => {
      const lsn = lsns[index] ?? 0;
      this.#checkPlaces(lsn, lsn);
      this.#state.load(entry, lsn);
    });
    this.#entries += entries.length;
  }

  #checkPlaces(first: Lsn, last: Lsn): void {
    if (first <= this.#state.lsn || last > this.#lsnMax) throw new DecodeError("an entry out of its place");
  }
}

/** Lets others have a turn of the event loop: as reading does, by asking the disk for something. */
async function turnOf(file: DiskFile): Promise<void> {
  await file.size();
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
  const input = new ReadAhead(file, FILE_HEADER_BYTES, await file.size(), PIECE_BYTES, FIRST_PIECE_BYTES);
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
