/**
 * What replicas say to each other. One message travels in one frame; PROTOCOL.md says who sends it
 * when, and what the receiver does. codec/messages.ts gives the bytes.
 */
import type { VectorPairs } from "../core/version-vector.ts";
import type { Entry, Epoch, Millis, NodeId, Seq } from "../types.ts";

export const PROTOCOL_VERSION_MIN = 1;
export const PROTOCOL_VERSION_MAX = 1;

export type Message = Hello | Page | Ack | Links | Probe | Bye;

/** The first message of each side. Nothing else is understood before it. */
export interface Hello {
  readonly type: "hello";
  readonly versionMin: number;
  readonly versionMax: number;
  readonly clusterId: string;
  readonly nodeId: NodeId;
  readonly epoch: Epoch;
  /** 64 random bits of the process, 16 hex digits: tells a reconnect from a restart, and a twin from a peer. */
  readonly incarnation: string;
  /** The sender's durable coverage; replaces, never raises, what the receiver believed. */
  readonly vector: VectorPairs;
  /** Where the sender can be dialed. */
  readonly addresses: readonly string[];
  /** The replicas that the sender is directly connected to. */
  readonly links: readonly NodeId[];
  /** The sender's wall clock, to tell who is the outlier. */
  readonly wallClock: Millis;
}

/** Entries, in the order of the sender's change log (catch-up) or as they were committed (live). */
export interface Page {
  readonly type: "page";
  readonly entries: readonly Entry[];
  /** The transfer ends here: the receiver applies what it has staged, in one step. */
  readonly last: boolean;
  /** The sender sent every write of its own origin with a seq in (from, to] in this session. 0, 0: no claim. */
  readonly runFrom: Seq;
  readonly runTo: Seq;
  /** Everything that the sender's vector covers is dominated by what it has sent, or by what we cover. `null`: no claim. */
  readonly mark: VectorPairs | null;
}

/** What of the sender's coverage became durable since its last ack, and how many of our frames it has dealt with. */
export interface Ack {
  readonly type: "ack";
  readonly frames: number;
  readonly vector: VectorPairs;
}

/** The sender's direct connections have changed. */
export interface Links {
  readonly type: "links";
  readonly links: readonly NodeId[];
}

/** Sent when nothing else was for a while: shows that the sender lives, and carries the root of its digest. */
export interface Probe {
  readonly type: "probe";
  /** 16 hex digits. */
  readonly digest: string;
  readonly wallClock: Millis;
}

/** The sender ends the connection, and why: both sides log it. */
export interface Bye {
  readonly type: "bye";
  readonly code: ByeCode;
  readonly detail: string;
}

export type ByeCode =
  | "closing"
  | "protocol-version"
  | "cluster-mismatch"
  | "identity-clash"
  | "new-epoch"
  | "duplicate"
  | "self"
  | "bad-frame"
  | "silent"
  | "too-many-peers"
  | "unauthenticated"
  | "internal";
