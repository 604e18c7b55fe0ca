/**
 * The end of the log: the segment that is written to. Appends, syncs and changes to the next segment,
 * one at a time. The first failure on the way to durability is final: the kernel may have dropped the
 * pages of a failed sync, so a second one that succeeds would prove nothing.
 */
import type { ByteWriter } from "../codec/bytes.ts";
import { encodeFileHeader, FILE_HEADER_BYTES, type FileHeader, FORMAT_VERSION } from "../codec/file-header.ts";
import { encodeOps } from "../codec/ops.ts";
import { PAYLOAD_BYTES_MAX, RECORD_HEADER_BYTES, type RecordMark, sealRecord } from "../codec/records.ts";
import type { StateOp } from "../core/ops.ts";
import { assert } from "../invariant.ts";
import type { Epoch, Lsn } from "../types.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { segmentName } from "./files.ts";
import type { LogPosition } from "./scan.ts";

/** The segment that a log goes on in. */
export interface OpenSegment extends LogPosition {
  readonly file: DiskFile;
  readonly header: FileHeader;
  /** Of the format. */
  readonly version: number;
  /** Seeds the checksums of its records. */
  readonly seed: number;
}

/** Where a segment begins: what a snapshot taken there has to say about the log. */
export type Cut = Pick<FileHeader, "number" | "records" | "lsn" | "chain">;

export class Wal {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #writer: ByteWriter;
  #segment: OpenSegment;
  #offset: number;
  #records: number;
  #chain: number;
  #lsn: Lsn;
  /** Everything of this segment before it is durable; segments before are. */
  #syncedOffset: number;
  #bytes = 0;
  #queue: Promise<unknown> = Promise.resolve();
  #syncing: Promise<void> | undefined;
  #failure: Error | undefined;

  /**
   * @param segment  durable up to its offset
   * @param lsn      the lsn behind the last record
   * @param writer   where records are put together; kept
   */
  constructor(disk: Disk, directory: string, segment: OpenSegment, lsn: Lsn, writer: ByteWriter) {
    this.#disk = disk;
    this.#directory = directory;
    this.#writer = writer;
    this.#segment = segment;
    this.#offset = segment.offset;
    this.#syncedOffset = segment.offset;
    this.#records = segment.records;
    this.#chain = segment.chain;
    this.#lsn = lsn;
  }

  /** The lsn behind the last record that was written. */
  get lsn(): Lsn {
    return this.#lsn;
  }

  /** Running number of the last record that was written. */
  get records(): number {
    return this.#records;
  }

  /** Bytes in the current segment. */
  get segmentBytes(): number {
    return this.#offset;
  }

  /** Whether the current segment has a format that is no longer written. */
  get isOutdated(): boolean {
    return this.#segment.version < FORMAT_VERSION.log;
  }

  /** Bytes written since the log was opened. */
  get bytes(): number {
    return this.#bytes;
  }

  get segmentNumber(): number {
    return this.#segment.header.number;
  }

