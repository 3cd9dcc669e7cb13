/** What follows the last layer: logits from a map of class evidence, and the loss whose pressure aligns the weights. */
import * as tf from '@tensorflow/tfjs-core';

/** b₀ at which an unexplained class has probability 0.1. arXiv 2109.13004. */
export const defaultLogitBias = Math.log(0.1 / 0.9);

/** z_c − b₀ = (1/T)·Σ_positions x[…, c]. x [N, H, W, C] → [N, C]. A larger temperature T asks for more alignment. */
export function sumPoolScores(x: tf.Tensor4D, temperature: number): tf.Tensor2D {
  return tf.tidy(() => tf.div(tf.sum(x, [1, 2]), temperature) as tf.Tensor2D);
}

/** z_c = (1/T)·Σ_positions x[…, c] + b₀. x [N, H, W, C] → [N, C]. */
export function sumPoolLogits(x: tf.Tensor4D, temperature: number, logitBias: number): tf.Tensor2D {
  return tf.tidy(() => tf.add(sumPoolScores(x, temperature), logitBias) as tf.Tensor2D);
}

/**
 * Binary cross entropy with logits, mean over batch and classes: relu(z) − z·y + log(1 + e^{−|z|}), which overflows nowhere.
 * logits and targets [N, C], targets one-hot or soft.
 */
export function binaryCrossEntropy(logits: tf.Tensor2D, targets: tf.Tensor2D): tf.Scalar {
  return tf.tidy(() => {
    const linear = tf.sub(tf.relu(logits), tf.mul(logits, targets));
    return tf.mean(tf.add(linear, tf.softplus(tf.neg(tf.abs(logits)))));
  });
}
