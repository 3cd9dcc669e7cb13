/**
 * ‖v‖² as float32 gives it, made safe to divide by. The explicit form adds up squares of the very v it uses, which cannot cancel: ε is all it needs. The low-rank
 * form has ‖v‖² as a sum in which much may cancel, so that it comes with an error of up to about e = 2⁻²³ · S², S² being the size of what was added up; where
 * ‖v‖² is no larger than that, ‖w‖ = ‖v‖ · g would exceed 1.
 *
 *     S² = ‖A_jᵀA_j‖_F · ‖u‖² + ‖b_j‖²
 *     s = max(‖v‖², 0) + ε          f = 2⁻¹⁸ S² = 32 e          N² = s + f·ρ,   ρ = f / (s + f)
 *
 * With κ = S/‖v‖ and q = f/‖v‖² = 2⁻¹⁸ κ², ‖v‖ is taken as √(1 + q²/(1 + q)) times itself: by 2⁻³⁷ κ⁴ too long, which is below 10⁻⁶ up to κ = 19, and 19 % at κ = 480.
 * N² is never below f/2. Weights as they are drawn have κ² ≈ √(r + r²/d), so that they are below 10⁻⁶ up to r + r²/d = 137,000: rank 1,024 over patches of 8 numbers, rank 8,000
 * over 576; only a v that cancels has more. With an error of e the excess of ‖w‖ over 1 is at most ½·e²/f² = 5·10⁻⁴.
 * Roundings of G_j = A_jᵀA_j are as good as independent, so that its Frobenius norm measures them: it is ‖A_j‖_F² where all columns are parallel and u can make them cancel, and
 * 1/√r of that where they are orthogonal and nothing cancels.
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
 * divide by (s + f)², for which float32 has no number where all is 0. In a second derivative N² counts as linear in s, which it is where v does not cancel.
 */
export function guardedSquaredNorm(squaredNorm: tf.Tensor, magnitude: () => tf.Tensor, eps: number): tf.Tensor {
  const s = tf.maximum(squaredNorm, 0);
  const { value, slope, constant } = offTape(() => {
    const guarded = guardedNorm(squaredNorm, magnitude(), eps);
    return { value: guarded.squaredNorm, slope: tf.sub(1, tf.square(guarded.ratio)), constant: tf.clone(s) };
  });
  return tf.add(value, tf.mul(tf.sub(s, constant), slope));
}

/** S² of ‖A_j u + b_j‖² [M, n]. u [M, r]; gram, the G_j [n, r, r]; squaredb [n]. */
export function magnitudeOf(u: tf.Tensor2D, gram: tf.Tensor, squaredb: tf.Tensor): tf.Tensor2D {
  const size = tf.reshape(tf.sqrt(tf.sum(tf.square(gram), [1, 2])), [1, -1]);
  return tf.add(tf.mul(tf.sum(tf.square(u), 1, true), size), tf.reshape(squaredb, [1, -1])) as tf.Tensor2D;
}
