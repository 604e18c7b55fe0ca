/** The true history of a run: every write that was ever made, and what each host has promised to keep. */

import type { CoreState } from "../../src/core/core-state.ts";
import { beats, compareOrders, type Order } from "../../src/core/lww.ts";
import { NO_SLOT } from "../../src/core/table.ts";
import type { VersionVector } from "../../src/core/version-vector.ts";
import { type Entry, nodeIdOf, type Origin, type Seq } from "../../src/types.ts";
import { fail } from "./failure.ts";

export interface Write extends Order {
  readonly key: Uint8Array;
  /** The key as text, to look it up. */
  readonly name: string;
  readonly value: Uint8Array | null;
  readonly expiresAt: number;
  readonly author: string;
  /** All writes of its batch, this one included. */
  batch: readonly Write[];
  /** Somebody beside its author's memory knows of it: a watcher, the caller that waited, or a frame. */
  isTold: boolean;
  /** A frame has carried it. */
  isSent: boolean;
  /** Other contents under its name, which a disk that was set back has made possible: a documented limit. */
  readonly twins: Write[];
  /** Of what may be collected, a delete or what expires: what its author covered when it was made. */
  readonly knew: ReadonlyMap<Origin, Seq> | undefined;
}

export function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}

export function describe(write: Order & { readonly name?: string; readonly value?: Uint8Array | null }): string {
  const what =
    write.name === undefined ? "" : `${write.value === null ? "the delete of" : ""} ${printable(write.name)} `;
  return `${what}${write.origin}#${write.seq} stamp ${write.stamp}`.trim();
}

function printable(name: string): string {
  return JSON.stringify(name);
}

export class History {
  /**
   * Tombstones may have been collected without a replica that has writes: it was evicted, or nobody had met it yet. What
   * it alone has is kept when it comes, also where a delete that has been collected would have beaten it, unless whoever
   * deleted had seen it.
   */
  hasOutsiders = false;
  /** Up to where somebody has collected tombstones of an origin. */
  readonly #collected = new Map<Origin, Seq>();
  readonly #byOrigin = new Map<Origin, (Write | undefined)[]>();
  readonly #byName = new Map<string, Write[]>();

  get origins(): IterableIterator<Origin> {
    return this.#byOrigin.keys();
  }

  find(origin: Origin, seq: Seq): Write | undefined {
    return this.#byOrigin.get(origin)?.[seq];
  }

  /** The last sequence number that an origin has used, as far as anybody has seen. */
  last(origin: Origin): Seq {
    return Math.max(0, (this.#byOrigin.get(origin)?.length ?? 0) - 1);
  }

  /** Writes of an origin with a sequence number in (from, to], without those whose number was used twice. */
  *writes(origin: Origin, from: Seq, to: Seq): Generator<Write> {
    const writes = this.#byOrigin.get(origin) ?? [];
    for (let seq = from + 1; seq <= to && seq < writes.length; seq++) {
      const write = writes[seq];
      if (write !== undefined && write.twins.length === 0) yield write;
    }
  }

  ofKey(name: string): readonly Write[] {
    return this.#byName.get(name) ?? [];
  }

  /** The write that the entry is: the one that its name was given to first, or a twin of it. */
  match(known: Write, entry: Entry): Write | undefined {
    return [known, ...known.twins].find((write) => this.isSame(write, entry));
  }

  addTwin(known: Write, entry: Entry, author: string): Write {
    const twin = this.add(entry, author);
    const writes = this.#byOrigin.get(known.origin);
    if (writes !== undefined) writes[known.seq] = known;
    known.twins.push(twin);
    return twin;
  }

  /** @param knew  coverage of the author, for what may be collected */
  add(entry: Entry, author: string, knew?: Iterable<readonly [Origin, Seq]>): Write {
    const write: Write = {
      key: entry.key.slice(),
      name: nameOf(entry.key),
      value: entry.value?.slice() ?? null,
      stamp: entry.stamp,
      origin: entry.origin,
      seq: entry.seq,
      expiresAt: entry.expiresAt,
      author,
      batch: [],
      isTold: false,
      isSent: false,
      twins: [],
      knew: knew !== undefined && (entry.value === null || entry.expiresAt > 0) ? new Map(knew) : undefined,
    };
    write.batch = [write];
    let writes = this.#byOrigin.get(write.origin);
    if (writes === undefined) {
      writes = [];
      this.#byOrigin.set(write.origin, writes);
    }
    writes[write.seq] = write;
    const ofKey = this.#byName.get(write.name);
    if (ofKey === undefined) this.#byName.set(write.name, [write]);
    else ofKey.push(write);
    return write;
  }

  /** It was lost before anybody heard of it, so its number may be used again. */
  forget(write: Write): void {
    const writes = this.#byOrigin.get(write.origin);
    if (writes?.[write.seq] === write) writes[write.seq] = undefined;
    const ofKey = this.#byName.get(write.name);
    ofKey?.splice(ofKey.indexOf(write), 1);
  }

  /** A disk was set back on which alone these writes were. Those that it still has are found again. */
  forgetUnsent(origin: Origin): void {
    for (const write of [...this.writes(origin, 0, this.last(origin))]) if (!write.isSent) this.forget(write);
  }

  /** Whether this is the write that was made, and not another one under its name. */
  isSame(write: Write, entry: Entry): boolean {
    if (write.stamp !== entry.stamp || write.expiresAt !== entry.expiresAt) return false;
    if (Buffer.compare(write.key, entry.key) !== 0) return false;
    // What has expired has lost its value.
    if (entry.value === null) return write.value === null || write.expiresAt > 0;
    return write.value !== null && Buffer.compare(write.value, entry.value) === 0;
  }

  /** Whether the state holds the write or what beats it, or nothing because a tombstone that beats it was collected. */
  isDominated(state: CoreState, write: Write): boolean {
    const { table } = state;
    const slot = table.find(write.key);
    if (slot === NO_SLOT) return this.#isCollectable(write);
    const stamp = table.stampAt(slot);
    if (stamp > write.stamp) return true;
    const held = { stamp, origin: table.originAt(slot), seq: table.seqAt(slot) };
    if (compareOrders(held, write) >= 0 || this.isRevived(write.name, held, write)) return true;
    // A disk that was set back to an older tombstone: it keeps off more than nothing would, and readers see nothing either.
    return table.isTombstone(slot) && this.#isGone(write);
  }

  /** Whether a version may show although `write` beats it: a delete as late, since collected, did not know of it. */
  isRevived(name: string, held: Order, write: Order): boolean {
    if (!this.hasOutsiders) return false;
    return this.ofKey(name).some(
      (other) =>
        compareOrders(other, write) >= 0 && other.knew !== undefined && (other.knew.get(held.origin) ?? 0) < held.seq,
    );
  }

  /** Whether some version of the key that may be collected, beats the write or is it. */
  #isCollectable(write: Write): boolean {
    return this.ofKey(write.name).some(
      (other) => (other.value === null || other.expiresAt > 0) && (other === write || beats(other, write)),
    );
  }

  /** Whether a tombstone that beats the write, or is it, may be gone somewhere. */
  #isGone(write: Write): boolean {
    return this.ofKey(write.name).some((other) => compareOrders(other, write) >= 0 && this.isCollected(other));
  }

