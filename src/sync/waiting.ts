/**
 * Relay without waste: writes that a peer will probably get from their author, and that we hold back
 * until the peer says that it has them or the wait is over.
 *
 * One item per key. When a waiting version is superseded by another one that waits too, the item takes
 * the new version but keeps its place: whoever dominates the new version dominates the old one, while
 * a mark that claims the old version must go on waiting (see PROTOCOL.md, "Marks").
 */
import type { VersionVector } from "../core/version-vector.ts";
import { type Lsn, type NodeId, nodeIdOf, type Origin, type Seq } from "../types.ts";
import { bytesToText } from "./text.ts";

export interface WaitingWrite {
  readonly key: Uint8Array;
  /** No mark may claim a cut at or behind this lsn while the write waits. */
  readonly lsn: Lsn;
  readonly dueTick: number;
  origin: Origin;
  seq: Seq;
}

export class WaitingList {
  /** In the order of `lsn` and of `dueTick`. */
  readonly #writes = new Map<string, WaitingWrite>();

  get size(): number {
    return this.#writes.size;
  }

  /** The lsn before which everything may be claimed; infinite when nothing waits. */
  get firstLsn(): Lsn {
    for (const write of this.#writes.values()) return write.lsn;
    return Number.POSITIVE_INFINITY;
  }

  add(write: WaitingWrite): void {
    const name = bytesToText(write.key);
    const present = this.#writes.get(name);
    if (present === undefined) {
      this.#writes.set(name, write);
    } else {
      present.origin = write.origin;
      present.seq = write.seq;
    }
  }

  /** A newer version of the key is being sent: nobody needs to wait for an older one. */
  supersede(key: Uint8Array): void {
    if (this.#writes.size > 0) this.#writes.delete(bytesToText(key));
  }

  /** Drops what the peer covers, from the front: what is covered further back goes when its turn comes. */
  dropCovered(acked: VersionVector): void {
    for (const [name, write] of this.#writes) {
      if (!acked.covers(write.origin, write.seq)) return;
      this.#writes.delete(name);
    }
  }

  /**
   * Ends the wait of what is due, or of everything whose author is not among `authors` any more.
   * @param send  sends the write or knows that this is not needed; `false`: it cannot yet, ask again
   */
  endWaits(tick: number, authors: ReadonlySet<NodeId>, send: (write: WaitingWrite) => boolean): void {
    for (const [name, write] of this.#writes) {
      if (write.dueTick > tick && authors.has(nodeIdOf(write.origin))) continue;
      if (send(write)) this.#writes.delete(name);
    }
  }
}