  /** What the first failure was; from then on everything rejects with it. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Writes one record; not durable before `sync`. `lsn` is the one before the ops. */
  append(ops: readonly StateOp[], lsn: Lsn): Promise<void> {
    return this.#inOrder(async () => {
      assert(lsn === this.#lsn, "records follow one another in the change log");
      const writer = this.#writer;
      writer.reset();
      writer.skip(RECORD_HEADER_BYTES);
      encodeOps(writer, ops);
      assert(writer.length <= RECORD_HEADER_BYTES + PAYLOAD_BYTES_MAX, "a commit fits a record");
      let sets = 0;
      for (const op of ops) if (op.type === "set") sets += 1;
      await this.#write(writer.bytes(), lsn, "none");
      this.#lsn = lsn + sets;
    });
  }

  /** Makes everything durable that was written before the call. Never two syncs at a time. */
  async sync(): Promise<void> {
    const target = this.#offset;
    const segment = this.#segment;
    while (this.#segment === segment && this.#syncedOffset < target) {
      if (this.#syncing === undefined) this.#syncing = this.#sync();
      await this.#syncing;
    }
    this.#check();
  }

  /**
   * Ends the current segment, which becomes durable, and begins the next one; one that is still empty
   * stays. If only the beginning fails, the log goes on as before.
   */
  rotate(epoch: Epoch, salt: string): Promise<Cut> {
    return this.#inOrder(async () => {
      const { header, file } = this.#segment;
      const { number, records, lsn, chain } = header;
      if (this.#offset === FILE_HEADER_BYTES) return { number, records, lsn, chain };
      await this.sync();
      const cut: Cut = { number: number + 1, records: this.#records, lsn: this.#lsn, chain: this.#chain };
      const next = await this.#create({ ...header, ...cut, epoch, salt });
      try {
        // Only now, so that the seal proves that there was a next segment; a lost one shows.
        await this.#mark("sealed");
      } catch (error) {
        await next.file.close().catch(() => undefined);
        throw error;
      }
      this.#segment = next;
      this.#offset = next.offset;
      this.#syncedOffset = next.offset;
      this.#records = next.records;
      this.#chain = next.chain;
      await file.close();
      return cut;
    });
  }

  /** Marks the log as closed in good order and closes the file. Afterwards nothing may be called. */
  close(): Promise<void> {
    return this.#inOrder(async () => {
      await this.sync();
      await this.#mark("closed");
      await this.#segment.file.close();
    });
  }

  /** Closes the file and nothing else: after a failure. */
  async abandon(): Promise<void> {
    this.#fail(new Error("the log was closed"));
    await Promise.allSettled([this.#queue, this.#syncing]);
    await this.#segment.file.close().catch(() => undefined);
  }

  /** Writes a record without a payload, durably. */
  async #mark(mark: RecordMark): Promise<void> {
    await this.#write(new Uint8Array(RECORD_HEADER_BYTES), this.#lsn, mark);
    await this.sync();
  }

  async #write(record: Uint8Array, lsn: Lsn, mark: RecordMark): Promise<void> {
    const synced = this.#syncedOffset === this.#offset;
    const crc = sealRecord(record, this.#segment.seed, { chain: this.#chain, synced, mark, lsn });
    try {
      await this.#segment.file.write([record], this.#offset);
    } catch (error) {
      throw this.#fail(error);
    }
    this.#offset += record.length;
    this.#bytes += record.length;
    this.#records += 1;
    this.#chain = crc;
  }

  async #sync(): Promise<void> {
    this.#check();
    const offset = this.#offset;
    try {
      await this.#segment.file.sync();
    } catch (error) {
      throw this.#fail(error);
    } finally {
      this.#syncing = undefined;
    }
    this.#syncedOffset = offset;
  }

  async #create(header: FileHeader): Promise<OpenSegment> {
    try {
      return await createSegment(this.#disk, this.#directory, header);
    } catch (error) {
      // A segment that is left behind would contradict what the current one still gets.
      try {
        await this.#disk.remove(`${this.#directory}/${segmentName(header.number)}`);
        await this.#disk.syncDirectory(this.#directory);
      } catch {
        this.#fail(error);
      }
      throw error;
    }
  }

  #fail(error: unknown): Error {
    this.#failure ??= error instanceof Error ? error : new Error("the disk failed", { cause: error });
    return this.#failure;
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  #inOrder<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(() => {
      this.#check();
      return task();
    });
    this.#queue = result.catch(() => undefined);
    return result;
  }
}

/** Creates an empty segment, durable when the promise resolves: nothing may be written to it before. */
export async function createSegment(disk: Disk, directory: string, header: FileHeader): Promise<OpenSegment> {
  const bytes = encodeFileHeader(header);
  const file = await disk.create(`${directory}/${segmentName(header.number)}`);
  try {
    await file.write([bytes], 0);
    await file.sync();
    await disk.syncDirectory(directory);
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
  const { records, chain } = header;
  const version = FORMAT_VERSION.log;
  return { file, header, version, seed: seedOf(bytes), offset: FILE_HEADER_BYTES, records, chain };
}

/** The checksum at the end of a header. */
function seedOf(header: Uint8Array): number {
  return new DataView(header.buffer, header.byteOffset).getUint32(header.length - 4, true);
}
