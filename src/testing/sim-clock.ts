/** The wall clock of a simulated host: may be off, drift, jump and stand still. */
import type { WallClock } from "../clock.ts";
import type { Millis } from "../types.ts";

/** 14 November 2023, so that numbers look like real ones. */
const START_MS: Millis = 1_700_000_000_000;

export class SimClock implements WallClock {
  readonly #virtualNowMs: () => Millis;
  #offsetMs: Millis = 0;
  #rate = 1;
  #frozenAtMs: Millis | undefined;

  /** @param virtualNowMs  the time of the simulation */
  constructor(virtualNowMs: () => Millis) {
    this.#virtualNowMs = virtualNowMs;
  }

  now(): Millis {
    return this.#frozenAtMs ?? Math.floor(START_MS + this.#virtualNowMs() * this.#rate + this.#offsetMs);
  }

  /** Moves the clock by so much, forward or back. Thaws it. */
  jump(ms: Millis): void {
    this.#frozenAtMs = undefined;
    this.#offsetMs += ms;
  }

  /** It stands still until `jump` or `correct`. */
  freeze(): void {
    this.#frozenAtMs = this.now();
  }

  /** 1 is right; 1.01 gains a hundredth from now on. */
  drift(rate: number): void {
    const before = this.now();
    this.#rate = rate;
    this.#offsetMs += before - this.now();
  }

  /** Right again, at once. */
  correct(): void {
    this.#frozenAtMs = undefined;
    this.#rate = 1;
    this.#offsetMs = 0;
  }
}