  /** The frontier of a replica, and what that replica covers. */
  collected(frontier: Iterable<readonly [Origin, Seq]>, covered: VersionVector): void {
    let hasRisen = false;
    for (const [origin, seq] of frontier) {
      if (seq <= (this.#collected.get(origin) ?? 0)) continue;
      this.#collected.set(origin, seq);
      hasRisen = true;
    }
    if (!hasRisen || this.hasOutsiders) return;
    const met = new Set(Array.from(covered, ([origin]) => nodeIdOf(origin)));
    for (const origin of this.origins) if (!met.has(nodeIdOf(origin))) this.hasOutsiders = true;
  }

  /** Whether the tombstone may be gone somewhere. */
  isCollected({ origin, seq }: Order): boolean {
    return seq <= (this.#collected.get(origin) ?? 0);
  }

  isSuperseded(write: Write): boolean {
    return this.ofKey(write.name).some((other) => beats(other, write));
  }
}

/** What a host has promised to remember: the newest version of each key that anybody outside has seen there, and its claims. */
export class Promises {
  readonly #byName = new Map<string, Write>();
  readonly claims = new Map<Origin, Seq>();

  get writes(): IterableIterator<Write> {
    return this.#byName.values();
  }

  keep(write: Write): void {
    const kept = this.#byName.get(write.name);
    if (kept === undefined || beats(write, kept)) this.#byName.set(write.name, write);
  }

  claim(origin: Origin, seq: Seq): void {
    if (seq > (this.claims.get(origin) ?? 0)) this.claims.set(origin, seq);
  }

  holds(write: Write): boolean {
    const kept = this.#byName.get(write.name);
    return (kept !== undefined && compareOrders(kept, write) >= 0) || (this.claims.get(write.origin) ?? 0) >= write.seq;
  }

  forget(): void {
    this.#byName.clear();
    this.claims.clear();
  }

  /** Throws unless the state keeps all of it. @param where  who, for the message */
  check(history: History, state: CoreState, where: string): void {
    for (const write of this.writes) {
      if (!history.isDominated(state, write)) fail("lost write", `${where} has lost ${describe(write)}`);
    }
    for (const [origin, seq] of this.claims) {
      if (state.covered.get(origin) < seq) {
        fail(
          "durability",
          `${where} claimed ${origin} up to ${seq} and covers ${state.covered.get(origin)} after recovery`,
        );
      }
    }
  }
}
