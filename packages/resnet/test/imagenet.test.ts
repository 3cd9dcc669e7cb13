/** Networks of torchvision's design: sizes, taps, what they see, stems, heads. Their numbers are held against PyTorch in golden.test.ts. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  inferenceContext,
  initWeights,
  Random,
  recordTaps,
  sizeOf,
  trainingContext,
  type NamedArrays,
  type NamedTensors,
} from '@coda-nets/core';
import { expectClose, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import {
  parseResnetConfig,
  resnet,
  resnetCuts,
  resnetPresets,
  resnetPretrained,
  resnetStem,
  timmPretrained,
  type ResnetOptions,
} from '../src/index.ts';

/** float32 sums of a few hundred numbers, in another order. */
const float32Tolerance = { rtol: 1e-5, relativeTo: 'largest' } as const;

const tiny18: ResnetOptions = { kind: 'resnet', design: 'imagenet', depth: 18, width: 4, classes: 3, inputShape: [37, 44, 3] };
const tiny50: ResnetOptions = { ...tiny18, depth: 50, width: 4 };

beforeAll(() => useBackend('cpu'));

function tensorsOf(weights: NamedArrays): NamedTensors {
  return Object.fromEntries(Object.entries(weights).map(([name, { data, shape }]) => [name, tf.tensor(data as Float32Array, [...shape])]));
}

describe('the presets', () => {
  // torchvision's `num_params` of each.
  it.each([
    ['resnet18', 11_689_512, 435],
    ['resnet34', 21_797_672, 899],
    ['resnet50', 25_557_032, 427],
    ['resnet101', 44_549_160, 971],
    ['resnet152', 60_192_808, 1451],
    ['wide-resnet50-2', 68_883_240, 427],
    ['resnext50-32x4d', 25_028_904, 427],
  ] as const)('%s has %i parameters and sees %i pixels', (name, parameters, field) => {
    const { weights, taps, inputShape, classes, config } = resnet(resnetPresets[name]);
    const shapes = Object.values(weights).filter(({ role }) => role === 'parameter');
    expect(shapes.reduce((sum, { shape }) => sum + sizeOf(shape), 0)).toBe(parameters);
    expect([inputShape, classes]).toEqual([[224, 224, 3], 1000]);
    expect(taps.at(-1)).toMatchObject({ stride: 32, receptiveField: field, channels: config.depth > 34 ? 2048 : 512 });
    expect(taps.slice(0, 3).map(({ name: tap }) => tap)).toEqual(['input', 'conv1', 'maxpool']);
    expect(resnet({ ...config }).config).toEqual(config);
  });

  it('have weights with a preprocessing, labels and a licence, of which the two sets differ', () => {
    expect(Object.keys(resnetPretrained)).toEqual(Object.keys(resnetPresets));
    for (const sets of Object.values(resnetPretrained)) {
      expect(sets.IMAGENET1K_V1?.preprocessing).toMatchObject({ resize: 256, crop: [224, 224] });
      if (sets.IMAGENET1K_V2 !== undefined) expect(sets.IMAGENET1K_V2.preprocessing.resize).toBe(232);
      for (const set of Object.values(sets)) expect(set.url).toMatch(/^https:\/\/.*-[0-9a-f]{8}\.pth$/);
    }
  });

  it('have sets of timm, each with its own size, crop and interpolation', () => {
    expect(Object.keys(timmPretrained)).toEqual(Object.keys(resnetPresets));
    for (const [preset, sets] of Object.entries(timmPretrained)) {
      expect(Object.keys(sets)).toContain('tv_in1k');
      for (const [tag, { url, preprocessing, accuracy }] of Object.entries(sets)) {
        expect(url).toBe(`https://huggingface.co/timm/${preset.replaceAll('-', '_')}.${tag}/resolve/main/model.safetensors`);
        for (const { resize, crop } of [preprocessing, accuracy?.measuredAt ?? preprocessing])
          expect(resize).toBeGreaterThanOrEqual(crop[0]);
      }
    }
    const { a1_in1k: a1, a3_in1k: a3, tv_in1k: tv } = timmPretrained.resnet50;
    expect(a1).toMatchObject({
      preprocessing: { resize: 235, crop: [224, 224], interpolation: 'bicubic' },
      accuracy: { measuredAt: { resize: 288, crop: [288, 288] } },
    });
    expect(a3).toMatchObject({
      preprocessing: { resize: 168, crop: [160, 160] },
      accuracy: { top1: 78.048, measuredAt: { resize: 235, crop: [224, 224] } },
    });
    expect(tv?.preprocessing).toMatchObject({ resize: 256, crop: [224, 224], interpolation: 'bilinear' });
  });

  it('are as the paper says in v1: the stride in the first convolution sees 483 pixels', () => {
    expect(resnet({ ...resnetPresets.resnet50, bottleneckStride: '1x1' }).taps.at(-1)?.receptiveField).toBe(483);
  });
});

