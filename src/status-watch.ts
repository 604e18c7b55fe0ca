/** Tells when the status has changed in a way that no event of a session shows: a peer falls behind, or catches up. */

import type { WallClock } from "./clock.ts";
import type { Status } from "./status.ts";
import type { Millis } from "./types.ts";

export interface StatusWatchOptions {
  /** Whether anybody wants to hear of it. */
  readonly isHeard: () => boolean;
  readonly status: () => Status;
  readonly emit: (status: Status) => void;
}

/** How often the status is looked at, while somebody listens. */
const LOOK_MS = 1000;
/** A peer that lacks something for less keeps up, and is not worth an event. */
const LAG_MS = 1000;

export class StatusWatch {
  readonly #options: StatusWatchOptions;
  #lookedAt: Millis = Number.NEGATIVE_INFINITY;
  #known = "";

  constructor(options: StatusWatchOptions) {
    this.#options = options;
  }

  /** Something has happened on a connection, or to the log: emits the status, changed or not. */
  happened(): void {
    if (!this.#options.isHeard()) return;
    const status = this.#options.status();
    this.#known = signatureOf(status);
    this.#options.emit(status);
  }

  /** To be called often: looks once a second, and emits the status if it tells something new. */
  look(clock: WallClock): void {
    if (!this.#options.isHeard()) return;
    const now = clock.now();
    // A clock that was set back must not silence us.
    if (now - this.#lookedAt < LOOK_MS && now >= this.#lookedAt) return;
    this.#lookedAt = now;
    const status = this.#options.status();
    const signature = signatureOf(status);
    const isFirst = this.#known === "";
    const isNews = signature !== this.#known;
    this.#known = signature;
    if (isNews && !isFirst) this.#options.emit(status);
  }
}

/** What makes two statuses different to a listener: not sizes, counts and times. */
function signatureOf({ health, reasons, peers }: Status): string {
  const states = Object.entries(peers).map(([nodeId, { state, lagEntries, lagMs }]) => {
    return [nodeId, state, lagEntries > 0 && lagMs > LAG_MS];
  });
  return JSON.stringify([health, reasons.map((reason) => reason.replace(/\d+/g, "#")), states]);
}
