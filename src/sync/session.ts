/** One connection to one peer: its two directions, its frame numbers, and what it told us in hello. */
import { VersionVector } from "../core/version-vector.ts";
import type { Epoch, Lsn, Millis, NodeId, Origin } from "../types.ts";
import type { SessionId } from "./committed.ts";
import type { Inbound } from "./inbound.ts";
import type { Digests } from "./messages.ts";
import type { Outbound } from "./outbound.ts";
import type { Settling } from "./settling.ts";

/** What a session knows once both sides have said hello. */
export interface Peer {
  readonly nodeId: NodeId;
  readonly epoch: Epoch;
  readonly origin: Origin;
  readonly incarnation: string;
  readonly addresses: readonly string[];
  readonly outbound: Outbound;
  readonly inbound: Inbound;
  /** Whether it says which of its pages are to be acknowledged at once; if not, all of them are. */
  readonly asksForAcks: boolean;
  /** The peer's wall clock minus ours when it last told us. Includes the one-way delay. */
  clockOffsetMs: Millis;
  /** The peer's, as it told us: see Hello. */
  readonly frontier: VersionVector;
  /** Our questions to the peer, while there are any. */
  settling: Settling | undefined;
  /** A question of the peer that has to wait for its turn, and since when. */
  waiting: { readonly question: Digests; readonly sinceTick: number } | undefined;
  /** Probes in a row, of a quiet session, whose digest differed from ours. */
  mismatches: number;
  /** Repairs in a row that found nothing, and when the next may begin. */
  fruitless: number;
  repairTick: number;
}

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
