/** What passes from the replicator to the driver and, once durable, on to peers and watchers. */
import type { StateOp } from "../core/ops.ts";
import type { VectorPairs } from "../core/version-vector.ts";
import type { Entry, Lsn, NodeId } from "../types.ts";
import type { Message } from "./messages.ts";

/** Names one connection for as long as the process lives. */
export type SessionId = number;

/** Entries that were applied in one step: a local batch, or a transfer from a peer. */
export interface AppliedBatch {
  readonly entries: readonly Entry[];
  /** The session that brought them; `undefined` for our own writes. */
  readonly via: SessionId | undefined;
}

/** One change of a key, for watchers. */
export interface Change {
  readonly kind: "put" | "delete" | "expire";
  readonly entry: Entry;
  /** Whether a value was visible before. */
  readonly existed: boolean;
  /** That value; `null` also where previous values are not kept. */
  readonly previous: Uint8Array | null;
  readonly local: boolean;
  /** Changes of this process are numbered from 1 as memory makes them: tells which of them a view has seen already. */
  readonly number: number;
  /** The value was not overwritten but has gone, dead elsewhere: `entry` has the order of what was there. */
  readonly dropped?: boolean;
}

/**
 * What must become durable together, as one record of the log. The driver appends `ops`, then hands
 * the object back to `Replicator.persisted`, then publishes `changes`: invariant I4.
 */
export interface Ready {
  readonly ops: readonly StateOp[];
  /** The lsn before `ops`, and behind them. */
  readonly lsn: Lsn;
  readonly end: Lsn;
  readonly batches: readonly AppliedBatch[];
  readonly changes: readonly Change[];
  /** By what our coverage grows with this record. */
  readonly coverage: VectorPairs;
}

/** A message for the driver to put into a frame and send. Made of durable state only, so it may leave at once. */
export interface Outgoing {
  readonly session: SessionId;
  readonly frame: number;
  readonly message: Message;
}

/** What happened on a connection, for the embedder's log, `status()` and the dialer. */
export type SessionEvent =
  | { readonly type: "up"; readonly session: SessionId; readonly nodeId: string }
  | { readonly type: "live"; readonly session: SessionId; readonly nodeId: string }
  /** A page of a catch-up has come: `entries` so far, of at most `entriesTotal`. */
  | {
      readonly type: "progress";
      readonly session: SessionId;
      readonly nodeId: string;
      readonly entries: number;
      readonly entriesTotal: number;
    }
  /** The driver closes the channel. `nodeId`: who the peer said it is; `wasUp`: its hello was accepted. */
  | {
      readonly type: "end";
      readonly session: SessionId;
      readonly code: string;
      readonly detail: string;
      readonly wasUp: boolean;
      readonly nodeId?: string;
    }
  /** A member has not been heard of for as long as a member may be silent. */
  | { readonly type: "overdue"; readonly nodeId: NodeId }
  /** What two quiet replicas held had become different, and was compared. */
  | { readonly type: "repaired"; readonly nodeId: NodeId; readonly differences: number }
  /** We author under a new epoch from now on; every session ends. The driver announces the replica again. */
  | { readonly type: "rotated"; readonly detail: string };
