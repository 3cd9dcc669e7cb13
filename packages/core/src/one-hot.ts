/** Labels as rows of zeros and a one. In the place of `tf.oneHot`, which refuses a network of one class. */
import * as tf from '@tensorflow/tfjs-core';

/** int32 [N] → float32 [N, classes]: 1 at the label, 0 elsewhere and everywhere for a label outside 0 … classes − 1. No gradient. */
export function oneHot(labels: tf.Tensor1D, classes: number): tf.Tensor2D {
  return tf.tidy(() => tf.cast(tf.equal(tf.expandDims(labels, 1), tf.range(0, classes, 1, 'int32')), 'float32') as tf.Tensor2D);
}
