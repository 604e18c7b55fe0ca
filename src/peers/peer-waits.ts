/** Waiting for what other replicas hold, by the vectors that they acknowledge: write concern, `reached`, `settled`. */
import { checkSignal, knownFields } from "../arguments.ts";
import type { SettledOptions, WaitOptions } from "../calls.ts";
import type { CoreState } from "../core/core-state.ts";
import { parseToken, type WriteToken } from "../data/write-tokens.ts";
import type { Driver } from "../driver.ts";
import { ReplicaError } from "../errors.ts";
import type { Replicator } from "../sync/replicator.ts";
import { isNodeId, nodeIdOf, type Origin, type Seq } from "../types.ts";
import type { Neighbours } from "./neighbours.ts";
import { Waits } from "./waits.ts";

export interface PeerWaitsSource {
  readonly state: CoreState;
  readonly replicator: Replicator;
  readonly driver: Driver;
  readonly neighbours: Neighbours;
}

export class PeerWaits {
  readonly #source: PeerWaitsSource;
  readonly #waits = new Waits();

  constructor(source: PeerWaitsSource) {
    this.#source = source;
  }

  /** Calls that wait. */
  get size(): number {
    return this.#waits.size;
  }

  /** Resolves as `durable` does, once `acks` replicas hold the write, this one included. */
  async held<T>(
    durable: Promise<T>,
    origin: Origin,
    seq: Seq,
    acks: number,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const { replicator, state } = this.#source;
    let write = { origin, seq };
    const isHeld = (): boolean => {
      // Under a new epoch it was authored again: whoever covers its old number may mean another write.
      if (write.origin !== state.origin) write = { origin: state.origin, seq: state.nextSeq - 1 };
      return replicator.holders(write.origin, write.seq) >= acks;
    };
    await Promise.all([durable, this.#waits.until(isHeld, signal)]);
    return durable;
  }

  /** See `Replica.reached`. */
  async reached(token: WriteToken, options: WaitOptions): Promise<void> {
    knownFields(options, ["signal"], "reached");
    checkSignal(options.signal);
    const { origin, seq } = parseToken(token);
    const { replicator } = this.#source;
    await this.#waits.until(() => replicator.durable.coverage.covers(origin, seq), options.signal);
  }

  /** See `Replica.settled`. */
  async settled(options: SettledOptions): Promise<void> {
    const { state, replicator, driver, neighbours } = this.#source;
    knownFields(options, ["peers", "signal"], "settled");
    checkSignal(options.signal);
    const others = neighbours.members().filter(({ nodeId }) => nodeId !== nodeIdOf(state.origin));
    const { peers = others.map(({ nodeId }) => nodeId), signal } = options;
    if (!Array.isArray(peers) || !peers.every(isNodeId)) {
      throw new ReplicaError("ERR_OPTION", "peers takes an array of nodeIds");
    }
    let all = state.covered.clone();
    let { origin } = state;
    const durable = driver.durable(state.lsn, undefined);
    const isSettled = (): boolean => {
      // As above.
      if (origin !== state.origin) {
        origin = state.origin;
        all = all.meet(state.covered);
        all.raise(origin, state.nextSeq - 1);
      }
      return peers.every((peer) => replicator.ackedBy(peer).dominates(all));
    };
    const settled = this.#waits.until(isSettled, signal);
    // What peers hold already they would acknowledge with their next tick.
    if (!isSettled()) {
      replicator.askForAcks();
      driver.wake();
    }
    await Promise.all([durable, settled]);
  }

  /** To be called when something may have become durable, here or at a peer. */
  check(): void {
    this.#waits.check();
  }

  /** Rejects every wait, and all later ones. */
  close(error: Error): void {
    this.#waits.close(error);
  }
}
