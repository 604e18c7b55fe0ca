/** One connection: its frame numbers, how much of what came is applied and durable, and the peer once it has said hello. */
import { VersionVector } from "../core/version-vector.ts";
import type { Lsn, Millis, NodeId } from "../types.ts";
import type { SessionId } from "./committed.ts";
import type { Peer } from "./peer.ts";

export class Session {
  readonly id: SessionId;
  readonly dialed: boolean;
  readonly openedTick: number;
  /** Why entries of the peer were refused or its frames not understood, and how often. */
  readonly rejects: Record<string, number> = {};
  /** Who the other end has proved to be, below the protocol; undefined: nobody in particular. */
  readonly proved: string | undefined;
  /** Who the peer says it is. */
  nodeId: NodeId | undefined;
  /** Set once its hello was accepted. */
  peer: Peer | undefined;
  /** The coverage that our hello carried, until the peer's hello has come. */
  told: VersionVector;
  /** Entries that came in pages and that went out in pages: what a write costs to deliver. */
  entriesIn = 0;
  entriesOut = 0;
  /** When the session began, what of ours may have been known to others ended here, and the peer had this. */
  exposedBefore: Lsn = 0;
  helloVector = new VersionVector();
  /** Writes that the peer had and we did not when it said hello: more entries than these do not come in the catch-up. */
  entriesDue = 0;
  framesSent = 0;
  framesReceived = 0;
  /** Received when the record that is on its way to the disk was taken. */
  framesInRecord = 0;
  /** Dealt with: what they brought is durable, or staged. */
  framesDone = 0;
  /** As the three above, of frames whose entries were applied: nothing of them is staged. Hello is the first. */
  framesApplied = 1;
  framesAppliedInRecord = 1;
  framesKept = 1;
  /** Whether the peer waits for an ack: it has sent pages. */
  owesAck = false;
  /** Whether it waits for it now, and not for the next tick. */
  isAckUrgent = false;
  lastSentTick: number;
  lastProbeTick: number;
  lastReceivedTick: number;
  lastReceivedAt: Millis;
  /** When the peer last covered all that we have, ours. */
  caughtUpAt: Millis;

  constructor(id: SessionId, dialed: boolean, tick: number, now: Millis, told: VersionVector, proved?: string) {
    this.id = id;
    this.proved = proved;
    this.told = told;
    this.dialed = dialed;
    this.openedTick = tick;
    this.lastSentTick = tick;
    this.lastProbeTick = tick;
    this.lastReceivedTick = tick;
    this.lastReceivedAt = now;
    this.caughtUpAt = now;
  }

  /** Whether the peer has said that it is connected to that replica. */
  isConnectedTo(nodeId: NodeId): boolean {
    return this.peer?.outbound.links.has(nodeId) === true;
  }

  /** Whether the peer has asked us not to send it that author's writes at once. */
  hasPruned(author: NodeId): boolean {
    return this.peer?.outbound.pruned.has(author) === true;
  }

  reject(reason: string): void {
    this.rejects[reason] = (this.rejects[reason] ?? 0) + 1;
  }
}
