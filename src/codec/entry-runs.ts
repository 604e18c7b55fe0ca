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
import { ENCODED_KEY_BYTES_MAX } from "./entries.ts";
import { EPOCH_BYTES, readNodeId } from "./origins.ts";
import { PAYLOAD_BYTES_MAX } from "./records.ts";

/** Of a value: the next width holds what a width does not. */
type Width = 0 | 1 | 2 | 4 | 8;

interface Column {
  readonly of: (run: EntryRun) => Float64Array;
  /** The values are from `min` to `max`. */
  readonly min: number;
  readonly max: number;
  /** Added to each value, so that none is below 0. */
  readonly shift: number;
}

/** In the order in which they are written. */
const COLUMNS: readonly Column[] = [
  { of: (run) => run.originIndexes, min: 0, max: ORIGINS_MAX - 1, shift: 0 },
  { of: (run) => run.lsns, min: 1, max: Number.MAX_SAFE_INTEGER, shift: 0 },
  { of: (run) => run.stamps, min: 1, max: Number.MAX_SAFE_INTEGER, shift: 0 },
  { of: (run) => run.seqs, min: 1, max: Number.MAX_SAFE_INTEGER, shift: 0 },
  { of: (run) => run.expiries, min: 0, max: Number.MAX_SAFE_INTEGER, shift: 0 },
  { of: (run) => run.keyLengths, min: 1, max: ENCODED_KEY_BYTES_MAX, shift: 0 },
  { of: (run) => run.valueLengths, min: 0, max: PAYLOAD_BYTES_MAX, shift: 1 },
];

export function encodeRun(writer: ByteWriter, run: EntryRun): void {
  const { count } = run;
  assert(count > 0, "a run has an entry");
  writer.varint(count);
  writer.varint(run.origins.length);
  for (const origin of run.origins) {
    writer.string(nodeIdOf(origin));
    writer.hex(epochOf(origin));
  }
  for (const { of, shift } of COLUMNS) writeColumn(writer, of(run), count, shift);
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
  for (const { of, min, max, shift } of COLUMNS) readColumn(reader, of(run), count, min, max, shift);
  for (let index = 0; index < count; index++) {
    if (run.originIndexes[index]! >= origins) throw new DecodeError("an origin that is not there");
    if (index > 0 && run.lsns[index]! <= run.lsns[index - 1]!) throw new DecodeError("an lsn does not ascend");
  }
  const hashes = viewOf(reader.bytes(count * 8));
  for (let at = 0; at < count * 2; at++) run.hashes[at] = hashes.getUint32(at * 4, true);
  if (!run.adopt(count, reader.bytes(reader.remaining))) throw new DecodeError("records of another length");
}

/** @param shift  added to each value */
function writeColumn(writer: ByteWriter, values: Float64Array, count: number, shift: number): void {
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
  shift: number,
): void {
  const width = reader.u8();
  if (widths.indexOf(width) < 0) throw new DecodeError("an unknown width");
  const least = reader.varint();
  const bytes = reader.bytes(count * width);
  const base = least - shift;
  let greatest = 0;
  if (width === 0) values.fill(base, 0, count);
  else greatest = readRests[width as Exclude<Width, 0>](viewOf(bytes), values, count, base);
  if (least < min || least + greatest > max) throw new DecodeError("a value out of its bounds");
}

/** Adds up `base` and each integer of the column. @returns the greatest integer */
type ReadRests = (view: DataView, values: Float64Array, count: number, base: number) => number;

/** A loop for each width: asking for it at every value would take half of the time. */
const readRests: Record<Exclude<Width, 0>, ReadRests> = {
  1(view, values, count, base) {
    let greatest = 0;
    for (let index = 0; index < count; index++) {
      const rest = view.getUint8(index);
      if (rest > greatest) greatest = rest;
      values[index] = base + rest;
    }
    return greatest;
  },
  2(view, values, count, base) {
    let greatest = 0;
    for (let index = 0; index < count; index++) {
      const rest = view.getUint16(index * 2, true);
      if (rest > greatest) greatest = rest;
      values[index] = base + rest;
    }
    return greatest;
  },
  4(view, values, count, base) {
    let greatest = 0;
    for (let index = 0; index < count; index++) {
      const rest = view.getUint32(index * 4, true);
      if (rest > greatest) greatest = rest;
      values[index] = base + rest;
    }
    return greatest;
  },
  8(view, values, count, base) {
    let greatest = 0;
    for (let index = 0; index < count; index++) {
      const rest = view.getUint32(index * 8 + 4, true) * 2 ** 32 + view.getUint32(index * 8, true);
      if (rest > greatest) greatest = rest;
      values[index] = base + rest;
    }
    return greatest;
  },
};

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
