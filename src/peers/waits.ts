/** Waiting for what other replicas do: conditions that are looked at again after every step. */
import { ReplicaError } from "../errors.ts";
import { WAITS_MAX } from "../limits.ts";

interface Wait {
  readonly isMet: () => boolean;
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

export class Waits {
  readonly #waits = new Set<Wait>();
  #closed: Error | undefined;

  get size(): number {
    return this.#waits.size;
  }

  /**
   * Resolves once `isMet` holds; that is looked at now and at every `check`.
   *
   * @throws the reason of `signal` when it aborts; ReplicaError ERR_LIMIT if too many wait
   */
  async until(isMet: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#closed !== undefined) throw this.#closed;
    if (isMet()) return;
    if (this.#waits.size >= WAITS_MAX) throw new ReplicaError("ERR_LIMIT", `${WAITS_MAX} calls wait for peers already`);
    await new Promise<void>((resolve, reject) => {
      const settle = (): void => {
        this.#waits.delete(wait);
        signal?.removeEventListener("abort", onAbort);
      };
      const wait: Wait = {
        isMet,
        resolve: () => {
          settle();
          resolve();
        },
        reject: (reason) => {
          settle();
          reject(reason);
        },
      };
      const onAbort = (): void => wait.reject(signal?.reason as Error);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waits.add(wait);
    });
  }

  /** Resolves the waits whose condition has come to hold. */
  check(): void {
    for (const wait of this.#waits) if (wait.isMet()) wait.resolve();
  }

  /** Rejects every wait, and all later ones. */
  close(error: Error): void {
    this.#closed = error;
    for (const wait of this.#waits) wait.reject(error);
  }
}
