/** The public API of wavekv. */

export type {
  CloseOptions,
  DeleteOptions,
  Peer,
  PutOptions,
  SettledOptions,
  TransactionResult,
  WaitOptions,
  WatchOptions,
  WriteOptions,
} from "./calls.ts";
export type { Timers, WallClock } from "./clock.ts";
export type { KeyRange } from "./data/key-ranges.ts";
export type { BatchOperation } from "./data/local-writes.ts";
export type { EntryInfo } from "./data/reader.ts";
export type { ScanOptions } from "./data/scans.ts";
export type { Transaction, TransactionEntry } from "./data/transaction.ts";
export type { Version } from "./data/versions.ts";
export type { WriteToken } from "./data/write-tokens.ts";
export { type ErrorCode, isReplicaError, ReplicaError } from "./errors.ts";
export type { ConflictEvent, ConflictSide, PeerEvent } from "./hooks.ts";
export type { LeaseHolder } from "./layers/claims.ts";
export type { Ephemeral, EphemeralScanOptions, EphemeralWatchOptions } from "./layers/ephemeral.ts";
export type { EphemeralEntry, EphemeralEvent } from "./layers/ephemeral-watcher.ts";
export type { Lease } from "./layers/held-lease.ts";
export type { LeaseOptions } from "./layers/leases.ts";
export type { CustomMerge, MergeKind } from "./layers/merge-kinds.ts";
export type { Namespace } from "./layers/namespace.ts";
export type { NamespaceTransaction } from "./layers/scoped-transaction.ts";
export type { IndexedEntry, IndexOptions, SecondaryIndex } from "./layers/secondary-index.ts";
export type { SchemaIssue, SchemaResult, StandardSchema } from "./layers/standard-schema.ts";
export type { Codec } from "./layers/value-shape.ts";
export { openReplica } from "./open-replica.ts";
export type {
  Admit,
  AdmitEntry,
  CatchUpProgress,
  Durability,
  Limits,
  Logger,
  Progress,
  ReplicaOptions,
} from "./options.ts";
export type { MeshNode } from "./peers/mesh.ts";
export type { Member } from "./peers/neighbours.ts";
export type { Random } from "./random.ts";
export type { Replica } from "./replica.ts";
export type { PeerState, PeerStatus, Status } from "./status.ts";
export type { Disk, DiskFile } from "./storage/disk.ts";
export type { VerifyReport } from "./storage/maintenance.ts";
export type { RecoveryProgress } from "./storage/recovery.ts";
export type { EphemeralCause } from "./sync/ephemeral-sets.ts";
export type { DiagnosticsMessages } from "./telemetry/channels.ts";
export type { Histogram } from "./telemetry/histogram.ts";
export type { Metrics } from "./telemetry/metrics.ts";
export type { MessageCounts, MessageKind } from "./telemetry/telemetry.ts";
export type { Channel, ChannelReceiver, Transport, TransportHost } from "./transport.ts";
export type { ChangeEvent, PutEvent, RemoveEvent, WatchEvent } from "./watch/watch-events.ts";
