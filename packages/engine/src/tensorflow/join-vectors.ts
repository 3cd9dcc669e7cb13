/** Many vectors as one by TensorFlow's one operation, for whoever does the same with all of them: a call takes as long as some ten thousand numbers. */
import { joinVectorsKernel } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { FLOAT, tensorFlowOp, type NodeBackend } from './tensorflow-op.ts';

export const joinVectorsConfig: tf.KernelConfig = {
  kernelName: joinVectorsKernel,
  backendName: 'tensorflow',
  kernelFunc: ({ inputs, backend }) => {
    const vectors = Object.values(inputs as Record<string, tf.TensorInfo>);
    const axis = tf.scalar(0, 'int32');
    const attributes = { N: { count: vectors.length }, T: FLOAT, Tidx: { type: 'int32' } } as const;
    const [joined] = tensorFlowOp(backend as NodeBackend, 'ConcatV2', [...vectors, axis], attributes);
    axis.dispose();
    return joined as tf.Tensor;
  },
};
