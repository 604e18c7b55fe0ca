/** The wait of an open for a peer's data: until one has brought all that it had, or a deadline. */
import type { Timers } from "../clock.ts";

export class FirstSync {
  #isOver = false;
  #end: () => void = () => undefined;

  /** A peer has brought all that it had; or there is no use in waiting any more. */
  over(): void {
    this.#isOver = true;
    this.#end();
  }

  /** Resolves with whether it was over within the time. */
  async within(timeoutMs: number, timers: Timers): Promise<boolean> {
    if (!this.#isOver) {
      await new Promise<void>((resolve) => {
        const cancel = timers.after(timeoutMs, resolve);
        this.#end = () => {
          cancel();
          resolve();
        };
      });
    }
    return this.#isOver;
  }
}
