/** What a page is shown of a replica. */
import type { EntryInfo } from "../data/reader.ts";
import { toJson } from "../dump/json-values.ts";
import type { ConflictEvent, ConflictSide } from "../hooks.ts";
import { millisOf } from "../hybrid-logical-clock.ts";
import type { Replica } from "../replica.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { ChangeEvent } from "../watch/watch-events.ts";
import type {
  ChangeView,
  ConflictView,
  CountersView,
  EntryView,
  PeerView,
  ReplicaView,
  SideView,
  ValueView,
} from "./wire.ts";

const MEMBERS_SHOWN_MAX = 500;
const MESH_SHOWN_MAX = 64;
const AUTHORS_SHOWN_MAX = 64;
const PREVIEW_CHARACTERS_MAX = 400;

/**
 * What the page shows of a replica, as plain JSON: also for the page of another process, see `UiExtras.replicas`.
 * Costs what `status`, `metrics` and `mesh` cost. @throws ReplicaError ERR_CLOSED
 */
export function replicaView(replica: Replica): ReplicaView {
  const status = replica.status();
  const metrics = replica.metrics();
  const members = replica.members();
  return {
    nodeId: status.nodeId,
    clusterId: status.clusterId,
    epoch: status.epoch,
    health: status.health,
    reasons: status.reasons,
    entries: status.entries,
    tombstones: status.tombstones,
    bytes: status.bytes,
    digest: status.digest,
    durability: status.durability.mode,
    uptimeMs: metrics.uptimeMs,
    driftMs: status.clock.driftMs,
    pinnedBy: status.collection.pinnedBy,
    members: members
      .slice(0, MEMBERS_SHOWN_MAX)
      .map(({ nodeId, addresses, epoch, version }) => ({ nodeId, addresses, epoch, version })),
    membersTotal: members.length,
    peers: replica.peers().map(({ rejects, ...peer }): PeerView => ({ ...peer, refused: inWords(rejects) })),
    mesh: replica
      .mesh()
      .slice(0, MESH_SHOWN_MAX)
      .map((node) => ({ ...node, coverage: bounded(node.coverage) })),
    counters: countersOf(metrics),
  };
}

export function entryView(info: EntryInfo, charactersMax = PREVIEW_CHARACTERS_MAX): EntryView {
  const { key, value, version, stamp, nodeId, expiresAt } = info;
  return {
    key,
    value: valueView(value, charactersMax),
    version,
    writtenAt: millisOf(stamp),
    nodeId,
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
}

export function changeView(change: ChangeEvent): ChangeView {
  const { type, key, nodeId, local, version, batch, stamp } = change;
  const value = change.type === "put" ? { value: valueView(change.value) } : {};
  return { type, key, nodeId, local, version, batch, writtenAt: millisOf(stamp), ...value };
}

export function conflictView({ key, winner, loser }: ConflictEvent): ConflictView {
  return { key, winner: sideView(winner), loser: sideView(loser) };
}

function sideView(side: ConflictSide): SideView {
  const { nodeId, stamp, version } = side;
  return {
    nodeId,
    writtenAt: millisOf(stamp),
    version,
    ...("value" in side ? { value: valueView(side.value, PREVIEW_CHARACTERS_MAX * 5) } : {}),
  };
}

/** @param charactersMax  how much of the text is shown */
export function valueView(value: unknown, charactersMax = PREVIEW_CHARACTERS_MAX): ValueView {
  const text = JSON.stringify(toJson(value));
  // A pair of surrogates is not cut in two.
  const shown = text.length <= charactersMax ? text : text.slice(0, charactersMax).replace(/[\uD800-\uDBFF]$/, "");
  return { text: shown, more: text.length - shown.length };
}

function countersOf({ writes, store, commits, traffic, messages, watchers, queues }: Metrics): CountersView {
  const kinds: Record<string, readonly [number, number]> = {};
  let [messagesIn, messagesOut] = [0, 0];
  for (const [kind, sent] of Object.entries(messages.sent)) {
    const received = messages.received[kind as keyof typeof messages.received];
    if (sent + received > 0) kinds[kind] = [sent, received];
    messagesOut += sent;
    messagesIn += received;
  }
  return {
    puts: writes.puts,
    deletes: writes.deletes,
    expired: store.expired,
    refused: Object.values(writes.refused).reduce((sum, count) => sum + count, 0),
    commits: commits.durationMs.count,
    commitMs: commits.durationMs.sum,
    entriesIn: traffic.entriesReceived,
    entriesOut: traffic.entriesSent,
    bytesIn: traffic.bytesReceived,
    bytesOut: traffic.bytesSent,
    messagesIn,
    messagesOut,
    kinds,
    watchers: watchers.open,
    waiting: queues.commit,
  };
}

function bounded(coverage: Readonly<Record<string, number>>): Record<string, number> {
  const authors = Object.entries(coverage).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(authors.slice(0, AUTHORS_SHOWN_MAX));
}

function inWords(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([reason, count]) => `${count} ${reason}`)
    .join(", ");
}
