/**
 * Relay without waste: writes that a peer will probably get from their author, and that we hold back
 * until the peer says that it has them or the wait is over.
 *
 * One item per write, also where a key is overwritten while it waits: each has its own time to come, so that
 * a busy key is not sent again because its oldest version has waited for long. A mark that claims a
 * version waits for its item; whoever covers a later one dominates it (see PROTOCOL.md, "Relay").
 */
import type { VersionVector } from "../core/version-vector.ts";
import { type Lsn, type NodeId, nodeIdOf, type Origin, type Seq, type Stamp } from "../types.ts";
import { bytesToText } from "./text.ts";

/** How long a write waits for the peer to get it from somebody else. */
export const RELAY_WAIT_TICKS = 6;

export interface WaitingWrite {
  readonly key: Uint8Array;
  /** No mark may claim a cut at or behind this lsn while the write waits. */
  readonly lsn: Lsn;
  readonly dueTick: number;
  readonly origin: Origin;
  readonly seq: Seq;
  /** With the origin it names the batch. */
  readonly stamp: Stamp;
}

export class WaitingList {
  /** In the order of `lsn`. */
  readonly #writes = new Set<WaitingWrite>();
  /** The same by key, oldest first. */
  readonly #byKey = new Map<string, WaitingWrite[]>();
  /** How many of each origin. */
  readonly #ofOrigin = new Map<Origin, number>();

  get size(): number {
    return this.#writes.size;
  }

  /** The lsn before which everything may be claimed; infinite when nothing waits. */
  get firstLsn(): Lsn {
    for (const write of this.#writes) return write.lsn;
    return Number.POSITIVE_INFINITY;
  }

  /** Whether a write of that origin is on the list. */
  holds(origin: Origin): boolean {
    return this.#ofOrigin.has(origin);
  }

  /** Adds a write behind all others. */
  add(write: WaitingWrite): void {
    this.#writes.add(write);
    this.#ofOrigin.set(write.origin, (this.#ofOrigin.get(write.origin) ?? 0) + 1);
    const name = bytesToText(write.key);
    const present = this.#byKey.get(name);
    if (present === undefined) this.#byKey.set(name, [write]);
    else present.push(write);
  }

  /** A newer version of the key is being sent: nobody needs to wait for the older ones. */
  supersede(key: Uint8Array): void {
    if (this.#writes.size === 0) return;
    const name = bytesToText(key);
    for (const write of this.#byKey.get(name) ?? []) this.#remove(write);
    this.#byKey.delete(name);
  }

  /** Drops what the peer covers, from the front: what is covered further back goes when its turn comes. */
  dropCovered(acked: VersionVector): void {
    for (const write of this.#writes) {
      if (!acked.covers(write.origin, write.seq)) return;
      this.#drop(write);
    }
  }

  /**
   * Ends the wait of what is due, or of everything whose author is not among `authors` any more, and drops on the way
   * what the peer covers. A key whose older version is due is sent as it is now: then the batch of that version goes as a
   * whole, for the peer is to see it so.
   *
   * @param send  sends the version that the key now holds, or knows that the peer has it; `false`: it cannot yet, ask again
   * @returns authors that were waited for in vain, to the end of the time
   */
  endWaits(
    tick: number,
    authors: ReadonlySet<NodeId>,
    acked: VersionVector,
    send: (key: Uint8Array) => boolean,
  ): ReadonlySet<NodeId> {
    const late = new Set<NodeId>();
    let going: Set<string> | undefined;
    for (const write of this.#writes) {
      const isDue = write.dueTick <= tick || !authors.has(nodeIdOf(write.origin));
      if (!isDue && going?.has(batchOf(write)) !== true) continue;
      // Of what is covered nothing follows for the versions behind it; what the key now holds dominates them all.
      if (acked.covers(write.origin, write.seq)) this.#drop(write);
      else if (send(write.key)) {
        if (write.dueTick <= tick) late.add(nodeIdOf(write.origin));
        const newest = this.#byKey.get(bytesToText(write.key))?.at(-1);
        if (newest !== undefined && newest !== write) going = (going ?? new Set()).add(batchOf(newest));
        this.supersede(write.key);
      }
    }
    return late;
  }

  #remove(write: WaitingWrite): void {
    if (!this.#writes.delete(write)) return;
    const others = (this.#ofOrigin.get(write.origin) ?? 1) - 1;
    if (others > 0) this.#ofOrigin.set(write.origin, others);
    else this.#ofOrigin.delete(write.origin);
  }

  #drop(write: WaitingWrite): void {
    this.#remove(write);
    const name = bytesToText(write.key);
    const ofKey = this.#byKey.get(name);
    if (ofKey === undefined || ofKey.length === 1) this.#byKey.delete(name);
    else ofKey.splice(ofKey.indexOf(write), 1);
  }
}

function batchOf({ origin, stamp }: WaitingWrite): string {
  return `${stamp} ${origin}`;
}
