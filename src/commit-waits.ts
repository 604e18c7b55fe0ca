/** Calls that are answered once what they wrote is durable: in the order of the calls, and only so many in one turn of the event loop. */
import type { Timers } from "./clock.ts";
import { ANSWERS_A_TURN } from "./limits.ts";
import type { Lsn } from "./types.ts";

/** Thousands may wait: it holds no more than it needs. */
class Wait<T> {
  readonly lsn: Lsn;
  readonly #value: T;
  readonly #resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;

  constructor(lsn: Lsn, value: T, resolve: (value: T) => void, reject: (error: unknown) => void) {
    this.lsn = lsn;
    this.#value = value;
    this.#resolve = resolve;
    this.reject = reject;
  }

  answer(): void {
    this.#resolve(this.#value);
  }
}

/**
 * Whoever is answered often writes again, within the same turn: thousands that shared a record would keep the event
 * loop for tens of milliseconds, so a turn answers a portion of them. The next record should wait for all of them
 * (`isAnswering`): one for each portion would cost more trips to the disk.
 */
export class CommitWaits {
  readonly #timers: Timers;
  readonly #onAnswered: () => void;
  /** In the order of the calls, and so by lsn. */
  readonly #waits: Pick<Wait<unknown>, "lsn" | "answer" | "reject">[] = [];
  #durable: Lsn = 0;
  /** Of the turn that answers more of them, if one is to come. */
  #cancelTurn: (() => void) | undefined;

  /** @param onAnswered  called when `isAnswering` has ended */
  constructor(timers: Timers, onAnswered: () => void) {
    this.#timers = timers;
    this.#onAnswered = onAnswered;
  }

  /** Whether some whose writes are durable are still to be answered, in the next turn. */
  get isAnswering(): boolean {
    return this.#cancelTurn !== undefined;
  }

  get size(): number {
    return this.#waits.length;
  }

  /** Resolves with `value` behind all that wait already, once `answer` or `fail` was told of `lsn`. */
  add<T>(lsn: Lsn, value: T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waits.push(new Wait(lsn, value, resolve, reject));
    });
  }

  /** Everything up to `durable` is durable. Whom this turn has no room for is answered in the next ones, for which the process stays alive. */
  answer(durable: Lsn): void {
    this.#durable = durable;
    if (!this.isAnswering) this.#answerSome();
  }

  /** Nothing above `durable` will be: answers and rejects everybody, at once. */
  fail(durable: Lsn, error: unknown): void {
    this.#cancelTurn?.();
    this.#cancelTurn = undefined;
    for (const wait of this.#waits.splice(0)) {
      if (wait.lsn <= durable) wait.answer();
      else wait.reject(error);
    }
  }

  #answerSome(): void {
    for (const wait of this.#waits.splice(0, this.#dueCount())) wait.answer();
    if (this.#dueCount() === 0) return;
    const goOn = (): void => {
      this.#cancelTurn = undefined;
      this.#answerSome();
      if (!this.isAnswering) this.#onAnswered();
    };
    this.#cancelTurn = this.#timers.after(0, goOn, true);
  }

  /** How many one turn may answer. */
  #dueCount(): number {
    const atMost = Math.min(this.#waits.length, ANSWERS_A_TURN);
    let count = 0;
    while (count < atMost && (this.#waits[count] as Wait<unknown>).lsn <= this.#durable) count += 1;
    return count;
  }
}
