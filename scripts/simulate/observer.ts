/** Looks at one replica after every event that was its own, and objects as soon as an invariant of its state breaks. */
import type { CoreState } from "../../src/core/core-state.ts";
import { compareOrders, type Order } from "../../src/core/lww.ts";
import { NO_SLOT } from "../../src/core/table.ts";
import { isReserved } from "../../src/limits.ts";
import { type Entry, nodeIdOf, type Origin, type Seq } from "../../src/types.ts";
import { fail } from "./failure.ts";
import { describe, type History, nameOf, type Write } from "./history.ts";

export class Observer {
  readonly #history: History;
  readonly #state: CoreState;
  readonly #who: string;
  readonly #isSetBack: (origin: Origin) => boolean;
  readonly #givenUp: (origin: Origin) => void;
  /** The newest version of each key that was seen here. */
  readonly #held = new Map<string, Order>();
  readonly #covered = new Map<Origin, Seq>();
  #origin: Origin;
  #lsn = 0;
  #highestStamp = 0;
  #ownStamp = 0;

  /**
   * @param who  names the process in messages
   * @param isSetBack  whether its disk was set back to an orderly end of that origin: it writes without knowing of what it
   *   has lost, until it meets a peer that does
   * @param givenUp  called with its origin when it takes another one: from then on less of that one is covered
   */
  constructor(
    history: History,
    state: CoreState,
    who: string,
    isSetBack: (origin: Origin) => boolean,
    givenUp: (origin: Origin) => void,
  ) {
    this.#history = history;
    this.#state = state;
    this.#who = who;
    this.#isSetBack = isSetBack;
    this.#givenUp = givenUp;
    this.#origin = state.origin;
    this.#walk(true);
    this.#checkCoverage();
  }

  get state(): CoreState {
    return this.#state;
  }

