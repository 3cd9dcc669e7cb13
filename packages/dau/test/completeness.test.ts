import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  gradientsAtTaps,
  inferenceContext,
  initWeights,
  Random,
  withDynamicWeightsHeld,
  type NamedTensors,
  type Network,
} from '@coda-nets/core';
import { expectNoLeak, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import { codaNetwork, codaNorms, edauBounds, type CodaConfig } from '../src/index.ts';

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
  ...Object.fromEntries(
    edauBounds.map((norm) => [
      `${norm}, rgb6, odd size`,
      {
        kind: 'coda',
        inputShape: [9, 7, 3],
        layers: [
          { out: 4, kernel: 3, rank: 3 },
          { out: 5, kernel: 4, stride: 2, rank: 4 },
          { out: 3, kernel: 1, rank: 2 },
        ],
        norm,
        temperature: 10,
        // Fresh eDAUs say little beside b₀: the rounding of z + b₀ would be all that one sees.
        logitBias: 0,
        classes: 3,
      },
    ]),
  ),
};

/** Contributions at each tap for two images, and z − b₀, which they explain. */
function contributions(network: Network, target: number, scope: <T>(fn: () => T) => T): { maps: NamedTensors; z: tf.Tensor } {
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
  return {
    maps: Object.fromEntries(names.map((name) => [name, tf.mul(activations[name] as tf.Tensor, gradients[name] as tf.Tensor)])),
    z: tf.sub(tf.reshape(tf.slice(plain, [0, target], [2, 1]), [2]), network.logitBias),
  };
}

/** Σ contributions − (z − b₀) at each tap, relative to the largest |z − b₀| of the batch. */
function residuals(network: Network, target: number, scope: <T>(fn: () => T) => T): Record<string, number> {
  return tf.tidy(() => {
    const { maps, z } = contributions(network, target, scope);
    const scale = tf.max(tf.abs(z)).dataSync()[0] as number;
    expect(scale).toBeGreaterThan(1e-4);
    return Object.fromEntries(
      Object.entries(maps).map(([name, map]) => [
        name,
        (tf.max(tf.abs(tf.sub(tf.sum(map, [1, 2, 3]), z))).dataSync()[0] as number) / scale,
      ]),
    );
  });
}

it('is tested for every norm', () => {
  const tested = new Set(Object.values(configs).map(({ norm = 'sq' }) => norm));
  expect([...tested].sort()).toEqual([...codaNorms].sort());
});

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
});

describe('without the scope', () => {
  const isEdau = ([, { norm }]: readonly [string, CodaConfig]): boolean => edauBounds.some((bound) => bound === norm);
  const [edaus, daus] = [Object.entries(configs).filter(isEdau), Object.entries(configs).filter((entry) => !isEdau(entry))];

  it.each(daus)('gradient × input is no decomposition: its sums are wrong (%s)', (_, config) => {
    // Above the last layer there is only the linear readout.
    for (const [name, residual] of Object.entries(residuals(codaNetwork(config), 0, (fn) => fn())).slice(0, -1)) {
      expect(residual, name).toBeGreaterThan(1e3 * completenessTolerance);
    }
  });

  it.each(edaus)('gradient × input of eDAUs has the right sums, by Euler’s theorem, and is another map (%s)', (_, config) => {
    // Without an offset b the stack is homogeneous of degree 1.
    const network = codaNetwork(config);
    for (const [name, residual] of Object.entries(residuals(network, 0, (fn) => fn()))) {
      expect(residual, name).toBeLessThan(completenessTolerance);
    }
    tf.tidy(() => {
      const map = (scope: <T>(fn: () => T) => T): tf.Tensor => contributions(network, 0, scope).maps['input'] as tf.Tensor;
      const [held, free] = [map(withDynamicWeightsHeld), map((fn) => fn())];
      expect(tf.div(tf.norm(tf.sub(held, free)), tf.norm(held)).dataSync()[0]).toBeGreaterThan(0.1);
    });
  });
});
