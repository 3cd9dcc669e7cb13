/**
 * A layer's units as they are written: u = Bp, v_j = A_j u + b_j, then v_jᵀp and ‖v_j‖². n·d numbers a position, which is less than the low-rank
 * form's 2·n·r where the rank is large for the patch. arXiv 2109.13004, section 3.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { UnitForm, UnitMatrices } from './unit-form.ts';
import { affine, weightedSum } from './unit-products.ts';

export const explicitForm: UnitForm = {
  values(patches, weights) {
    const { d, n } = weights;
    const u = tf.matMul(patches, weights.B);
    const perUnit = unitRows(weights);
    const v = tf.reshape(affine(u as tf.Tensor2D, tf.transpose(perUnit), tf.transpose(weights.b)), [-1, n, d]);
    const squaredNorm: tf.Tensor2D = tf.sum(tf.square(v), 2);
    return {
      alignment: tf.reshape(tf.matMul(v, tf.expandDims(patches, 2)), [-1, n]),
      squaredNorm,
      magnitude: squaredNorm, // a sum of squares: nothing cancels
      saved: [u, v, perUnit],
    };
  },

  pullback(patches, weights, saved, a, s) {
    const { d, n, r } = weights;
    const [u, v, perUnit] = saved as [tf.Tensor2D, tf.Tensor3D, tf.Tensor2D];
    const direct = tf.mul(tf.expandDims(a, 2), tf.expandDims(patches, 1));
    const dv = tf.reshape(tf.add(direct, tf.mul(tf.expandDims(tf.mul(s, 2), 2), v)), [-1, n * d]) as tf.Tensor2D;
    const du = tf.matMul(dv, perUnit);
    const db = tf.reshape(tf.sum(dv, 0), [n, d]) as tf.Tensor2D;
    const dA = tf.transpose(tf.reshape(tf.matMul(dv, u, true), [n, d, r]), [1, 0, 2]);
    return {
      patches: tf.addN([weightedSum(a, v), tf.matMul(du, weights.B, false, true)]) as tf.Tensor2D,
      A: tf.reshape(dA, [d, n * r]),
      B: tf.matMul(patches, du, true),
      b: tf.transpose(db),
    };
  },

  heldPullback: (_, [, v], a) => weightedSum(a, v as tf.Tensor3D),
};

/** A as one matrix [n·d, r] with the rows of one unit together. */
function unitRows({ A, d, n, r }: UnitMatrices): tf.Tensor2D {
  return tf.reshape(tf.transpose(tf.reshape(A, [d, n, r]), [1, 0, 2]), [n * d, r]);
}
