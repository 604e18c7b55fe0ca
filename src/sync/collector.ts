/**
 * Collects tombstones: begins rounds, passes them on, and sweeps the change log for what they have released.
 * Says who keeps tombstones from being collected, and who has been silent for too long.
 */
import type { CoreState } from "../core/core-state.ts";
import { NO_SLOT, type Slot } from "../core/table.ts";
import type { VersionVector } from "../core/version-vector.ts";
import { COLLECT_ENTRIES_MAX, ROUND_MS, SWEEP_POSITIONS } from "../limits.ts";
import { type Lsn, type Millis, type NodeId, nodeIdOf } from "../types.ts";
import { Collection } from "./collection.ts";
import type { SessionId } from "./committed.ts";
import type { Durable } from "./durable.ts";
import type { Message, Round } from "./messages.ts";
import type { Peer } from "./peer.ts";
import type { Session } from "./session.ts";

export interface CollectorOptions {
  readonly state: CoreState;
  readonly durable: Durable;
  /** All that have announced themselves and were not evicted; absent: nothing is ever collected. */
  readonly members: (() => readonly NodeId[]) | undefined;
  readonly maxDriftMs: Millis;
  readonly tickMs: Millis;
  /** For tests. Default: ROUND_MS. */
  readonly roundMs?: Millis | undefined;
  /** A member that does not join a round for so long is overdue. Default: never. */
  readonly memberLeaseMs?: Millis | undefined;
}

/** What the replicator does for us. */
export interface CollectorHost {
  sessions(): Iterable<Session>;
  send(session: Session, message: Message): void;
  collect(tombstones: readonly Slot[]): void;
  overdue(nodeId: NodeId): void;
}

/** How often, news aside, members are looked at while a round gathers. */
const LOOK_TICKS = 20;
/** A round that has not ended by then is held up by somebody: 5 s. */
const HELD_UP_TICKS = 100;

export class Collector {
  readonly #options: CollectorOptions;
  readonly #host: CollectorHost;
  readonly #rounds: Collection;
  readonly #roundTicks: number;
  readonly #leaseTicks: number;
  #tick = 0;
  /** A round has come since the last tick. */
  #hasNews = false;
  /** What may go, and how far the sweep for it has come. */
  #sweep: { readonly released: VersionVector; cursor: Lsn } | undefined;
  /** The last step of the sweep took as many as one may. */
  #isBehind = false;
  /** What the next sweep is for: of a large store the present one may take longer than a round. */
  #released: VersionVector | undefined;

  constructor(options: CollectorOptions, host: CollectorHost) {
    const { state, durable, tickMs, roundMs = ROUND_MS, memberLeaseMs = Number.POSITIVE_INFINITY } = options;
    this.#options = options;
    this.#host = host;
    this.#rounds = new Collection(nodeIdOf(state.origin), durable.coverage);
    this.#roundTicks = Math.ceil(roundMs / tickMs);
    this.#leaseTicks = Math.ceil(memberLeaseMs / tickMs);
  }

  /** Members that tombstones wait for. */
  get pinnedBy(): NodeId[] {
    const isHeldUp = this.#rounds.isGathering && this.#tick - this.#rounds.beganTick >= HELD_UP_TICKS;
    return isHeldUp && this.#hasTombstones ? this.#rounds.missing(this.#options.members?.() ?? []) : [];
  }

  /** Returns whether the round can be true. */
  receive(session: SessionId, round: Round): boolean {
    this.#hasNews = true;
    return this.#rounds.receive(session, round, this.#tick);
  }

  forget(session: SessionId): void {
    this.#rounds.forget(session);
  }

  tick(tick: number, now: Millis): void {
    const { members } = this.#options;
    if (members === undefined) return;
    this.#tick = tick;
    const isDue = tick - this.#rounds.beganTick >= this.#roundTicks;
    if (!this.#rounds.isGathering && isDue && this.#hasTombstones) {
      this.#rounds.begin(tick);
      this.#hasNews = true;
    }
    for (const session of this.#host.sessions()) {
      const round = session.peer === undefined ? undefined : this.#rounds.tell(session.id);
      if (round !== undefined) this.#host.send(session, round);
    }
    if (this.#rounds.isGathering && (this.#hasNews || tick % LOOK_TICKS === 0)) this.#look(members());
    this.#hasNews = false;
    if (this.#sweep === undefined && this.#released !== undefined) {
      this.#sweep = { released: this.#released, cursor: 0 };
      this.#released = undefined;
    }
    // Else it goes on in turns.
    if (!this.#isBehind) this.sweep(now);
  }

  /** Whether there is more to collect than a step takes: `sweep` need not wait for the tick. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** A step of the sweep, if there is one. */
  sweep(now: Millis): void {
    if (this.#sweep !== undefined) this.#sweepOn(this.#sweep, now);
  }

  get #hasTombstones(): boolean {
    return this.#options.state.table.tombstones > 0;
  }

  #look(members: readonly NodeId[]): void {
    const released = this.#rounds.finish(members);
    if (released !== undefined) this.#released = released;
    if (this.#tick - this.#rounds.beganTick < this.#leaseTicks) return;
    for (const nodeId of this.#rounds.missing(members)) this.#host.overdue(nodeId);
  }

  #sweepOn(sweep: { readonly released: VersionVector; cursor: Lsn }, now: Millis): void {
    const { table } = this.#options.state;
    const slowest = now + Math.min(0, ...Array.from(this.#host.sessions(), ({ peer }) => peer?.clockOffsetMs ?? 0));
    const tombstones: Slot[] = [];
    for (let n = 0; n < SWEEP_POSITIONS && tombstones.length < COLLECT_ENTRIES_MAX; n += 1) {
      const slot = table.nextChange(sweep.cursor);
      if (slot === NO_SLOT) {
        this.#sweep = undefined;
        break;
      }
      sweep.cursor = table.lsnAt(slot);
      if (table.isTombstone(slot) && this.#mayGo(slot, sweep.released, slowest)) tombstones.push(slot);
    }
    this.#isBehind = tombstones.length === COLLECT_ENTRIES_MAX;
    if (tombstones.length > 0) this.#host.collect(tombstones);
  }

  /**
   * Every member covers it, so does everybody whom we are connected to, and no clock can show it alive.
   * @param now  by the slowest of all clocks that we know: were one that leaps ahead believed, what it takes for expired
   *   would be dead everywhere
   */
  #mayGo(slot: Slot, released: VersionVector, now: Millis): boolean {
    const { state, maxDriftMs } = this.#options;
    const origin = state.table.originAt(slot);
    const seq = state.table.seqAt(slot);
    const expiresAt = state.table.expiresAt(slot);
    if (!released.covers(origin, seq)) return false;
    if (expiresAt > 0 && expiresAt + maxDriftMs > now) return false;
    const hasSeen = ({ peer }: { peer: Peer | undefined }): boolean =>
      peer === undefined || peer.outbound.acked.covers(origin, seq);
    return [...this.#host.sessions()].every(hasSeen);
  }
}
