/** A map smoothed by a box. Pure arithmetic; who smooths what, and before which step, is the caller's. */
import { CodaError } from '@coda-nets/core';

/** Mean over a box of `side` positions around each, outside counted as 0; values [height·width]. Separable: rows, then columns. */
export function boxMean(values: ArrayLike<number>, height: number, width: number, side: number): Float64Array {
  const reach = (side - 1) / 2;
  const rows = Float64Array.from(values);
  for (let y = 0; y < height; y++) slide(rows, y * width, 1, width, reach, side);
  for (let x = 0; x < width; x++) slide(rows, x, width, height, reach, side);
  return rows;
}

/** Throws a CodaError unless `side` is that of a box with a middle. */
export function checkBoxSide(side: number, where: string): void {
  if (Number.isInteger(side) && side >= 1 && side % 2 === 1) return;
  throw new CodaError({
    kind: 'argument',
    where,
    problem: 'not the side of a box with a middle',
    expected: 'an odd whole number',
    got: String(side),
  });
}

/** One line in place: `length` values from `start`, `step` apart. */
function slide(values: Float64Array, start: number, step: number, length: number, reach: number, side: number): void {
  const before = Float64Array.from({ length }, (_, i) => values[start + i * step] as number);
  for (let i = 0; i < length; i++) {
    let sum = 0;
    for (let j = Math.max(0, i - reach); j <= Math.min(length - 1, i + reach); j++) sum += before[j] as number;
    values[start + i * step] = sum / side;
  }
}
