import * as tf from '@tensorflow/tfjs-core';
import { initializers, input, layers, model as modelOf, sequential, type LayersModel, type SymbolicTensor } from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, it } from 'vitest';
import { gradientsAtTaps, withDynamicWeightsHeld } from '@coda-nets/core';
import { networkLayer } from '@coda-nets/core/layers';
import { expectClose, expectNoLeak, expectOnlyResult, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import { codaNetwork, edauBounds } from '../../src/index.ts';
import {
  contributions,
  dauConv2d,
  dauDense,
  exactTaps,
  inputTimesGradient,
  rgb6,
  sumPoolLogits,
  type ContributionsOptions,
  type DauConv2dOptions,
} from '../../src/layers/index.ts';
import { describeOnBackends } from '../backends.ts';

/** The bound the project promises in float32, relative to the largest |z − b₀|. */
const completenessTolerance = 1e-5;
/** The same ops on the same backend, recorded in another order. */
const sameOps = { rtol: 1e-6, relativeTo: 'largest' } as const;

function codaModel(norm: DauConv2dOptions['norm'] = 'sq'): LayersModel {
  return sequential({
    layers: [
      rgb6({ inputShape: [9, 7, 3], name: 'rgb' }),
      dauConv2d({ filters: 4, kernelSize: 3, padding: 'same', rank: 3, norm, name: 'first', seed: 1 }),
      dauConv2d({ filters: 5, kernelSize: 3, strides: 2, padding: 1, rank: 4, norm: 'l2', name: 'second', seed: 2 }),
      dauDense({ units: 3, rank: 2, norm, name: 'third', seed: 3 }),
      sumPoolLogits({ temperature: 10, name: 'logits' }),
    ],
  });
}

/** A conventional stem, with biases and ReLUs, below DAU layers. */
function hybridModel(): LayersModel {
  const conv = { kernelInitializer: initializers.heUniform({ seed: 1 }), biasInitializer: initializers.ones() };
  return sequential({
    layers: [
      layers.conv2d({ filters: 4, kernelSize: 3, activation: 'relu', ...conv, inputShape: [8, 8, 3], name: 'stem' }),
      layers.batchNormalization({ name: 'norm' }),
      layers.averagePooling2d({ poolSize: 2, name: 'pool' }),
      layers.zeroPadding2d({ padding: 1, name: 'pad' }),
      dauConv2d({ filters: 3, kernelSize: 3, rank: 4, name: 'dau', seed: 1 }),
      layers.globalAveragePooling2d({ name: 'mean' }),
    ],
  });
}

function images(seed: number, shape = [4, 9, 7, 3]): tf.Tensor4D {
  return randomTensor<tf.Rank.R4>(shape as [number, number, number, number], seed, { min: 0 });
}

/** The largest |sum − (z − b₀)| at each tap, relative to the largest |z − b₀| of the batch: a single one may be small because much cancels in it. */
function residuals(
  explain: typeof contributions,
  model: LayersModel,
  x: tf.Tensor,
  options: ContributionsOptions = {},
): Record<string, number> {
  return tf.tidy(() => {
    const { expected, taps } = expectOnlyResult(() => explain(model, x, options));
    const want = [...expected.dataSync()];
    const scale = Math.max(...want.map(Math.abs));
    expect(scale).toBeGreaterThan(0.05);
    return Object.fromEntries(
      Object.entries(taps).map(([name, { sum, residual }]) => {
        const differences = Array.from(sum.dataSync(), (value, i) => Math.abs(value - (want[i] as number)));
        expectClose(
          residual,
          differences.map((difference, i) => difference / Math.abs(want[i] as number)),
          { rtol: 1e-6 },
        );
        return [name, Math.max(...differences) / scale];
      }),
    );
  });
}

describeOnBackends('contributions', () => {
  it.each([0, 1, 2, -1])('of a CoDA network sum to z − b₀ at every layer (class %i)', (target) => {
    const model = codaModel();
    tf.tidy(() => {
      const x = images(1);
      const found = residuals(contributions, model, x, { target });
      expect(Object.keys(found)).toEqual(['rgb', 'first', 'second', 'third']);
      for (const [name, residual] of Object.entries(found)) expect(residual, name).toBeLessThan(completenessTolerance);
    });
    model.dispose();
  });

  it.each(edauBounds)('of efficient units sum to z − b₀ too (%s)', (norm) => {
    const model = codaModel(norm);
    tf.tidy(() => {
      for (const [name, residual] of Object.entries(residuals(contributions, model, images(1)))) {
        expect(residual, name).toBeLessThan(completenessTolerance);
      }
    });
    model.dispose();
  });

  it('do not without held weights: gradient × input of a dynamic layer is no decomposition', () => {
    const model = codaModel();
    tf.tidy(() => {
      const x = images(1);
      const { third, ...below } = residuals(inputTimesGradient, model, x);
      for (const [name, residual] of Object.entries(below)) expect(residual, name).toBeGreaterThan(1e3 * completenessTolerance);
      // Above the last layer of units there is only the linear readout.
      expect(third).toBeLessThan(completenessTolerance);
    });
    model.dispose();
  });

  it('are compared with the score from before b₀ is added, which a large b₀ would round away', () => {
    const modelWith = (logitBias: number): LayersModel =>
      sequential({ layers: [dauDense({ units: 2, rank: 3, seed: 1, inputShape: [5] }), sumPoolLogits({ temperature: 1, logitBias })] });
    tf.tidy(() => {
      const x = randomTensor<tf.Rank.R2>([3, 5], 1);
      const [plain, biased] = [modelWith(0), modelWith(1e4)];
      const { expected, logits, taps } = contributions(biased, x, { target: 0 });
      expect(expected.dataSync()).toEqual(contributions(plain, x, { target: 0 }).expected.dataSync());
      expect(logits.dataSync()).toEqual((biased.predict(x) as tf.Tensor).dataSync());
      expectClose(taps['input']?.sum as tf.Tensor, expected, { rtol: completenessTolerance, relativeTo: 'largest' });
      plain.dispose();
      biased.dispose();
    });
  });

  it('are those of codaNetwork with the same weights', () => {
    const network = codaNetwork({
      kind: 'coda',
      inputShape: [9, 7, 3],
      layers: [
        { out: 4, kernel: 3, rank: 3 },
        { out: 2, kernel: 3, stride: 2, rank: 4 },
      ],
      temperature: 10,
      classes: 2,
    });
    const model = sequential({
      layers: [
        rgb6({ inputShape: [9, 7, 3], name: 'input6' }),
        dauConv2d({ filters: 4, kernelSize: 3, padding: 1, rank: 3, name: 'layers.0' }),
        dauConv2d({ filters: 2, kernelSize: 3, strides: 2, padding: 1, rank: 4, name: 'layers.1' }),
        sumPoolLogits({ temperature: 10 }),
      ],
    });
    tf.tidy(() => {
      const weights = Object.fromEntries(
        model.weights.map((weight, i) => [`layers.${Math.floor(i / 3)}.${'ABb'[i % 3] as string}`, weight.read()]),
      );
      const x = images(2);
      const { activations, gradients } = withDynamicWeightsHeld(() =>
        gradientsAtTaps(
          (context) => tf.sum(tf.slice(network.forward(weights, x, context).logits, [0, 1], [-1, 1])),
          ['input', 'layers.0', 'layers.1'],
        ),
      );
      const { taps, logits } = contributions(model, x, { target: 1 });
      expectClose(logits, model.predict(x) as tf.Tensor, sameOps);
      for (const [name, { map, linearMap }] of Object.entries(taps)) {
        const tap = name === 'input6' ? 'input' : name;
        const expected = tf.mul(activations[tap] as tf.Tensor, gradients[tap] as tf.Tensor);
        expectClose(linearMap, gradients[tap] as tf.Tensor, sameOps);
        expectClose(map, tf.sum(expected, 3), sameOps);
      }
    });
    model.dispose();
  });

  it('of a hybrid are exact from its stem on, and gradient × activation below', () => {
    const model = hybridModel();
    tf.tidy(() => {
      const x = images(3, [3, 8, 8, 3]);
      {
        const { taps, expected, logits } = expectOnlyResult(() =>
          contributions(model, x, {
            target: [0, 1, 2],
            taps: ['input', 'stem', 'norm', 'pool', 'pad', 'dau'],
          }),
        );
        expect(Object.entries(taps).map(([name, { exact }]) => [name, exact])).toEqual([
          ['input', false],
          ['stem', false],
          ['norm', true],
          ['pool', true],
          ['pad', true],
          ['dau', true],
        ]);
        expectClose(
          expected,
          [0, 1, 2].map((c) => logits.dataSync()[3 * c + c] as number),
        );
        for (const [name, { exact, residual, map, contributions }] of Object.entries(taps)) {
          if (exact) expect(Math.max(...residual.dataSync()), name).toBeLessThan(completenessTolerance);
          if (name === 'input') expect(Math.max(...residual.dataSync()), name).toBeGreaterThan(1e2 * completenessTolerance);
          expect(map.shape).toEqual(contributions.shape.slice(0, 3));
        }
      }
    });
    model.dispose();
  });

  it('of a dense network are a number for each entry of the input', () => {
    const model = sequential({
      layers: [dauDense({ units: 6, rank: 3, inputShape: [5], seed: 1, name: 'first' }), dauDense({ units: 2, rank: 3, seed: 2 })],
    });
    tf.tidy(() => {
      const x = randomTensor<tf.Rank.R2>([3, 5], 1);
      const { taps, expected } = contributions(model, x, { target: 1 });
      expect(Object.entries(taps).map(([name, { map }]) => [name, map.shape])).toEqual([
        ['input', [3, 5]],
        ['first', [3, 6]],
      ]);
      for (const { sum } of Object.values(taps)) expectClose(sum, expected, { rtol: completenessTolerance });
    });
    model.dispose();
  });
});

describe('exactTaps', () => {
  beforeAll(() => useBackend('cpu'));

  const apply = (layer: { apply(x: never): unknown }, ...xs: SymbolicTensor[]): SymbolicTensor =>
    layer.apply((xs.length === 1 ? xs[0] : xs) as never) as SymbolicTensor;
  const dau = (name: string): ReturnType<typeof dauConv2d> => dauConv2d({ filters: 3, kernelSize: 1, rank: 2, name });

  /** x → trunk → (left, right → right2) → add → head → logits */
  function branched(): LayersModel {
    const x = input({ shape: [4, 4, 3] });
    const trunk = apply(dau('trunk'), x);
    const right = apply(dau('right2'), apply(dau('right'), trunk));
    const sum = apply(layers.add({ name: 'sum' }), apply(dau('left'), trunk), right);
    return modelOf({ inputs: x, outputs: apply(sumPoolLogits({ temperature: 2, name: 'logits' }), apply(dau('head'), sum)) });
  }

  it('leaves out what has a way around it', () => {
    const model = branched();
    expect(exactTaps(model)).toEqual(['input', 'trunk', 'sum', 'head']);
    const x = images(1, [2, 4, 4, 3]);
    for (const [name, residual] of Object.entries(residuals(contributions, model, x)))
      expect(residual, name).toBeLessThan(completenessTolerance);
    const { left, right } = residuals(contributions, model, x, { taps: ['left', 'right'] });
    expect(left).toBeGreaterThan(1e3 * completenessTolerance);
    expect(right).toBeGreaterThan(1e3 * completenessTolerance);
  });

  it('sees through models that are layers', () => {
    const head = sequential({
      name: 'head',
      layers: [
        dauConv2d({ filters: 2, kernelSize: 1, rank: 2, seed: 1, inputShape: [4, 4, 3] }),
        sumPoolLogits({ temperature: 1, logitBias: -1 }),
      ],
    });
    const kernelInitializer = initializers.heUniform({ seed: 1 });
    const stem = sequential({
      name: 'stem',
      layers: [layers.conv2d({ filters: 3, kernelSize: 1, kernelInitializer, inputShape: [4, 4, 3], name: 'conv' })],
    });
    const model = sequential({ layers: [stem, dau('middle'), head] });
    expect(exactTaps(model)).toEqual(['conv', 'middle']);
    const found = residuals(contributions, model, images(1, [2, 4, 4, 3]));
    for (const [name, residual] of Object.entries(found)) expect(residual, name).toBeLessThan(completenessTolerance);
  });

  it('counts a readout with a bias as linear at the end alone, and nothing that it does not know', () => {
    const readout = sequential({ layers: [sumPoolLogits({ temperature: 2, inputShape: [4, 4, 3] }), dauDense({ units: 2, rank: 2 })] });
    expect(exactTaps(readout)).toEqual([readout.layers[0]?.name]);
    const unbiased = sequential({
      layers: [sumPoolLogits({ temperature: 2, logitBias: 0, inputShape: [4, 4, 3] }), dauDense({ units: 2, rank: 2 })],
    });
    expect(exactTaps(unbiased)).toEqual(['input', unbiased.layers[0]?.name]);
    const activated = sequential({
      layers: [dauConv2d({ filters: 3, kernelSize: 1, rank: 2, inputShape: [4, 4, 3] }), layers.reLU({ name: 'relu' }), dau('above')],
    });
    expect(exactTaps(activated)).toEqual(['relu']);
    const mixed = (useBias: boolean): LayersModel =>
      sequential({ layers: [layers.conv2d({ filters: 3, kernelSize: 1, useBias, name: 'mix', inputShape: [4, 4, 3] }), dau('above')] });
    expect(exactTaps(mixed(true))).toEqual(['mix']);
    expect(exactTaps(mixed(false))).toEqual(['input', 'mix']);
  });

  it('leaves out a layer that is called twice, which contributions refuse', () => {
    const x = input({ shape: [4, 4, 3] });
    const twice = dau('twice');
    const model = modelOf({ inputs: x, outputs: apply(layers.flatten(), apply(twice, apply(twice, x))) });
    expect(exactTaps(model)).toEqual(['input']);
    expect(() => tf.tidy(() => contributions(model, images(1, [2, 4, 4, 3]), { taps: ['twice'] }))).toThrow(
      'gradientsAtTaps: tap "twice": the forward pass reaches the tap twice',
    );
  });
});

describe('of a whole network as a layer', () => {
  beforeAll(() => useBackend('cpu'));

  const config = {
    kind: 'coda',
    inputShape: [6, 5, 3],
    layers: [
      { out: 4, kernel: 3, rank: 2 },
      { out: 2, kernel: 1, rank: 2 },
    ],
    temperature: 4,
    classes: 2,
  } as const;
  const modelOfNetwork = (encoding: 'rgb6' | 'none'): LayersModel =>
    sequential({ layers: [networkLayer(codaNetwork({ ...config, encoding }), { name: 'net' })] });

  it.each([
    ['rgb6', ['net/input', 'net/layers.0', 'net/layers.1']],
    ['none', ['input', 'net/input', 'net/layers.0', 'net/layers.1']],
  ] as const)('contributions are exact at the network’s own taps, and at the input where nothing encodes it (%s)', (encoding, names) => {
    const model = modelOfNetwork(encoding);
    const x = images(1, [3, 6, 5, 3]);
    expect(exactTaps(model)).toEqual(names);
    for (const [name, residual] of Object.entries(residuals(contributions, model, x)))
      expect(residual, name).toBeLessThan(completenessTolerance);
    tf.tidy(() => {
      const { logits, taps } = contributions(model, x, { taps: ['input', 'net/layers.0'] });
      expectClose(logits, model.predict(x) as tf.Tensor, sameOps);
      expect([taps['input']?.exact, taps['net/layers.0']?.exact]).toEqual([encoding === 'none', true]);
    });
    expect(() => tf.tidy(() => contributions(model, x, { taps: ['net/layers.2'] }))).toThrow('Did you mean "net/layers.0"?');
    x.dispose();
    model.dispose();
  });

  it('contributions below it are inexact where something follows it', () => {
    const model = sequential({
      layers: [networkLayer(codaNetwork({ ...config, encoding: 'none' })), layers.activation({ activation: 'sigmoid' })],
    });
    expect(exactTaps(model)).toEqual([]);
    model.dispose();
  });
});

describe('a readout that is used twice', () => {
  beforeAll(() => useBackend('cpu'));

  it('has put its b₀ through itself: nothing below is exact, and z is what is explained', () => {
    const x = input({ shape: [4, 3] });
    const readout = sumPoolLogits({ temperature: 2, name: 'readout' });
    const first = readout.apply(x) as SymbolicTensor;
    const model = modelOf({
      inputs: x,
      outputs: readout.apply(layers.reshape({ targetShape: [1, 3], name: 'again' }).apply(first)) as SymbolicTensor,
    });
    expect(exactTaps(model)).toEqual([]);
    tf.tidy(() => {
      const values = randomTensor<tf.Rank.R3>([2, 4, 3], 1);
      const { logits, expected, taps } = contributions(model, values, { target: 1, taps: ['input'] });
      expectClose(logits, model.predict(values) as tf.Tensor, sameOps);
      expectClose(expected, tf.squeeze(tf.slice(logits, [0, 1], [-1, 1]), [1]), sameOps);
      expect(taps['input']?.exact).toBe(false);
    });
    model.dispose();
  });

  it('is linear where its b₀ is 0', () => {
    const x = input({ shape: [4, 3] });
    const readout = sumPoolLogits({ temperature: 2, logitBias: 0 });
    const again = layers.reshape({ targetShape: [1, 3] }).apply(readout.apply(x) as SymbolicTensor);
    const model = modelOf({ inputs: x, outputs: readout.apply(again) as SymbolicTensor });
    expect(exactTaps(model)[0]).toBe('input');
    model.dispose();
  });
});

describe('contributions, called wrongly,', () => {
  beforeAll(() => useBackend('cpu'));

  it('choose the top class by default, and one for each input where asked', () => {
    const model = codaModel();
    tf.tidy(() => {
      const x = images(1);
      const top = tf.argMax(model.predict(x) as tf.Tensor, 1).dataSync();
      const chosen = (options: ContributionsOptions): number[] => [
        ...tf.argMax(contributions(model, x, { taps: [], ...options }).selector, 1).dataSync(),
      ];
      expect(chosen({})).toEqual([...top]);
      expect(chosen({ target: [2, -1, 0, 1] })).toEqual([2, top[1], 0, 1]);
      expect(chosen({ target: 1 })).toEqual([1, 1, 1, 1]);
    });
    model.dispose();
  });

  it('leave nothing behind: no tensor, and the layers as they were', () => {
    const model = codaModel();
    const x = images(1);
    const own = (): never => {
      throw new Error('own');
    };
    const second = model.layers[2] as unknown as Record<string, unknown>;
    const small = tf.ones([1, 2, 2, 2]);
    expectNoLeak(() => {
      expect(() => contributions(model, small, { taps: ['first'] })).toThrow('Rgb6 "rgb": input');
      expect(model.layers.every((layer) => !Object.hasOwn(layer, 'call'))).toBe(true);
    });
    second['call'] = own;
    expect(() => tf.tidy(() => contributions(model, x))).toThrow('own');
    expect(second['call']).toBe(own);
    tf.dispose([x, small]);
  });

  it.each<[string, (model: LayersModel, x: tf.Tensor) => unknown, string]>([
    [
      'a misspelt tap',
      (model, x) => contributions(model, x, { taps: ['frist'] }),
      'contributions: tap "frist": the model has no such layer; expected one of input, rgb, first, second, third, logits. Did you mean "first"?',
    ],
    [
      'a class there is not',
      (model, x) => contributions(model, x, { target: 3 }),
      'contributions: target: no such class; expected an integer from 0 to 2, or -1 for the top class, got 3',
    ],
    [
      'too few targets',
      (model, x) => contributions(model, x, { target: [0, 1] }),
      'contributions: target: not one class for each input; expected 4, got 2',
    ],
    [
      'a model that is no classifier',
      () => contributions(sequential({ layers: [rgb6({ inputShape: [2, 2, 3] })] }), images(1, [1, 2, 2, 3])),
      'contributions: model: its output is not logits; expected [N, C], got [1, 2, 2, 6]',
    ],
    [
      'a target that is a tensor',
      (model, x) => contributions(model, x, { target: tf.tensor1d([0, 1, 0, 1], 'int32') as never }),
      'contributions: target: not a class; expected a number, or an array with one for each input, got a tensor',
    ],
    [
      'a layer that is called as the tap in front of all',
      () =>
        contributions(
          sequential({ name: 'clash', layers: [rgb6({ inputShape: [2, 2, 3], name: 'input' }), sumPoolLogits({ temperature: 1 })] }),
          images(1, [1, 2, 2, 3]),
        ),
      'contributions: model "clash": a layer is called "input", which is the tap in front of all layers. Give it another name.',
    ],
    [
      'a model without an input',
      () => contributions(sequential({ name: 'empty' }), images(1)),
      'contributions: model "empty": not a function of one tensor to one; expected 1 input and 1 output, got 0 and 0',
    ],
  ])('answer %s with one clear error', (_, wrong, text) => {
    let message = 'nothing was thrown';
    const model = codaModel();
    const x = images(1);
    try {
      tf.tidy(() => void wrong(model, x));
    } catch (error) {
      message = (error as Error).message;
    }
    tf.dispose(x);
    model.dispose();
    expect(message).toBe(text);
  });
});

describe('means at the border', () => {
  const pooled = (padding: 'same' | 'valid'): LayersModel =>
    sequential({
      layers: [
        dauConv2d({ filters: 4, kernelSize: 3, rank: 3, padding: 1, seed: 1, inputShape: [8, 8, 3] }),
        layers.averagePooling2d({ poolSize: 3, strides: 1, padding, name: 'pool' }),
        sumPoolLogits({ temperature: 2 }),
      ],
    });

  it('are exact without padding, and not said to be with it: the gradient of TensorFlow.js counts the zeros, its result does not', () => {
    expect(exactTaps(pooled('valid'))).toContain('input');
    expect(exactTaps(pooled('same'))).toEqual(['pool']);
  });
});
