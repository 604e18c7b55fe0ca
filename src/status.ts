/** The report of a replica about itself: plain data, made on demand. */

import type { RefusalReason } from "./core/admission.ts";
import type { CoreState } from "./core/core-state.ts";
import { VersionVector } from "./core/version-vector.ts";
import type { Driver } from "./driver.ts";
import { millisOf } from "./hybrid-logical-clock.ts";
import type { Durability } from "./options.ts";
import type { Member } from "./peers/neighbours.ts";
import type { RecoveryReport } from "./storage/open.ts";
import type { Replicator } from "./sync/replicator.ts";
import type { Session } from "./sync/session.ts";
import { epochOf, type Millis, type NodeId, nodeIdOf } from "./types.ts";

export type PeerState = "connecting" | "catching-up" | "live" | "settling" | "down";

export interface PeerStatus {
  readonly state: PeerState;
  readonly address?: string;
  /** Writes that we cover and the peer has not acknowledged. */
  readonly lagEntries: number;
  /** For how long the peer has not covered all that we have. */
  readonly lagMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Entries that this session has moved: new ones, and those that the receiver had from elsewhere already. */
  readonly entriesIn: number;
  readonly entriesOut: number;
  /** When something was last received, milliseconds since 1970. */
  readonly lastSeenAt?: number;
  /** How many entries or frames of the peer were refused in this session, by reason. */
  readonly rejects: Readonly<Record<string, number>>;
}

export interface Status {
  readonly nodeId: string;
  readonly epoch: string;
  readonly clusterId: string;
  readonly health: "green" | "yellow" | "red";
  /** Why the health is not green. */
  readonly reasons: readonly string[];
  /** That have a value here, also if their time is over and no tick has looked yet. A key that is merged is kept in parts, and not counted. */
  readonly entries: number;
  readonly tombstones: number;
  /** Bytes of all keys and encoded values. */
  readonly bytes: number;
  /** 16 hex digits, equal on replicas that show the same data. */
  readonly digest: string;
  readonly durability: {
    readonly mode: "memory" | "always" | "interval" | "os";
    readonly state: "ok" | "failed";
    /** What the last open found, if there was anything to find. */
    readonly recovered?: { readonly truncatedBytes: number; readonly corrupt: boolean; readonly entries: number };
  };
  readonly clock: {
    /** By how much our hybrid clock is ahead of our wall clock. */
    readonly driftMs: number;
    /** Entries of the connected peers that were refused because they were stamped too far ahead. */
    readonly rejected: number;
    /**
     * By how much the wall clocks of the connected peers are ahead of ours, the median; below 0 ours is ahead. As they
     * last told, which they do when a connection begins and when it is quiet. 0 without peers.
     */
    readonly peersAheadMs: number;
  };
  /** Connections that we have refused, or that were refused to us, since the replica was opened, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  readonly collection: {
    /** Members that have not yet seen deletes which the others wait to forget. Evict those that will not come back. */
    readonly pinnedBy: readonly string[];
  };
  readonly members: readonly string[];
  /** Of all living processes, as far as is known here: how many have any, how many, bytes of keys and encoded values. */
  readonly ephemeral: { readonly processes: number; readonly entries: number; readonly bytes: number };
  readonly peers: Readonly<Record<string, PeerStatus>>;
}

export interface StatusSource {
  readonly state: CoreState;
  readonly replicator: Replicator;
  readonly driver: Driver;
  readonly clusterId: string;
  readonly durability: Durability | undefined;
  readonly recovery: RecoveryReport | undefined;
  readonly refused: Readonly<Record<string, number>>;
  readonly members: readonly Member[];
  /** What went wrong and needs a person. */
  readonly problems: readonly string[];
  /** How far ahead of its clock a replica accepts writes. */
  readonly maxDriftMs: Millis;
  readonly now: Millis;
}

const CLOCK_AHEAD: RefusalReason = "clock-ahead";
/** A peer that lags for longer is worth a look. */
const LAG_MS_YELLOW = 8000;

