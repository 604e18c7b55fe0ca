/** Executes ops and gathers them, with what depends on them, until the driver makes them durable. */
import type { CoreState } from "../core/core-state.ts";
import type { StateOp } from "../core/ops.ts";
import { VersionVector } from "../core/version-vector.ts";
import { READY_BYTES_MAX, READY_OPS_MAX, READY_TRANSFER_OPS_MAX } from "../limits.ts";
import type { Lsn, Origin, Seq } from "../types.ts";
import type { AppliedBatch, Change, Ready } from "./committed.ts";

/** What one step of the replicator did: enters one record whole. Its arrays are given away. */
export interface Unit {
  readonly ops: StateOp[];
  readonly batch: AppliedBatch;
  readonly changes: Change[];
}

/**
 * A record to come. Units are joined as they are made, so that nothing but their entries waits with them: thousands of
 * writers each have one under way, and what waits is what the collector of garbage copies, again and again.
 */
interface Gathered {
  readonly ops: StateOp[];
  readonly batches: AppliedBatch[];
  readonly changes: Change[];
  /** By what coverage grows; one origin may be there several times. */
  readonly coverage: [Origin, Seq][];
  bytes: number;
  end: Lsn;
  /** Whether it is worth a record: of mere bookkeeping, none waits for the disk. */
  isDue: boolean;
}

export class Pending {
  readonly #state: CoreState;
  /** Only the last one still takes units. */
  readonly #records: Gathered[] = [];
  #taken: Lsn;
  /** Of the record that was taken last, which may be on its way to the disk. */
  #takenCoverage: [Origin, Seq][] = [];

  constructor(state: CoreState) {
    this.#state = state;
    this.#taken = state.lsn;
  }

  /** Whether there is a record to take. */
  get isDue(): boolean {
    const [first] = this.#records;
    return first?.isDue === true || this.#records.length > 1;
  }

  /** A whole record waits for the one before it. */
  get isLong(): boolean {
    return this.#records.length > 1;
  }

  /**
   * Adds a unit whose ops have just been executed: to the last record if it has room, else to a new one.
   *
   * @param isPatient  nobody waits for it: it goes with the next record, or with one that `hurry` makes due
   */
  add(unit: Unit, isPatient = false): void {
    const bytes = bytesOf(unit.ops);
    for (const op of unit.ops) if (op.type === "uncover") this.#uncover(op.origin, op.seq);
    let record = this.#records.at(-1);
    if (record !== undefined && hasRoom(record, unit, bytes)) join(record, unit);
    else {
      const { ops, batch, changes } = unit;
      record = { ops, batches: [batch], changes, coverage: coverageOf(unit), bytes: 0, end: 0, isDue: false };
      this.#records.push(record);
    }
    record.bytes += bytes;
    record.end = this.#state.lsn;
    if (!isPatient) record.isDue = true;
  }

  /** What was covered under numbers that are in doubt now is so no longer, when the records are durable that said it. */
  #uncover(origin: Origin, seq: Seq): void {
    for (const coverage of [this.#takenCoverage, ...this.#records.map((record) => record.coverage)]) {
      for (const pair of coverage) if (pair[0] === origin && pair[1] > seq) pair[1] = seq;
    }
  }

  /** What was patient has waited long enough. */
  hurry(): void {
    const last = this.#records.at(-1);
    if (last !== undefined) last.isDue = true;
  }

  /** The next record: as many units as fit, at least one; `undefined` when none is due. */
  take(): Ready | undefined {
    const record = this.isDue ? this.#records.shift() : undefined;
    if (record === undefined) return undefined;
    const { ops, batches, changes, end } = record;
    const lsn = this.#taken;
    this.#taken = end;
    const coverage = record.coverage.length > 1 ? [...new VersionVector(record.coverage)] : record.coverage;
    this.#takenCoverage = coverage;
    return { ops, lsn, end, batches, changes, coverage };
  }
}

function hasRoom(record: Gathered, unit: Unit, bytes: number): boolean {
  const opsMax = unit.batch.via === undefined ? READY_OPS_MAX : READY_TRANSFER_OPS_MAX;
  return record.bytes + bytes <= READY_BYTES_MAX && record.ops.length + unit.ops.length <= opsMax;
}

function bytesOf(ops: readonly StateOp[]): number {
  let bytes = 0;
  for (const op of ops) if (op.type === "set") bytes += op.entry.key.length + (op.entry.value?.length ?? 0);
  return bytes;
}

function join(record: Gathered, { ops, batch, changes }: Unit): void {
  for (const op of ops) record.ops.push(op);
  for (const change of changes) record.changes.push(change);
  record.batches.push(batch);
  cover(record.coverage, ops, batch);
}

function coverageOf({ ops, batch }: Unit): [Origin, Seq][] {
  const [own] = batch.entries;
  // A write of ours, and nothing else: made at once, since an array that grows takes room for seventeen.
  if (ops.length === 1 && batch.entries.length === 1 && own !== undefined && batch.via === undefined) {
    return [[own.origin, own.seq]];
  }
  const coverage: [Origin, Seq][] = [];
  cover(coverage, ops, batch);
  return coverage;
}

/** What a unit covers: our own writes themselves, the last one all before it; those of others only by a claim. */
function cover(coverage: [Origin, Seq][], ops: readonly StateOp[], batch: AppliedBatch): void {
  for (const op of ops) if (op.type === "cover") coverage.push([op.origin, op.seq]);
  const own = batch.via === undefined ? batch.entries.at(-1) : undefined;
  if (own === undefined) return;
  const last = coverage.at(-1);
  if (last?.[0] === own.origin) last[1] = own.seq;
  else coverage.push([own.origin, own.seq]);
}
