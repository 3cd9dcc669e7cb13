import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { Random, gradientsAtTaps, initWeights, withDynamicWeightsHeld, type NamedArrays } from '@coda-nets/core';
import { hybrid, hybridPreset, withStemWeights } from '@coda-nets/hybrid';
import { resnet } from '@coda-nets/resnet';

const network = hybrid(hybridPreset('cifar10-resnet20'));

// In earnest these come from a model file: a ResNet-20 that was trained before.
const backbone: NamedArrays = initWeights(resnet(network.config.backbone), Random.seeded(1));
const arrays = withStemWeights(network, initWeights(network, Random.seeded(2)), backbone);
const weights: Record<string, tf.Tensor> = {};
for (const [name, { data, shape }] of Object.entries(arrays)) weights[name] = tf.tensor(data as Float32Array, [...shape]);
const images = tf.randomUniform([1, 32, 32, 3], 0, 1, 'float32', 1) as tf.Tensor4D;

// Contributions to class 3 at every exact tap, from one forward and one backward pass.
const target = 3;
export const exactTaps = network.taps.filter(({ exact }) => exact).map(({ name }) => name);
const { objective, activations, gradients } = withDynamicWeightsHeld(() =>
  gradientsAtTaps((context) => tf.sum(tf.slice(network.forward(weights, images, context).logits, [0, target], [1, 1])), exactTaps),
);
export const explained = (objective.dataSync()[0] as number) - network.logitBias;
export const sums: Record<string, number> = {};
for (const name of exactTaps) {
  const map = tf.sum(tf.mul(activations[name] as tf.Tensor, gradients[name] as tf.Tensor), 3); // [N, H, W]
  sums[name] = tf.sum(map).dataSync()[0] as number; // equals `explained`
}
