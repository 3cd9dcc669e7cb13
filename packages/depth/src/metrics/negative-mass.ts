/** How much of a map speaks against its class. */
import type { NdArray } from '@coda-nets/core';

/**
 *     Σ_p max(0, −A(p)) / Σ_p |A(p)|,     0 where the total is 0
 *
 * Unit: a share. Range [0, 1]; neither direction is better by itself, but near ½ what is for and against cancels, as in noise. A description of
 * ours, not a published metric. Channels are summed before.
 */
export function negativeMass({ data }: Pick<NdArray<'float32'>, 'data'>): number {
  let negative = 0;
  let total = 0;
  for (const x of data) {
    negative += Math.max(0, -x);
    total += Math.abs(x);
  }
  return total === 0 ? 0 : negative / total;
}
