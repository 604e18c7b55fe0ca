/** What a replica shows of what it has counted: plain data, of one moment. */
import type { PeerState, Status } from "../status.ts";
import type { Histogram } from "./histogram.ts";
import type { MessageCounts, Telemetry } from "./telemetry.ts";

/**
 * Counters only grow, and begin at 0 when the replica is opened; the others are as they are at the moment. Reads are
 * not counted: it would cost more than nothing on the one path that has to cost nothing.
 */
export interface Metrics {
  readonly nodeId: string;
  readonly clusterId: string;
  readonly health: "green" | "yellow" | "red";
  /** Since the replica was opened. */
  readonly uptimeMs: number;
  readonly store: {
    readonly entries: number;
    readonly tombstones: number;
    /** Of all keys and encoded values. */
    readonly bytes: number;
    /** Entries that were removed because their time was over. */
    readonly expired: number;
  };
  /** Entries of living processes, as far as is known here; see `Status`. */
  readonly ephemeral: { readonly processes: number; readonly entries: number; readonly bytes: number };
  /** By this replica's user and for its own bookkeeping, once durable. */
  readonly writes: {
    readonly puts: number;
    readonly deletes: number;
    /** Calls: a batch of many puts is one. */
    readonly batches: number;
    /** Refused or failed, by the code of the error. */
    readonly refused: Readonly<Record<string, number>>;
  };
  /** Records of the log; empty without a directory. */
  readonly commits: {
    /** From the hand-over to the log until durable. */
    readonly durationMs: Histogram;
    /** Changes to the store in one commit. */
    readonly operations: Histogram;
  };
  readonly disk: {
    /** Of what was written to the log at once. */
    readonly recordBytes: Histogram;
    /** Of all files. */
    readonly syncMs: Histogram;
    /** Of the snapshots that were finished. */
    readonly checkpointMs: Histogram;
    readonly checkpointFailures: number;
    /** Nothing becomes durable any more. */
    readonly failed: boolean;
  };
  readonly messages: { readonly sent: MessageCounts; readonly received: MessageCounts };
  /** All of it, overhead of the transport excepted. */
  readonly traffic: {
    readonly bytesSent: number;
    readonly bytesReceived: number;
    readonly entriesSent: number;
    readonly entriesReceived: number;
  };
  readonly sessions: {
    readonly begun: number;
    /** By code, such as `lost`, `closing`, `silent`. */
    readonly ended: Readonly<Record<string, number>>;
    /** From the beginning of a session until it had brought what the peer had. */
    readonly catchUpMs: Histogram;
  };
  /** What peers sent and was refused, by reason, retries included. */
  readonly rejects: Readonly<Record<string, number>>;
  readonly peers: Readonly<
    Record<string, { readonly state: PeerState; readonly lagEntries: number; readonly lagMs: number }>
  >;
  readonly members: number;
  readonly watchers: {
    readonly open: number;
    /** How often one fell behind and lost changes. */
    readonly lagged: number;
  };
  /** By how much our hybrid clock is ahead of our wall clock. */
  readonly clock: { readonly driftMs: number };
  readonly queues: {
    /** Calls that wait for the disk. */
    readonly commit: number;
    /** Calls that wait for peers: `acks`, `reached`, `settled`. */
    readonly peers: number;
    /** Entries of peers that were refused and are kept for another try. */
    readonly quarantine: number;
  };
}

/** What is looked up at the moment, beside the counters and the status. */
export interface Gauges {
  readonly rejects: Readonly<Record<string, number>>;
  readonly watchers: Metrics["watchers"];
  readonly queues: Metrics["queues"];
}

export function metricsOf(telemetry: Telemetry, status: Status, { rejects, watchers, queues }: Gauges): Metrics {
  const { sent, received } = telemetry;
  const peers = Object.entries(status.peers).map(([nodeId, { state, lagEntries, lagMs }]) => {
    return [nodeId, { state, lagEntries, lagMs }] as const;
  });
  return {
    nodeId: status.nodeId,
    clusterId: status.clusterId,
    health: status.health,
    uptimeMs: telemetry.now() - telemetry.openedAt,
    store: {
      entries: status.entries,
      tombstones: status.tombstones,
      bytes: status.bytes,
      expired: telemetry.expired,
    },
    ephemeral: status.ephemeral,
    writes: {
      puts: telemetry.puts,
      deletes: telemetry.deletes,
      batches: telemetry.batches,
      refused: Object.fromEntries(telemetry.refusedWrites),
    },
    commits: { durationMs: telemetry.commitMs.snapshot(), operations: telemetry.commitOperations.snapshot() },
    disk: {
      recordBytes: telemetry.recordBytes.snapshot(),
      syncMs: telemetry.syncMs.snapshot(),
      checkpointMs: telemetry.checkpointMs.snapshot(),
      checkpointFailures: telemetry.checkpointFailures,
      failed: status.durability.state === "failed",
    },
    messages: { sent: { ...sent.messages }, received: { ...received.messages } },
    traffic: {
      bytesSent: sent.bytes,
      bytesReceived: received.bytes,
      entriesSent: sent.entries,
      entriesReceived: received.entries,
    },
    sessions: {
      begun: telemetry.sessionsBegun,
      ended: Object.fromEntries(telemetry.sessionEnds),
      catchUpMs: telemetry.catchUpMs.snapshot(),
    },
    rejects,
    peers: Object.fromEntries(peers),
    members: status.members.length,
    watchers,
    clock: { driftMs: status.clock.driftMs },
    queues,
  };
}
