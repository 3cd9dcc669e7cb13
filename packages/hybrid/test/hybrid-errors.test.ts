import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { inferenceContext, type JsonObject } from '@coda-nets/core';
import { useBackend } from '@coda-nets/tools/testkit';
import { resnet } from '@coda-nets/resnet';
import { hybrid, hybridPreset, withStemWeights, type HybridOptions } from '../src/index.ts';
import { randomWeights, tensorsOf } from './random-weights.ts';

const layer = { out: 3, kernel: 3, rank: 2 };
const tiny: HybridOptions = {
  kind: 'hybrid',
  backbone: { kind: 'resnet', depth: 8, width: 4, inputShape: [8, 8, 3] },
  cut: 'layer2.0',
  head: { temperature: 7, layers: [layer] },
  classes: 3,
};

beforeAll(() => useBackend('cpu'));

describe('a config', () => {
  const head = (change: JsonObject): JsonObject => ({ head: { ...tiny.head, ...change } });

  it.each<[JsonObject, string]>([
    [
      { cut: 'layer2.1' },
      'hybrid: config: resnetStem: cut: ResNet-8 has no such tap to be cut at; expected one of conv1, layer1.0, layer2.0, layer3.0, got "layer2.1". Did you mean "layer2.0"?',
    ],
    [{ cut: 'input' }, 'expected one of conv1, layer1.0, layer2.0, layer3.0, got "input"'],
    [{ cut: 'fc' }, 'got "fc"'],
    [{ cut: 3 }, 'hybrid: config: cut: '],
    [
      { backbones: {} },
      'hybrid: config: backbones: unknown key; expected one of kind, backbone, cut, stem, head, classes. Did you mean "backbone"?',
    ],
    [
      { backbone: { kind: 'resnet', dept: 20 } },
      'hybrid: config: backbone.dept: unknown key; expected one of kind, design, depth, inputShape, classes, width, groups, widthPerGroup, bottleneckStride, stem, encoding, normalisation, shortcut, batchNorm, classifier, labelSmoothing. Did you mean "depth"?',
    ],
    [
      { backbone: { kind: 'resnet', depth: 21 } },
      'hybrid: config: backbone.depth: not a depth; expected 6n + 2 (20, 32, 44, 56, 110, …), got 21',
    ],
    [{ stem: 'frozn' }, 'hybrid: config: stem: not a valid value; expected ("frozen" | "trained"), got "frozn". Did you mean "frozen"?'],
    [{ classes: 4 }, 'hybrid: config: head.layers[0].out: the last layer has one unit for each class; expected 4, got 3'],
    [{ classes: 1e9 }, 'hybrid: config: classes: '],
    [
      head({ temprature: 3 }),
      'hybrid: config: head.temprature: unknown key; expected one of norm, temperature, logitBias, eps, layers. Did you mean "temperature"?',
    ],
    [head({ temperature: 0 }), 'hybrid: config: head.temperature: '],
    [head({ temperature: null }), 'hybrid: config: head.temperature: '],
    [head({ norm: 'l3' }), 'hybrid: config: head.norm: '],
    [head({ layers: [] }), 'hybrid: config: head.layers: '],
    [
      head({ layers: [{ ...layer, rnk: 2 }] }),
      'hybrid: config: head.layers[0].rnk: unknown key; expected one of out, kernel, stride, padding, rank. Did you mean "rank"?',
    ],
    [head({ layers: [{ ...layer, rank: 0 }] }), 'hybrid: config: head.layers[0].rank: '],
    [
      head({ layers: [{ ...layer, kernel: 7, padding: 1 }] }),
      'hybrid: config: head.layers[0].kernel: the kernel is larger than what the layers below leave; expected at most 6, got 7',
    ],
    [
      head({
        layers: [
          { ...layer, kernel: 3, stride: 4 },
          { ...layer, padding: 0 },
        ],
      }),
      'hybrid: config: head.layers[1].kernel: the kernel is larger than what the layers below leave; expected at most 1, got 3',
    ],
  ])('of %j is refused by its leaf', (change, text) => {
    expect(() => hybrid({ ...tiny, ...change } as HybridOptions)).toThrow(text);
  });

  it('without a key is refused by its name', () => {
    const { cut: _, ...rest } = tiny;
    expect(() => hybrid(rest as HybridOptions)).toThrow('hybrid: config: cut: missing');
  });

  it('of a preset that does not exist is answered with the nearest and the list', () => {
    expect(() => hybridPreset('cifar10-resnet22')).toThrow(
      /^hybridPreset: name: no such preset; expected one of cifar10-resnet20, .*, resnet50-layer4-coda4, got "cifar10-resnet22"\. Did you mean "cifar10-resnet20"\?$/,
    );
    expect(() => hybridPreset('toString')).toThrow('hybridPreset: name: no such preset');
  });
});

describe('a forward pass', () => {
  it('lists missing and mismatched weights together, and ignores none of its own', () => {
    tf.tidy(() => {
      const network = hybrid(tiny);
      const { 'stem.bn1.bias': _, ...weights } = tensorsOf(randomWeights(network, 1));
      const images = tf.zeros<tf.Rank.R4>([1, 8, 8, 3]);
      expect(() => network.forward({ ...weights, 'stem.conv1.weight': tf.zeros([3, 3, 3, 5]) }, images, inferenceContext)).toThrow(
        "hybrid: weights: the weights are not this network's: missing stem.bn1.bias; mismatched stem.conv1.weight (expected float32 [3, 3, 3, 4], got float32 [3, 3, 3, 5])",
      );
      const features = network.frozenStem as NonNullable<typeof network.frozenStem>;
      expect(() => features.forwardHead({}, tf.zeros([1, 4, 4, 8]), inferenceContext)).toThrow('missing head.0.B, head.0.A, head.0.b');
      expect(() => features.forwardHead(weights, tf.zeros([1, 4, 4, 7]), inferenceContext)).toThrow(
        'hybrid: features: not what layer2.0 gives; expected [N, H, W, 8], got [1, 4, 4, 7]',
      );
      expect(() => features.embed(weights, tf.zeros([1, 8, 3]) as unknown as tf.Tensor4D)).toThrow(
        "hybrid: weights: the weights are not this network's: missing stem.bn1.bias",
      );
    });
  });

  it('takes no stem weights for a network that is no hybrid', () => {
    expect(() => withStemWeights(resnet({ kind: 'resnet', depth: 8 }), {}, {})).toThrow('withStemWeights: network.config: ');
  });
});
