/** What a session knows of the other end once both have said hello, and its two directions. */
import { VersionVector } from "../core/version-vector.ts";
import { type Epoch, type Millis, makeOrigin, type NodeId, type Origin } from "../types.ts";
import type { Durable } from "./durable.ts";
import type { Inbound } from "./inbound.ts";
import { type Digests, FEATURE_ACK_NOW, type Hello } from "./messages.ts";
import type { Outbound } from "./outbound.ts";
import type { Settling } from "./settling.ts";

export class Peer {
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
  readonly frontier = new VersionVector();
  /** Our questions to the peer, while there are any. */
  settling: Settling | undefined;
  /** A question of the peer that has to wait for its turn, and since when. */
  waiting: { readonly question: Digests; readonly sinceTick: number } | undefined;
  /** Probes in a row, of a quiet session, whose digest differed from ours. */
  mismatches = 0;
  /** Repairs in a row that found nothing, and when the next may begin. */
  fruitless = 0;
  repairTick = 0;

  constructor(hello: Hello, outbound: Outbound, inbound: Inbound, now: Millis) {
    const { nodeId, epoch, incarnation, addresses, features, wallClock } = hello;
    this.nodeId = nodeId;
    this.epoch = epoch;
    this.origin = makeOrigin(nodeId, epoch);
    this.incarnation = incarnation;
    this.addresses = addresses;
    this.outbound = outbound;
    this.inbound = inbound;
    this.asksForAcks = (features & FEATURE_ACK_NOW) !== 0;
    this.clockOffsetMs = wallClock - now;
  }

  /** Neither has anything for the other, as far as we know. */
  isQuiet(durable: Durable): boolean {
    const { inbound, outbound } = this;
    const isLive = inbound.live && outbound.phase === "live";
    const isIdle = !inbound.isStaging && !inbound.isRefusing && outbound.waits === 0;
    return isLive && isIdle && outbound.isCaughtUp && !outbound.isAhead(durable);
  }
}
