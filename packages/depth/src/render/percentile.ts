/** Percentiles as NumPy's default (linear between order statistics): what fixes the scale of a picture. */
import { CodaError } from '@coda-nets/core';

/** The `percent`-th percentile of |values|; 0 for no values. Throws unless 0 ≤ percent ≤ 100. */
export function absolutePercentile(values: ArrayLike<number>, percent: number): number {
  if (!(percent >= 0 && percent <= 100)) {
    throw new CodaError({
      kind: 'argument',
      where: 'absolutePercentile: percent',
      problem: 'not a percentile',
      expected: 'a number from 0 to 100',
      got: String(percent),
    });
  }
  if (values.length === 0) return 0;
  const sorted = Float64Array.from(values, Math.abs).sort();
  const position = (percent / 100) * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below] as number;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  return low + (position - below) * (high - low);
}
