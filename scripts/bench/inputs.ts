/**
 * What goes in: keys of 20 bytes that come in no order, values of 100, and which of them are asked for. The same for
 * all systems and on every run.
 */

const KEY_BYTES = 20;
const VALUE_BYTES = 100;
const POOL_BYTES = 64 * 1024;
/** Prime, and so coprime to every count in use: a permutation. */
const STRIDE = 7_368_787;
/** Of YCSB. */
const ZIPF_THETA = 0.99;

/**
 * Keys `user/000000000000000`. Each comes as a new string, made from bytes, as from a request: what a system has kept of
 * an earlier one does not help it, and making it costs all of them the same.
 */
export class Keys {
  readonly #bytes: Buffer;

  constructor(count: number) {
    this.#bytes = Buffer.alloc(count * KEY_BYTES);
    for (let index = 0; index < count; index += 1) {
      this.#bytes.write(keyOf((index * STRIDE) % count), index * KEY_BYTES, "latin1");
    }
  }

  at(index: number): string {
    return this.#bytes.toString("latin1", index * KEY_BYTES, (index + 1) * KEY_BYTES);
  }
}

export function keyOf(number: number): string {
  return `user/${String(number).padStart(KEY_BYTES - 5, "0")}`;
}

/** Strings of 100 characters, each a new one. */
export class Values {
  readonly #pool: Buffer;

  constructor(bytes = VALUE_BYTES) {
    const random = new Numbers(7);
    this.#pool = Buffer.alloc(POOL_BYTES + bytes);
    this.bytes = bytes;
    for (let at = 0; at < this.#pool.length; at += 1) this.#pool[at] = 0x20 + random.below(95);
  }

  readonly bytes: number;

  at(index: number): string {
    const from = (index * 37) % POOL_BYTES;
    return this.#pool.toString("latin1", from, from + this.bytes);
  }
}

/** A small generator with a seed (Numerical Recipes): quick, and good enough to pick keys by. */
export class Numbers {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  fraction(): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return this.#state / 2 ** 32;
  }

  below(bound: number): number {
    return Math.floor(this.fraction() * bound);
  }
}

/** Picks numbers below a bound, a few of them often. Gray et al., "Quickly generating billion-record databases"; as in YCSB. */
export class Zipf {
  readonly #count: number;
  readonly #zeta: number;
  readonly #eta: number;
  readonly #random: Numbers;

  constructor(count: number, seed: number) {
    this.#count = count;
    this.#random = new Numbers(seed);
    let zeta = 0;
    for (let rank = 1; rank <= count; rank += 1) zeta += 1 / rank ** ZIPF_THETA;
    this.#zeta = zeta;
    const zeta2 = 1 + 0.5 ** ZIPF_THETA;
    this.#eta = (1 - (2 / count) ** (1 - ZIPF_THETA)) / (1 - zeta2 / zeta);
  }

  /** By rank: 0 is the most frequent. */
  rank(): number {
    const fraction = this.#random.fraction();
    const scaled = fraction * this.#zeta;
    if (scaled < 1) return 0;
    if (scaled < 1 + 0.5 ** ZIPF_THETA) return 1;
    return Math.floor(this.#count * (this.#eta * fraction - this.#eta + 1) ** (1 / (1 - ZIPF_THETA)));
  }

  /** Scattered, so that frequent ones are not neighbours. */
  next(): number {
    return (this.rank() * STRIDE) % this.#count;
  }
}
