import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  checkWeights,
  inferenceContext,
  initWeights,
  Random,
  sizeOf,
  trainingContext,
  type NamedArrays,
  type NamedTensors,
} from '@coda-nets/core';
import { expectClose, expectOnlyResult, finiteDifference, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import { resnet, resnetCuts, resnetDepths, resnetStem, softmaxCrossEntropy, type ResnetOptions } from '../src/index.ts';

/** float32 sums of a few numbers. */
const float32Tolerance = { rtol: 1e-5, atol: 1e-6 } as const;

const tiny: ResnetOptions = { kind: 'resnet', depth: 8, width: 4, classes: 3, inputShape: [9, 7, 3] };

beforeAll(() => useBackend('cpu'));

function tensorsOf(weights: NamedArrays): NamedTensors {
  return Object.fromEntries(Object.entries(weights).map(([name, { data, shape }]) => [name, tf.tensor(data as Float32Array, [...shape])]));
}

function parametersOf(options: ResnetOptions): number {
  const specs = Object.values(resnet(options).weights).filter(({ role }) => role === 'parameter');
  return specs.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

describe('the networks of the paper', () => {
  // arXiv 1512.03385, table 6: 0.27, 0.46, 0.66, 0.85, 1.7 and 19.4 million. Option A has 269,722 at depth 20: the same without the two
  // projections (16·32 + 2·32 and 32·64 + 2·64).
  it.each([
    [20, 'projection', 272_474],
    [20, 'pad', 269_722],
    [32, 'pad', 464_154],
    [44, 'pad', 658_586],
    [56, 'pad', 853_018],
    [110, 'pad', 1_727_962],
    [1202, 'pad', 19_421_274],
  ] as const)('ResNet-%i, option %s, has %i parameters', (depth, shortcut, count) => {
    expect(parametersOf({ kind: 'resnet', depth, shortcut })).toBe(count);
    expect(272_474 - 269_722).toBe(16 * 32 + 2 * 32 + 32 * 64 + 2 * 64);
  });

  it.each(resnetDepths)('ResNet-%i has as many layers with weights as its name says', (depth) => {
    const names = Object.keys(resnet({ kind: 'resnet', depth, shortcut: 'pad' }).weights);
    expect(names.filter((name) => /(conv\d|fc)\.weight$/.test(name)).length).toBe(depth);
  });
});

describe('a ResNet', () => {
  const network = resnet(tiny);

  it("has torchvision's names, roles and decays", () => {
    const names = Object.keys(network.weights);
    expect(names.slice(0, 6)).toEqual([
      'conv1.weight',
      'bn1.weight',
      'bn1.bias',
      'bn1.running_mean',
      'bn1.running_var',
      'layer1.0.conv1.weight',
    ]);
    expect(names.slice(-2)).toEqual(['fc.weight', 'fc.bias']);
    expect(names).toContain('layer2.0.downsample.0.weight');
    expect(names).toContain('layer2.0.downsample.1.running_var');
    expect(network.weights['conv1.weight']).toMatchObject({ shape: [3, 3, 3, 4], role: 'parameter', decay: true });
    expect(network.weights['fc.weight']).toMatchObject({ shape: [16, 3], role: 'parameter', decay: true });
    for (const [name, { role, decay }] of Object.entries(network.weights)) {
      expect(role, name).toBe(name.includes('.running_') ? 'statistic' : 'parameter');
      expect(decay, name).toBe(/conv\d\.weight|downsample\.0|fc\.weight/.test(name));
    }
  });

  it('starts with the deviations of He et al.', () => {
    const weights = initWeights(resnet({ kind: 'resnet', depth: 20 }), Random.seeded(1));
    checkWeights(resnet({ kind: 'resnet', depth: 20 }), weights, 'init');
    const { data } = weights['layer3.1.conv2.weight']!;
    const values = Array.from(data as Float32Array);
    const deviation = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    // 36,864 values: three times the standard error is 1.1 %.
    expectClose(deviation, Math.sqrt(2 / (9 * 64)), { rtol: 0.011 });
    const fc = Array.from(weights['fc.weight']!.data as Float32Array);
    expect(Math.max(...fc.map(Math.abs))).toBeLessThanOrEqual(1 / 8);
    expect(Math.max(...fc.map(Math.abs))).toBeGreaterThan(0.99 / 8);
    expect(new Set(weights['bn1.weight']!.data as Float32Array)).toEqual(new Set([1]));
    expect(new Set(weights['bn1.running_var']!.data as Float32Array)).toEqual(new Set([1]));
  });

  it('has taps of the shape they say, and a stem for each cut that equals it, at any size', () => {
    const side = fc.integer({ min: 1, max: 13 });
    fc.assert(
      fc.property(side, side, fc.constantFrom('projection' as const, 'pad' as const), (height, width, shortcut) => {
        tf.tidy(() => {
          const options = { ...tiny, shortcut, inputShape: [height, width, 3] as const };
          const whole = resnet(options);
          const weights = tensorsOf(initWeights(whole, Random.seeded(2)));
          const images = randomTensor<tf.Rank.R4>([2, height, width, 3], 3, { min: 0 });
          const reached = new Map<string, tf.Tensor>();
          whole.forward(weights, images, { training: false, tap: (name, x) => (reached.set(name, x), x) });
          expect([...reached].map(([name, x]) => [name, x.shape])).toEqual(
            whole.taps.map(({ name, stride, channels }) => [name, [2, Math.ceil(height / stride), Math.ceil(width / stride), channels]]),
          );
          expect(whole.taps.every(({ exact }) => !exact)).toBe(true);
          for (const cut of resnetCuts(whole.config)) {
            const stem = resnetStem(options, cut);
            const { features } = stem.forwardFeatures(renamed(weights, Object.keys(stem.weights)), images, inferenceContext, 's.');
            expect(features.shape).toEqual([2, ...stem.featureShape]);
            expect(features.dataSync()).toEqual(reached.get(cut)?.dataSync());
            expect(stem.taps.at(-1)?.name).toBe(cut);
          }
        });
      }),
      { numRuns: 12, seed: 3 },
    );
  });

  it('is its features and its head', () => {
    tf.tidy(() => {
      const weights = tensorsOf(initWeights(network, Random.seeded(2)));
      const images = randomTensor<tf.Rank.R4>([2, 9, 7, 3], 3, { min: 0 });
      const { features } = network.forwardFeatures(weights, images, inferenceContext);
      const logits = network.forwardHead(weights, features, inferenceContext);
      expect(logits.dataSync()).toEqual(network.forward(weights, images, inferenceContext).logits.dataSync());
      expectClose(tf.sum(network.probabilities(logits), 1), [1, 1], float32Tolerance);
    });
  });

  it('leaves no tensors behind in training', () => {
    const weights = tensorsOf(initWeights(network, Random.seeded(2)));
    const images = randomTensor<tf.Rank.R4>([2, 9, 7, 3], 3, { min: 0 });
    tf.tidy(() => {
      const names = Object.keys(weights).filter((name) => network.weights[name]?.role === 'parameter');
      expectOnlyResult(() =>
        tf.grads((...values) => {
          const given = Object.fromEntries(names.map((name, i) => [name, values[i]!]));
          return tf.sum(network.forward({ ...weights, ...given }, images, trainingContext).logits);
        })(names.map((name) => weights[name]!)),
      );
    });
    expect(Object.values(weights).every((x) => !x.isDisposed)).toBe(true);
  });
});

describe('softmaxCrossEntropy', () => {
  it.each([0, 0.1])('equals the formula, with label smoothing %d, and so does its gradient', (smoothing) => {
    const z = [0.3, -1.2, 2, 0.7, 0, -0.4];
    const t = [1, 0, 0, 0.2, 0.5, 0.3];
    const twin = (logits: ArrayLike<number>): number => {
      let loss = 0;
      for (let n = 0; n < 2; n++) {
        const row = [0, 1, 2].map((c) => logits[3 * n + c]!);
        const log = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
        row.forEach((x, c) => (loss -= ((1 - smoothing) * t[3 * n + c]! + smoothing / 3) * (x - log)));
      }
      return loss / 2;
    };
    tf.tidy(() => {
      const targets = tf.tensor2d(t, [2, 3]);
      const { value, grad } = tf.valueAndGrad((x) => softmaxCrossEntropy(x as tf.Tensor2D, targets, smoothing))(tf.tensor2d(z, [2, 3]));
      expectClose(value, twin(z), float32Tolerance);
      expectClose(grad, finiteDifference(twin, z), float32Tolerance);
    });
  });

  it('stays finite for logits of ±1000', () => {
    tf.tidy(() => expectClose(softmaxCrossEntropy(tf.tensor2d([[1000, -1000]]), tf.tensor2d([[0, 1]])), 2000, float32Tolerance));
  });
});

describe('errors', () => {
  const config =
    (change: object): (() => unknown) =>
    () =>
      resnet({ ...tiny, ...change });

  it.each([
    [
      { shortcuts: 'pad' },
      'resnet: config: shortcuts: unknown key; expected one of kind, design, depth, inputShape, classes, width, groups, widthPerGroup, bottleneckStride, stem, encoding, normalisation, shortcut, batchNorm, classifier, labelSmoothing. Did you mean "shortcut"?',
    ],
    [
      { depth: 18 },
      'resnet: config: depth: not a depth; expected 6n + 2 (20, 32, 44, 56, 110, …); this one has "design": "imagenet", got 18',
    ],
    [{ depth: 2 }, 'resnet: config: depth: invalid value; expected >=8, got 2'],
    [{ depth: 1e9 }, 'resnet: config: depth: '],
    [{ depth: Number.NaN }, 'resnet: config: depth: '],
    [{ shortcut: 'projecton' }, 'Did you mean "projection"?'],
    [{ inputShape: [32, 32, 4] }, 'resnet: config: inputShape[2]: '],
    [{ inputShape: [0, 32, 3] }, 'resnet: config: inputShape[0]: '],
    [{ inputShape: [32, 1e6, 3] }, 'resnet: config: inputShape[1]: '],
    [{ classes: 1 }, 'resnet: config: classes: '],
    [{ classes: 1e12 }, 'resnet: config: classes: '],
    [{ width: 1.5 }, 'resnet: config: width: '],
    [{ normalisation: { mean: [0, 0, 0], std: [1, 0, 1] } }, 'resnet: config: normalisation.std[1]: '],
    [
      { normalisation: { mean: [0, 0, 0], sdt: [1, 1, 1] } },
      'resnet: config: normalisation.sdt: unknown key; expected one of mean, std. Did you mean "std"?',
    ],
    [{ labelSmoothing: 1 }, 'resnet: config: labelSmoothing: '],
    [{ kind: 'coda' }, 'resnet: config: kind: '],
  ])('names what is wrong in %j', (change, text) => {
    expect(config(change)).toThrow(text);
  });

  it('names a cut that does not exist, the nearest and the list', () => {
    expect(() => resnetStem(tiny, 'layer2.1')).toThrow(
      'resnetStem: cut: ResNet-8 has no such tap to be cut at; expected one of conv1, layer1.0, layer2.0, layer3.0, got "layer2.1". Did you mean "layer2.0"?',
    );
    expect(() => resnetStem(tiny, 'input')).toThrow('expected one of conv1, layer1.0, layer2.0, layer3.0, got "input"');
  });

  it('names a weight that is missing and images or features that are none', () => {
    tf.tidy(() => {
      const network = resnet(tiny);
      const { 'layer2.0.bn2.bias': _, ...weights } = tensorsOf(initWeights(network, Random.seeded(2)));
      const images = tf.zeros<tf.Rank.R4>([1, 9, 7, 3]);
      expect(() => network.forward(weights, images, inferenceContext)).toThrow('resnet: weight "layer2.0.bn2.bias": missing');
      expect(() => network.forward(weights, tf.zeros([1, 9, 7, 1]), inferenceContext)).toThrow(
        'resnet: images: not a batch of colour images; expected float32 [N, H, W, 3], got float32 [1, 9, 7, 1]',
      );
      expect(() => network.forward(weights, tf.cast(images, 'int32'), inferenceContext)).toThrow('got int32 [1, 9, 7, 3]');
      expect(() => network.forwardHead(weights, tf.zeros([1, 2, 2, 5]), inferenceContext)).toThrow(
        'resnet: features: not what the last block gives; expected [N, H, W, 16], got [1, 2, 2, 5]',
      );
    });
  });

  it('lists what is wrong with the weights of another network', () => {
    const weights = initWeights(resnet({ ...tiny, classes: 4 }), Random.seeded(1));
    expect(() => checkWeights(resnet(tiny), weights, 'a.safetensors')).toThrow(
      "a.safetensors: the weights are not this network's: mismatched fc.weight (expected float32 [16, 3], got float32 [16, 4]), fc.bias (expected float32 [3], got float32 [4])",
    );
  });
});

function renamed(weights: NamedTensors, names: readonly string[]): NamedTensors {
  return Object.fromEntries(names.map((name) => [`s.${name}`, weights[name]!]));
}
