/** Waiting for what other replicas do: conditions that are looked at again when something has happened. */
import type { Timers } from "../clock.ts";
import { ReplicaError } from "../errors.ts";
import { ANSWERS_A_TURN, WAITS_MAX } from "../limits.ts";

interface Wait {
  readonly isMet: () => boolean;
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

export class Waits {
  readonly #timers: Timers;
  /** By lane, in the order of the calls. */
  readonly #lanes = new Map<unknown, Set<Wait>>();
  #size = 0;
  /** Of the turn that looks at the conditions, if one is to come. */
  #cancelTurn: (() => void) | undefined;
  #closed: Error | undefined;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  get size(): number {
    return this.#size;
  }

  /**
   * Resolves once `isMet` holds; that is looked at now and after every `check`.
   *
   * @param lane  of those in one lane none is met before those that came earlier: only the first of them is looked at.
   *   `undefined`: one of its own
   * @throws the reason of `signal` when it aborts; ReplicaError ERR_LIMIT if too many wait
   */
  async until(isMet: () => boolean, lane: unknown, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#closed !== undefined) throw this.#closed;
    if (isMet()) return;
    if (this.#size >= WAITS_MAX) throw new ReplicaError("ERR_LIMIT", `${WAITS_MAX} calls wait for peers already`);
    await new Promise<void>((resolve, reject) => {
      const settle = (): void => {
        this.#remove(place, wait);
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
      const place = lane ?? wait;
      const onAbort = (): void => wait.reject(signal?.reason as Error);
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#add(place, wait);
    });
  }

  /**
   * Something has happened: the next turn looks at the conditions and resolves whose have come to hold, not too many,
   * since each may write again at once; more in the turns after that. The process stays alive for them.
   */
  check(): void {
    if (this.#size === 0 || this.#cancelTurn !== undefined) return;
    const look = (): void => {
      this.#cancelTurn = undefined;
      if (this.#resolveMet(ANSWERS_A_TURN)) this.check();
    };
    this.#cancelTurn = this.#timers.after(0, look, true);
  }

  /** Resolves what is met, rejects every other wait, and all later ones. */
  close(error: Error): void {
    this.#closed = error;
    this.#cancelTurn?.();
    this.#resolveMet(this.#size);
    for (const lane of this.#lanes.values()) for (const wait of lane) wait.reject(error);
  }

  #add(place: unknown, wait: Wait): void {
    const lane = this.#lanes.get(place);
    if (lane === undefined) this.#lanes.set(place, new Set([wait]));
    else lane.add(wait);
    this.#size += 1;
  }

  #remove(place: unknown, wait: Wait): void {
    const lane = this.#lanes.get(place);
    if (lane?.delete(wait) !== true) return;
    this.#size -= 1;
    if (lane.size === 0) this.#lanes.delete(place);
  }

  /** @returns whether there may be more of them than `atMost` */
  #resolveMet(atMost: number): boolean {
    let count = 0;
    for (const [place, lane] of this.#lanes) {
      for (const wait of lane) {
        if (!wait.isMet()) break;
        if (count === atMost) {
          // The others first, next time.
          this.#lanes.delete(place);
          this.#lanes.set(place, lane);
          return true;
        }
        wait.resolve();
        count += 1;
      }
    }
    return false;
  }
}
