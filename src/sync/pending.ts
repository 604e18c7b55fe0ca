/** Executes ops and gathers them, with what depends on them, until the driver makes them durable. */
import type { CoreState } from "../core/core-state.ts";
import type { StateOp } from "../core/ops.ts";
import { VersionVector } from "../core/version-vector.ts";
import { READY_BYTES_MAX } from "../limits.ts";
import type { Lsn } from "../types.ts";
import type { AppliedBatch, Change, Ready } from "./committed.ts";

/** What one step of the replicator did: enters one record whole. */
export interface Unit {
  readonly ops: readonly StateOp[];
  readonly batch?: AppliedBatch;
  readonly changes?: readonly Change[];
}

export class Pending {
  readonly #state: CoreState;
  readonly #units: { unit: Unit; bytes: number; end: Lsn }[] = [];
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
    let bytes = 0;
    const full = this.#units.findIndex((unit, index) => {
      bytes += unit.bytes;
      return index > 0 && bytes > READY_BYTES_MAX;
    });
    const units = this.#units.splice(0, full < 0 ? this.#units.length : full);
    const ops: StateOp[] = [];
    const batches: AppliedBatch[] = [];
    const changes: Change[] = [];
    const coverage = new VersionVector();
    for (const { unit } of units) {
      for (const op of unit.ops) {
        ops.push(op);
        if (op.type === "cover") coverage.raise(op.origin, op.seq);
      }
      for (const change of unit.changes ?? []) changes.push(change);
      if (unit.batch === undefined) continue;
      batches.push(unit.batch);
      // Our own writes cover themselves; those of others do only by a claim.
      if (unit.batch.via === undefined) for (const { origin, seq } of unit.batch.entries) coverage.raise(origin, seq);
    }
    const lsn = this.#taken;
    const end = units.at(-1)?.end ?? lsn;
    this.#taken = end;
    return { ops, lsn, end, batches, changes, coverage: [...coverage] };
  }
}
