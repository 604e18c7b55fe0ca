/**
 * What we tell peers of our coverage, and of their frames that were dealt with. PROTOCOL.md, "Acks and flow control".
 * Everything in an ack is durable here, or (frames) staged in a transfer that has not ended.
 */
import { type VectorPairs, VersionVector } from "../core/version-vector.ts";
import type { SessionId } from "./committed.ts";
import type { Ack } from "./messages.ts";
import type { Session } from "./session.ts";

export class Acks {
  readonly #send: (session: Session, ack: Ack) => void;
  readonly #isSettled: () => boolean;
  /** Coverage that became durable and was not yet told, by session. */
  readonly #untold = new Map<SessionId, VersionVector>();

  /** @param isSettled  whether nothing is on its way to the disk: what came was dealt with */
  constructor(send: (session: Session, ack: Ack) => void, isSettled: () => boolean) {
    this.#send = send;
    this.#isSettled = isSettled;
  }

  /** A record was taken that holds all that has come in this session. */
  taken(session: Session): void {
    session.framesInRecord = session.framesReceived;
    session.framesAppliedInRecord = session.framesApplied;
  }

  /** By this our durable coverage has grown. The peer is not told yet. */
  covered(session: Session, pairs: VectorPairs): void {
    if (pairs.length === 0) return;
    const untold = this.#untold.get(session.id);
    if (untold === undefined) this.#untold.set(session.id, new VersionVector(pairs));
    else untold.join(pairs);
  }

  /** A page has come. The peer is acknowledged at once if it waits for that, otherwise with the next tick. */
  came(session: Session, isUrgent: boolean): void {
    session.owesAck = true;
    session.isAckUrgent ||= isUrgent;
  }

  /** What came was dealt with, if nothing of it is on its way to the disk. */
  dealtWith(session: Session): void {
    if (session.isAckUrgent && this.#isSettled()) this.tell(session);
  }

  /** The record is durable: acknowledges at once to a peer that waits for it. */
  persisted(session: Session): void {
    session.framesDone = Math.max(session.framesDone, session.framesInRecord);
    session.framesKept = Math.max(session.framesKept, session.framesAppliedInRecord);
    if (session.owesAck && session.isAckUrgent) this.tell(session);
  }

  /** Tells what there is to tell; of pages that are on their way to the disk, nothing for their sake alone. */
  tick(session: Session): void {
    if ((session.owesAck && this.#isSettled()) || this.#untold.has(session.id)) this.tell(session);
  }

  /** Tells what there is to tell, and that pages have come even if they are on their way to the disk. */
  tellDue(session: Session): void {
    if (session.owesAck || this.#untold.has(session.id)) this.tell(session);
  }

  tell(session: Session): void {
    const vector = this.#untold.get(session.id);
    this.#untold.delete(session.id);
    const isSettled = this.#isSettled();
    if (isSettled) {
      session.framesDone = session.framesReceived;
      session.framesKept = session.framesApplied;
    }
    session.owesAck = !isSettled;
    session.isAckUrgent &&= !isSettled;
    this.#send(session, {
      type: "ack",
      frames: session.framesDone,
      vector: vector === undefined ? [] : [...vector],
      kept: session.peer?.inbound.isRefusing === true ? 0 : session.framesKept,
    });
  }

  forget(session: SessionId): void {
    this.#untold.delete(session);
  }
}
