/**
 * Sums of many terms. The backend's own kernel hands all terms to one shader, which may bind eight arrays on most GPUs, the result among them: more are refused.
 * Here they are summed in groups that fit.
 */
import * as tf from '@tensorflow/tfjs-core';

interface Backend extends tf.KernelBackend {
  readonly device: { readonly limits: { readonly maxStorageBuffersPerShaderStage: number } };
}

/** In the place of the kernel that is registered for the backend `webgpu`, which sums each group. */
export function addNInGroups(): tf.KernelConfig {
  const stock = tf.getKernel(tf.AddN, 'webgpu');
  return {
    kernelName: tf.AddN,
    backendName: 'webgpu',
    kernelFunc: (call) => {
      const backend = call.backend as Backend;
      const most = backend.device.limits.maxStorageBuffersPerShaderStage - 1;
      // TensorFlow.js hands over an array where its types say a map
      const sumOf = (terms: readonly tf.TensorInfo[]): tf.TensorInfo =>
        stock.kernelFunc({ ...call, inputs: terms as unknown as tf.NamedTensorInfoMap }) as tf.TensorInfo;
      const [first, ...rest] = call.inputs as unknown as readonly [tf.TensorInfo, ...tf.TensorInfo[]];
      let sum = sumOf([first, ...rest.splice(0, most - 1)]);
      while (rest.length > 0) {
        const next = sumOf([sum, ...rest.splice(0, most - 1)]);
        backend.disposeData(sum.dataId);
        sum = next;
      }
      return sum;
    },
  };
}
