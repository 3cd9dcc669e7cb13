import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { Random, gradientsAtTaps, initWeights, withDynamicWeightsHeld } from '@coda-nets/core';
import { codaNetwork } from '@coda-nets/dau';

const network = codaNetwork({
  kind: 'coda',
  inputShape: [32, 32, 3],
  layers: [
    { out: 8, kernel: 3, stride: 2, rank: 4 },
    { out: 10, kernel: 1, rank: 4 },
  ],
  temperature: 100,
  classes: 10,
});

const weights: Record<string, tf.Tensor> = {};
for (const [name, { data, shape }] of Object.entries(initWeights(network, Random.seeded(1)))) {
  weights[name] = tf.tensor(data as Float32Array, [...shape]);
}
const images = tf.randomUniform([1, 32, 32, 3], 0, 1, 'float32', 1) as tf.Tensor4D;

// One forward and one backward pass explain class 3 at every depth.
const target = 3;
const { objective, activations, gradients } = withDynamicWeightsHeld(() =>
  gradientsAtTaps(
    (context) => tf.sum(tf.slice(network.forward(weights, images, context).logits, [0, target], [1, 1])),
    network.taps.map(({ name }) => name),
  ),
);
export const explained = (objective.dataSync()[0] as number) - network.logitBias;
export const sums: Record<string, number> = {};
for (const { name } of network.taps) {
  const contributions = tf.mul(activations[name] as tf.Tensor, gradients[name] as tf.Tensor); // [N, H, W, C]
  sums[name] = tf.sum(contributions).dataSync()[0] as number; // equals `explained` at every tap
}
