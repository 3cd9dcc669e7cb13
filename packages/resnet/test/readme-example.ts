import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { Random, inferenceContext, initWeights } from '@coda-nets/core';
import { resnet, resnetStem } from '@coda-nets/resnet';

const network = resnet({ kind: 'resnet', depth: 20, classes: 10 });

const weights: Record<string, tf.Tensor> = {};
for (const [name, { data, shape }] of Object.entries(initWeights(network, Random.seeded(1)))) {
  weights[name] = tf.tensor(data as Float32Array, [...shape]);
}
const images = tf.randomUniform([2, 32, 32, 3], 0, 1, 'float32', 1) as tf.Tensor4D;

// Every block is a tap: look at it, or put something else in its place.
export const shapes: Record<string, number[]> = {};
const { logits } = network.forward(weights, images, {
  training: false,
  tap: (name, x) => {
    shapes[name] = x.shape;
    return x;
  },
});
export const probabilities = network.probabilities(logits); // [2, 10]

// The same network up to a cut, with only the weights that this part needs.
const stem = resnetStem(network.config, 'layer2.2');
export const { features } = stem.forwardFeatures(weights, images, inferenceContext); // [2, 16, 16, 32]
