/** Writes a stream chunk by chunk, no faster than it takes them, and lets others have their turn in between. */
import type { Writable } from "node:stream";
import { nextTurn } from "../clock.ts";

export class Sink {
  readonly #target: Writable;
  readonly #signal: AbortSignal | undefined;
  #bytes = 0;

  /** @param target  is not ended: it may be the standard output */
  constructor(target: Writable, signal: AbortSignal | undefined) {
    this.#target = target;
    this.#signal = signal;
    // What goes wrong is told by the callback of a write; without a listener it would end the process as well.
    target.on("error", ignore);
  }

  /** Bytes that the target has taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Resolves when the target has dealt with the chunk. @throws what the target fails with; the reason of the signal */
  async write(chunk: Uint8Array): Promise<void> {
    this.#signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => reject(this.#signal?.reason as Error);
      this.#signal?.addEventListener("abort", onAbort, { once: true });
      this.#target.write(chunk, (error) => {
        this.#signal?.removeEventListener("abort", onAbort);
        if (error) reject(error);
        else resolve();
      });
    });
    this.#bytes += chunk.length;
    // A target that is never busy would otherwise keep everybody else waiting.
    await nextTurn();
  }

  /** Leaves the target to its owner. */
  release(): void {
    this.#target.off("error", ignore);
  }
}

function ignore(): void {
  // Told by the callback of the write.
}
