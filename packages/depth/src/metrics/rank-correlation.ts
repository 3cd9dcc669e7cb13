/** Whether two maps put positions into the same order. */
import { CodaError } from '@coda-nets/core';

/**
 * Spearman's ρ: the correlation of the ranks, ties sharing their mean rank. NaN where one side is constant.
 * Unit: none. Range [−1, 1]; 1 the same order, 0 none. Source: Spearman (1904).
 */
export function rankCorrelation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) {
    throw new CodaError({
      kind: 'argument',
      where: 'rankCorrelation',
      problem: 'not as many values',
      expected: `${a.length}`,
      got: `${b.length}`,
    });
  }
  const [x, y] = [ranks(a), ranks(b)];
  // The mean of all ranks, with ties or without.
  const middle = (a.length - 1) / 2;
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const [dx, dy] = [(x[i] as number) - middle, (y[i] as number) - middle];
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  }
  return xy / Math.sqrt(xx * yy);
}

function ranks(values: ArrayLike<number>): Float64Array {
  const at = (i: number): number => values[i] as number;
  const order = Array.from(values, (_, i) => i).sort((i, j) => at(i) - at(j));
  const result = new Float64Array(values.length);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && at(order[end] as number) === at(order[start] as number)) end++;
    for (let k = start; k < end; k++) result[order[k] as number] = (start + end - 1) / 2;
    start = end;
  }
  return result;
}
