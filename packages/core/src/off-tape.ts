/**
 * Computes what a hand-written gradient wants to find again. TensorFlow.js lets an operation save its inputs and outputs for its gradient, but
 * nothing it computed between them: to do so, compute that first with `offTape`, and make it an input of the operation.
 */
import * as tf from '@tensorflow/tfjs-core';

/** Runs `fn`, which must be synchronous, without recording it for a gradient: it counts as the inside of a kernel. */
export function offTape<T>(fn: () => T): T {
  const { state } = tf.engine();
  state.kernelDepth++;
  try {
    return fn();
  } finally {
    state.kernelDepth--;
  }
}
