/** Grad-CAM++: positive gradients weighted by their share in the map's response (Chattopadhay et al., arXiv 1710.11063, equations 10 and 19). */
import * as tf from '@tensorflow/tfjs-core';
import type { OnePassMethod } from './method.ts';

export interface GradCamPlusPlusOptions {
  /** Where |2g² + Σa·g³| is at most this, α is 0: there is no gradient to share out. Default 1e-30, below any float32 gradient that matters. */
  readonly eps?: number;
}

/**
 *     α_ijk = g² / (2g² + Σ_ab a_abk · g³)          w_k = Σ_ij α_ijk relu(g_ijk)          map = relu(Σ_k w_k a_k)
 *
 * g = ∂z_c/∂a. The closed form takes exp(z_c) as the score, whose higher derivatives are powers of g; this common factor only scales the map
 * and is left out. It assumes a piecewise-linear network above the tap.
 */
export function gradCamPlusPlus({ eps = 1e-30 }: GradCamPlusPlusOptions = {}): OnePassMethod {
  return {
    name: 'gradCamPlusPlus',
    parameters: { eps },
    formula: (a, g) => {
      // Divided by g² both ways, so that small gradients do not vanish in their own cube.
      const denominator = tf.add(2, tf.mul(tf.sum(a, [1, 2], true), g));
      const defined = tf.logicalAnd(tf.greater(tf.abs(g), eps), tf.greater(tf.abs(denominator), eps));
      const alpha = tf.where(defined, tf.div(1, tf.where(defined, denominator, tf.onesLike(denominator))), tf.zerosLike(g));
      const weight = tf.sum(tf.mul(alpha, tf.relu(g)), [1, 2], true);
      return tf.relu(tf.sum(tf.mul(weight, a), 3));
    },
  };
}
