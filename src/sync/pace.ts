/**
 * How much catch-up goes out in one turn of the event loop. Pages are made from the change log, some milliseconds each: a
 * window full of them, for every peer that has come, would keep all else waiting.
 */
export class Pace {
  readonly #bytesATurn: number;
  /** Of this turn. */
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
    if (this.#bytes >= this.#bytesATurn) this.#isBehind = true;
    return this.#bytes < this.#bytesATurn;
  }

  sent(bytes: number): void {
    this.#bytes += bytes;
  }

  /** There was work without anything to send. */
  endTurn(): void {
    this.#bytes = this.#bytesATurn;
  }

  nextTurn(): void {
    this.#bytes = 0;
    this.#isBehind = false;
  }
}
