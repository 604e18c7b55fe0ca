/** Waiting for what other replicas hold, by the vectors that they acknowledge: write concern, `reached`, `settled`. */
import { checkSignal, knownFields } from "../arguments.ts";
import type { SettledOptions, WaitOptions } from "../calls.ts";
import type { Timers } from "../clock.ts";
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
  readonly timers: Timers;
}

export class PeerWaits {
  readonly #source: PeerWaitsSource;
  readonly #waits: Waits;
  /** Our last write of those that were authored again when we went on under this epoch. */
  #authoredAgain: { readonly origin: Origin; readonly seq: Seq } | undefined;

  constructor(source: PeerWaitsSource) {
    this.#source = source;
    this.#waits = new Waits(source.timers);
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
    const isHeld = (): boolean => {
      // Under a new epoch it was authored again: whoever covers its old number may mean another write.
      const write = origin === state.origin ? { origin, seq } : this.#lastAuthoredAgain();
      return replicator.holders(write.origin, write.seq) >= acks;
    };
    // Whoever holds a write of ours holds those before it.
    await Promise.all([durable, this.#waits.until(isHeld, acks, signal)]);
    return durable;
  }

  /** See `Replica.reached`. */
  async reached(token: WriteToken, options: WaitOptions): Promise<void> {
    knownFields(options, ["signal"], "reached");
    checkSignal(options.signal);
    const { origin, seq } = parseToken(token);
    const { replicator } = this.#source;
    await this.#waits.until(() => replicator.durable.coverage.covers(origin, seq), undefined, options.signal);
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
        all.raise(origin, this.#lastAuthoredAgain().seq);
      }
      return peers.every((peer) => replicator.ackedBy(peer).dominates(all));
    };
    // Whoever has settled later has more to be acknowledged, by the same peers.
    const settled = this.#waits.until(isSettled, peers.join(), signal);
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

  /** Rejects every wait that is not over, and all later ones. */
  close(error: Error): void {
    this.#waits.close(error);
  }

  #lastAuthoredAgain(): { readonly origin: Origin; readonly seq: Seq } {
    const { origin, nextSeq } = this.#source.state;
    if (this.#authoredAgain?.origin !== origin) this.#authoredAgain = { origin, seq: nextSeq - 1 };
    return this.#authoredAgain;
  }
}