describe('a tap', () => {
  const options: readonly (readonly [string, ResnetOptions])[] = [
    ['basic', { ...tiny18, width: 1 }],
    ['bottleneck', { ...tiny50, width: 1 }],
    ['v1', { ...tiny50, width: 1, bottleneckStride: '1x1' }],
    ['3×3 stem', { ...tiny18, width: 1, stem: '3x3' }],
    ['cifar', { kind: 'resnet', depth: 14, width: 1 }],
  ];

  it.each(options)('sees what it says: %s', (_, given) => {
    // Positive kernels and a positive image: every pixel that is seen has a gradient, but through the max pool, which passes one of nine on; so the
    // gradient is taken of each of many images and what any of them shows is counted.
    const network = resnet({ ...given, normalisation: null });
    const cut = network.taps.findLast(({ receptiveField }) => receptiveField < 70)!;
    const { name, receptiveField, stride } = cut;
    const side = Math.ceil((receptiveField * 1.5) / stride) * 2 * stride + 1;
    const stem = resnetStem({ ...network.config, inputShape: [side, side, 3] }, name);
    tf.tidy(() => {
      const weights: Record<string, tf.Tensor> = {};
      for (const [key, { shape }] of Object.entries(stem.weights)) {
        const zero = key.endsWith('running_mean') || (key.endsWith('bias') && !key.startsWith('fc'));
        weights[key] = zero
          ? tf.zeros([...shape])
          : key.endsWith('.weight') && shape.length === 4
            ? tf.fill([...shape], 1 / sizeOf(shape.slice(0, 3)))
            : tf.ones([...shape]);
      }
      const middle = (side - 1) / (2 * stride);
      const seen = new Set<number>();
      for (let seed = 1; seed <= 4; seed++) {
        const images = randomTensor<tf.Rank.R4>([1, side, side, 3], seed, { min: 0 });
        const gradient = tf.grad((x) =>
          tf.sum(
            tf.slice(stem.forwardFeatures(weights, x as tf.Tensor4D, inferenceContext).features, [0, middle, middle, 0], [1, 1, 1, -1]),
          ),
        )(images);
        tf.max(tf.abs(gradient), [0, 2, 3])
          .dataSync()
          .forEach((g, row) => g > 0 && seen.add(row));
      }
      const extent = Math.max(...seen) - Math.min(...seen) + 1;
      expect(extent).toBeLessThanOrEqual(receptiveField);
      // The pool may hide the outermost row of pixels from all four.
      expect(extent).toBeGreaterThanOrEqual(receptiveField - (stem.taps.some((tap) => tap.name === 'maxpool') ? 2 : 0));
    });
  });

  it.each([
    [37, 44],
    [32, 64],
    [1, 5],
    [65, 33],
  ])('has the shape it says, and a stem that equals it, at %i × %i', (height, width) => {
    tf.tidy(() => {
      for (const given of [tiny18, { ...tiny50, shortcut: 'pad' as const }, { ...tiny50, groups: 2, widthPerGroup: 32 }]) {
        const options = { ...given, inputShape: [height, width, 3] as const };
        const whole = resnet(options);
        const weights = tensorsOf(initWeights(whole, Random.seeded(2)));
        const images = randomTensor<tf.Rank.R4>([1, height, width, 3], 3, { min: 0 });
        const { context, activations } = recordTaps(inferenceContext);
        whole.forward(weights, images, context);
        for (const { name, stride, channels } of whole.taps) {
          expect([name, activations[name]?.shape]).toEqual([name, [1, Math.ceil(height / stride), Math.ceil(width / stride), channels]]);
        }
        for (const cut of [...resnetCuts(whole.config).slice(0, 3), 'layer3.1']) {
          const stem = resnetStem(options, cut);
          const { features } = stem.forwardFeatures(weights, images, inferenceContext);
          expect(features.shape).toEqual([1, ...stem.featureShape]);
          expect(features.dataSync()).toEqual(activations[cut]?.dataSync());
        }
      }
    });
  });
});

