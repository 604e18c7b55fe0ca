/**
 * Writes a snapshot of a state that goes on changing meanwhile.
 *
 * The entries are taken in the order of the change log, a block at a time; between two blocks writers
 * have their turn. An entry that is overwritten before its turn is not in the snapshot: its successor
 * lies behind the cut, in the log. So the snapshot is complete only together with the log up to the
 * lsn that the state had when the last entry was taken, and it says so (FORMAT.md has the argument).
 */
import { createHash } from "node:crypto";
import { ByteWriter } from "../codec/bytes.ts";
import { encodeRun } from "../codec/entry-runs.ts";
import { encodeFileHeader, type FileHeader } from "../codec/file-header.ts";
import { encodeOps } from "../codec/ops.ts";
import {
  BLOCK_HEADER_BYTES,
  type BlockKind,
  encodeFooter,
  encodeOrder,
  ORDER_PIECE_MAX,
  sealBlock,
} from "../codec/snapshots.ts";
import type { CoreState } from "../core/core-state.ts";
import { EntryRun } from "../core/entry-run.ts";
import type { StateOp } from "../core/ops.ts";
import { ReplicaError } from "../errors.ts";
import { epochOf, type Lsn } from "../types.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { replaceFile, snapshotName } from "./files.ts";
import { EntryNumbers } from "./snapshot-order.ts";
import { checkSnapshot } from "./snapshot-reader.ts";
import type { Cut } from "./wal.ts";

/** A block is closed once it has this many bytes: about 1 ms of work between two turns of the event loop. */
const BLOCK_BYTES = 64 * 1024;
/** And this many ops. */
const BLOCK_OPS_MAX = 512;
/** Pieces of the order in a block: of up to 512 keys. */
const BLOCK_PIECES = 8;

export interface SnapshotRequest {
  readonly disk: Disk;
  readonly directory: string;
  /** Its lsn is that of the log when the walk begins: everything in `state` behind it goes to later records. */
  readonly cut: Cut;
  readonly state: CoreState;
  readonly clusterId: string;
  readonly nodeId: FileHeader["nodeId"];
  readonly salt: string;
  /** Resolves when the log is durable through `lsn`, with the number of its records then. */
  readonly untilDurable: (lsn: Lsn) => Promise<number>;
  /** Called between two blocks; what it throws ends the work. */
  readonly checkAbort: () => void;
}

/**
 * Resolves when the snapshot is durable and was read back; bytes of the file. The bookkeeping of the
 * state is taken before the first wait. Leaves at most a temporary file when it rejects.
 */
export function writeSnapshot(request: SnapshotRequest): Promise<number> {
  const { disk, directory, cut, state, clusterId, nodeId, salt, checkAbort } = request;
  const bookkeeping = bookkeepingOf(state);
  const epoch = epochOf(state.origin);
  const header = encodeFileHeader({ ...cut, kind: "snapshot", epoch, salt, clusterId, nodeId });
  let bytes = 0;
  return replaceFile(disk, directory, snapshotName(cut.number), async (file) => {
    const output = new SnapshotOutput(file, header);
    await output.begin();
    for (let from = 0; from < bookkeeping.length; from += BLOCK_OPS_MAX) {
      await output.block("ops", (writer) => encodeOps(writer, bookkeeping.slice(from, from + BLOCK_OPS_MAX)));
    }
    const numbers = new EntryNumbers();
    const entries = await writeEntries(output, state, cut.lsn, numbers, checkAbort);
    await writeOrder(output, state, cut.lsn, numbers, checkAbort);
    // What was taken up to here may rest on records that are still under way.
    const endLsn = state.lsn;
    const requiredRecords = await request.untilDurable(endLsn);
    await output.end({ entries, requiredRecords, endLsn });
    await file.sync();
    if (!(await checkSnapshot(file))) throw new ReplicaError("ERR_CORRUPT", "a snapshot did not read back as written");
    bytes = output.bytes;
  }).then(() => bytes);
}

/** Everything but the entries, as ops that bring it back. */
function bookkeepingOf(state: CoreState): StateOp[] {
  const ops: StateOp[] = [{ type: "lease", stamp: state.lease }];
  for (const [origin, seq] of state.covered) ops.push({ type: "cover", origin, seq });
  for (const [origin, seq] of state.frontier) ops.push({ type: "frontier", origin, seq });
  for (const [peer, vector] of state.acked) {
    for (const [origin, seq] of vector) ops.push({ type: "ack", peer, origin, seq });
  }
  return ops;
}

async function writeEntries(
  output: SnapshotOutput,
  { table }: CoreState,
  cutLsn: Lsn,
  numbers: EntryNumbers,
  checkAbort: () => void,
): Promise<number> {
  const run = new EntryRun();
  let written = 0;
  for (let lsn = 0; ; lsn = run.lsns[run.count - 1] ?? 0) {
    checkAbort();
    table.copyChanges(run, lsn, cutLsn, BLOCK_BYTES);
    if (run.count === 0) return written;
    written += run.count;
    numbers.add(run);
    await output.block("columns", (writer) => encodeRun(writer, run));
  }
}

/** The order of the keys as it is now, of the entries that were written and are as they were. */
async function writeOrder(
  output: SnapshotOutput,
  { table }: CoreState,
  cutLsn: Lsn,
  numbers: EntryNumbers,
  checkAbort: () => void,
): Promise<void> {
  const cells = new Uint32Array(ORDER_PIECE_MAX * 2);
  for (let key: Uint8Array | undefined, atEnd = false; !atEnd; ) {
    checkAbort();
    await output.block("order", (writer) => {
      for (let pieces = 0; pieces < BLOCK_PIECES && !atEnd; pieces += 1) {
        const piece = table.orderAbove(key);
        atEnd = piece === undefined;
        if (piece === undefined) break;
        const length = numbers.take(piece.cells, table, cutLsn, cells);
        if (length > 0) encodeOrder(writer, piece.sharedLength, cells, length);
        key = table.keyAt(piece.cells.at(-1) ?? 0).slice();
      }
    });
  }
  for (const rest of numbers.rest()) {
    checkAbort();
    await output.block("unordered", (writer) => {
      for (const number of rest) writer.u32(number);
    });
  }
}

class SnapshotOutput {
  readonly #file: DiskFile;
  readonly #header: Uint8Array;
  readonly #writer = new ByteWriter();
  readonly #hash = createHash("sha256");
  #seed: number;
  bytes = 0;

  constructor(file: DiskFile, header: Uint8Array) {
    this.#file = file;
    this.#header = header;
    this.#seed = new DataView(header.buffer, header.byteOffset).getUint32(header.length - 4, true);
  }

  begin(): Promise<void> {
    return this.#put(this.#header);
  }

  /** A block of which nothing is written is none. */
  async block(kind: BlockKind, encode: (writer: ByteWriter) => void): Promise<void> {
    this.#writer.reset();
    this.#writer.skip(BLOCK_HEADER_BYTES);
    encode(this.#writer);
    if (this.#writer.length > BLOCK_HEADER_BYTES) await this.#seal(this.#writer.bytes(), kind);
  }

  end(counters: { entries: number; requiredRecords: number; endLsn: Lsn }): Promise<void> {
    return this.#seal(encodeFooter({ ...counters, sha256: this.#hash.copy().digest() }), "footer");
  }

  #seal(block: Uint8Array, kind: BlockKind): Promise<void> {
    this.#seed = sealBlock(block, kind, this.#seed);
    return this.#put(block);
  }

  async #put(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    await this.#file.write([bytes], this.bytes);
    this.bytes += bytes.length;
  }
}
