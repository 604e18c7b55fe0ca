/**
 * All sessions, from the opening of a connection to its end: numbers their frames in both directions, keeps what is to be
 * sent, and tells what has happened to them. Who says hello, and who gets a seat, is not its business: see Seats.
 */
import type { VersionVector } from "../core/version-vector.ts";
import { HANDSHAKES_MAX } from "../limits.ts";
import type { Millis } from "../types.ts";
import type { Outgoing, SessionEvent, SessionId } from "./committed.ts";
import type { ByeCode, Message } from "./messages.ts";
import { Session } from "./session.ts";

export class Sessions {
  readonly #sessions = new Map<SessionId, Session>();
  readonly #forget: (session: Session) => void;
  /** Rejects of the sessions that have ended. */
  readonly #rejectsBefore = new Map<string, number>();
  #outgoing: Outgoing[] = [];
  #events: SessionEvent[] = [];
  #tick = 0;

  /** @param forget  a session has ended: drops what others keep for its sake */
  constructor(forget: (session: Session) => void) {
    this.#forget = forget;
  }

  /** Now, in ticks since the start. */
  get tick(): number {
    return this.#tick;
  }

  [Symbol.iterator](): IterableIterator<Session> {
    return this.#sessions.values();
  }

  get(id: SessionId): Session | undefined {
    return this.#sessions.get(id);
  }

  /** Why entries and frames of peers were refused, and how often, in all sessions since the start. */
  rejects(): Record<string, number> {
    const rejects = Object.fromEntries(this.#rejectsBefore);
    for (const session of this.#sessions.values()) {
      for (const [reason, count] of Object.entries(session.rejects)) rejects[reason] = (rejects[reason] ?? 0) + count;
    }
    return rejects;
  }

  /** Messages to send now, in this order. */
  takeOutgoing(): Outgoing[] {
    const taken = this.#outgoing;
    if (taken.length > 0) this.#outgoing = [];
    return taken;
  }

  takeEvents(): SessionEvent[] {
    const taken = this.#events;
    if (taken.length > 0) this.#events = [];
    return taken;
  }

  nextTick(): void {
    this.#tick += 1;
  }

  emit(event: SessionEvent): void {
    this.#events.push(event);
  }

  /** @param told  the coverage that our hello is to carry */
  open(id: SessionId, dialed: boolean, now: Millis, told: VersionVector, proved?: string): Session {
    const session = new Session(id, dialed, this.#tick, now, told, proved);
    this.#sessions.set(id, session);
    this.#makeRoom();
    return session;
  }

  /** Connections that say nothing must not keep out those that would: of too many, the oldest has to go. */
  #makeRoom(): void {
    const nameless = [...this.#sessions.values()].filter(({ peer, dialed }) => peer === undefined && !dialed);
    const [oldest] = nameless;
    if (oldest !== undefined && nameless.length > HANDSHAKES_MAX) {
      this.end(oldest, "too-many-peers", `more than ${HANDSHAKES_MAX} connections that have not said hello`);
    }
  }

  /**
   * A frame has come. Any but the next one ends the session, and a new one starts afresh.
   *
   * @returns the session, if the frame is to be looked at
   */
  received(id: SessionId, frame: number, now: Millis): Session | undefined {
    const session = this.#sessions.get(id);
    if (session === undefined) return undefined;
    if (frame !== session.framesReceived + 1) {
      session.reject("frame-order");
      this.end(session, "bad-frame", `frame ${frame} came where ${session.framesReceived + 1} was due`);
      return undefined;
    }
    session.framesReceived = frame;
    session.lastReceivedTick = this.#tick;
    session.lastReceivedAt = now;
    return session;
  }

  /** @returns the number of the frame */
  send(session: Session, message: Message): number {
    session.framesSent += 1;
    session.lastSentTick = this.#tick;
    this.#outgoing.push({ session: session.id, frame: session.framesSent, message });
    return session.framesSent;
  }

  /** Ends a session with a bye. */
  end(session: Session, code: ByeCode, detail: string): void {
    this.send(session, { type: "bye", code, detail });
    this.ended(session, code, detail);
  }

  /** A session has ended: its channel is closed, or the peer has said bye. */
  ended(session: Session, code: string, detail: string): void {
    const wasUp = session.peer !== undefined;
    const named = session.nodeId === undefined ? {} : { nodeId: session.nodeId };
    this.emit({ type: "end", session: session.id, code, detail, wasUp, ...named });
    this.#sessions.delete(session.id);
    for (const [reason, count] of Object.entries(session.rejects)) {
      this.#rejectsBefore.set(reason, (this.#rejectsBefore.get(reason) ?? 0) + count);
    }
    this.#forget(session);
  }
}