  /** The version of every key that is there, also as a tombstone, for a comparison. */
  versions(): Map<string, string> {
    const { table } = this.#state;
    const present = [...this.#held].filter(([name]) => table.find(Buffer.from(name, "latin1")) !== NO_SLOT);
    return new Map(present.map(([name, write]) => [name, describe(write)]));
  }

  /** To be called after every event. */
  observe(): void {
    this.#history.collected(this.#state.frontier, this.#state.covered);
    if (this.#state.lsn !== this.#lsn) this.#walk(false);
    this.#checkCoverage();
  }

  /** Tombstones that were seen here and are not there any more. */
  collected(): number {
    const { table } = this.#state;
    let count = 0;
    for (const name of this.#held.keys()) if (table.find(Buffer.from(name, "latin1")) === NO_SLOT) count += 1;
    return count;
  }

  /** Everything once more, from the beginning. */
  checkAll(): void {
    this.#covered.clear();
    this.#checkCoverage();
    if (this.#state.violations > 0) fail("unknown write", `${this.#who} has counted writes with two contents`);
  }

  #walk(isRecovered: boolean): void {
    const { table } = this.#state;
    const fresh: Write[] = [];
    for (let slot = table.nextChange(this.#lsn); slot !== NO_SLOT; slot = table.nextChange(table.lsnAt(slot))) {
      fresh.push(this.#see(table.entryAt(slot), isRecovered));
    }
    this.#lsn = this.#state.lsn;
    this.#joinBatches(fresh);
    for (const write of fresh) this.#checkBatch(write);
  }

  #see(entry: Entry, isRecovered: boolean): Write {
    const write = this.#find(entry) ?? this.#author(entry, isRecovered);
    const name = write.name;
    const held = this.#held.get(name);
    if (held !== undefined && compareOrders(write, held) < 0 && !this.#history.isRevived(name, write, held)) {
      fail("order", `${this.#who} went back from ${describe(held)} to ${describe(write)}`);
    }
    this.#held.set(name, write);
    if (write.stamp > this.#highestStamp) this.#highestStamp = write.stamp;
    return write;
  }

  #find(entry: Entry): Write | undefined {
    const known = this.#history.find(entry.origin, entry.seq);
    if (known === undefined) return undefined;
    const found = this.#history.match(known, entry);
    if (found !== undefined) return found;
    const isOwn = entry.origin === this.#state.origin;
    if (isOwn && !known.isTold) {
      // An earlier process has failed to write it: the log that it left ends before it.
      this.#history.forget(known);
      return undefined;
    }
    if (isOwn && this.#isSetBack(entry.origin)) {
      // Others of its batch may be under numbers that nobody has used.
      this.#ownStamp = entry.stamp;
      return this.#history.addTwin(known, entry, this.#who);
    }
    return fail("unknown write", `${this.#who} holds another content under ${describe(known)}`);
  }

  /** A write that nobody has seen before: it can only have been made here. */
  #author(entry: Entry, isRecovered: boolean): Write {
    const { origin } = this.#state;
    const mine = isRecovered ? nodeIdOf(entry.origin) === nodeIdOf(origin) : entry.origin === origin;
    if (!mine)
      fail(
        "unknown write",
        `${this.#who} holds ${describe({ ...entry, name: nameOf(entry.key) })}, which nobody has written`,
      );
    if (!isRecovered) {
      // One stamp for a batch, so only the writes before count.
      const isLate =
        entry.stamp < this.#highestStamp || (entry.stamp === this.#highestStamp && entry.stamp !== this.#ownStamp);
      if (isLate && !this.#isAuthoredAgain(entry)) {
        fail("order", `${this.#who} issued stamp ${entry.stamp}, and had seen ${this.#highestStamp}`);
      }
      // Also of what seems to be authored again: an old backup may issue the very stamps again, for parts of a batch.
      this.#ownStamp = entry.stamp;
    }
    return this.#history.add(entry, this.#who, this.#state.covered);
  }

  /**
   * After a rotation writes appear under the new epoch, with their stamps. (A stamp alone does not tell: two epochs that
   * begin from one backup may issue it twice.)
   */
  #isAuthoredAgain(entry: Entry): boolean {
    return this.#history
      .ofKey(nameOf(entry.key))
      .some((other) => this.#history.isSame(other, entry) && nodeIdOf(other.origin) === nodeIdOf(entry.origin));
  }

  /** Writes of one origin and stamp that appear together are a batch. */
  #joinBatches(fresh: readonly Write[]): void {
    for (let from = 0; from < fresh.length; ) {
      const first = fresh[from];
      if (first === undefined) return;
      let to = from + 1;
      while (fresh[to]?.stamp === first.stamp && fresh[to]?.origin === first.origin) to++;
      const together = fresh.slice(from, to);
      if (together.length > first.batch.length) {
        for (const write of together) if (write.batch.length < together.length) write.batch = together;
      }
      from = to;
    }
  }

  #checkBatch(write: Write): void {
    if (write.batch.length === 1 || isReserved(write.key)) return;
    for (const other of write.batch) {
      if (other === write || this.#history.isDominated(this.#state, other) || this.#history.isSuperseded(other))
        continue;
      // Its tombstone is collected everywhere else: what it had deleted here is judged when listings have come.
      if (other.value === null && this.#history.isCollected(other)) continue;
      fail("batch", `${this.#who} holds ${describe(write)} without ${describe(other)} of the same batch`);
    }
  }

  #checkCoverage(): void {
    if (this.#state.origin !== this.#origin) {
      this.#covered.delete(this.#origin);
      this.#givenUp(this.#origin);
      this.#origin = this.#state.origin;
    }
    for (const [origin, seq] of this.#state.covered) {
      const before = this.#covered.get(origin) ?? 0;
      if (seq === before) continue;
      this.#covered.set(origin, seq);
      if (seq < before) fail("coverage", `${this.#who} covered ${origin} up to ${before}, and now up to ${seq}`);
      for (const write of this.#history.writes(origin, before, seq)) {
        if (this.#history.isDominated(this.#state, write)) continue;
        fail(
          "coverage",
          `${this.#who} covers ${origin} up to ${seq} and holds nothing that dominates ${describe(write)}`,
        );
      }
    }
  }
}
