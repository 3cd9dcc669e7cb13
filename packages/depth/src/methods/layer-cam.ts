/** LayerCAM: each position weighted by its own positive gradient (Jiang et al., IEEE TIP 30, 2021, equations 6 to 8). */
import * as tf from '@tensorflow/tfjs-core';
import type { OnePassMethod } from './method.ts';

/** map = relu(Σ_k relu(∂z_c/∂a_k) ⊙ a_k) */
export function layerCam(): OnePassMethod {
  return { name: 'layerCam', parameters: {}, formula: (a, g) => tf.relu(tf.sum(tf.mul(tf.relu(g), a), 3)) };
}
