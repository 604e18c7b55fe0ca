/**
 * What replicas say to each other. One message travels in one frame; PROTOCOL.md says who sends it
 * when, and what the receiver does. codec/messages.ts gives the bytes.
 */
import type { VectorPairs } from "../core/version-vector.ts";
import type { Entry, Epoch, Millis, NodeId, Seq } from "../types.ts";

export const PROTOCOL_VERSION_MIN = 1;
export const PROTOCOL_VERSION_MAX = 1;

export type Message =
  | Hello
  | Page
  | Ack
  | Links
  | Probe
  | Digests
  | Listing
  | Round
  | Frontier
  | EphemeralNews
  | Supply
  | Bye;

/** Bits of `Hello.features`: what the sender understands beyond the protocol version. Unknown ones are of no interest. */
export const FEATURE_EPHEMERAL = 1;
export const FEATURE_SUPPLY = 2;
export const FEATURE_ACK_NOW = 4;

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
  /** Up to where the sender's tombstones may be collected: who does not cover all of it has to settle first. */
  readonly frontier: VectorPairs;
  /** See FEATURE_EPHEMERAL, FEATURE_SUPPLY, FEATURE_ACK_NOW. 0 from replicas that know of none. */
  readonly features: number;
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
  /**
   * The sender waits for the ack: it is to come as soon as this is durable, and not with the next tick. Only to peers with
   * FEATURE_ACK_NOW; who does not have it is acknowledged everything at once.
   */
  readonly ackNow: boolean;
}

/** What of the sender's coverage became durable since its last ack, and how many of our frames it has dealt with. */
export interface Ack {
  readonly type: "ack";
  readonly frames: number;
  readonly vector: VectorPairs;
  /** Up to which frame everything was applied durably, nothing of it refused. 0: do not resume behind the beginning. */
  readonly kept: number;
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

/**
 * Asks in which of these buckets the receiver's entries differ from the sender's: those where the digests
 * are unequal. Buckets that are left out are of no interest.
 */
export interface Digests {
  readonly type: "digests";
  /** Also asks for what the receiver holds in them. */
  readonly list: boolean;
  /** The sender has much to send and asks for its turn: the receiver may answer later. */
  readonly bulk: boolean;
  readonly buckets: readonly BucketDigest[];
}

export interface BucketDigest {
  readonly index: number;
  /** 16 hex digits. */
  readonly sum: string;
}

/** The answer to Digests. */
export interface Listing {
  readonly type: "listing";
  /** Buckets asked for that differ. */
  readonly differing: readonly number[];
  /** Those of them whose whole content follows: none if it was not asked for, at least one otherwise. */
  readonly listed: readonly number[];
  /** Key and order of all that the sender holds there: without values, whether it has one or not. */
  readonly entries: readonly Entry[];
  /** Keys there whose present version is not durable yet: nothing can be said of them. */
  readonly busy: readonly Uint8Array[];
  /** Live entries of the sender, all buckets together; 0 if it holds none but what it covers, or has just said to cover. */
  readonly size: number;
}

/** Who covers what durably, gathered from replica to replica: what tombstones are collected by. */
export interface Round {
  readonly type: "round";
  readonly number: number;
  /** Those whose coverage is in `low` and `high`. */
  readonly members: readonly NodeId[];
  /** What each of them covers, and what all of them together cover. */
  readonly low: VectorPairs;
  readonly high: VectorPairs;
}

/** The sender's frontier has grown, see Hello. */
export interface Frontier {
  readonly type: "frontier";
  readonly vector: VectorPairs;
}

/** Ephemeral entries, by process. Only to peers with FEATURE_EPHEMERAL. */
export interface EphemeralNews {
  readonly type: "ephemeral";
  /** How many messages with news of the receiver the sender has taken in, in this session. */
  readonly taken: number;
  /** What the sender holds of these processes: it wants what is newer. In the first message of a session: all that it holds. */
  readonly held: readonly AuthorVersion[];
  readonly news: readonly AuthorNews[];
}

/** How far the set of one process is known. Ordered by generation, incarnation and version. */
export interface AuthorVersion {
  readonly nodeId: NodeId;
  /** Tells the processes of one nodeId apart: the present one has the highest. */
  readonly generation: number;
  /** Of the process, as in Hello. */
  readonly incarnation: string;
  /** Grows with each change of the set, and with each sign of life. */
  readonly version: number;
}

/** What has happened to the set of one process between two of its versions. */
export interface AuthorNews extends AuthorVersion {
  /** The version that this follows upon. 0: this is all that there is. */
  readonly from: number;
  /** For how long the set outlives the last sign of life of its process. */
  readonly leaseMs: Millis;
  /** How long ago the sender has heard that sign of life. */
  readonly ageMs: Millis;
  /** The process has said goodbye. */
  readonly closed: boolean;
  /** In the order of their versions. */
  readonly cells: readonly EphemeralCell[];
}

/** One key of one process. */
export interface EphemeralCell {
  readonly key: string;
  /** Encoded; `null`: removed. */
  readonly value: Uint8Array | null;
  /** The version of the set with which it came. Of several processes that have the key, the one with the highest wins. */
  readonly version: number;
}

/** Whose writes the sender wants passed on at once, and whose not. Only to peers with FEATURE_SUPPLY. */
export interface Supply {
  readonly type: "supply";
  /** Writes of these come from somebody else: they are to wait, as if the sender were connected to their author. */
  readonly prune: readonly NodeId[];
  /** Writes of these are wanted at once again; takes back a prune, also one of this message. */
  readonly graft: readonly NodeId[];
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
