import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { gradientsAtTaps, inferenceContext, initWeights, Random, withDynamicWeightsHeld, type Network } from '@coda-nets/core';
import { expectNoLeak, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import { codaNetwork, type CodaConfig } from '../src/index.ts';

/** The bound the project promises in float32, relative to the largest |z − b₀|. */
const completenessTolerance = 1e-5;

beforeAll(() => useBackend('cpu'));

const configs: Record<string, CodaConfig> = {
  'sq, rgb6, odd size': {
    kind: 'coda',
    inputShape: [9, 7, 3],
    layers: [
      { out: 4, kernel: 3, rank: 3 },
      { out: 5, kernel: 3, stride: 2, rank: 4 },
      { out: 3, kernel: 1, rank: 2 },
    ],
    temperature: 10,
    classes: 3,
  },
  'l2, rgb6, even kernel, no padding': {
    kind: 'coda',
    inputShape: [8, 11, 3],
    layers: [
      { out: 3, kernel: 4, stride: 3, padding: 0, rank: 5 },
      { out: 2, kernel: 3, rank: 1 },
    ],
    norm: 'l2',
    temperature: 1,
    logitBias: 0.5,
    classes: 2,
  },
  'sq, plain rgb': {
    kind: 'coda',
    inputShape: [5, 5, 3],
    encoding: 'none',
    layers: [{ out: 4, kernel: 3, padding: 2, stride: 2, rank: 6 }],
    temperature: 3,
    classes: 4,
  },
};

/** Σ contributions − (z − b₀) at each tap, relative to the largest |z − b₀| of the batch. */
function residuals(network: Network, target: number, scope: <T>(fn: () => T) => T): Record<string, number> {
  return tf.tidy(() => {
    const weights = Object.fromEntries(
      Object.entries(initWeights(network, Random.seeded(7))).map(([name, { data, shape }]) => [
        name,
        tf.tensor(data as Float32Array, [...shape]),
      ]),
    );
    const images = randomTensor<tf.Rank.R4>([2, ...network.inputShape], 5, { min: 0 });
    const names = network.taps.map(({ name }) => name);
    const { activations, gradients, extra } = scope(() =>
      gradientsAtTaps((context) => {
        const { logits } = network.forward(weights, images, context);
        return { objective: tf.sum(tf.slice(logits, [0, target], [2, 1])), logits };
      }, names),
    );
    const plain = network.forward(weights, images, inferenceContext).logits;
    expect(extra['logits']?.dataSync()).toEqual(plain.dataSync());
    const z = tf.sub(tf.reshape(tf.slice(plain, [0, target], [2, 1]), [2]), network.logitBias);
    const scale = tf.max(tf.abs(z)).dataSync()[0] as number;
    expect(scale).toBeGreaterThan(1e-4);
    return Object.fromEntries(
      names.map((name) => {
        const sum = tf.sum(tf.mul(activations[name] as tf.Tensor, gradients[name] as tf.Tensor), [1, 2, 3]);
        return [name, (tf.max(tf.abs(tf.sub(sum, z))).dataSync()[0] as number) / scale];
      }),
    );
  });
}

describe.each(Object.entries(configs))('contributions of a CoDA network (%s)', (_, config) => {
  const network = codaNetwork(config);
  const classes = Array.from({ length: network.classes }, (_, c) => c);

  it.each(classes)('sum to z − b₀ at every tap for class %i', (target) => {
    expectNoLeak(() => {
      for (const [name, residual] of Object.entries(residuals(network, target, withDynamicWeightsHeld))) {
        expect(residual, name).toBeLessThan(completenessTolerance);
      }
    });
  });

  it('do not without the scope: gradient × input of a dynamic layer is no decomposition', () => {
    // Above the last layer there is only the linear readout.
    for (const [name, residual] of Object.entries(residuals(network, 0, (fn) => fn())).slice(0, -1)) {
      expect(residual, name).toBeGreaterThan(1e3 * completenessTolerance);
    }
  });
});
