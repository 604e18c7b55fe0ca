/** Choices that a seed repeats. */
export interface Choices {
  /** From 0, below 1. */
  fraction(): number;
  /** A whole number from 0, below `end`. */
  below(end: number): number;
}

/** Mulberry32. Equal seeds draw equal choices. */
export function choicesOf(seed: number): Choices {
  let state = seed >>> 0;
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { fraction, below: (end) => Math.floor(fraction() * end) };
}
