/**
 * A bound on how much of something is done in one turn of the event loop: what takes some milliseconds for each page or frame
 * would keep all else waiting if a window full of them, for every peer that has come, were dealt with at once.
 */
export class Pace {
  readonly #bytesATurn: number;
  /** Since `nextTurn`. Other turns may have passed unseen: then one pause is made that was not needed. */
  #bytes = 0;
  #isBehind = false;

  constructor(bytesATurn: number) {
    this.#bytesATurn = bytesATurn;
  }

  /** Whether somebody wanted to go on when the turn was over. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** Whether there is anything left of this turn; who is told that there is not goes on in the next one. */
  mayGoOn(): boolean {
    const isOver = this.#bytes >= this.#bytesATurn;
    this.#isBehind ||= isOver;
    return !isOver;
  }

  spend(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Others have had their turn. */
  nextTurn(): void {
    this.#bytes = 0;
    this.#isBehind = false;
  }
}
