/** What a layer gives for an empty batch: nothing, with gradients of zero. Backends answer products over no rows with whatever lies in memory. */
import * as tf from '@tensorflow/tfjs-core';

/** Zeros of `shape`, which has a 0, as a function of `variables`. */
export function ofNoImages(variables: readonly tf.Tensor[], shape: readonly number[]): tf.Tensor4D {
  const op = tf.customGrad((...all) => ({
    value: tf.zeros([...shape]),
    gradFunc: () => all.slice(0, variables.length).map((variable) => tf.zeros((variable as tf.Tensor).shape)),
  }));
  return op(...variables) as tf.Tensor4D;
}
