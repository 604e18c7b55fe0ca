/**
 * Runs of entries, column by column, as snapshots have them; storage/FORMAT.md has the table. A column is
 * written against its least value, in as few bytes each as the greatest needs: read in one tight loop, and
 * hardly larger than varints, since what stands side by side in the change log is alike.
 */
import type { EntryRun } from "../core/entry-run.ts";
import { assert } from "../invariant.ts";
import { ORIGINS_MAX } from "../limits.ts";
import { epochOf, isEpoch, makeOrigin, nodeIdOf } from "../types.ts";
import { ByteReader, type ByteWriter, DecodeError } from "./bytes.ts";
import { ENCODED_KEY_BYTES_MAX, EPOCH_BYTES, readNodeId } from "./entries.ts";

/** Of a value: the next width holds what a width does not. */
type Width = 0 | 1 | 2 | 4 | 8;

export function encodeRun(writer: ByteWriter, run: EntryRun): void {
  const { count } = run;
  assert(count > 0, "a run has an entry");
  writer.varint(count);
  writer.varint(run.origins.length);
  for (const origin of run.origins) {
    writer.string(nodeIdOf(origin));
    writer.hex(epochOf(origin));
  }
  writeColumn(writer, run.originIndexes, count);
  writeColumn(writer, run.lsns, count);
  writeColumn(writer, run.stamps, count);
  writeColumn(writer, run.seqs, count);
  writeColumn(writer, run.expiries, count);
  writeColumn(writer, run.keyLengths, count);
  writeColumn(writer, run.valueLengths, count, 1);
  for (let at = 0; at < count * 2; at++) writer.u32(run.hashes[at]!);
  writer.raw(run.bytes.subarray(0, run.byteLength));
}

/** Fills `run` with what `encodeRun` wrote, its bytes a view into `payload`. @throws DecodeError; `run` holds nothing of use then */
export function decodeRun(payload: Uint8Array, run: EntryRun): void {
  const reader = new ByteReader(payload);
  run.reset();
  const count = reader.varint();
  if (count === 0 || count > run.lsns.length) throw new DecodeError("an impossible number of entries");
  const origins = reader.count(ORIGINS_MAX, EPOCH_BYTES + 2);
  for (let index = 0; index < origins; index++) {
    const nodeId = readNodeId(reader);
    const epoch = reader.hex(EPOCH_BYTES);
    if (!isEpoch(epoch)) throw new DecodeError("an epoch that is none");
    run.origins.push(makeOrigin(nodeId, epoch));
  }
  readColumn(reader, run.originIndexes, count, 0, origins - 1);
  readColumn(reader, run.lsns, count, 1, Number.MAX_SAFE_INTEGER);
  for (let index = 1; index < count; index++) {
    if (run.lsns[index]! <= run.lsns[index - 1]!) throw new DecodeError("an lsn does not ascend");
  }
  readColumn(reader, run.stamps, count, 1, Number.MAX_SAFE_INTEGER);
  readColumn(reader, run.seqs, count, 1, Number.MAX_SAFE_INTEGER);
  readColumn(reader, run.expiries, count, 0, Number.MAX_SAFE_INTEGER);
  readColumn(reader, run.keyLengths, count, 1, ENCODED_KEY_BYTES_MAX);
  readColumn(reader, run.valueLengths, count, 0, payload.length + 1, 1);
  const hashes = viewOf(reader.bytes(count * 8));
  for (let at = 0; at < count * 2; at++) run.hashes[at] = hashes.getUint32(at * 4, true);
  run.adopt(count, reader.bytes(reader.remaining));
  if (run.recordsLength() !== run.byteLength) throw new DecodeError("records of another length");
}

/** @param shift  added to each value, so that none is below 0 */
function writeColumn(writer: ByteWriter, values: Float64Array, count: number, shift = 0): void {
  let least = values[0]!;
  let greatest = least;
  for (let index = 1; index < count; index++) {
    const value = values[index]!;
    if (value < least) least = value;
    else if (value > greatest) greatest = value;
  }
  const width = widthOf(greatest - least);
  writer.u8(width);
  writer.varint(least + shift);
  for (let index = 0; index < count && width > 0; index++) {
    const rest = values[index]! - least;
    if (width === 1) writer.u8(rest);
    else if (width === 2) writer.u16(rest);
    else writer.u32(rest % 2 ** 32);
    if (width === 8) writer.u32(Math.floor(rest / 2 ** 32));
  }
}

/** Reads a column whose values are from `min` to `max`, and takes `shift` off each. */
function readColumn(
  reader: ByteReader,
  values: Float64Array,
  count: number,
  min: number,
  max: number,
  shift = 0,
): void {
  const width = reader.u8();
  if (widths.indexOf(width) < 0) throw new DecodeError("an unknown width");
  const least = reader.varint();
  const view = viewOf(reader.bytes(count * width));
  const base = least - shift;
  let greatest = 0;
  for (let index = 0; index < count; index++) {
    const rest = width === 0 ? 0 : restAt(view, index, width);
    if (rest > greatest) greatest = rest;
    values[index] = base + rest;
  }
  if (least < min || least + greatest > max) throw new DecodeError("a value out of its bounds");
}

function restAt(view: DataView, index: number, width: number): number {
  if (width === 1) return view.getUint8(index);
  if (width === 2) return view.getUint16(index * 2, true);
  if (width === 4) return view.getUint32(index * 4, true);
  return view.getUint32(index * 8 + 4, true) * 2 ** 32 + view.getUint32(index * 8, true);
}

const widths: readonly number[] = [0, 1, 2, 4, 8] satisfies Width[];

function widthOf(range: number): Width {
  if (range === 0) return 0;
  if (range < 2 ** 8) return 1;
  if (range < 2 ** 16) return 2;
  return range < 2 ** 32 ? 4 : 8;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
