/**
 * What has come from peers, in its order. A socket that was not read for a while gives megabytes at once; of them only so much
 * is dealt with in one turn of the event loop, and the rest once others have had theirs.
 */
import type { Timers } from "./clock.ts";
import { INBOX_BYTES_MAX, INBOX_TURN_BYTES } from "./limits.ts";
import type { SessionId } from "./sync/committed.ts";

/** A frame, or why the channel has closed. */
type Arrival = Uint8Array | string;

export interface InboxOptions {
  readonly timers: Timers;
  /** Told of every arrival, those of one session in their order, at once or later. */
  readonly handle: (session: SessionId, arrival: Arrival) => void;
  /** More waits than any replica sends before it is answered. What waits of this session is dropped. */
  readonly overflow: (session: SessionId) => void;
}

export class Inbox {
  readonly #options: InboxOptions;
  #waiting: { readonly session: SessionId; readonly arrival: Arrival }[] = [];
  /** Bytes that wait, by session. */
  readonly #waitingBytes = new Map<SessionId, number>();
  /** Bytes that this turn has dealt with. */
  #bytes = 0;
  #isTurnDue = false;

  constructor(options: InboxOptions) {
    this.#options = options;
  }

  arrive(session: SessionId, arrival: Arrival): void {
    if (this.#waiting.length === 0 && this.#bytes < INBOX_TURN_BYTES) return this.#handle(session, arrival);
    const bytes = (this.#waitingBytes.get(session) ?? 0) + arrival.length;
    if (bytes > INBOX_BYTES_MAX) {
      this.#waiting = this.#waiting.filter((other) => other.session !== session);
      this.#waitingBytes.delete(session);
      return this.#options.overflow(session);
    }
    this.#waitingBytes.set(session, bytes);
    this.#waiting.push({ session, arrival });
    this.#takeTurn();
  }

  #handle(session: SessionId, arrival: Arrival): void {
    this.#bytes += arrival.length;
    this.#options.handle(session, arrival);
  }

  #takeTurn(): void {
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    this.#options.timers.after(0, () => {
      this.#isTurnDue = false;
      this.#bytes = 0;
      while (this.#bytes < INBOX_TURN_BYTES) {
        const next = this.#waiting.shift();
        if (next === undefined) return this.#waitingBytes.clear();
        const { session, arrival } = next;
        this.#waitingBytes.set(session, (this.#waitingBytes.get(session) ?? 0) - arrival.length);
        this.#handle(session, arrival);
      }
      this.#takeTurn();
    });
  }
}
