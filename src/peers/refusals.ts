/** Counts, by reason, the connections that this replica has refused or that were refused to it. */

/** A transport of somebody else names the reasons as it likes; beyond so many all count as one. */
const REASONS_MAX = 64;
const OTHERS = "other";

export class Refusals {
  readonly #counts = new Map<string, number>();

  count(reason: string): void {
    const isNew = !this.#counts.has(reason);
    const name = isNew && this.#counts.size >= REASONS_MAX ? OTHERS : reason;
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }

  /** Since the replica was opened. Plain data, fresh. */
  counts(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }
}
