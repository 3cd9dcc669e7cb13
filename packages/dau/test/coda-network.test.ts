import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkWeights, initWeights, Random, sizeOf, trainingContext, type NdArray } from '@coda-nets/core';
import { expectClose, finiteDifference, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import {
  binaryCrossEntropy,
  codaLayers,
  codaNetwork,
  codaNorms,
  codaPreset,
  codaPresets,
  edauBounds,
  encodeRgb6,
  sumPoolLogits,
  type CodaConfig,
  type CodaNorm,
  type CodaPresetName,
} from '../src/index.ts';

/** One rounding of float32 for each of a few operations. */
const float32Tolerance = { rtol: 1e-6 } as const;

beforeAll(() => useBackend('cpu'));

const small: CodaConfig = {
  kind: 'coda',
  inputShape: [9, 7, 3],
  layers: [
    { out: 4, kernel: 3, rank: 3 },
    { out: 2, kernel: 3, stride: 2, rank: 4 },
  ],
  temperature: 10,
  classes: 2,
};

describe('codaPresets', () => {
  /** Three are published; the others are Σ d·r + r·n·d + n·d over the layers of the published table, worked out apart from this package. */
  const parameters: Readonly<Record<CodaPresetName, number>> = {
    's-cifar10': 7_782_816,
    's-cifar10-t10': 7_782_816,
    's-cifar10-t50': 7_782_816,
    's-cifar10-t100': 7_782_816,
    's-cifar10-t500': 7_782_816,
    's-cifar10-t1000': 7_782_816,
    's-cifar10-t5000': 7_782_816,
    's-cifar10-t10000': 7_782_816,
    's-cifar10-rank4': 1_076_984,
    's-cifar10-rank8': 2_034_960,
    's-cifar10-rank16': 3_950_912,
    's-cifar10-rank32': 7_782_816,
    's-cifar10-rank144': 34_606_144,
    'm-tinyimagenet': 27_942_368,
    'l-imagenet100': 47_517_408,
  };

  it.each(Object.keys(codaPresets) as CodaPresetName[])('%s has as many parameters as published, and a tap a layer', (name) => {
    const { weights, taps, inputShape } = codaNetwork(codaPresets[name]);
    expect(Object.values(weights).reduce((sum, { shape }) => sum + sizeOf(shape), 0)).toBe(parameters[name]);
    expect(taps).toHaveLength(10);
    expect(taps.every(({ exact }) => exact)).toBe(true);
    expect(inputShape[0] / (taps.at(-1)?.stride ?? 0)).toBe({ s: 8, m: 16, l: 20 }[name[0] as 's' | 'm' | 'l']);
  });

  it('are all there, and differ in what their names say alone', () => {
    expect(Object.keys(codaPresets)).toEqual(Object.keys(parameters));
    const { layers, temperature, ...rest } = codaPresets['s-cifar10'];
    for (const [name, config] of Object.entries(codaPresets).filter(([name]) => name.startsWith('s-'))) {
      const f = Number(/-rank(\d+)$/.exec(name)?.[1] ?? 32);
      const T = Number(/-t(\d+)$/.exec(name)?.[1] ?? temperature);
      const ranks = [f, f, 2 * f, 2 * f, 2 * f, 2 * f, 2 * f, 2 * f, 2 * f];
      expect(config).toEqual({ ...rest, temperature: T, layers: layers.map((layer, i) => ({ ...layer, rank: ranks[i] })) });
    }
  });
});

describe('codaPreset', () => {
  it('is the preset of that name, with another temperature or rank where one is given', () => {
    for (const name of Object.keys(codaPresets) as CodaPresetName[]) expect(codaPreset(name)).toEqual(codaPresets[name]);
    expect(codaPreset('s-cifar10', { temperature: 50 })).toEqual(codaPresets['s-cifar10-t50']);
    expect(codaPreset('s-cifar10', { rank: 144 })).toEqual(codaPresets['s-cifar10-rank144']);
    expect(codaPreset('s-cifar10-t50', { rank: 8 })).toEqual({ ...codaPresets['s-cifar10-rank8'], temperature: 50 });
    expect(codaPreset('l-imagenet100', { rank: 16 }).layers.map(({ rank }) => rank)).toEqual([16, 16, 16, 32, 32, 32, 64, 64, 64]);
  });

  it('names an option that is none', () => {
    expect(() => codaPreset('s-cifar10', { rank: 2.5 })).toThrow('codaPreset: options: rank: invalid integer');
    expect(() => codaPreset('s-cifar10', { rank: 0 })).toThrow('codaPreset: options: rank: invalid value');
    expect(() => codaPreset('s-cifar10', { temprature: 3 } as never)).toThrow('Did you mean "temperature"?');
  });

  it('names the nearest preset for one that does not exist', () => {
    expect(() => codaPreset('s-cifar10-t5001')).toThrow(
      `codaPreset: name: no such preset; expected one of ${Object.keys(codaPresets).join(', ')}, got "s-cifar10-t5001". Did you mean "s-cifar10-t500"?`,
    );
  });
});

describe('codaNetwork', () => {
  const network = codaNetwork(small);

  it('has a config from which the same network is built again, with every default in its place', () => {
    expect(network.config).toEqual({
      ...small,
      encoding: 'rgb6',
      layers: [
        { out: 4, kernel: 3, stride: 1, padding: 1, rank: 3 },
        { out: 2, kernel: 3, stride: 2, padding: 1, rank: 4 },
      ],
      norm: 'sq',
      eps: 1e-12,
      logitBias: Math.log(0.1 / 0.9),
    });
    const again = codaNetwork(JSON.parse(JSON.stringify(network.config)) as CodaConfig);
    expect(again.config).toEqual(network.config);
  });

  it('declares its taps and weights', () => {
    expect(network.taps).toEqual([
      { name: 'input', channels: 6, stride: 1, exact: true },
      { name: 'layers.0', channels: 4, stride: 1, exact: true },
      { name: 'layers.1', channels: 2, stride: 2, exact: true },
    ]);
    expect(Object.entries(network.weights).map(([name, { shape, role, decay }]) => [name, shape, role, decay])).toEqual([
      ['layers.0.B', [3, 3, 6, 3], 'parameter', true],
      ['layers.0.A', [3, 3, 6, 4, 3], 'parameter', true],
      ['layers.0.b', [3, 3, 6, 4], 'parameter', false],
      ['layers.1.B', [3, 3, 4, 4], 'parameter', true],
      ['layers.1.A', [3, 3, 4, 2, 4], 'parameter', true],
      ['layers.1.b', [3, 3, 4, 2], 'parameter', false],
    ]);
  });

  it('begins with weights that fit it and fill U(±1/√fan_in)', () => {
    const large = codaNetwork({
      ...small,
      layers: [
        { out: 64, kernel: 3, rank: 25 },
        { out: 2, kernel: 1, rank: 4 },
      ],
    });
    const weights = initWeights(large, Random.seeded(1));
    checkWeights(large, weights, 'fresh');
    const bounds = { 'layers.0.B': 1 / Math.sqrt(54), 'layers.0.A': 1 / 5, 'layers.0.b': 1 / 5, 'layers.1.B': 1 / 8 };
    for (const [name, bound] of Object.entries(bounds)) {
      const { data } = weights[name] as NdArray<'float32'>;
      const extreme = data.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
      expect(extreme, name).toBeLessThanOrEqual(Math.fround(bound));
      // The largest of 128 or more uniform numbers.
      expect(extreme, name).toBeGreaterThan(0.9 * bound);
      expect(Math.abs(data.reduce((sum, x) => sum + x, 0) / data.length), name).toBeLessThan(0.2 * bound);
    }
  });

  it('runs at other sizes than its own, calls its taps in order', () => {
    tf.tidy(() => {
      const weights = Object.fromEntries(
        Object.entries(initWeights(network, Random.seeded(2))).map(([name, { shape, data }]) => [
          name,
          tf.tensor(data as Float32Array, [...shape]),
        ]),
      );
      const seen: string[] = [];
      const images = randomTensor<tf.Rank.R4>([3, 12, 5, 3], 4, { min: 0 });
      const { logits, statistics } = network.forward(weights, images, {
        training: false,
        tap: (name, x) => {
          seen.push(`${name} ${x.shape.join('×')}`);
          return x;
        },
      });
      expect(seen).toEqual(['input 3×12×5×6', 'layers.0 3×12×5×4', 'layers.1 3×6×3×2']);
      expect(logits.shape).toEqual([3, 2]);
      expect(statistics).toEqual({});
      expectClose(
        network.probabilities(logits),
        logits.dataSync().map((z) => 1 / (1 + Math.exp(-z))),
        float32Tolerance,
      );
    });
  });

  it.each<[string, unknown, string]>([
    [
      'a misspelt key',
      { ...small, temprature: 10 },
      'codaNetwork: config: temprature: unknown key; expected one of kind, inputShape, encoding, layers, norm, eps, temperature, logitBias, classes. Did you mean "temperature"?',
    ],
    [
      'a misspelt key of a layer',
      { ...small, layers: [{ out: 2, kernel: 3, rnk: 3 }] },
      'codaNetwork: config: layers[0].rnk: unknown key; expected one of out, kernel, stride, padding, rank. Did you mean "rank"?',
    ],
    ['a missing key', { ...small, temperature: undefined }, 'codaNetwork: config: temperature: missing'],
    [
      'an unknown norm',
      { ...small, norm: 'squash' },
      'codaNetwork: config: norm: not a valid value; expected ("sq" | "l2" | "frobenius" | "spectral" | "product"), got "squash"',
    ],
    [
      'a fraction',
      { ...small, layers: [{ out: 2, kernel: 2.5, rank: 3 }] },
      'codaNetwork: config: layers[0].kernel: invalid integer; expected an integer, got 2.5',
    ],
    ['no layers', { ...small, layers: [] }, 'codaNetwork: config: layers: invalid length; expected >=1, got []'],
    ['a temperature of zero', { ...small, temperature: 0 }, 'codaNetwork: config: temperature: invalid value; expected >0, got 0'],
    [
      'a last layer that is not the classes',
      { ...small, classes: 3 },
      'codaNetwork: config: layers[1].out: the last layer has one unit for each class; expected 3, got 2',
    ],
    [
      'a kernel larger than the map',
      { ...small, layers: [small.layers[0], { out: 2, kernel: 9, padding: 0, rank: 2 }] },
      'codaNetwork: config: layers[1].kernel: the kernel is larger than what the layers below leave; expected at most 7, got 9',
    ],
  ])('answers %s with one clear error', (_, config, text) => {
    let message = 'nothing was thrown';
    try {
      codaNetwork(config as CodaConfig);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toBe(text);
  });
});

describe('every norm', () => {
  const withNorm = (norm: CodaNorm): CodaConfig => ({ ...small, norm });

  it.each(codaNorms)('%s has d·r + r·n·d parameters a layer, and n·d more for the offset of a DAU', (norm) => {
    const { weights } = codaNetwork(withNorm(norm));
    // [d, n, r] of the two layers
    const counts = [
      [54, 4, 3],
      [36, 2, 4],
    ].map(([d = 0, n = 0, r = 0]) => d * r + r * n * d + (norm === 'sq' || norm === 'l2' ? n * d : 0));
    expect(Object.values(weights).reduce((sum, { shape }) => sum + sizeOf(shape), 0)).toBe(counts.reduce((a, b) => a + b, 0));
    expect(Object.keys(weights).filter((name) => name.endsWith('.b'))).toHaveLength(norm === 'sq' || norm === 'l2' ? 2 : 0);
  });

  it.each(edauBounds)('refuses weights that the eDAUs of %s do not have', (norm) => {
    const network = codaNetwork(withNorm(norm));
    expect(() => checkWeights(network, initWeights(codaNetwork(small), Random.seeded(1)), 'm')).toThrow(/unexpected.*layers\.0\.b/);
  });
});

describe('codaLayers', () => {
  it('names weights and taps with its prefix', () => {
    tf.tidy(() => {
      const stack = codaLayers({ inputChannels: 2, layers: [{ out: 3, kernel: 1, rank: 2 }], prefix: 'head.' });
      expect(Object.keys(stack.weights)).toEqual(['head.0.B', 'head.0.A', 'head.0.b']);
      expect(stack.taps.map(({ name }) => name)).toEqual(['head.0']);
      expect(stack.outputChannels).toBe(3);
      const weights = Object.fromEntries(
        Object.entries(stack.weights).map(([name, { shape }], i) => [name, randomTensor([...shape] as never, i)]),
      );
      const seen: string[] = [];
      const y = stack.forward(weights, tf.ones([1, 2, 2, 2]), { ...trainingContext, tap: (name, x) => (seen.push(name), x) });
      expect(y.shape).toEqual([1, 2, 2, 3]);
      expect(seen).toEqual(['head.0']);
    });
  });

  it('names a weight that is not there', () => {
    const stack = codaLayers({ inputChannels: 2, layers: [{ out: 3, kernel: 1, rank: 2 }] });
    expect(() => tf.tidy(() => stack.forward({}, tf.ones([1, 2, 2, 2]), trainingContext))).toThrow(
      'codaLayers: weights: missing "layers.0.A"',
    );
  });
});

describe('readout', () => {
  const logits = [
    [0, 1.5, -2],
    [60, -60, 0.25],
  ];
  const targets = [
    [0, 1, 0],
    [0, 1, 0.5],
  ];

  it('binaryCrossEntropy is the mean of −y log p − (1−y) log(1−p), where that can be computed and far beyond', () => {
    tf.tidy(() => {
      const terms = logits.flat().map((z, i) => {
        const y = targets.flat()[i] as number;
        // log(1 + e^x) in float64.
        const softplus = (x: number): number => (x > 30 ? x : Math.log1p(Math.exp(x)));
        return y * softplus(-z) + (1 - y) * softplus(z);
      });
      const expected = terms.reduce((sum, x) => sum + x, 0) / terms.length;
      expectClose(binaryCrossEntropy(tf.tensor2d(logits), tf.tensor2d(targets)), expected, float32Tolerance);
      const extreme = binaryCrossEntropy(tf.tensor2d([[3e4, -3e4]]), tf.tensor2d([[0, 1]])).dataSync()[0];
      expect(extreme).toBe(3e4);
    });
  });

  it('binaryCrossEntropy has the gradient (sigmoid(z) − y) / size, also at z = 0', () => {
    tf.tidy(() => {
      const y = tf.tensor2d(targets);
      const gradient = tf.grad((z: tf.Tensor) => binaryCrossEntropy(z as tf.Tensor2D, y))(tf.tensor2d(logits));
      const expected = logits.flat().map((z, i) => (1 / (1 + Math.exp(-z)) - (targets.flat()[i] as number)) / 6);
      expectClose(gradient, expected, { atol: 1e-7, rtol: 1e-6 });
    });
  });

  it('sumPoolLogits sums positions, divides by T, adds b₀', () => {
    tf.tidy(() => {
      const x = randomTensor<tf.Rank.R4>([2, 3, 4, 2], 3);
      const values = x.dataSync();
      const expected = [0, 1, 2, 3].map((i) => {
        let sum = 0;
        for (let p = 0; p < 12; p++) sum += values[Math.floor(i / 2) * 24 + p * 2 + (i % 2)] as number;
        return sum / 7 - 2;
      });
      expectClose(sumPoolLogits(x, 7, -2), expected, float32Tolerance);
      const loss = (v: Float64Array): number => v.reduce((sum, value) => sum + value, 0) / 7;
      const gradient = tf.grad((t: tf.Tensor) => tf.sum(sumPoolLogits(t as tf.Tensor4D, 7, -2)))(x);
      expectClose(gradient, finiteDifference(loss, values), { rtol: 1e-5 });
    });
  });

  it('encodeRgb6 gives each pixel six channels that sum to 3', () => {
    tf.tidy(() => {
      const x = tf.tensor4d([0.25, 0.5, 1, 0, 0.75, 0.125], [1, 1, 2, 3]);
      expect(Array.from(encodeRgb6(x).dataSync())).toEqual([0.25, 0.5, 1, 0.75, 0.5, 0, 0, 0.75, 0.125, 1, 0.25, 0.875]);
    });
  });
});
