/** How the padding of windows was asked for, apart from what that comes to at one size: `generalise-padding.ts` tells it for any. */
import type { Padding } from '../graph.ts';

export interface PaddingAttrs {
  readonly pad: 'valid' | 'same' | number | readonly (readonly [number, number])[];
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil' | undefined;
}

/**
 * `strides`: along each axis of space. Of n elements padded to n + p, windows of size k every s number ⌊(n + p − k)/s⌋ + 1 when they are rounded down. Rounded
 * up they number as many as if there were s − 1 elements more behind the last, rounded to the nearest ⌊s/2⌋ more.
 */
export function paddingAsked({ pad, dimRoundingMode = 'floor' }: PaddingAttrs, strides: readonly number[]): Padding {
  if (pad === 'same') return 'same';
  // the first axis is the batch, and where explicit the last the channels
  const behind = (i: number): number => (pad === 'valid' ? 0 : typeof pad === 'number' ? pad : (pad[i + 1]?.[1] ?? 0));
  const more = { floor: () => 0, ceil: (s: number) => s - 1, round: (s: number) => Math.floor(s / 2) }[dimRoundingMode];
  return strides.map((s, i) => behind(i) + (pad === 'valid' ? 0 : more(s)));
}
