/** Compares numbers within a tolerance; a failure names the worst place and both values. Exact equality is vitest's job. */
import * as tf from '@tensorflow/tfjs-core';

export interface Tolerance {
  readonly rtol?: number;
  readonly atol?: number;
  /**
   * What `rtol` multiplies: the expected value at the same place, or the largest magnitude in `expected`, for sums with
   * cancellation, where the error of an element has nothing to do with its own size.
   */
  readonly relativeTo?: 'element' | 'largest';
}

type Nested = readonly (number | Nested)[];
export type Comparable = number | Nested | ArrayLike<number> | tf.Tensor;

/**
 * Passes when |actual − expected| ≤ atol + rtol·|expected| at every place. NaN is close to nothing, an infinity to itself.
 * Two tensors, or two nested arrays, must agree in shape; a flat array matches any shape with as many elements.
 */
export function expectClose(actual: Comparable, expected: Comparable, tolerance: Tolerance = {}): void {
  const { rtol = 0, atol = 0, relativeTo = 'element' } = tolerance;
  const a = flatten(actual);
  const e = flatten(expected);
  const shapesDiffer = a.shape.length > 1 && e.shape.length > 1 && a.shape.join() !== e.shape.join();
  if (shapesDiffer || a.values.length !== e.values.length) {
    fail(`shapes differ: actual [${a.shape.join(', ')}], expected [${e.shape.join(', ')}]`);
  }

  const largest = e.values.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
  let failures = 0;
  let worst = -1;
  let worstExcess = 0;
  for (const [i, x] of a.values.entries()) {
    const y = e.values[i] as number;
    if (x === y) continue;
    const allowed = atol + rtol * (relativeTo === 'largest' ? largest : Math.abs(y));
    const difference = Math.abs(x - y);
    if (difference <= allowed && difference < Infinity) continue;
    failures++;
    const excess = Number.isNaN(difference) ? Infinity : difference / Math.max(allowed, Number.MIN_VALUE);
    if (worst < 0 || excess > worstExcess) [worst, worstExcess] = [i, excess];
  }
  if (failures === 0) return;

  const [x, y] = [a.values[worst] as number, e.values[worst] as number];
  const shape = a.shape.length >= e.shape.length ? a.shape : e.shape;
  fail(
    `${failures} of ${a.values.length} values are not close (rtol ${rtol}${relativeTo === 'largest' ? ` of the largest, ${largest}` : ''}, atol ${atol})\n` +
      `worst at [${unravel(worst, shape).join(', ')}]: actual ${x}, expected ${y}, ` +
      `difference ${Math.abs(x - y).toExponential(2)}, relative ${(Math.abs(x - y) / Math.abs(y)).toExponential(2)}`,
  );
}

function fail(message: string): never {
  const error = new Error(`expectClose: ${message}`);
  Error.captureStackTrace(error, expectClose);
  throw error;
}

function flatten(x: Comparable): { shape: readonly number[]; values: Float64Array } {
  if (typeof x === 'number') return { shape: [], values: Float64Array.of(x) };
  if (x instanceof tf.Tensor) return { shape: x.shape, values: Float64Array.from(x.dataSync()) };
  if (!Array.isArray(x)) return { shape: [x.length], values: Float64Array.from(x as ArrayLike<number>) };
  const shape: number[] = [];
  for (let level: unknown = x; Array.isArray(level); level = level[0]) shape.push(level.length);
  const values = x.flat(Infinity) as number[];
  const size = shape.reduce((product, d) => product * d, 1);
  if (values.length !== size) fail(`ragged array: [${shape.join(', ')}] has ${size} places, got ${values.length} values`);
  return { shape, values: Float64Array.from(values) };
}

function unravel(index: number, shape: readonly number[]): number[] {
  const place: number[] = [];
  for (const d of shape.toReversed()) {
    place.unshift(index % d);
    index = Math.floor(index / d);
  }
  return place;
}
