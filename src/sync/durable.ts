/** What is durable here, and whether anything is on its way there. */
import type { CoreState } from "../core/core-state.ts";
import type { VectorPairs, VersionVector } from "../core/version-vector.ts";
import { assert } from "../invariant.ts";
import type { Lsn, Origin } from "../types.ts";
import type { Ready } from "./committed.ts";

/** The part of the state that may leave the replica. */
export interface Durable {
  readonly lsn: Lsn;
  readonly coverage: VersionVector;
}

export class DurableState implements Durable {
  readonly #state: CoreState;
  readonly coverage: VersionVector;
  #lsn: Lsn;
  #recordsInFlight = 0;

  /** @param state  as the disk has it */
  constructor(state: CoreState) {
    this.#state = state;
    this.coverage = state.covered.clone();
    this.#lsn = state.lsn;
  }

  get lsn(): Lsn {
    return this.#lsn;
  }

  /** Records were taken that are not durable yet. */
  get isBehind(): boolean {
    return this.#recordsInFlight > 0;
  }

  /** A record is on its way to the disk. */
  taken(): void {
    this.#recordsInFlight += 1;
  }

  /** @returns by what our durable coverage grows with the record */
  persisted({ lsn, end, coverage }: Ready): VectorPairs {
    assert(lsn === this.#lsn, "records become durable in order");
    this.#recordsInFlight -= 1;
    this.#lsn = end;
    return coverage.filter(([origin, seq]) => this.coverage.raise(origin, seq));
  }

  /** An origin of ours was given up: of what was written under it, only so much is covered as the state says. */
  giveUp(origin: Origin): void {
    this.coverage.replace(origin, this.#state.covered.get(origin));
  }
}
