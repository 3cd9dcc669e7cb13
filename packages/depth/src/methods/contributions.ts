/** s = W_{tap→z}(x) ⊙ a: the inherent contributions of a dynamic linear network, exact where the tap is (`explain.ts`). */
import { withDynamicWeightsHeld } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import type { OnePassMethod } from './method.ts';

/** Σ_channels [W_{tap→z}]_c ⊙ a; arXiv 2104.00032, section 3.3. Signed; on a network without dynamic weights it equals input × gradient. */
export function contributions(): OnePassMethod {
  return {
    name: 'contributions',
    parameters: {},
    within: withDynamicWeightsHeld,
    formula: (a, g) => tf.sum(tf.mul(a, g), 3),
  };
}
