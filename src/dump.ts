/**
 * Carries entries out of a replica and into one, as a stream: JSON lines for people and other programs, or a binary
 * dump, which is smaller and shows when it was cut short. Keys, values of every kind and times of expiry survive;
 * authors, versions and tombstones do not: what is imported is written anew, by the importing replica.
 */
import type { Writable } from "node:stream";
import { checkFlag, checkSignal, knownFields } from "./arguments.ts";
import { systemClock } from "./clock.ts";
import { KEY_RANGE_FIELDS, type KeyRange } from "./data/key-ranges.ts";
import type { EntryInfo } from "./data/reader.ts";
import { binaryChunks, readBinary } from "./dump/binary.ts";
import { Importer, type ImportOptions, type ImportReport, type ReadEntry } from "./dump/importer.ts";
import { jsonChunks, readJson } from "./dump/json-lines.ts";
import { Sink } from "./dump/sink.ts";
import { ReplicaError } from "./errors.ts";
import type { Replica } from "./replica.ts";

export type { ImportOptions, ImportProgress, ImportReport, SkippedEntry } from "./dump/importer.ts";

export interface ExportProgress {
  readonly entries: number;
  readonly bytes: number;
}

/** The keys to export; all of them by default. */
export interface ExportOptions extends KeyRange {
  /** Called after every 64 KiB, about. */
  readonly onProgress?: (progress: ExportProgress) => void;
  /** Ends the export: it rejects with the reason. */
  readonly signal?: AbortSignal;
}

/** What was written: all of it, once the export resolves. */
export interface ExportReport {
  readonly entries: number;
  readonly bytes: number;
}

/** What can be imported: a stream of Node, or anything else that gives chunks. */
export type ImportSource = AsyncIterable<Uint8Array | string>;

/**
 * Writes one line of JSON for each entry, in the order of the keys, as of the moment of the call: writes meanwhile do
 * not disturb it. Waits when `target` does, and does not end it.
 *
 * @throws ReplicaError ERR_OPTION, ERR_CLOSED; what `target` fails with; the reason of `signal`
 */
export function exportJson(replica: Replica, target: Writable, options: ExportOptions = {}): Promise<ExportReport> {
  return exported(replica, target, options, jsonChunks);
}

/** As `exportJson`, in the binary form. */
export function exportBinary(replica: Replica, target: Writable, options: ExportOptions = {}): Promise<ExportReport> {
  return exported(replica, target, options, binaryChunks);
}

/**
 * Writes the entries of JSON lines into the replica, in batches, each of which is durable before more is read. Lines
 * that are damaged or refused are left out and reported with their number.
 *
 * @throws ReplicaError ERR_OPTION, ERR_READ_ONLY, ERR_CLOSED, ERR_STORAGE_FAILED, ERR_STORAGE_FULL, ERR_LIMIT when the
 *   store is full, ERR_CORRUPT with `strict`; what `source` fails with; the reason of `signal`. What `onProgress` has
 *   told of is in the store then: go on with `after`
 */
export function importJson(replica: Replica, source: ImportSource, options: ImportOptions = {}): Promise<ImportReport> {
  return imported(replica, source, options, readJson);
}

/**
 * As `importJson`, from a binary dump. A damaged block costs its own entries; a dump that was cut short gives what is
 * there, and a problem at its end. @throws as `importJson`; ERR_CORRUPT if it is no dump, ERR_FORMAT_VERSION
 */
export function importBinary(
  replica: Replica,
  source: ImportSource,
  options: ImportOptions = {},
): Promise<ImportReport> {
  return imported(replica, source, options, readBinary);
}

type Chunks = (entries: Iterable<EntryInfo>) => Iterable<{ readonly bytes: Uint8Array; readonly entries: number }>;

async function exported(
  replica: Replica,
  target: Writable,
  options: ExportOptions,
  chunks: Chunks,
): Promise<ExportReport> {
  knownFields(options, ["onProgress", "signal", ...KEY_RANGE_FIELDS], "an export");
  const { onProgress, signal, ...range } = options;
  checkSignal(signal);
  let entries = 0;
  const sink = new Sink(target, signal);
  try {
    for (const chunk of chunks(replica.infos(range))) {
      await sink.write(chunk.bytes);
      entries += chunk.entries;
      onProgress?.({ entries, bytes: sink.bytes });
    }
  } finally {
    sink.release();
  }
  return { entries, bytes: sink.bytes };
}

async function imported(
  replica: Replica,
  source: ImportSource,
  options: ImportOptions,
  read: (source: ImportSource) => AsyncIterable<ReadEntry>,
): Promise<ImportReport> {
  knownFields(options, ["after", "existing", "strict", "onProgress", "onSkip", "signal", "clock"], "an import");
  const { after = 0, existing = "replace", strict = false, signal, clock = systemClock } = options;
  checkFlag("strict", strict);
  checkSignal(signal);
  if (!Number.isSafeInteger(after) || after < 0)
    throw new ReplicaError("ERR_OPTION", "after takes a whole number from 0 on");
  if (!["replace", "keep"].includes(existing))
    throw new ReplicaError("ERR_OPTION", 'existing takes "replace" or "keep"');
  let bytes = 0;
  const onChunk = (chunk: Uint8Array | string): void => {
    bytes += chunk.length;
  };
  const importer = new Importer(replica, options, clock, () => bytes);
  for await (const entry of read(chunksOf(source, signal, onChunk))) await importer.add(entry);
  return await importer.end();
}

/** The chunks of a source, until `signal` aborts: also while the source has nothing to say. */
async function* chunksOf(
  source: ImportSource,
  signal: AbortSignal | undefined,
  onChunk: (chunk: Uint8Array | string) => void,
): AsyncGenerator<Uint8Array | string, undefined> {
  signal?.throwIfAborted();
  const chunks = source[Symbol.asyncIterator]();
  let abort: (reason: unknown) => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    abort = reject;
  });
  const onAbort = (): void => abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    for (;;) {
      const next = await Promise.race([chunks.next(), aborted]);
      if (next.done === true) return undefined;
      onChunk(next.value);
      yield next.value;
    }
  } finally {
    signal?.removeEventListener("abort", onAbort);
    // Not awaited: a source that waits for its next chunk may answer late, or never.
    chunks.return?.().catch(() => undefined);
  }
}
