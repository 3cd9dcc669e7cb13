import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  checkWeights,
  gradientsAtTaps,
  inferenceContext,
  sizeOf,
  trainingContext,
  withDynamicWeightsHeld,
  type ForwardContext,
  type Network,
  type JsonObject,
} from '@coda-nets/core';
import { expectClose, expectOnlyResult, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import { edauBounds } from '@coda-nets/dau';
import { cifar10Normalisation, resnet, type ResnetOptions } from '@coda-nets/resnet';
import { hybrid, hybridPreset, hybridPresets, withStemWeights, type HybridOptions } from '../src/index.ts';
import { randomWeights, tensorsOf } from './random-weights.ts';

/** The bound the project promises in float32, relative to the largest |z − b₀| of the batch. */
const completenessTolerance = 1e-5;
/** Two orders of the same float32 sums through ten layers. */
const float32Tolerance = { rtol: 1e-5, relativeTo: 'largest' } as const;

const tiny: HybridOptions = {
  kind: 'hybrid',
  backbone: { kind: 'resnet', depth: 8, width: 4, inputShape: [14, 11, 3] },
  cut: 'layer2.0',
  head: {
    temperature: 7,
    layers: [
      { out: 6, kernel: 3, stride: 2, rank: 3 },
      { out: 3, kernel: 1, rank: 2 },
    ],
  },
  classes: 3,
};

const imagenet = { kind: 'resnet', design: 'imagenet', depth: 18, width: 4, inputShape: [25, 30, 3] } as const;

beforeAll(() => useBackend('cpu'));

describe.each<[string, HybridOptions]>([
  ['sq, frozen', tiny],
  ['l2, trained stem', { ...tiny, stem: 'trained', head: { ...tiny.head, norm: 'l2' } }],
  ['sq, cut at conv1', { ...tiny, cut: 'conv1' }],
  ['option A shortcuts, the whole backbone', { ...tiny, cut: 'layer3.0', backbone: { ...tiny.backbone, shortcut: 'pad' } }],
  [
    'a bottleneck in groups, folded',
    { ...tiny, cut: 'layer1.0', backbone: { ...imagenet, depth: 50, groups: 2, widthPerGroup: 32, batchNorm: 'folded' } },
  ],
  [
    'the max pool of an ImageNet stem, six channels',
    { ...tiny, cut: 'maxpool', backbone: { ...imagenet, encoding: 'rgb6', normalisation: null } },
  ],
])('contributions of a hybrid (%s)', (_, options) => {
  const network = hybrid(options);
  const exact = network.taps.filter((tap) => tap.exact).map(({ name }) => name);

  it('sum to z − b₀ at every exact tap', () => {
    expect(exact).toEqual([options.cut, 'head.0', 'head.1']);
    const found = residuals(network, withDynamicWeightsHeld);
    for (const name of exact) expect(found[name], name).toBeLessThan(completenessTolerance);
  });

  it('do not while dynamic weights are differentiated, nor below the cut', () => {
    const plain = residuals(network, (fn) => fn());
    for (const name of exact.slice(0, -1)) expect(plain[name], name).toBeGreaterThan(100 * completenessTolerance);
    expect(residuals(network, withDynamicWeightsHeld)['input']).toBeGreaterThan(100 * completenessTolerance);
  });
});

describe.each(edauBounds)('a head of efficient units (%s)', (norm) => {
  // b₀ = 0: fresh eDAUs say little beside it, and the rounding of z + b₀ would be all that one sees.
  const network = hybrid({ ...tiny, head: { ...tiny.head, norm, logitBias: 0 } });

  it('has no offsets, and contributions that sum to z − b₀ at every exact tap', () => {
    expect(Object.keys(network.weights).filter((name) => name.startsWith('head.'))).toEqual([
      'head.0.B',
      'head.0.A',
      'head.1.B',
      'head.1.A',
    ]);
    const found = residuals(network, withDynamicWeightsHeld);
    for (const name of ['layer2.0', 'head.0', 'head.1']) expect(found[name], name).toBeLessThan(completenessTolerance);
  });
});

describe('a frozen stem', () => {
  const network = hybrid(tiny);

  it('embeds and goes on as the whole does', () => {
    tf.tidy(() => {
      const weights = tensorsOf(randomWeights(network, 3));
      const images = randomTensor<tf.Rank.R4>([3, 14, 11, 3], 4, { min: 0 });
      const features = network.frozenStem?.embed(weights, images) as tf.Tensor4D;
      expect(features.shape).toEqual([3, ...(network.frozenStem?.featureShape ?? [])]);
      const seen: string[] = [];
      const context: ForwardContext = { training: false, tap: (name, x) => (seen.push(name), x) };
      const { logits, statistics } = network.frozenStem?.forwardHead(weights, features, context) ?? {};
      expect(seen).toEqual(['layer2.0', 'head.0', 'head.1']);
      expect(statistics).toEqual({});
      expect(logits?.dataSync()).toEqual(network.forward(weights, images, inferenceContext).logits.dataSync());
    });
  });

  it("needs only its own weights to embed, and only the head's to go on", () => {
    tf.tidy(() => {
      const all = Object.entries(tensorsOf(randomWeights(network, 3)));
      const images = randomTensor<tf.Rank.R4>([1, 8, 8, 3], 4, { min: 0 });
      const stem = Object.fromEntries(all.filter(([name]) => name.startsWith('stem.')));
      const head = Object.fromEntries(all.filter(([name]) => name.startsWith('head.')));
      const features = network.frozenStem?.embed(stem, images) as tf.Tensor4D;
      expect(network.frozenStem?.forwardHead(head, features, inferenceContext).logits.shape).toEqual([1, 3]);
    });
  });

  it('gets no gradient, keeps its statistics and its inference mode while the head is trained', () => {
    tf.tidy(() => {
      const weights = tensorsOf(randomWeights(network, 3));
      const names = Object.keys(weights);
      const images = randomTensor<tf.Rank.R4>([2, 8, 8, 3], 4, { min: 0 });
      const targets = tf.oneHot(tf.tensor1d([0, 2], 'int32'), 3) as tf.Tensor2D;
      let training: readonly number[] = [];
      const grads = tf.grads((...values) => {
        const given = Object.fromEntries(names.map((name, i) => [name, values[i] as tf.Tensor]));
        const { logits, statistics } = network.forward(given, images, trainingContext);
        expect(statistics).toEqual({});
        training = Array.from(logits.dataSync());
        return network.loss(logits, targets);
      })(Object.values(weights));
      expect(training).toEqual(Array.from(network.forward(weights, images, inferenceContext).logits.dataSync()));
      for (const [i, name] of names.entries()) {
        const largest = tf.max(tf.abs(grads[i] as tf.Tensor)).dataSync()[0] as number;
        if (name.startsWith('stem.')) expect(largest, name).toBe(0);
        else expect(largest, name).toBeGreaterThan(0);
      }
      for (const name of names.filter((n) => n.startsWith('stem.'))) {
        expect(network.weights[name]).toMatchObject({ role: 'frozen', decay: false });
      }
    });
  });

  it('is absent where the stem is trained; then the batch normalises and statistics come back', () => {
    tf.tidy(() => {
      const trained = hybrid({ ...tiny, stem: 'trained' });
      expect(trained.frozenStem).toBeUndefined();
      const weights = tensorsOf(randomWeights(trained, 3));
      const images = randomTensor<tf.Rank.R4>([2, 8, 8, 3], 4, { min: 0 });
      const { statistics } = trained.forward(weights, images, trainingContext);
      const expected = Object.entries(trained.weights).filter(([, spec]) => spec.role === 'statistic');
      expect(Object.keys(statistics).sort()).toEqual(expected.map(([name]) => name).sort());
      expect(expected.length).toBe(2 * 6);
      for (const [name, value] of Object.entries(statistics)) expect(value.dataSync()).not.toEqual(weights[name]?.dataSync());
    });
  });
});

describe('the stem of a trained ResNet', () => {
  const backbone = resnet({ ...tiny.backbone, classes: 7 });
  const network = hybrid(tiny);

  it('gives the features that the ResNet has at the cut', () => {
    tf.tidy(() => {
      const trained = randomWeights(backbone, 11);
      const weights = withStemWeights(network, randomWeights(network, 3), trained, 'resnet.safetensors');
      checkWeights(network, weights, 'hybrid');
      const images = randomTensor<tf.Rank.R4>([2, 14, 11, 3], 4, { min: 0 });
      let atCut: tf.Tensor | undefined;
      backbone.forward(tensorsOf(trained), images, {
        training: false,
        tap: (name, x) => {
          if (name === tiny.cut) atCut = x;
          return x;
        },
      });
      const features = network.frozenStem?.embed(tensorsOf(weights), images) as tf.Tensor4D;
      expectClose(features, atCut as tf.Tensor, float32Tolerance);
    });
  });

  it('is refused where a weight is missing, has another shape, or belongs to another ResNet', () => {
    const { 'conv1.weight': conv1, ...rest } = randomWeights(backbone, 11);
    expect(() => withStemWeights(network, {}, rest, 'a.safetensors')).toThrow(
      "a.safetensors: the weights are not this network's: missing conv1.weight",
    );
    const deeper = randomWeights(resnet({ ...tiny.backbone, depth: 14 }), 11);
    expect(() => withStemWeights(network, {}, deeper, 'b.safetensors')).toThrow(
      "b.safetensors: the weights are not this network's: unexpected layer1.1.conv1.weight, layer1.1.bn1.weight,",
    );
    const wider = randomWeights(resnet({ ...tiny.backbone, width: 5 }), 11);
    expect(() => withStemWeights(network, {}, wider, 'c.safetensors')).toThrow(
      'mismatched conv1.weight (expected float32 [3, 3, 3, 4], got float32 [3, 3, 3, 5]),',
    );
    expect(conv1).toBeDefined();
  });

  it.each<[keyof ResnetOptions, Partial<ResnetOptions>, string, string]>([
    ['normalisation', { normalisation: null }, JSON.stringify(cifar10Normalisation), 'null'],
    ['bottleneckStride', { bottleneckStride: '1x1' }, '"3x3"', '"1x1"'],
  ])('is refused where it was trained with another %s, which no shape shows', (key, change, expected, got) => {
    const other = resnet({ ...tiny.backbone, ...change });
    expect(() => withStemWeights(network, {}, randomWeights(other, 11), 'd.safetensors', other.config)).toThrow(
      `d.safetensors: config: ${key}: the weights were trained in another network than the hybrid’s backbone; expected ${expected}, got ${got}. Choose another stem, `,
    );
  });

  it('is taken from images of another size, other classes and another batch norm', () => {
    const other = resnet({
      ...tiny.backbone,
      inputShape: [32, 32, 3],
      classes: 7,
      labelSmoothing: 0.1,
      classifier: 'map',
      batchNorm: 'frozen',
    });
    const weights = withStemWeights(network, {}, randomWeights(other, 11), 'e.safetensors', other.config);
    expect(Object.keys(weights)).toContain('stem.conv1.weight');
  });
});

describe.each(Object.keys(hybridPresets))('preset %s', (name) => {
  const network = hybrid(hybridPreset(name));

  it('has the taps and shapes it says it has', () => {
    tf.tidy(() => {
      const weights = tensorsOf(randomWeights(network, 1));
      const [height, width] = network.inputShape;
      const images = tf.zeros([1, height, width, 3]) as tf.Tensor4D;
      const reached: [string, readonly number[]][] = [];
      const { logits } = network.forward(weights, images, {
        training: false,
        tap: (tap, x) => (reached.push([tap, x.shape]), x),
      });
      expect(reached).toEqual(
        network.taps.map((tap) => [tap.name, [1, Math.ceil(height / tap.stride), Math.ceil(width / tap.stride), tap.channels]]),
      );
      expect(network.taps.slice(network.taps.findIndex((tap) => tap.exact)).every((tap) => tap.exact)).toBe(true);
      expect(network.taps.find((tap) => tap.exact)?.name).toBe(network.config.cut);
      expect(logits.shape).toEqual([1, network.classes]);
    });
  });

  it('is built again, the same, from its config as JSON', () => {
    const again = hybrid(JSON.parse(JSON.stringify(network.config)) as JsonObject);
    expect(again.config).toEqual(network.config);
    expect(Object.keys(again.weights)).toEqual(Object.keys(network.weights));
  });

  it('has 516,480 head parameters', () => {
    // Σ d·r + r·n·d + n·d (method of the paper): d = 288, 576, 64; n = 64, 64, 10; r = 8, 8, 16.
    const byHand = [
      [288, 64, 8],
      [576, 64, 8],
      [64, 10, 16],
    ].reduce((sum, [d = 0, n = 0, r = 0]) => sum + d * r + r * n * d + n * d, 0);
    const head = Object.entries(network.weights).filter(([weight]) => weight.startsWith('head.'));
    expect(head.reduce((sum, [, { shape }]) => sum + sizeOf(shape), 0)).toBe(byHand);
    expect(byHand).toBe(516_480);
    expect(network.logitBias).toBeCloseTo(-2.1972, 4);
  });
});

it('leaves no tensors behind', () => {
  const network = hybrid({ ...tiny, stem: 'trained' });
  const weights = tensorsOf(randomWeights(network, 3));
  const images = randomTensor<tf.Rank.R4>([2, 8, 8, 3], 4, { min: 0 });
  tf.tidy(() => {
    const names = Object.keys(network.weights).filter((name) => network.weights[name]?.role === 'parameter');
    expectOnlyResult(() =>
      tf.grads((...values) => {
        const given = Object.fromEntries(names.map((name, i) => [name, values[i] as tf.Tensor]));
        return tf.sum(network.forward({ ...weights, ...given }, images, trainingContext).logits);
      })(names.map((name) => weights[name] as tf.Tensor)),
    );
  });
  expect(Object.values(weights).every((x) => !x.isDisposed)).toBe(true);
});

/** Σ contributions − (z − b₀) at each tap, relative to the largest |z − b₀| of the batch. */
function residuals(network: Network, scope: <T>(fn: () => T) => T): Record<string, number> {
  return tf.tidy(() => {
    const weights = tensorsOf(randomWeights(network, 7));
    const images = randomTensor<tf.Rank.R4>([2, ...network.inputShape], 5, { min: 0 });
    const names = network.taps.map(({ name }) => name);
    const { activations, gradients, extra } = scope(() =>
      gradientsAtTaps((context) => {
        const z = tf.slice(network.forward(weights, images, context).logits, [0, 1], [2, 1]);
        return { objective: tf.sum(z), z };
      }, names),
    );
    const evidence = tf.sub(tf.reshape(extra['z'] as tf.Tensor, [2]), network.logitBias);
    const scale = tf.max(tf.abs(evidence)).dataSync()[0] as number;
    expect(scale).toBeGreaterThan(1e-4);
    return Object.fromEntries(
      names.map((name) => {
        const sum = tf.sum(tf.mul(activations[name] as tf.Tensor, gradients[name] as tf.Tensor), [1, 2, 3]);
        return [name, (tf.max(tf.abs(tf.sub(sum, evidence))).dataSync()[0] as number) / scale];
      }),
    );
  });
}
