/** What the members of a replica take as options, and give back: the shapes of the calls in replica.ts. */
import type { KeyRange } from "./data/key-ranges.ts";
import type { Version } from "./data/versions.ts";
import type { WriteToken } from "./data/write-tokens.ts";
import type { PeerStatus } from "./status.ts";

/** For whom a write waits. */
export interface WriteOptions {
  /** Resolve only when so many members hold the write durably, this one included. Default 1. */
  readonly acks?: number;
  /** Ends the wait for them: the call rejects with its reason, the write stays. */
  readonly signal?: AbortSignal;
}

export interface DeleteOptions extends WriteOptions {
  /**
   * Write only if the key has this version here and now, as `entry` and watch events tell it; `null`: only if it is
   * absent. Else ERR_VERSION_MISMATCH. Local: another replica may write at the same time, and then the later write wins.
   */
  readonly ifVersion?: Version | null;
}

export interface PutOptions extends DeleteOptions {
  /** The entry disappears that much later, on every replica. Above 0, at most 2^45. Default: never. */
  readonly ttlMs?: number;
}

/** What a transaction was for, and the token of what it wrote. */
export interface TransactionResult<T> {
  readonly result: T;
  readonly token: WriteToken;
}

export interface WaitOptions {
  /** Ends the wait: the call rejects with its reason. Default: waits for ever. */
  readonly signal?: AbortSignal;
}

export interface SettledOptions extends WaitOptions {
  /** nodeIds. Default: all other members, reachable or not. */
  readonly peers?: readonly string[];
}

export interface WatchOptions extends KeyRange {
  /** Only this key. Not together with a range. */
  readonly key?: string;
  /** The range to watch; may also be given field by field. Default: everything. */
  readonly range?: KeyRange;
  /** Deliver the present entries first, then `ready`. Default false. */
  readonly initial?: boolean;
  /**
   * The `version` of an event that was delivered before, also by another watch, also before a restart: goes on behind
   * it, without the present entries. If that point is not known any more, the first event is `lagged`.
   */
  readonly since?: Version;
  /** Ends the watch: the iteration throws its reason. */
  readonly signal?: AbortSignal;
}

export interface CloseOptions {
  /** Reject with ERR_TIMEOUT when it takes longer, milliseconds. Default: wait for the disk, however long. */
  readonly timeoutMs?: number;
}

/** A replica that this one knows of, with how it is. */
export interface Peer extends PeerStatus {
  readonly nodeId: string;
}
