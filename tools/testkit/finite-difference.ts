/** Gradients without calculus: central differences, one pair of evaluations an element. Keep x small. */
import * as tf from '@tensorflow/tfjs-core';

/**
 * d fn / d x_i ≈ (fn(x + eps·e_i) − fn(x − eps·e_i)) / 2·eps, with error O(eps²).
 * - `fn` on a float64 array (a slow twin): eps 1e-5 gives about ten digits.
 * - `fn` on a float32 tensor, returning a scalar: eps 1e-2 gives about three; smaller is drowned by rounding.
 * Returns the gradient flat, in C order.
 */
export function finiteDifference(fn: (x: tf.Tensor) => tf.Tensor, x: tf.Tensor, eps?: number): Float64Array;
export function finiteDifference(fn: (x: Float64Array) => number, x: ArrayLike<number>, eps?: number): Float64Array;
export function finiteDifference(
  fn: ((x: tf.Tensor) => tf.Tensor) | ((x: Float64Array) => number),
  x: tf.Tensor | ArrayLike<number>,
  eps?: number,
): Float64Array {
  if (!(x instanceof tf.Tensor)) return central(fn as (x: Float64Array) => number, Float64Array.from(x), eps ?? 1e-5);
  const values = Float64Array.from(x.dataSync());
  const evaluate = (point: Float64Array): number =>
    tf.tidy(() => {
      const value = (fn as (x: tf.Tensor) => tf.Tensor)(tf.tensor(Float32Array.from(point), x.shape, 'float32'));
      if (value.size !== 1) throw new Error(`finiteDifference: fn must return a scalar, got [${value.shape.join(', ')}]`);
      return value.dataSync()[0] as number;
    });
  return central(evaluate, values, eps ?? 1e-2);
}

function central(fn: (x: Float64Array) => number, x: Float64Array, eps: number): Float64Array {
  return x.map((value, i) => {
    const at = (offset: number): number => fn(x.with(i, value + offset));
    return (at(eps) - at(-eps)) / (2 * eps);
  });
}
