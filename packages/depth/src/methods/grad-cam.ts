/** Grad-CAM: feature maps weighted by their mean gradients (Selvaraju et al., arXiv 1610.02391, equations 1 and 2). */
import * as tf from '@tensorflow/tfjs-core';
import type { OnePassMethod } from './method.ts';

/**
 *     α_k = 1/hw · Σ_ij ∂z_c/∂a_ijk          map = relu(Σ_k α_k a_k)
 *
 * The map has the tap's size; how it is brought to the image's (nearest, bilinear) is chosen where it is scored or drawn.
 */
export function gradCam(): OnePassMethod {
  return {
    name: 'gradCam',
    parameters: {},
    formula: (a, g) => tf.relu(tf.sum(tf.mul(a, tf.mean(g, [1, 2], true)), 3)),
  };
}
