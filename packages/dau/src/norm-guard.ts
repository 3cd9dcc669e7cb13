/**
 * ‖v‖² as float32 gives it, made safe to divide by. The low-rank form has it as a sum in which much may cancel, so that it comes with an error of up to
 * about e = 2⁻²³ · S², S² being the sum of the sizes of what was added up; where ‖v‖² is no larger than that, ‖w‖ = ‖v‖ · g would exceed 1.
 *
 *     s = max(‖v‖², 0) + ε          f = 2⁻¹⁸ S² = 32 e          N² = s + f·ρ,   ρ = f / (s + f)
 *
 * N² is s to f²/s², which is below 10⁻⁶ unless v cancels (S² ≤ 256·‖v‖²; weights as they are drawn have S² ≈ r·‖v‖²), and never below f/2. With an error of e the excess of ‖w‖ over 1 is at most ½·e²/f² = 5·10⁻⁴.
 * Smooth, so that gradients stay those of the values: dN²/ds = 1 − ρ². f counts as a constant there; its part is √(f/S²) = 2·10⁻³ of the gradient and only where v cancels.
 */
import { offTape } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';

const roundingShare = 2 ** -18;

export interface GuardedNorm {
  /** N² */
  readonly squaredNorm: tf.Tensor;
  /** ρ */
  readonly ratio: tf.Tensor;
}

/** `squaredNorm` and `magnitude`, which is S², have one shape. */
export function guardedNorm(squaredNorm: tf.Tensor, magnitude: tf.Tensor, eps: number): GuardedNorm {
  const s = tf.add(tf.maximum(squaredNorm, 0), eps);
  const f = tf.mul(magnitude, roundingShare);
  const ratio = tf.div(f, tf.add(s, f));
  return { squaredNorm: tf.add(s, tf.mul(f, ratio)), ratio };
}

/**
 * N² for tfjs's own differentiation, with the gradient above: N² + (s − s)·(1 − ρ²), of which all but the first s is constant. Through f / (s + f) it would
 * divide by (s + f)², for which float32 has no number where all is 0.
 */
export function guardedSquaredNorm(squaredNorm: tf.Tensor, magnitude: tf.Tensor, eps: number): tf.Tensor {
  const s = tf.maximum(squaredNorm, 0);
  const { value, slope, constant } = offTape(() => {
    const guarded = guardedNorm(squaredNorm, magnitude, eps);
    return { value: guarded.squaredNorm, slope: tf.sub(1, tf.square(guarded.ratio)), constant: tf.clone(s) };
  });
  return tf.add(value, tf.mul(tf.sub(s, constant), slope));
}

/** S² of ‖A_j u + b_j‖² [M, n]: ‖A_j‖_F²·‖u‖² + ‖b_j‖². u [M, r]; squaredA and squaredb [n]. */
export function magnitudeOf(u: tf.Tensor2D, squaredA: tf.Tensor, squaredb: tf.Tensor): tf.Tensor2D {
  return tf.add(tf.mul(tf.sum(tf.square(u), 1, true), tf.reshape(squaredA, [1, -1])), tf.reshape(squaredb, [1, -1])) as tf.Tensor2D;
}
