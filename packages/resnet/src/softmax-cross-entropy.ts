/** The loss of conventional classifiers. */
import * as tf from '@tensorflow/tfjs-core';

/**
 * L = −(1/N)·Σ_n Σ_c t'_nc · log softmax(z_n)_c with t' = (1 − ε)·t + ε/C; ε = `labelSmoothing` (arXiv 1512.00567 section 7).
 * logits, targets [N, C]; a scalar. Stable: the largest logit is subtracted first.
 */
export function softmaxCrossEntropy(logits: tf.Tensor2D, targets: tf.Tensor2D, labelSmoothing = 0): tf.Scalar {
  const smoothed = labelSmoothing === 0 ? targets : tf.add(tf.mul(targets, 1 - labelSmoothing), labelSmoothing / logits.shape[1]);
  return tf.neg(tf.mean(tf.sum(tf.mul(smoothed, tf.logSoftmax(logits)), 1))) as tf.Scalar;
}
