/**
 * The mark of a value that crosses processes while a function runs: batch norm over the images of all ranks is made of it. How it crosses is the engine's
 * business (`Engine.compileInStages`), and what carries it a `ProcessGroup`'s.
 */
import * as tf from '@tensorflow/tfjs-core';
import './tfjs.ts';

/** Of backends that have it, with the attribute `name`; not a kernel of TensorFlow.js. */
export const meanOverRanksKernel = 'MeanOverRanks';

/**
 *     y = 1/R Σ_r x_r        dL/dx_s = 1/R Σ_r dL/dy_r        L = Σ_r L_r
 *
 * R ranks r, the same y on each. Backends without the kernel are on their own, R = 1: the identity. `name` says in errors what was waited for, and is the same
 * on every rank, as is the order of calls. float32.
 */
export function meanOverRanks<T extends tf.Tensor>(x: T, name: string): T {
  const mean = (value: tf.Tensor): tf.Tensor =>
    tf.getKernel(meanOverRanksKernel, tf.getBackend()) === undefined
      ? tf.clone(value)
      : tf.engine().runKernel(meanOverRanksKernel, { x: value }, { name });
  const op = tf.customGrad((...[value]) => ({
    value: mean(value as tf.Tensor),
    gradFunc: (dy: tf.Tensor) => meanOverRanks(dy, name),
  }));
  return op(x) as T;
}
