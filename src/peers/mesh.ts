/** What a replica knows of the whole mesh: who is connected to whom, and who holds what. Plain data, made on demand. */
import type { CoreState } from "../core/core-state.ts";
import type { VersionVector } from "../core/version-vector.ts";
import type { Replicator } from "../sync/replicator.ts";
import { type NodeId, nodeIdOf } from "../types.ts";

/** A replica as another one knows it. */
export interface MeshNode {
  readonly nodeId: string;
  /** The replicas that it is connected to, as it has told last; nothing if it is not connected to us. */
  readonly links: readonly string[];
  /**
   * How many writes of each author it holds durably, as it has told last. Authors are `nodeId/epoch`: a replica that
   * has lost its data goes on under another epoch. One that is absent: none.
   */
  readonly coverage: Readonly<Record<string, number>>;
}

export interface MeshSource {
  readonly state: CoreState;
  readonly replicator: Replicator;
  /** nodeIds of all members. */
  readonly members: readonly string[];
}

/** This replica first, then members and other peers by name. */
export function meshOf({ state, replicator, members }: MeshSource): MeshNode[] {
  const own = nodeIdOf(state.origin);
  const links = new Map<string, readonly string[]>();
  for (const { peer } of replicator.sessions) if (peer !== undefined) links.set(peer.nodeId, [...peer.outbound.links]);
  const others = new Set([...members, ...links.keys()]);
  others.delete(own);
  return [
    { nodeId: own, links: [...links.keys()].sort(), coverage: coverageOf(replicator.durable.coverage) },
    ...[...others].sort().map((nodeId) => ({
      nodeId,
      links: [...(links.get(nodeId) ?? [])].sort(),
      coverage: coverageOf(replicator.ackedBy(nodeId as NodeId)),
    })),
  ];
}

/** Without a prototype: authors are named by other replicas. */
function coverageOf(vector: VersionVector): Record<string, number> {
  return Object.assign(Object.create(null) as Record<string, number>, Object.fromEntries(vector));
}
