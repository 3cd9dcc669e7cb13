/** The identity whose gradient is zero (stop-gradient), which TensorFlow.js lacks. */
import * as tf from '@tensorflow/tfjs-core';
import './tfjs.ts';

/** Returns x; d holdConstant(x) / dx = 0. Same shape and dtype; works eagerly, under any backend, and traced. */
export function holdConstant<T extends tf.Tensor>(x: T): T {
  const op = tf.customGrad((...[value]) => ({
    value: tf.clone(value as tf.Tensor),
    gradFunc: (dy: tf.Tensor) => tf.zerosLike(dy),
  }));
  return op(x) as T;
}
