/** How many images fit into one call: an estimate from the sizes of the taps, so that no method asks for more memory than it was given. */
import type { Network } from '@coda-nets/core';

/**
 * Arrays of a tap's size that are alive for each tap in one forward and one backward pass: a residual block's inner activations, their
 * gradients, patches. Rounded up; a network that keeps more between two taps is to be given a smaller `chunk`.
 */
const ARRAYS_PER_TAP = 16;
/** Layers of units keep up to a rank's worth of numbers for each output (64 in the published networks). */
const ARRAYS_PER_EXACT_TAP = 64;
const BYTES = 4;
/** Beyond this a longer batch no longer makes a row cheaper. */
const MOST_ROWS = 256;

export interface RowsWithinOptions {
  readonly network: Pick<Network, 'taps'>;
  /** [H, W] */
  readonly imageSize: readonly [number, number];
  /** Bytes; default 512 MiB. */
  readonly budget?: number;
}

/** Images in one call so that 4·Σ_taps k·C·(H/stride)·(W/stride) bytes each, k = 64 at exact taps and 16 at others, stay within the budget; from 1 to 256. */
export function rowsWithin({ network, imageSize: [height, width], budget = 2 ** 29 }: RowsWithinOptions): number {
  const numbers = network.taps.map(({ channels, stride, exact }) => {
    return (exact ? ARRAYS_PER_EXACT_TAP : ARRAYS_PER_TAP) * channels * Math.ceil(height / stride) * Math.ceil(width / stride);
  });
  const bytes = BYTES * numbers.reduce((sum, n) => sum + n, 0);
  return Math.max(1, Math.min(MOST_ROWS, Math.floor(budget / bytes)));
}
