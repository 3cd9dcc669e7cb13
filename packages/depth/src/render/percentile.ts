/** Percentiles as NumPy's default (linear between order statistics): what fixes the scale of a picture. */
import { CodaError } from '@coda-nets/core';
import { quantileOfSorted } from '../metrics/summary.ts';

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
  return values.length === 0 ? 0 : quantileOfSorted(Float64Array.from(values, Math.abs).sort(), percent / 100);
}
