/**
 * The gradient of a rectifier as TensorFlow's one operation: dx = dy where x > 0, else 0. TensorFlow.js takes it apart into a step and a product, and tfjs-node the step
 * into six operations. Differs from those in one thing: where x is NaN, dx is 0.
 */
import * as tf from '@tensorflow/tfjs-core';
import { FLOAT, tensorFlowOp, type NodeBackend } from './tensorflow-op.ts';

const KERNEL = 'ReluGrad';

/** For the backend `tensorflow`; every other keeps the gradient that was registered. */
export function registerReluGradient(): void {
  const before = tf.getGradient(tf.Relu);
  tf.registerKernel({
    kernelName: KERNEL,
    backendName: 'tensorflow',
    kernelFunc: ({ inputs, backend }) => {
      const { dy, x } = inputs as Record<'dy' | 'x', tf.TensorInfo>;
      return tensorFlowOp(backend as NodeBackend, KERNEL, [dy, x], { T: FLOAT })[0] as tf.Tensor;
    },
  });
  tf.registerGradient({
    ...before,
    gradFunc: (dy, saved, attrs) => {
      const [x] = saved as [tf.Tensor];
      if (tf.getBackend() !== 'tensorflow' || x.dtype !== 'float32') return before.gradFunc(dy, saved, attrs);
      return { x: () => gradient(dy as tf.Tensor, x) };
    },
  });
  // linear in dy: once more the same by dy, and 0 by x
  tf.registerGradient({
    kernelName: KERNEL,
    inputsToSave: ['x'],
    gradFunc: (ddx, [x]) => ({ dy: () => gradient(ddx as tf.Tensor, x as tf.Tensor), x: () => tf.zerosLike(x as tf.Tensor) }),
  });
}

function gradient(dy: tf.Tensor, x: tf.Tensor): tf.Tensor {
  return tf.engine().runKernel(KERNEL, { dy, x }) as tf.Tensor;
}
