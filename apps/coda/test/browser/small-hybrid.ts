/** A small hybrid with random weights, the same wherever it is made: in Node, and in a page. */
import { initWeights, ndArray, Random, type Model } from '@coda-nets/core';
import { hybrid } from '@coda-nets/hybrid';
import { exportNetwork } from '../../src/export-network.ts';

export const network = hybrid({
  kind: 'hybrid',
  backbone: { kind: 'resnet', depth: 8, width: 4, inputShape: [16, 16, 3] },
  cut: 'layer2.0',
  classes: 10,
  head: {
    temperature: 64,
    layers: [
      { out: 8, kernel: 3, stride: 2, rank: 4 },
      { out: 10, kernel: 1, rank: 4 },
    ],
  },
});

const random = Random.seeded(3);

export const model = {
  config: network.config,
  weights: initWeights(network, Random.seeded(1)),
  classNames: Array.from({ length: 10 }, (_, i) => `class ${i}`),
  preprocessing: { size: [16, 16], resize: 'none' },
} as unknown as Model;

export const images = ndArray(
  'float32',
  [2, 16, 16, 3],
  Float32Array.from({ length: 2 * 16 * 16 * 3 }, () => random.uniform()),
);
export const targets = [-1, 4] as const;

/** The ONNX file: classifier and explanation. */
export const smallHybridFile = (): Uint8Array => exportNetwork(network, model, { explain: true });
