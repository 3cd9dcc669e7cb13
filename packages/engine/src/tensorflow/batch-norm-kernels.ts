/** Batch normalisation in training by TensorFlow's fused operations: one pass forward, one back, where the formula step by step takes a dozen. */
import { batchNormKernels } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { FLOAT, tensorFlowOp, type Attribute, type NodeBackend } from './tensorflow-op.ts';

/** FusedBatchNormV3 gives three of them, whose meaning is its own. */
const SAVED = ['saved0', 'saved1', 'saved2'] as const;

const attributes = (attrs: unknown): Readonly<Record<string, Attribute>> => ({
  T: FLOAT,
  U: FLOAT,
  epsilon: { float: (attrs as { epsilon: number }).epsilon },
  data_format: 'NHWC',
  is_training: true,
});

export const batchNormConfigs: readonly tf.KernelConfig[] = [
  {
    kernelName: batchNormKernels.forward,
    backendName: 'tensorflow',
    kernelFunc: ({ inputs, backend, attrs }) => {
      const named = inputs as Record<string, tf.TensorInfo>;
      const operands = ['x', 'gamma', 'beta', 'runningMean', 'runningVariance'].map((name) => named[name] as tf.TensorInfo);
      const { momentum } = attrs as unknown as { momentum: number };
      const all = { ...attributes(attrs), exponential_avg_factor: { float: momentum } };
      return tensorFlowOp(backend as NodeBackend, 'FusedBatchNormV3', operands, all, 6);
    },
  },
  {
    kernelName: batchNormKernels.gradient,
    backendName: 'tensorflow',
    kernelFunc: ({ inputs, backend, attrs }) => {
      const named = inputs as Record<string, tf.TensorInfo>;
      const operands = ['dy', 'x', 'gamma', ...SAVED].map((name) => named[name] as tf.TensorInfo);
      const [dx, dGamma, dBeta, ...unused] = tensorFlowOp(backend as NodeBackend, 'FusedBatchNormGradV3', operands, attributes(attrs), 5);
      tf.dispose(unused);
      return [dx, dGamma, dBeta] as tf.Tensor[];
    },
  },
];
