/** Efficient units in a stack as deep as the published networks: what they pass on stays above what guards their norms. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { inferenceContext, initWeights, Random } from '@coda-nets/core';
import { randomTensor, useBackend } from '@coda-nets/tools/testkit';
import { codaNetwork, edauBounds } from '../src/index.ts';

/** Float32 through nine layers, each of which loses a digit where fresh weights cancel: 1.3e-3 in the order in which TensorFlow sums. */
const tolerance = 3e-3;

beforeAll(() => useBackend('cpu'));

it.each(edauBounds)('is homogeneous of degree 1: plain gradient × input sums to the scores (%s)', (norm) => {
  tf.tidy(() => {
    const network = codaNetwork({
      kind: 'coda',
      inputShape: [8, 8, 3],
      encoding: 'none',
      layers: Array.from({ length: 9 }, (_, i) => ({ out: i === 8 ? 4 : 16, kernel: 3, rank: 32 })),
      norm,
      temperature: 1,
      logitBias: 0,
      classes: 4,
    });
    const weights = Object.fromEntries(
      Object.entries(initWeights(network, Random.seeded(3))).map(([name, { data, shape }]) => [
        name,
        tf.tensor(data as Float32Array, [...shape]),
      ]),
    );
    const x = randomTensor<tf.Rank.R4>([1, 8, 8, 3], 4, { min: 0 });
    const score = (images: tf.Tensor): tf.Tensor =>
      tf.sum(tf.slice(network.forward(weights, images as tf.Tensor4D, inferenceContext).logits, [0, 1], [1, 1]));
    const { value, grad } = tf.valueAndGrad(score)(x);
    const [z, sum] = [value.dataSync()[0] as number, tf.sum(tf.mul(grad, x)).dataSync()[0] as number];
    expect(Math.abs(z)).toBeGreaterThan(0);
    expect(Math.abs(sum - z) / Math.abs(z)).toBeLessThan(tolerance);
  });
});