export function statusOf(source: StatusSource): Status {
  const { state, replicator, driver, durability, recovery, now } = source;
  const own = nodeIdOf(state.origin);
  const peers = peersOf(source);
  const failed = driver.failure !== undefined;
  const rejected = Object.values(peers).reduce((sum, peer) => sum + (peer.rejects[CLOCK_AHEAD] ?? 0), 0);
  const driftMs = Math.max(0, millisOf(replicator.lastStamp) - now);
  const red = [...(failed ? [`the log has failed: ${driver.failure.message}`] : [])];
  if (state.violations > 0) red.push(`${state.violations} writes came with two contents: some replica is broken`);
  const yellow = [...source.problems];
  for (const [nodeId, peer] of Object.entries(peers)) {
    if (peer.state === "down") yellow.push(`"${nodeId}" is down`);
    else if (peer.lagMs > LAG_MS_YELLOW) yellow.push(`"${nodeId}" is behind for ${Math.round(peer.lagMs / 1000)} s`);
    // What a later version adds is skipped by agreement: counted, and nobody's trouble.
    const refusals = Object.entries(peer.rejects).filter(([reason]) => reason !== "unknown-message");
    const refused = refusals.map(([reason, count]) => `${count} ${reason}`);
    if (refused.length > 0) yellow.push(`refused from "${nodeId}": ${refused.join(", ")}`);
  }
  const peersAheadMs = medianOffset(replicator);
  if (-peersAheadMs > source.maxDriftMs) {
    yellow.push(
      `our clock is ${secondsText(-peersAheadMs)} ahead of those of most peers: they refuse what we write; set it right`,
    );
  } else if (peersAheadMs > source.maxDriftMs) {
    yellow.push(
      `our clock is ${secondsText(peersAheadMs)} behind those of most peers: we refuse what they write; set it right`,
    );
  }
  if (recovery?.corrupt === true) yellow.push("damage was found when the directory was opened");
  return {
    nodeId: own,
    epoch: epochOf(state.origin),
    clusterId: source.clusterId,
    health: red.length > 0 ? "red" : yellow.length > 0 ? "yellow" : "green",
    reasons: [...red, ...yellow],
    entries: state.table.live,
    tombstones: state.table.tombstones,
    bytes: state.table.bytes,
    digest: state.table.digestRoot(),
    durability: {
      mode: durability === undefined ? "memory" : typeof durability === "string" ? durability : "interval",
      state: failed ? "failed" : "ok",
      ...(recovery === undefined || recovery.created ? {} : { recovered: recoveredOf(recovery) }),
    },
    clock: { driftMs, rejected, peersAheadMs },
    refused: source.refused,
    collection: { pinnedBy: replicator.pinnedBy },
    members: source.members.map(({ nodeId }) => nodeId),
    ephemeral: ephemeralOf(replicator),
    peers,
  };
}

function peersOf(source: StatusSource): Record<string, PeerStatus> {
  const { state, replicator, driver, now } = source;
  const peers: Record<string, PeerStatus> = Object.create(null) as Record<string, PeerStatus>;
  const own = nodeIdOf(state.origin);
  // Of most members of a large cluster nothing was ever heard: what they lack is added up once.
  const lagOfUnheard = lag(replicator.durable.coverage, new VersionVector());
  for (const member of source.members) {
    if (member.nodeId !== own) peers[member.nodeId] = downPeer(source, member, lagOfUnheard);
  }
  for (const session of replicator.sessions) {
    const { peer } = session;
    if (peer === undefined) continue;
    const bytes = driver.bytesOf(session.id);
    const address = peer.addresses[0] ?? driver.remoteOf(session.id);
    const behind = lag(replicator.durable.coverage, peer.outbound.acked);
    peers[peer.nodeId] = {
      state: stateOf(session),
      ...(address === undefined ? {} : { address }),
      lagEntries: behind,
      lagMs: behind === 0 ? 0 : Math.max(0, now - session.caughtUpAt),
      bytesIn: bytes.in,
      bytesOut: bytes.out,
      entriesIn: session.entriesIn,
      entriesOut: session.entriesOut,
      lastSeenAt: session.lastReceivedAt,
      rejects: { ...session.rejects },
    };
  }
  return peers;
}

function ephemeralOf({ ephemerals }: Replicator): Status["ephemeral"] {
  if (ephemerals === undefined) return { processes: 0, entries: 0, bytes: 0 };
  const { authors, entries, bytes } = ephemerals.totals;
  return { processes: authors, entries, bytes };
}

/** Of two in the middle the one nearer to ours: one peer alone must not accuse us while another one agrees with us. */
function medianOffset({ sessions }: Replicator): Millis {
  const offsets: Millis[] = [];
  for (const { peer } of sessions) if (peer !== undefined) offsets.push(peer.clockOffsetMs);
  offsets.sort((a, b) => a - b);
  const low = offsets[(offsets.length - 1) >> 1] ?? 0;
  const high = offsets[offsets.length >> 1] ?? 0;
  return Math.abs(low) < Math.abs(high) ? low : high;
}

function secondsText(ms: Millis): string {
  return `${Math.round(ms / 1000)} s`;
}

function stateOf({ peer }: Session): PeerState {
  if (peer === undefined) return "connecting";
  if (peer.inbound.isStale) return "settling";
  return peer.inbound.live && peer.outbound.phase === "live" ? "live" : "catching-up";
}

function downPeer(
  { state, replicator }: StatusSource,
  { nodeId, addresses }: Member,
  lagOfUnheard: number,
): PeerStatus {
  const acked = state.acked.get(nodeId as NodeId);
  const lagEntries = acked === undefined ? lagOfUnheard : lag(replicator.durable.coverage, acked);
  const [address] = addresses;
  return {
    state: "down",
    ...(address === undefined ? {} : { address }),
    lagEntries,
    lagMs: 0,
    bytesIn: 0,
    bytesOut: 0,
    entriesIn: 0,
    entriesOut: 0,
    rejects: {},
  };
}

function recoveredOf({ truncatedBytes, corrupt, entries }: RecoveryReport): Status["durability"]["recovered"] & object {
  return { truncatedBytes, corrupt, entries };
}

function lag(ours: VersionVector, theirs: VersionVector): number {
  let entries = 0;
  for (const [origin, seq] of ours.above(theirs)) entries += seq - theirs.get(origin);
  return entries;
}
