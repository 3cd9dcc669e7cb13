/** The values of a metric beside what they come to. Raw values are kept, so that any other summary can be made of a stored result. */

export type Summary = {
  /** One for each thing measured, in its order. */
  readonly values: readonly number[];
  readonly count: number;
  readonly mean: number;
  readonly min: number;
  /** Quartiles as NumPy's default: linear between order statistics. */
  readonly lowerQuartile: number;
  readonly median: number;
  readonly upperQuartile: number;
  readonly max: number;
};

/** JSON-able. NaN for no values. */
export function summaryOf(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => quantileOfSorted(sorted, share);
  return {
    values,
    count: values.length,
    mean: values.reduce((sum, x) => sum + x, 0) / values.length,
    min: at(0),
    lowerQuartile: at(0.25),
    median: at(0.5),
    upperQuartile: at(0.75),
    max: at(1),
  };
}

/** The value below which `share` of ascending values lie, linear between order statistics; NaN for none. */
export function quantileOfSorted(sorted: ArrayLike<number>, share: number): number {
  const position = share * (sorted.length - 1);
  const below = Math.max(0, Math.floor(position));
  const low = sorted[below] ?? Number.NaN;
  return low + (position - below) * ((sorted[below + 1] ?? low) - low);
}
