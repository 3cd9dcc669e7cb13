/**
 * The gradient by a 1×1 kernel of a convolution with a stride, from the pixels it sees alone. With all of them oneDNN in TensorFlow 2.21 is wrong by as much as the
 * gradient is large, on images of 8×8 with 2 to 4 channels and stride 2 (`packages/engine/test/tensorflow.test.ts`). Every other call goes to the kernel before.
 */
import * as tf from '@tensorflow/tfjs-core';

interface FilterGradientAttrs {
  readonly strides: number | [number, number];
  readonly pad: unknown;
  readonly dataFormat?: string;
  readonly filterShape: readonly number[];
}

export function pointwiseFilterGradientConfig(): tf.KernelConfig {
  const before = tf.getKernel(tf.Conv2DBackpropFilter, 'tensorflow');
  return {
    ...before,
    kernelFunc: (call) => {
      const { strides, pad, dataFormat = 'NHWC', filterShape } = call.attrs as unknown as FilterGradientAttrs;
      const [down, across] = typeof strides === 'number' ? [strides, strides] : strides;
      const padded = pad !== 'valid' && pad !== 'same' && [pad].flat(2).some((count) => count !== 0);
      if (filterShape[0] !== 1 || filterShape[1] !== 1 || (down === 1 && across === 1) || padded || dataFormat !== 'NHWC') {
        return before.kernelFunc(call);
      }
      const { x, dy } = call.inputs as Record<'x' | 'dy', tf.TensorInfo>;
      const seen = tf.stridedSlice(x as tf.Tensor, [0, 0, 0, 0], [...x.shape], [1, down, across, 1]);
      const gradient = before.kernelFunc({ ...call, inputs: { x: seen, dy }, attrs: { ...call.attrs, strides: 1, pad: 'valid' } });
      seen.dispose();
      return gradient;
    },
  };
}
