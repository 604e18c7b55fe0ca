/**
 * Holds deletions back: for a moment, so that an editor that deletes and writes anew, or a rename, is seen whole; and for good when so
 * much is gone at once that it looks like an accident. What is put back is not deleted anywhere.
 */

export interface DeletionGuardOptions {
  readonly nowMs: () => number;
  /** How many paths the folder had. */
  readonly count: () => number;
  /** The user means it. */
  readonly allowsMany: boolean;
}

/** How long a file has to be gone before it is deleted elsewhere. */
export const DELETE_DELAY_MS = 1000;
/** More than so many at once, and more than this part of all, is a mass deletion. */
export const MASS_FILES = 50;
export const MASS_PART = 0.5;
const LOOK_AGAIN_MS = 2000;

export class DeletionGuard {
  readonly #options: DeletionGuardOptions;
  readonly #goneSinceMs = new Map<string, number>();

  constructor(options: DeletionGuardOptions) {
    this.#options = options;
  }

  /** How many deletions wait for the user, 0 if none does. */
  get held(): number {
    const { count, allowsMany } = this.#options;
    const gone = this.#goneSinceMs.size;
    return !allowsMany && gone > MASS_FILES && gone > count() * MASS_PART ? gone : 0;
  }

  /** A path is gone from the folder. @returns how long to wait before asking again; 0: delete it */
  waitMs(path: string): number {
    const nowMs = this.#options.nowMs();
    const sinceMs = this.#goneSinceMs.get(path) ?? nowMs;
    this.#goneSinceMs.set(path, sinceMs);
    const restMs = sinceMs + DELETE_DELAY_MS - nowMs;
    if (restMs > 0) return restMs;
    return this.held > 0 ? LOOK_AGAIN_MS : 0;
  }

  /** It is there again, or its deletion has been carried out. */
  clear(path: string): void {
    this.#goneSinceMs.delete(path);
  }
}
