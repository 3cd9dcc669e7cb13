/**
 * Guided backpropagation: the gradient with negative parts dropped at every rectifier on the way back (Springenberg et al., arXiv 1412.6806,
 * section 3.4). Known to change little when weights are randomised (Adebayo et al., arXiv 1810.03292): a negative control, not a recommendation.
 */
import { withGradientRules, type GradientRule } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { summed, type GradientOptions } from './gradient.ts';
import type { OnePassMethod } from './method.ts';

/** relu's gradient dy ⊙ [x > 0] becomes max(0, dy) ⊙ [x > 0]. */
const guided: GradientRule = (dy, { plain }) => plain(tf.relu(dy));

/** Σ_channels of the guided gradient. Rules: `tf.relu` and `tf.relu6`; a network without them gets its plain gradient. */
export function guidedBackprop({ sign = 'signed' }: GradientOptions = {}): OnePassMethod {
  return {
    name: 'guidedBackprop',
    parameters: { sign },
    within: (fn) => withGradientRules({ Relu: guided, Relu6: guided }, fn),
    formula: (_, g) => summed(g, sign),
  };
}
