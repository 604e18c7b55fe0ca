/**
 * What has come from peers, in its order. A socket that was not read for a while gives megabytes at once; of them only so much
 * is dealt with in one turn of the event loop, and the rest once others have had theirs. What counts is the work: two
 * megabytes may be forty thousand frames of one entry.
 */
import { INBOX_BYTES_MAX, INBOX_ENTRY_BYTES, INBOX_FRAME_BYTES, INBOX_TURN_BYTES } from "./limits.ts";
import type { SessionId } from "./sync/committed.ts";
import { Pace } from "./sync/pace.ts";

/** A frame, or why the channel has closed. */
export type Arrival = Uint8Array | string;

export interface InboxOptions {
  /** Told of every arrival in its order, at once or in a later turn. Returns how many entries it held. */
  readonly handle: (session: SessionId, arrival: Arrival) => number;
  /** More waits than any replica sends before it is answered. What waits of this session is dropped. */
  readonly overflow: (session: SessionId) => void;
}

export class Inbox {
  readonly #options: InboxOptions;
  readonly #pace = new Pace(INBOX_TURN_BYTES);
  #waiting: { readonly session: SessionId; readonly arrival: Arrival }[] = [];
  /** How many of them, the first ones, were dealt with. */
  #done = 0;
  /** Bytes that wait, by session. */
  readonly #waitingBytes = new Map<SessionId, number>();

  constructor(options: InboxOptions) {
    this.#options = options;
  }

  /** Whether there is more than this turn of the event loop is to take: `turn` is to be called in another one. */
  get wantsTurn(): boolean {
    return this.#waiting.length > this.#done;
  }

  arrive(session: SessionId, arrival: Arrival): void {
    if (!this.wantsTurn && this.#pace.mayGoOn()) return this.#handle(session, arrival);
    const bytes = (this.#waitingBytes.get(session) ?? 0) + arrival.length;
    if (bytes > INBOX_BYTES_MAX) {
      this.#waiting = this.#waiting.slice(this.#done).filter((other) => other.session !== session);
      this.#done = 0;
      this.#waitingBytes.delete(session);
      return this.#options.overflow(session);
    }
    this.#waitingBytes.set(session, bytes);
    this.#waiting.push({ session, arrival });
  }

  /** Goes on with what waits. */
  turn(): void {
    this.#pace.nextTurn();
    while (this.#pace.mayGoOn()) {
      const next = this.#takeNext();
      if (next === undefined) return this.#waitingBytes.clear();
      const { session, arrival } = next;
      this.#waitingBytes.set(session, (this.#waitingBytes.get(session) ?? 0) - arrival.length);
      this.#handle(session, arrival);
    }
  }

  /** Hundreds of thousands may wait: they are not moved up for each that goes. */
  #takeNext(): { readonly session: SessionId; readonly arrival: Arrival } | undefined {
    const next = this.#waiting[this.#done];
    if (next !== undefined) this.#done += 1;
    if (this.#done * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#done);
      this.#done = 0;
    }
    return next;
  }

  #handle(session: SessionId, arrival: Arrival): void {
    const entries = this.#options.handle(session, arrival);
    this.#pace.spend(INBOX_FRAME_BYTES + Math.max(arrival.length, entries * INBOX_ENTRY_BYTES));
  }
}
