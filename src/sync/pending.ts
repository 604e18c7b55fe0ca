/** Executes ops and gathers them, with what depends on them, until the driver makes them durable. */
import type { CoreState } from "../core/core-state.ts";
import type { StateOp } from "../core/ops.ts";
import { VersionVector } from "../core/version-vector.ts";
import { READY_BYTES_MAX } from "../limits.ts";
import type { Lsn, Origin, Seq } from "../types.ts";
import type { AppliedBatch, Change, Ready } from "./committed.ts";

/** What one step of the replicator did: enters one record whole. */
export interface Unit {
  readonly ops: readonly StateOp[];
  readonly batch?: AppliedBatch;
  readonly changes?: readonly Change[];
}

interface PendingUnit {
  readonly unit: Unit;
  readonly bytes: number;
  readonly end: Lsn;
}

export class Pending {
  readonly #state: CoreState;
  #units: PendingUnit[] = [];
  #taken: Lsn;

  constructor(state: CoreState) {
    this.#state = state;
    this.#taken = state.lsn;
  }

  get isEmpty(): boolean {
    return this.#units.length === 0;
  }

  /** Adds a unit whose ops have just been executed. */
  add(unit: Unit): void {
    let bytes = 0;
    for (const op of unit.ops) {
      if (op.type === "set") bytes += op.entry.key.length + (op.entry.value?.length ?? 0);
    }
    this.#units.push({ unit, bytes, end: this.#state.lsn });
  }

  /** The next record: as many units as fit, at least one; `undefined` when there is none. */
  take(): Ready | undefined {
    if (this.#units.length === 0) return undefined;
    const units = this.#takeUnits();
    const lsn = this.#taken;
    const end = units.at(-1)?.end ?? lsn;
    this.#taken = end;
    return joined(units, lsn, end);
  }

  /** The units of the next record, at least one. */
  #takeUnits(): PendingUnit[] {
    let bytes = 0;
    let count = 0;
    for (const unit of this.#units) {
      bytes += unit.bytes;
      if (count > 0 && bytes > READY_BYTES_MAX) return this.#units.splice(0, count);
      count += 1;
    }
    const all = this.#units;
    this.#units = [];
    return all;
  }
}

/** One record of all units. Most often there is one, whose parts are taken as they are. */
function joined(units: readonly PendingUnit[], lsn: Lsn, end: Lsn): Ready {
  const only = units.length === 1 ? units[0]?.unit : undefined;
  if (only !== undefined) {
    const { ops, batch, changes = [] } = only;
    return { ops, lsn, end, batches: batch === undefined ? [] : [batch], changes, coverage: coverageOf(only) };
  }
  const ops: StateOp[] = [];
  const batches: AppliedBatch[] = [];
  const changes: Change[] = [];
  const coverage = new VersionVector();
  for (const { unit } of units) {
    for (const op of unit.ops) ops.push(op);
    for (const change of unit.changes ?? []) changes.push(change);
    if (unit.batch !== undefined) batches.push(unit.batch);
    for (const [origin, seq] of coverageOf(unit)) coverage.raise(origin, seq);
  }
  return { ops, lsn, end, batches, changes, coverage: [...coverage] };
}

/** What a unit covers: our own writes themselves, the last one all before it; those of others only by a claim. */
function coverageOf({ ops, batch }: Unit): [Origin, Seq][] {
  const pairs: [Origin, Seq][] = [];
  for (const op of ops) if (op.type === "cover") pairs.push([op.origin, op.seq]);
  const last = batch === undefined || batch.via !== undefined ? undefined : batch.entries.at(-1);
  if (last !== undefined) pairs.push([last.origin, last.seq]);
  return pairs;
}
