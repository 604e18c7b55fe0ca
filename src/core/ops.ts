/**
 * StateOps: the only things that change `CoreState`. Every one of them is in the log before anything
 * outside the process may know of it. All ops that one group commit takes form one record.
 */
import type { Entry, Epoch, NodeId, Origin, Seq, Stamp } from "../types.ts";

export type StateOp =
  /** A winner of the last-write-wins comparison enters; takes the next lsn. On replay it is compared again. */
  | { readonly type: "set"; readonly entry: Entry }
  /** We cover every write of `origin` up to `seq` (invariant I2). Never lowers. */
  | { readonly type: "cover"; readonly origin: Origin; readonly seq: Seq }
  /** We cover no write of `origin` beyond `seq` any more: the numbers from there on were used twice. Never raises. */
  | { readonly type: "uncover"; readonly origin: Origin; readonly seq: Seq }
  /** The replica `peer` told us that it durably covers `origin` up to `seq`. May lower: it may have lost what it had. */
  | { readonly type: "ack"; readonly peer: NodeId; readonly origin: Origin; readonly seq: Seq }
  /** Stamps up to `stamp` may be issued from now on, so that a restart with a clock set back stays above them. Never lowers. */
  | { readonly type: "lease"; readonly stamp: Stamp }
  /** The value of this very version of the key has expired: it becomes a tombstone of the same order. */
  | { readonly type: "expire"; readonly key: Uint8Array; readonly origin: Origin; readonly seq: Seq }
  /**
   * This very version of the key is forgotten without a trace: a tombstone that every member covers, or a
   * value that is dead because a peer has collected the tombstone that beat it.
   */
  | { readonly type: "collect"; readonly key: Uint8Array; readonly origin: Origin; readonly seq: Seq }
  /** Tombstones of `origin` up to `seq` may be gone here. Never lowers. */
  | { readonly type: "frontier"; readonly origin: Origin; readonly seq: Seq }
  /** From now on we author under this epoch, from seq 1. What the old origin wrote stays valid. */
  | { readonly type: "rotate"; readonly epoch: Epoch };
