/** The products of small and large matrices that units are made of. M positions, n units, s numbers a unit. */
import * as tf from '@tensorflow/tfjs-core';

/**
 * x · y + the numbers of `bias` as a row. For the wasm backend y is transposed outside, since its fused product leaves that out, and the bias is
 * a vector of its own, since it looks at the shape in which the numbers were computed; neither costs a compiled graph anything.
 */
export function affine(x: tf.Tensor2D, y: tf.Tensor2D, bias: tf.Tensor): tf.Tensor2D {
  return tf.fused.matMul({ a: x, b: y, bias: tf.add(tf.reshape(bias, [bias.size]), 0) as tf.Tensor1D }) as tf.Tensor2D;
}

/** A product with u at every position: values [M, n·s], unit-major, and u [M, s] → Σ_s value·u [M, n]. */
export function alongUnits(values: tf.Tensor2D, u: tf.Tensor2D): tf.Tensor2D {
  const s = u.shape[1];
  const n = values.shape[1] / s;
  return tf.reshape(tf.matMul(tf.reshape(values, [-1, n, s]), tf.expandDims(u, 2)), [-1, n]);
}

/** Σ_j a_j x_j at every position: [M, n] · [M, n, s] → [M, s] */
export function weightedSum(a: tf.Tensor2D, x: tf.Tensor3D): tf.Tensor2D {
  return tf.reshape(tf.matMul(tf.expandDims(a, 1), x), [-1, x.shape[2]]);
}

/** [M, n] ⊗ [M, s] → [M, n·s] */
export function outer(a: tf.Tensor2D, u: tf.Tensor2D): tf.Tensor2D {
  return tf.reshape(tf.mul(tf.expandDims(a, 2), tf.expandDims(u, 1)), [-1, a.shape[1] * u.shape[1]]);
}