describe('a map of logits', () => {
  it('averages to the logits, is the tap fc, and its contributions sum to them', () => {
    tf.tidy(() => {
      const pooled = resnet(tiny18);
      const map = resnet({ ...tiny18, classifier: 'map' });
      const weights = tensorsOf(initWeights(pooled, Random.seeded(4)));
      const images = randomTensor<tf.Rank.R4>([2, 70, 44, 3], 3, { min: 0 });
      const { logits } = pooled.forward(weights, images, inferenceContext);
      const { context, activations } = recordTaps(inferenceContext);
      expectClose(map.forward(weights, images, context).logits, logits, float32Tolerance);
      expect(activations['fc']?.shape).toEqual([2, 3, 2, 3]);
      expect(map.taps.at(-1)).toMatchObject({ name: 'fc', channels: 3, exact: true, stride: 32 });
      const { features } = pooled.forwardFeatures(weights, images, inferenceContext);
      expect(pooled.logitMap(weights, features).dataSync()).toEqual(activations['fc']?.dataSync());
      expect(Object.keys(map.weights)).toEqual(Object.keys(pooled.weights));
    });
  });
});

describe('frozen batch norm', () => {
  it('is inference in training too, has no statistics to give, and nothing of it is trained', () => {
    tf.tidy(() => {
      const frozen = resnet({ ...tiny18, batchNorm: 'frozen' });
      const weights = tensorsOf(initWeights(frozen, Random.seeded(4)));
      const images = randomTensor<tf.Rank.R4>([2, 37, 44, 3], 3, { min: 0 });
      const { logits, statistics } = frozen.forward(weights, images, trainingContext);
      expect(logits.dataSync()).toEqual(resnet(tiny18).forward(weights, images, inferenceContext).logits.dataSync());
      expect(statistics).toEqual({});
      for (const [name, { role }] of Object.entries(frozen.weights)) {
        expect([name, role]).toEqual([name, /bn\d|downsample\.1/.test(name) ? 'frozen' : 'parameter']);
      }
    });
  });
});

describe('a config', () => {
  it.each([
    [{ depth: 20 }, 'depth: not a depth of the table; expected 18, 34, 50, 101, 152; this one has "design": "cifar", got 20'],
    [{ groups: 2 }, 'groups: only bottlenecks have groups; expected 1 at this depth, got 2'],
    [{ depth: 50, widthPerGroup: 5 }, 'widthPerGroup: not a whole number of channels; expected a multiple of 16 at width 4, got 5'],
    [{ stem: '7×7' }, 'stem: '],
    [{ design: 'imagnet' }, 'Did you mean "imagenet"?'],
  ])('%j is refused: %s', (change, message) => {
    expect(() => resnet({ ...tiny18, ...change } as ResnetOptions)).toThrow(message);
  });

  it('of the first version means what it meant', () => {
    const config = parseResnetConfig({ kind: 'resnet', depth: 20 });
    expect(config).toMatchObject({ design: 'cifar', inputShape: [32, 32, 3], classes: 10, width: 16, stem: '3x3', shortcut: 'projection' });
    expect(config.normalisation).toEqual({ mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] });
  });
});
