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
import { encodeFileHeader, type FileHeader } from "../codec/file-header.ts";
import { encodeOps } from "../codec/ops.ts";
import { BLOCK_HEADER_BYTES, type BlockKind, encodeEntriesBlock, encodeFooter, sealBlock } from "../codec/snapshots.ts";
import type { CoreState } from "../core/core-state.ts";
import type { StateOp } from "../core/ops.ts";
import { NO_SLOT } from "../core/table.ts";
import { ReplicaError } from "../errors.ts";
import { type Entry, epochOf, type Lsn } from "../types.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { replaceFile, snapshotName } from "./files.ts";
import { checkSnapshot } from "./snapshot-reader.ts";
import type { Cut } from "./wal.ts";

/** A block is closed once it has this many bytes or entries: about 1 ms of work between two turns of the event loop. */
const BLOCK_BYTES = 64 * 1024;
const BLOCK_ENTRIES_MAX = 512;

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
    for (let from = 0; from < bookkeeping.length; from += BLOCK_ENTRIES_MAX) {
      await output.block("ops", (writer) => encodeOps(writer, bookkeeping.slice(from, from + BLOCK_ENTRIES_MAX)));
    }
    const entries = await writeEntries(output, state, cut.lsn, checkAbort);
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
  checkAbort: () => void,
): Promise<number> {
  let written = 0;
  for (let lsn = 0; ; ) {
    checkAbort();
    const entries: Entry[] = [];
    const lsns: Lsn[] = [];
    for (let bytes = 0; bytes < BLOCK_BYTES && entries.length < BLOCK_ENTRIES_MAX; ) {
      const slot = table.nextChange(lsn);
      if (slot === NO_SLOT || table.lsnAt(slot) > cutLsn) break;
      lsn = table.lsnAt(slot);
      const entry = table.entryAt(slot);
      entries.push(entry);
      lsns.push(lsn);
      bytes += entry.key.length + (entry.value?.length ?? 0);
    }
    if (entries.length === 0) return written;
    written += entries.length;
    // Encoded before anything else can run: the entries are views into the table.
    await output.block("entries", (writer) => encodeEntriesBlock(writer, entries, lsns));
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

  block(kind: BlockKind, encode: (writer: ByteWriter) => void): Promise<void> {
    this.#writer.reset();
    this.#writer.skip(BLOCK_HEADER_BYTES);
    encode(this.#writer);
    return this.#seal(this.#writer.bytes(), kind);
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
