/** The tiny network behind two residual branches, for stochastic depth: x + b₁/2·x, then x + b₂/4·x. */
import type { Network } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { tinyNetwork } from './tiny-network.ts';

export function branchedNetwork(options: Parameters<typeof tinyNetwork>[0] = {}): Network {
  const network = tinyNetwork({ name: 'branched', ...options });
  return {
    ...network,
    residualBranches: ['first', 'second'],
    forward: (weights, images, context) => {
      let x = images;
      for (const [i, name] of ['first', 'second'].entries()) {
        const branch = tf.mul(x, 0.5 / (i + 1)) as tf.Tensor4D;
        x = tf.add(x, context.branch?.(name, branch) ?? branch);
      }
      return network.forward(weights, x, context);
    },
  };
}
