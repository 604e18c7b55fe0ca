/**
 * Who gets a place, and who makes room. Decides, changes nothing.
 *
 * A limit on connections alone would tear the mesh apart: replicas that are all full would refuse a newcomer, or the
 * other half of a healed partition, for ever. So at a full replica three kinds of peers are let in, and somebody who is
 * reached otherwise too, if there is anybody, makes room:
 *
 * - one that has no other connection,
 * - one of which we hold nothing: it comes from a part of the cluster that we have not met,
 * - our neighbour in the circle of names, see {@link isNearer}. If every replica is connected to the next one that it
 *   can reach, all that reach one another are connected; so these connections are never given up for others.
 *
 * Long before it is full a crowded replica lets go of those that can well do without it. So a seed, to which all come
 * first, does not stay the hub of everything.
 *
 * The idea of a place that cannot be refused is HyParView's (Leitão, Pereira, Rodrigues 2007, "high priority").
 */
import { PEERS_MIN } from "../limits.ts";
import type { NodeId } from "../types.ts";

/** A peer that has a place. */
export interface Seated {
  readonly nodeId: NodeId;
  /** Who it is connected to. */
  readonly links: ReadonlySet<NodeId>;
}

export interface Newcomer extends Seated {
  /** Whether we hold anything that it has written. */
  readonly isKnown: boolean;
}

/**
 * Who leaves a full replica for a newcomer; `undefined`: nobody, the newcomer is to choose somebody else.
 *
 * @param seated  all who have a place, without the newcomer
 */
export function whoMakesRoom(own: NodeId, newcomer: Newcomer, seated: readonly Seated[]): NodeId | undefined {
  const all = [newcomer, ...seated];
  const neighbours = neighboursOf(own, all);
  const isAlone = countOthers(newcomer, own) === 0;
  if (!isAlone && newcomer.isKnown && !neighbours.has(newcomer.nodeId)) return undefined;
  const free = seated.filter((peer) => !neighbours.has(peer.nodeId) && countOthers(peer, own) > 0);
  return (
    bestConnected(
      own,
      free.filter((peer) => isReached(peer, all)),
    )?.nodeId ?? bestConnected(own, free)?.nodeId
  );
}

/** Who can leave a crowded replica, and will not be missed; `undefined`: nobody. */
export function whoIsSpare(own: NodeId, seated: readonly Seated[]): NodeId | undefined {
  const neighbours = neighboursOf(own, seated);
  const spare = seated.filter((peer) => !neighbours.has(peer.nodeId) && isReached(peer, seated));
  const leaves = bestConnected(own, spare);
  return leaves !== undefined && countOthers(leaves, own) >= PEERS_MIN ? leaves.nodeId : undefined;
}

/**
 * Whether `a` comes before `b` on the way round the circle of names that starts behind `own`: upwards for a direction
 * of 1, downwards for -1. Names are compared by UTF-16 code units, so that all replicas see one circle.
 */
export function isNearer(own: string, a: string, b: string, direction: 1 | -1): boolean {
  const [aWraps, bWraps] = direction === 1 ? [a < own, b < own] : [a > own, b > own];
  if (aWraps !== bWraps) return bWraps;
  return direction === 1 ? a < b : a > b;
}

function neighboursOf(own: NodeId, peers: readonly Seated[]): ReadonlySet<NodeId> {
  const neighbours = new Set<NodeId>();
  for (const direction of [1, -1] as const) {
    let nearest: NodeId | undefined;
    for (const { nodeId } of peers) {
      if (nearest === undefined || isNearer(own, nodeId, nearest, direction)) nearest = nodeId;
    }
    if (nearest !== undefined) neighbours.add(nearest);
  }
  return neighbours;
}

/** Whether the peer is connected to another one of ours: without our connection it would be two steps away. */
function isReached({ nodeId, links }: Seated, peers: readonly Seated[]): boolean {
  return peers.some((other) => other.nodeId !== nodeId && links.has(other.nodeId));
}

function bestConnected(own: NodeId, peers: readonly Seated[]): Seated | undefined {
  let best: Seated | undefined;
  for (const peer of peers) if (best === undefined || countOthers(peer, own) > countOthers(best, own)) best = peer;
  return best;
}

function countOthers({ links }: Seated, own: NodeId): number {
  return links.size - (links.has(own) ? 1 : 0);
}
