import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import {
  Random,
  initWeights,
  linearMap,
  linearMapAt,
  linearMapPenalty,
  recordTaps,
  trainingContext,
  type NamedTensors,
} from '@coda-nets/core';
import { codaNetwork } from '@coda-nets/dau';

const network = codaNetwork({
  kind: 'coda',
  inputShape: [8, 8, 3],
  layers: [
    { out: 4, kernel: 3, stride: 2, rank: 2 },
    { out: 3, kernel: 1, rank: 2 },
  ],
  temperature: 10,
  classes: 3,
});
const weights: Record<string, tf.Tensor> = {};
for (const [name, { data, shape }] of Object.entries(initWeights(network, Random.seeded(1)))) {
  weights[name] = tf.tensor(data as Float32Array, [...shape]);
}
const images = tf.randomUniform([2, 8, 8, 3], 0, 1, 'float32', 1) as tf.Tensor4D;

// z − b₀ = W x: the rows of classes 0 and 2 for each image, and another vector through the same map.
const classes = tf.tensor2d(
  [
    [0, 2],
    [0, 2],
  ],
  [2, 2],
  'int32',
);
const map = linearMap(network, weights, images); // from the input to the logits; or { from: 'layers.0', to: 'layers.1' }
const rows = map.rows(classes); // [N, 2, 8, 8, 6]
const input = map.activations['input'] as tf.Tensor4D;
export const evidence = tf.sum(tf.mul(rows, tf.expandDims(input, 1)), [2, 3, 4]); // z_c − b₀ of those classes
export const logits = map.logits;
export const half = map.apply(tf.mul(input, 0.5)); // ½ (z − b₀)

// The size of those rows as a loss, and its gradient by every weight.
const names = Object.keys(weights);
const penalty = (...values: tf.Tensor[]): tf.Scalar => {
  const given: NamedTensors = Object.fromEntries(names.map((name, i) => [name, values[i] as tf.Tensor]));
  const { context, activations } = recordTaps(trainingContext);
  network.forward(given, images, context); // its logits are for the other part of the loss
  return linearMapPenalty(linearMapAt(network, given, activations), classes);
};
export const { value, grads } = tf.valueAndGrads(penalty)(Object.values(weights));
