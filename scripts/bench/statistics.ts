/** Numbers made of numbers. */

/** @throws when there is none */
export function median(samples: readonly number[]): number {
  return percentile(samples, 0.5);
}

/** The value below which so great a part of the samples is, 0 to 1; between two neighbours in proportion. */
export function percentile(samples: readonly number[], part: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = part * (sorted.length - 1);
  const below = sorted[Math.floor(at)];
  const above = sorted[Math.ceil(at)];
  if (below === undefined || above === undefined) throw new RangeError("no samples");
  return below + (above - below) * (at - Math.floor(at));
}

/**
 * How one system does compared with another: the median of the ratios of each round. Both sides of such a ratio were
 * measured one after the other, so that a machine that is slower for a while is slower for both.
 */
export function ratioOf(samples: readonly number[], others: readonly number[]): number {
  const ratios = samples.flatMap((sample, round) => {
    const other = others[round];
    return other === undefined || other === 0 ? [] : [sample / other];
  });
  return ratios.length === 0 ? Number.NaN : median(ratios);
}
