/** What a hello says about whether two replicas can talk. Decides, changes nothing. */
import type { VectorPairs } from "../core/version-vector.ts";
import { type Epoch, makeOrigin, type NodeId, type Origin, type Seq } from "../types.ts";
import { type ByeCode, type Hello, PROTOCOL_VERSION_MAX, PROTOCOL_VERSION_MIN } from "./messages.ts";

/** Who we are. */
export interface Identity {
  readonly nodeId: NodeId;
  readonly epoch: Epoch;
  readonly clusterId: string;
  /** Of this process. */
  readonly incarnation: string;
  /** The first sequence number of ours that no peer can have seen. */
  readonly unsentSeq: Seq;
}

export type HelloVerdict = { readonly type: "welcome" } | Objection;

/** Why a session cannot go on with what has come. */
export type Objection =
  | { readonly type: "refused"; readonly code: ByeCode; readonly detail: string }
  /** Our sequence numbers are in doubt: a new epoch is due. */
  | { readonly type: "rotate"; readonly detail: string };

/** How a hello is to be answered. Another connection to the same peer is not its business. */
export function judge(hello: Hello, own: Identity): HelloVerdict {
  if (hello.versionMin > PROTOCOL_VERSION_MAX || hello.versionMax < PROTOCOL_VERSION_MIN) {
    const theirs = `${hello.versionMin} to ${hello.versionMax}`;
    const ours = `${PROTOCOL_VERSION_MIN} to ${PROTOCOL_VERSION_MAX}`;
    return refused(
      "protocol-version",
      `"${hello.nodeId}" speaks protocol ${theirs}, "${own.nodeId}" speaks ${ours}: upgrade the older one`,
    );
  }
  if (hello.clusterId !== own.clusterId) {
    return refused(
      "cluster-mismatch",
      `"${hello.nodeId}" is of cluster "${hello.clusterId}", "${own.nodeId}" of "${own.clusterId}"`,
    );
  }
  if (hello.nodeId === own.nodeId) {
    if (hello.incarnation === own.incarnation) return refused("self", "this is the replica itself");
    if (hello.epoch === own.epoch) return { type: "rotate", detail: "another live replica has the same origin" };
    return refused("identity-clash", `two replicas are named "${hello.nodeId}": give one of them another nodeId`);
  }
  if (!isPlausible(hello.vector, makeOrigin(own.nodeId, own.epoch), own.unsentSeq)) {
    // A disk that was rolled back: peers hold writes of ours that we do not remember.
    return { type: "rotate", detail: `"${hello.nodeId}" covers more of our writes than we have sent` };
  }
  return { type: "welcome" };
}

/** One of two connections between the same two replicas. */
export interface Connection {
  readonly dialed: boolean;
  /** Of the peer's process. */
  readonly incarnation: string;
}

/**
 * Whether a new connection replaces one that is in use. Both ends decide alike: a peer that was
 * restarted is the one to talk to; of two that crossed, the one dialed by the smaller nodeId is kept;
 * of two dialed by the same side, the newer one, since whoever dials again has lost the other.
 */
export function replaces(fresh: Connection, used: Connection, own: NodeId, peer: NodeId): boolean {
  if (fresh.incarnation !== used.incarnation || fresh.dialed === used.dialed) return true;
  return fresh.dialed ? own < peer : peer < own;
}

/** Whether coverage can be true: not of our own future, and not beyond what anybody can have written. */
export function isPlausible(pairs: VectorPairs, own: Origin, unsentSeq: Seq): boolean {
  return pairs.every(([origin, seq]) => seq < SEQ_ABSURD && (origin !== own || seq < unsentSeq));
}

/** A sequence number that no replica reaches by writing. */
const SEQ_ABSURD = 2 ** 50;

function refused(code: ByeCode, detail: string): HelloVerdict {
  return { type: "refused", code, detail };
}
