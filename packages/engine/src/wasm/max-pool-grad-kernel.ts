/**
 * The gradient of max pooling on tfjs's backend `wasm`, to the first largest element of each window in the order of its rows, as on the backend `cpu`, in
 * ONNX and in PyTorch. The package's own kernel gives it to the last, which is another gradient wherever an image is flat.
 */
import * as tf from '@tensorflow/tfjs-core';

interface Attrs {
  readonly filterSize: number | [number, number];
  readonly strides: number | [number, number];
  readonly pad: 'valid' | 'same' | number | tf.backend_util.ExplicitPadding;
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/** dL/dx[p] = Σ over windows w whose first largest element is p, of dy[w]. */
export const maxPoolGradConfig: tf.KernelConfig = {
  kernelName: tf.MaxPoolGrad,
  backendName: 'wasm',
  kernelFunc: ({ inputs, backend, attrs }) => {
    const { dy, input } = inputs as Record<'dy' | 'input', tf.TensorInfo>;
    const { filterSize, strides, pad, dimRoundingMode } = attrs as unknown as Attrs;
    const shape = input.shape as [number, number, number, number];
    const info = tf.backend_util.computePool2DInfo(shape, filterSize, strides, 1, pad, dimRoundingMode);
    const read = ({ dataId }: tf.TensorInfo): Float32Array => (backend as tf.KernelBackend).readSync(dataId) as Float32Array;
    const dx = gradient(read(input), read(dy), info);
    return { dataId: (backend as tf.KernelBackend).write(dx, shape, 'float32'), shape, dtype: 'float32' };
  },
};

function gradient(x: Float32Array, dy: Float32Array, g: tf.backend_util.Conv2DInfo): Float32Array {
  const channels = g.inChannels;
  const dx = new Float32Array(x.length);
  let to = 0;
  for (let n = 0; n < g.batchSize; n++) {
    for (let row = 0; row < g.outHeight; row++) {
      const top = row * g.strideHeight - g.padInfo.top;
      for (let column = 0; column < g.outWidth; column++) {
        const left = column * g.strideWidth - g.padInfo.left;
        for (let channel = 0; channel < channels; channel++) {
          let [first, most] = [-1, -Infinity];
          for (let r = Math.max(0, top); r < Math.min(g.inHeight, top + g.filterHeight); r++) {
            for (let c = Math.max(0, left); c < Math.min(g.inWidth, left + g.filterWidth); c++) {
              const at = ((n * g.inHeight + r) * g.inWidth + c) * channels + channel;
              if ((x[at] as number) > most) [first, most] = [at, x[at] as number];
            }
          }
          if (first >= 0) dx[first] = (dx[first] as number) + (dy[to] as number);
          to++;
        }
      }
    }
  }
  return dx;
}
