/**
 * Overwrites of versions that their authors had not seen, found where what this replica knows proves it. The protocol
 * carries no causal history of a key, so not every such overwrite can be told from one that knew what it replaced;
 * what cannot be proved is not reported. PROTOCOL.md, "Conflicts", has the proofs, and what goes unreported.
 */
import type { CoreState } from "../core/core-state.ts";
import { NO_SLOT, type Slot } from "../core/table.ts";
import { VersionVector } from "../core/version-vector.ts";
import { isReserved } from "../limits.ts";
import { type Entry, type Lsn, type Millis, nodeIdOf, type Stamp } from "../types.ts";
import type { Session } from "./session.ts";

/** `winner` stays and `loser` is gone, and the author of `winner` had not seen `loser` when it wrote. */
export interface Conflict {
  readonly winner: Entry;
  readonly loser: Entry;
}

export class Conflicts {
  readonly #state: CoreState;
  #isListening = false;
  /** Entries stamped up to here may have come before anybody listened. */
  #listeningFrom: Stamp = 0;
  /** The highest seq of each origin that has come since. */
  readonly #come = new VersionVector();
  /** Entries of ours up to here may have left this replica. */
  #exposedLsn: Lsn;
  #found: Conflict[] = [];

  constructor(state: CoreState) {
    this.#state = state;
    // What was written before this process may have left with an earlier one.
    this.#exposedLsn = state.lsn;
  }

  get isListening(): boolean {
    return this.#isListening;
  }

  /** Where what may have left ends, as of the last `expose`. */
  get exposedLsn(): Lsn {
    return this.#exposedLsn;
  }

  /** @param lastStamp  the highest stamp that has been seen so far */
  listen(lastStamp: Stamp): void {
    if (this.#isListening) return;
    this.#isListening = true;
    this.#listeningFrom = lastStamp;
  }

  /** From now on what is up to `lsn` counts as known to others. */
  expose(lsn: Lsn): void {
    if (lsn > this.#exposedLsn) this.#exposedLsn = lsn;
  }

  /** What was found since the last call. */
  take(): readonly Conflict[] {
    if (this.#found.length === 0) return this.#found;
    const found = this.#found;
    this.#found = [];
    return found;
  }

  /**
   * An entry that we do not cover meets what its key holds; nothing has changed yet.
   *
   * @param wins  whether it replaces that
   * @param durableLsn  beyond it nothing has left this replica, whoever is connected
   */
  meet(entry: Entry, wins: boolean, session: Session, durableLsn: Lsn, now: Millis): void {
    const { table, origin: own } = this.#state;
    const isNew = this.#come.raise(entry.origin, entry.seq) && entry.stamp > this.#listeningFrom;
    const slot = table.find(entry.key);
    if (slot === NO_SLOT || isReserved(entry.key)) return;
    if (table.originAt(slot) !== own || nodeIdOf(entry.origin) === nodeIdOf(own)) return;
    const isProved = wins ? this.#hadNotLeft(entry, slot, session, durableLsn) : isNew;
    if (!isProved) return;
    const held = this.#state.entryAt(slot);
    const [winner, loser] = wins ? [entry, held] : [held, entry];
    if (isAlike(winner, loser) || (loser.expiresAt > 0 && loser.expiresAt <= now)) return;
    this.#found.push({ winner, loser });
  }

  /** Whether the entry was written before what our key holds had left this replica. */
  #hadNotLeft({ origin, seq }: Entry, slot: Slot, { exposedBefore, helloVector }: Session, durableLsn: Lsn): boolean {
    const lsn = this.#state.table.lsnAt(slot);
    return lsn > durableLsn || (lsn > exposedBefore && helloVector.covers(origin, seq));
  }
}

/** Whether nothing is lost: both say the same. */
function isAlike(a: Entry, b: Entry): boolean {
  if (a.value === null || b.value === null) return a.value === b.value;
  return a.expiresAt === b.expiresAt && Buffer.compare(a.value, b.value) === 0;
}
