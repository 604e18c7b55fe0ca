import { epochOf, nodeIdOf, type Origin, type Seq, type Stamp } from "../types.ts";

/** What the winner of two versions of a key is decided by. */
export interface Order {
  readonly stamp: Stamp;
  readonly origin: Origin;
  readonly seq: Seq;
}

/** Negative, zero or positive as `a` sorts before, with or behind `b`: by nodeId, then epoch, in UTF-16 code units. */
export function compareOrigins(a: Origin, b: Origin): number {
  if (a === b) return 0;
  const byNode = compareStrings(nodeIdOf(a), nodeIdOf(b));
  return byNode !== 0 ? byNode : compareStrings(epochOf(a), epochOf(b));
}

/**
 * The one place where last-write-wins is spelled out: (stamp, nodeId, epoch, seq), the greater wins.
 * A tombstone has no privilege. Zero means the same version.
 */
export function compareOrders(a: Order, b: Order): number {
  if (a.stamp !== b.stamp) return a.stamp - b.stamp;
  return compareOrigins(a.origin, b.origin) || a.seq - b.seq;
}

/** Whether `a` replaces `b`. */
export function beats(a: Order, b: Order): boolean {
  return compareOrders(a, b) > 0;
}

function compareStrings(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
