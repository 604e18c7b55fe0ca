/** Chance under a seed: the same seed gives the same inputs, on every machine. */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 32 random bits. Source: T. Ettinger, mulberry32. */
  bits(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** 0 to `limit` - 1. */
  below(limit: number): number {
    return this.bits() % Math.max(1, limit);
  }

  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  of<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.below(choices.length)] ?? choices[0];
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }

  hex64(): string {
    return Buffer.from(this.bytes(8)).toString("hex");
  }

  /** A safe integer; small, large and at the edges alike. */
  integer(): number {
    const magnitude = this.oneIn(8) ? Number.MAX_SAFE_INTEGER - this.below(3) : 2 ** this.below(53) + this.below(256);
    return Math.min(magnitude, Number.MAX_SAFE_INTEGER);
  }
}
