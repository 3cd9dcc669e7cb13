/**
 * A layer's units in their low-rank form: v is never built. For a patch p and u = Bp:
 *
 *     v_jᵀp  = (A_jᵀp)·u + b_jᵀp
 *     ‖v_j‖² = uᵀG_j u + 2 h_jᵀu + ‖b_j‖² = u·q_j + h_jᵀu + ‖b_j‖²,   q_j = G_j u + h_j,   G_j = A_jᵀA_j,   h_j = A_jᵀb_j
 *
 * n·r numbers a position instead of n·d. Derived here from arXiv 2109.13004, section 3; exact. Everything large is a product of two matrices: over all
 * positions at once for A_jᵀp and q_j, one small one a position for the products with u.
 */
import * as tf from '@tensorflow/tfjs-core';
import { magnitudeOf } from './norm-guard.ts';
import type { UnitForm, UnitMatrices } from './unit-form.ts';
import { affine, alongUnits, outer, weightedSum } from './unit-products.ts';

export const lowRankForm: UnitForm = {
  values(patches, weights) {
    const { n, r } = weights;
    const { perUnit, gram, gramOffset, b } = normMatrices(weights);
    const [u, offsets] = tf.split(tf.matMul(patches, beside(weights.B, weights.b)), [r, n], 1) as [tf.Tensor2D, tf.Tensor2D];
    const projections = tf.matMul(patches, weights.A); // A_jᵀp
    const alignment = tf.add(alongUnits(projections as tf.Tensor2D, u), offsets);
    // G_j is symmetric: row t of the matrix holds entry t of every column of every G_j
    const rows = tf.reshape(tf.transpose(gram, [1, 0, 2]), [r, n * r]) as tf.Tensor2D;
    const images = affine(u, rows, gramOffset); // q_j
    const offsetRows = tf.reshape(gramOffset, [n, r]) as tf.Tensor2D;
    const squaredb = tf.sum(tf.square(b), 1);
    const linear = affine(u, tf.transpose(offsetRows), squaredb); // h_jᵀu + ‖b_j‖²
    const squaredNorm = tf.add(alongUnits(images, u), linear) as tf.Tensor2D;
    return {
      alignment: alignment as tf.Tensor2D,
      squaredNorm,
      magnitude: magnitudeOf(u, gram, squaredb),
      saved: [u, projections, images, perUnit],
    };
  },

  pullback(patches, weights, saved, a, s) {
    const { d, n, r } = weights;
    const [u, projections, images, perUnit] = saved as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D, tf.Tensor3D];
    const aligned = outer(a, u); // a_j u, the gradient of A_jᵀp
    const twice = tf.mul(s, 2) as tf.Tensor2D;
    const scaled = outer(twice, u); // 2 s_j u
    const perPosition = (x: tf.Tensor2D): tf.Tensor3D => tf.reshape(x, [-1, n, r]);
    const du = tf.add(weightedSum(a, perPosition(projections)), weightedSum(twice, perPosition(images))) as tf.Tensor2D;
    const small = tf.concat([du, a], 1) as tf.Tensor2D; // the gradients of Bp and b_jᵀp
    const [dB, straightB] = tf.split(tf.matMul(patches, small, true), [r, n], 1) as [tf.Tensor2D, tf.Tensor2D];

    // ‖v_j‖² summed over positions is quadratic in A_j and b_j: S_j = Σ 2 s_j u uᵀ, t_j = Σ 2 s_j u, c_j = Σ 2 s_j
    const S = tf.reshape(tf.matMul(scaled, u, true), [n, r, r]);
    const t = tf.matMul(twice, u, true); // [n, r]
    const c = tf.reshape(tf.sum(twice, 0), [n, 1, 1]);
    const b = tf.reshape(tf.transpose(weights.b), [n, d, 1]);
    const normA = tf.add(tf.matMul(perUnit, S), tf.mul(b, tf.reshape(t, [n, 1, r]))); // A_j S_j + b_j t_jᵀ  [n, d, r]
    const normB = tf.add(tf.matMul(perUnit, tf.reshape(t, [n, r, 1])), tf.mul(b, c)); // A_j t_j + b_j c_j  [n, d, 1]
    return {
      patches: tf.addN([
        tf.matMul(aligned, weights.A, false, true),
        tf.matMul(small, beside(weights.B, weights.b), false, true),
      ]) as tf.Tensor2D,
      A: tf.add(tf.matMul(patches, aligned, true), tf.reshape(tf.transpose(normA, [1, 0, 2]), [d, n * r])) as tf.Tensor2D,
      B: dB,
      b: tf.add(straightB, tf.transpose(tf.reshape(normB, [n, d]))) as tf.Tensor2D,
    };
  },

  heldPullback(weights, [u], a) {
    const aligned = outer(a, u as tf.Tensor2D);
    return tf.addN([tf.matMul(aligned, weights.A, false, true), tf.matMul(a, weights.b, false, true)]) as tf.Tensor2D;
  },
};

/** A_j [n, d, r]; G_j [n, r, r], h_j [n, r, 1] and b_j [n, d]. Constants of a network that is only run. */
function normMatrices({ A, b, d, n, r }: UnitMatrices) {
  const perUnit = tf.transpose(tf.reshape(A, [d, n, r]), [1, 0, 2]) as tf.Tensor3D;
  const rows = tf.transpose(b) as tf.Tensor2D;
  const gram = tf.matMul(perUnit, perUnit, true);
  return { perUnit, gram, gramOffset: tf.matMul(perUnit, tf.reshape(rows, [n, d, 1]), true), b: rows };
}

function beside(x: tf.Tensor2D, y: tf.Tensor2D): tf.Tensor2D {
  return tf.concat([x, y], 1);
}
