import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { dynamicWeight, ndArray, type Network } from '@coda-nets/core';
import { contributionsAtTaps, encodePng, heatMap } from '@coda-nets/depth';

// Any network that names its taps will do. This one is out = σ(x∗G) ⊙ (x∗A); its weight depends on x, so it is marked.
const conv = (x: tf.Tensor, filter: tf.Tensor | undefined) => tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, 'same');
const network: Network = {
  config: { kind: 'gated' },
  inputShape: [8, 8, 3],
  classes: 2,
  taps: [{ name: 'input', channels: 3, stride: 1, exact: true }],
  weights: {},
  logitBias: -2,
  forward: (weights, images, context) => {
    const x = context.tap('input', images);
    const y = tf.mul(dynamicWeight(tf.sigmoid(conv(x, weights['G']))), conv(x, weights['A']));
    return { logits: tf.add(tf.sum(y, [1, 2]), -2) as tf.Tensor2D, statistics: {} };
  },
  loss: (logits, targets) => tf.mean(tf.square(tf.sub(logits, targets))) as tf.Scalar,
  probabilities: (logits) => tf.sigmoid(logits),
};

const weights = { G: tf.randomNormal([3, 3, 3, 2], 0, 1, 'float32', 1), A: tf.randomNormal([3, 3, 3, 2], 0, 1, 'float32', 2) };
const images = tf.randomUniform([1, 8, 8, 3], 0, 1, 'float32', 3) as tf.Tensor4D;

const { expected, taps } = contributionsAtTaps(network, weights, images, tf.tensor1d([-1], 'int32'), ['input']);
console.log('z − b₀:', expected.dataSync()[0], 'sum of the map:', taps['input']?.sum.dataSync()[0]);
export const residual = taps['input']?.residual.dataSync()[0] as number; // rounding: about 1e-7

const [map] = tf.unstack(taps['input']?.map as tf.Tensor3D);
const picture = heatMap(ndArray('float32', [8, 8], map?.dataSync() as Float32Array), { width: 256, height: 256 });
export const png = await encodePng(picture); // red speaks for the class, blue against it
