/** What the picture of the mesh says, made of what one or several replicas tell. Pure. */
import type { Link, PeerView, ReplicaView, Snapshot } from "../wire.ts";

export type NodeState = "live" | "behind" | "down" | "paused";

export interface MeshNode {
  readonly nodeId: string;
  readonly state: NodeState;
  /** Writes that somebody holds and this one does not, as far as is known. */
  readonly behind: number;
  /** Its own word; absent where only others tell of it. */
  readonly view: ReplicaView | undefined;
  readonly isOwn: boolean;
  readonly coverage: Readonly<Record<string, number>>;
}

export interface MeshLink {
  readonly id: string;
  readonly ends: Link;
  readonly state: "live" | "busy" | "cut";
}

export interface Mesh {
  readonly nodes: readonly MeshNode[];
  readonly links: readonly MeshLink[];
  /** All that write, and how far the one has come who has the most of each. */
  readonly authors: readonly Author[];
}

export interface Author {
  /** `nodeId/epoch` */
  readonly origin: string;
  /** The name, with the epoch only where two have the same name. */
  readonly label: string;
  readonly writes: number;
}

export type MeshSource = Pick<Snapshot, "replica" | "others" | "cuts" | "paused">;

export function meshOf({ replica, others, cuts, paused }: MeshSource): Mesh {
  const views = new Map([replica, ...others].map((view) => [view.nodeId, view]));
  const coverages = coveragesOf(views);
  const writes = new Map<string, number>();
  for (const coverage of coverages.values()) {
    for (const [origin, seq] of Object.entries(coverage)) writes.set(origin, Math.max(seq, writes.get(origin) ?? 0));
  }
  const links = linksOf(views, cuts);
  const linked = new Set(links.flatMap(({ ends, state }) => (state === "cut" ? [] : ends)));
  const nodes = [...coverages].map(([nodeId, coverage]): MeshNode => {
    const behind = [...writes].reduce((sum, [origin, seq]) => sum + seq - (coverage[origin] ?? 0), 0);
    const view = views.get(nodeId);
    const isOwn = nodeId === replica.nodeId;
    const isThere = linked.has(nodeId) || view !== undefined;
    const state = paused.includes(nodeId) ? "paused" : !isThere ? "down" : behind > 0 ? "behind" : "live";
    return { nodeId, state, behind, view, isOwn, coverage };
  });
  nodes.sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
  return { nodes, links, authors: authorsOf(writes) };
}

/** Each replica's own word counts; of the others, the most that anybody has heard of them. */
function coveragesOf(views: ReadonlyMap<string, ReplicaView>): Map<string, Record<string, number>> {
  const coverages = new Map<string, Record<string, number>>();
  for (const view of views.values()) {
    for (const { nodeId, coverage } of view.mesh) {
      if (views.has(nodeId) && nodeId !== view.nodeId) continue;
      const known = coverages.get(nodeId) ?? {};
      for (const [origin, seq] of Object.entries(coverage)) known[origin] = Math.max(seq, known[origin] ?? 0);
      coverages.set(nodeId, known);
    }
  }
  return coverages;
}

function linksOf(views: ReadonlyMap<string, ReplicaView>, cuts: readonly Link[]): MeshLink[] {
  const links = new Map<string, MeshLink>();
  const add = (a: string, b: string, state: MeshLink["state"]): void => {
    const id = linkId(a, b);
    const known = links.get(id)?.state;
    if (known === "cut" || (known === "busy" && state === "live")) return;
    links.set(id, { id, ends: a < b ? [a, b] : [b, a], state });
  };
  for (const view of views.values()) {
    const peers = new Map(view.peers.map((peer) => [peer.nodeId, peer]));
    for (const { nodeId, links: to } of view.mesh) {
      if (views.has(nodeId) && nodeId !== view.nodeId) continue;
      for (const other of to) {
        // What a distant one has told of its links is old news where that end can tell itself.
        const end = views.get(other);
        if (end !== undefined && !(end.mesh[0]?.links.includes(nodeId) ?? false)) continue;
        add(nodeId, other, nodeId === view.nodeId ? linkState(peers.get(other)) : "live");
      }
    }
  }
  for (const [a, b] of cuts) add(a, b, "cut");
  return [...links.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function linkState(peer: PeerView | undefined): "live" | "busy" {
  return peer?.state === "live" || peer?.state === "down" || peer === undefined ? "live" : "busy";
}

export function linkId(a: string, b: string): string {
  return JSON.stringify(a < b ? [a, b] : [b, a]);
}

function authorsOf(writes: ReadonlyMap<string, number>): Author[] {
  const names = new Map<string, number>();
  for (const origin of writes.keys()) names.set(nameOf(origin), (names.get(nameOf(origin)) ?? 0) + 1);
  return [...writes]
    .map(([origin, count]) => {
      const name = nameOf(origin);
      const label = names.get(name) === 1 ? name : `${name} ${origin.slice(-16, -12)}`;
      return { origin, label, writes: count };
    })
    .sort((a, b) => (a.origin < b.origin ? -1 : 1));
}

function nameOf(origin: string): string {
  return origin.slice(0, -17);
}

/** How far what is missing has filled up since it was missing most: 1 when nothing is. */
export class Progress {
  readonly #most = new Map<string, number>();

  of(id: string, missing: number): number {
    if (missing <= 0) {
      this.#most.delete(id);
      return 1;
    }
    const most = Math.max(missing, this.#most.get(id) ?? 0);
    this.#most.set(id, most);
    return 1 - missing / most;
  }
}

/** Something that passed on a link between two frames. */
export interface Pulse {
  readonly from: string;
  readonly to: string;
  /** Entries; 0 for acknowledgements and heartbeats. */
  readonly entries: number;
}

/** What has passed since `before`. Each direction is told by its sender where that can be asked, else by its receiver. */
export function pulsesOf(
  before: Pick<Snapshot, "replica" | "others">,
  now: Pick<Snapshot, "replica" | "others">,
): Pulse[] {
  const pulses: Pulse[] = [];
  const earlier = new Map([before.replica, ...before.others].map((view) => [view.nodeId, view]));
  const asked = new Set([now.replica, ...now.others].map(({ nodeId }) => nodeId));
  for (const view of [now.replica, ...now.others]) {
    const peersBefore = new Map(earlier.get(view.nodeId)?.peers.map((peer) => [peer.nodeId, peer]));
    for (const peer of view.peers) {
      const last = peersBefore.get(peer.nodeId);
      if (last === undefined) continue;
      const add = (from: string, to: string, bytes: number, entries: number): void => {
        // Below 0: another session has begun.
        if (bytes > 0 && entries >= 0) pulses.push({ from, to, entries });
      };
      add(view.nodeId, peer.nodeId, peer.bytesOut - last.bytesOut, peer.entriesOut - last.entriesOut);
      if (asked.has(peer.nodeId)) continue;
      add(peer.nodeId, view.nodeId, peer.bytesIn - last.bytesIn, peer.entriesIn - last.entriesIn);
    }
  }
  return pulses;
}
