/** The public API of wavekv. */
export { ReplicaError, isReplicaError, type ErrorCode } from "./errors.ts";
export type { Durability, Limits, Logger, ReplicaOptions } from "./options.ts";
export {
  openReplica,
  type BatchOperation,
  type EntryInfo,
  type Member,
  type PutOptions,
  type Replica,
  type ScanOptions,
  type WatchOptions,
  type WriteToken,
} from "./replica.ts";
export type { KeyRange } from "./key-ranges.ts";
export type { PeerEvent } from "./hooks.ts";
export type { PeerState, PeerStatus, Status } from "./status.ts";
export type { VerifyReport } from "./storage/maintenance.ts";
export type { RecoveryProgress } from "./storage/recovery.ts";
export type { Disk, DiskFile } from "./storage/disk.ts";
export type { Channel, ChannelReceiver, Transport, TransportHost } from "./transport.ts";
export type { Timers, WallClock } from "./clock.ts";
export type { Random } from "./random.ts";
export type { ChangeEvent, PutEvent, RemoveEvent, Version, WatchEvent } from "./watchers.ts";
