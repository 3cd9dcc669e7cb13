/** Whatever a public function is given, what it throws is a CodaError that names the function. */
import * as tf from '@tensorflow/tfjs-core';
import { sequential } from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, it } from 'vitest';
import { CodaError } from '@coda-nets/core';
import { networkLayer } from '@coda-nets/core/layers';
import { useBackend } from '@coda-nets/tools/testkit';
import * as dau from '../src/index.ts';
import * as dauLayers from '../src/layers/index.ts';

beforeAll(() => useBackend('cpu'));

/** What is no argument of any function here. A number, an object or a list is for some; then they may return. */
const wrong: Readonly<Record<string, unknown>> = {
  nothing: undefined,
  null: null,
  NaN: Number.NaN,
  huge: 1e300,
  'a string': 'abc',
  'a list': [1],
  'an object': { a: 1 },
  'a function': () => 1,
  'a symbol': Symbol('s'),
};

const unit = { A: () => tf.ones([1, 1, 2, 3, 2]), B: () => tf.ones([1, 1, 2, 2]), b: () => tf.ones([1, 1, 2, 3]) };
const all = () => ({ A: unit.A(), B: unit.B(), b: unit.b() });
const efficient = () => ({ A: unit.A(), B: unit.B() });
const dense = () => ({ A: tf.ones([2, 3, 2]), B: tf.ones([2, 2]), b: tf.ones([2, 3]) });
const efficientDense = () => ({ A: tf.ones([2, 3, 2]), B: tf.ones([2, 2]) });
const map = () => tf.ones([1, 2, 2, 2]);
const out = () => tf.ones([1, 2, 2, 3]);
const layersOf = [{ out: 2, kernel: 1, rank: 2 }];
const config = { kind: 'coda', inputShape: [4, 4, 3], layers: layersOf, temperature: 1, classes: 2 } as const;
const model = () => sequential({ layers: [dauLayers.dauDense({ units: 2, rank: 1, inputShape: [2] })] });

/** Each function with arguments that are right. */
const calls: Readonly<Record<string, readonly [(...args: never[]) => unknown, ...(() => unknown)[]]>> = {
  dauConv: [dau.dauConv, map, all, () => ({})],
  edauConv: [dau.edauConv, map, efficient, () => ({})],
  dauDense: [dau.dauDense, () => tf.ones([1, 2]), dense, () => ({})],
  edauDense: [dau.edauDense, () => tf.ones([1, 2]), efficientDense, () => ({})],
  dauMap: [dau.dauMap, map, map, all, () => ({})],
  dauMapTransposed: [dau.dauMapTransposed, map, out, all, () => ({})],
  dauAlignment: [dau.dauAlignment, map, all, () => ({})],
  edauMap: [dau.edauMap, map, map, efficient, () => ({})],
  edauMapTransposed: [dau.edauMapTransposed, map, out, efficient, () => ({})],
  edauAlignment: [dau.edauAlignment, map, efficient, () => ({})],
  cheaperForm: [dau.cheaperForm, () => ({ d: 1, r: 1 })],
  codaLayers: [dau.codaLayers, () => ({ inputChannels: 3, layers: layersOf })],
  codaLinearMap: [dau.codaLinearMap, () => ({ layers: layersOf, temperature: 1, input: 'input' })],
  codaNetwork: [dau.codaNetwork, () => config, () => ({})],
  parseCodaConfig: [dau.parseCodaConfig, () => config],
  codaPreset: [dau.codaPreset, () => 's-cifar10', () => ({})],
  sumPoolLogits: [dau.sumPoolLogits, out, () => 1, () => 0],
  sumPoolScores: [dau.sumPoolScores, out, () => 1],
  binaryCrossEntropy: [dau.binaryCrossEntropy, () => tf.ones([1, 2]), () => tf.ones([1, 2])],
  encodeRgb6: [dau.encodeRgb6, () => tf.ones([1, 2, 2, 3])],
  codaPytorchLayers: [dau.codaPytorchLayers, () => ({})],
  codaPytorchLayersJson: [dau.codaPytorchLayersJson, () => []],
  importCodaPytorch: [dau.importCodaPytorch, () => ({}), () => config],
  exportCodaPytorch: [dau.exportCodaPytorch, () => ({}), () => config],
  dauConv2d: [dauLayers.dauConv2d, () => ({ filters: 1, kernelSize: 1, rank: 1 })],
  'layers.dauDense': [dauLayers.dauDense, () => ({ units: 1, rank: 1 })],
  rgb6: [dauLayers.rgb6, () => ({})],
  'layers.sumPoolLogits': [dauLayers.sumPoolLogits, () => ({ temperature: 1 })],
  contributions: [dauLayers.contributions, model, () => tf.ones([1, 2]), () => ({})],
  inputTimesGradient: [dauLayers.inputTimesGradient, model, () => tf.ones([1, 2]), () => ({})],
  exactTaps: [dauLayers.exactTaps, model],
  networkLayer: [networkLayer, () => dau.codaNetwork(config), () => ({})],
};

/** What a call throws, if anything. */
function thrownBy(call: (...args: never[]) => unknown, args: readonly unknown[]): unknown {
  let thrown: unknown;
  tf.tidy(() => {
    try {
      call(...(args as never[]));
    } catch (error) {
      thrown = error;
    }
  });
  return thrown;
}

describe.each(Object.entries(calls))('%s', (name, [call, ...right]) => {
  const places = right.flatMap((_, at) => Object.keys(wrong).map((kind) => [at, kind] as const));

  it.each(places)('throws a CodaError, if anything, for argument %i that is %s', (at, kind) => {
    const error = thrownBy(
      call,
      right.map((make, i) => (i === at ? wrong[kind] : make())),
    );
    expect(error === undefined || CodaError.isInstance(error), String(error)).toBe(true);
  });

  it('wants its first argument, but for rgb6', () => {
    expect(CodaError.isInstance(thrownBy(call, []))).toBe(name !== 'rgb6');
  });
});

describe('options of every kind', () => {
  const values = { ...wrong, 'a tensor': 'tensor', negative: -1, fraction: 1.5, zero: 0 };
  const options = [
    'stride',
    'padding',
    'norm',
    'eps',
    'form',
    'unitsAtOnce',
    'bound',
    'target',
    'taps',
    'temperature',
    'rank',
    'layers',
    'inputChannels',
    'prefix',
    'input',
    'filters',
    'kernelSize',
    'strides',
    'units',
    'seed',
    'name',
    'inputShape',
    'trainable',
    'logitBias',
    'classes',
    'encoding',
    'kind',
    'initial',
  ];
  it.each(Object.keys(calls))('of %s are refused with a CodaError', (name) => {
    const [call, ...right] = calls[name] as (typeof calls)[string];
    for (const key of options) {
      for (const [kind, value] of Object.entries(values)) {
        tf.tidy(() => {
          const args = right.map((make) => make());
          const last = args.at(-1);
          if (typeof last !== 'object' || last === null || last instanceof tf.Tensor || Array.isArray(last)) return;
          args[args.length - 1] = { ...last, [key]: value === 'tensor' ? tf.scalar(1) : value };
          try {
            call(...(args as never[]));
          } catch (error) {
            expect(CodaError.isInstance(error), `${key}: ${kind}: ${String(error)}`).toBe(true);
          }
        });
      }
    }
  });
});

it('says what was expected, what came, and what was meant', () => {
  const message = (call: () => unknown): string => {
    try {
      tf.tidy(() => void call());
    } catch (error) {
      return (error as Error).message;
    }
    return 'nothing was thrown';
  };
  const x = tf.ones([1, 2, 2, 2]) as tf.Tensor4D;
  expect(message(() => dau.dauConv(x, undefined as never))).toBe('dauConv: weights: not an object; expected { A, B, b }, got nothing');
  expect(message(() => dau.dauDense(tf.ones([2, 2]), dense(), { nrom: 'l2' } as never))).toBe(
    'dauDense: options: unknown option "nrom"; expected one of norm, eps. Did you mean "norm"?',
  );
  expect(message(() => dau.dauDense(tf.ones([2, 2]), dense(), { eps: 0 }))).toBe(
    'dauDense: eps: not a guard that DAUs can take in float32; expected a number from 1e-24 to 1, got 0',
  );
  expect(message(() => dau.edauDense(null as never, efficientDense()))).toBe(
    'edauDense: x: not a tensor; expected float32 [N, 2], got null',
  );
  expect(message(() => dau.dauConv(x, { ...all(), A: tf.cast(unit.A(), 'int32') }))).toBe(
    'dauConv: weights.A: a tensor of another type; expected float32 [k, k, C, n, r], got int32 [1, 1, 2, 3, 2]. tf.cast(…, "float32") makes one.',
  );
  expect(message(() => dau.codaPreset(undefined as never))).toMatch(/^codaPreset: name: no such preset; expected one of .*, got nothing$/);
  expect(message(() => dau.codaLayers({ inputChannels: 3, layers: layersOf, unitAtOnce: 3 } as never))).toBe(
    'codaLayers: unitAtOnce: unknown key; expected one of inputChannels, layers, norm, eps, prefix, unitsAtOnce. Did you mean "unitsAtOnce"?',
  );
  expect(message(() => dau.codaNetwork({ ...config, norm: 'spectral' }, { unitsAtOnce: 1 }))).toBe(
    'codaLayers: unitsAtOnce: units of the norm spectral are computed all at once; expected sq or l2, or no unitsAtOnce',
  );
  expect(message(() => dau.codaNetwork({ ...config, norm: 'spectral', eps: 1e-20 }))).toBe(
    'codaNetwork: config: eps: not a guard that efficient units can take in float32; expected a number from 1e-12 to 1, got 1e-20',
  );
  expect(message(() => dau.codaNetwork({ ...config, layers: [{ out: 2, kernel: 1, rank: 2, padding: 2 }] }))).toBe(
    'codaNetwork: config: layers[0].padding: with more zeros than the kernel spans, whole rings of patches would have nothing else in them; expected at most 1, the width of the kernel, got 2',
  );
  expect(message(() => dauLayers.dauConv2d(undefined as never))).toMatch(/^DauConv2d: /);
  expect(message(() => dauLayers.contributions(model(), tf.ones([1, 2]), { target: null as never }))).toBe(
    'contributions: target: not a class; expected a number, or an array with one for each input, got null',
  );
  x.dispose();
});

describe('a batch of none', () => {
  it('goes through every function, with the shapes of the rest', () => {
    tf.tidy(() => {
      const none = tf.zeros([0, 2, 2, 2]) as tf.Tensor4D;
      for (const form of ['low-rank', 'explicit'] as const) {
        expect(dau.dauConv(none, all(), { form }).shape).toEqual([0, 2, 2, 3]);
        expect(dau.dauMap(none, none, all(), { form }).shape).toEqual([0, 2, 2, 3]);
        expect(dau.dauMapTransposed(none, tf.zeros([0, 2, 2, 3]), all(), { form }).shape).toEqual([0, 2, 2, 2]);
      }
      expect(dau.edauConv(none, efficient()).shape).toEqual([0, 2, 2, 3]);
      expect(dau.dauDense(tf.zeros([0, 2]), dense()).shape).toEqual([0, 3]);
      expect(dau.edauDense(tf.zeros([0, 2]), efficientDense()).shape).toEqual([0, 3]);
      expect(dau.dauAlignment(none, all()).norm.shape).toEqual([0, 2, 2, 3]);
      expect(dau.sumPoolScores(tf.zeros([0, 2, 2, 3]), 1).shape).toEqual([0, 3]);
    });
  });

  it('goes through every layer', () => {
    tf.tidy(() => {
      const layers = sequential({
        layers: [
          dauLayers.rgb6({ inputShape: [4, 4, 3] }),
          dauLayers.dauConv2d({ filters: 3, kernelSize: 3, padding: 'same', rank: 2 }),
          dauLayers.dauDense({ units: 2, rank: 1 }),
          dauLayers.sumPoolLogits({ temperature: 1 }),
        ],
      });
      expect((layers.apply(tf.zeros([0, 4, 4, 3])) as tf.Tensor).shape).toEqual([0, 2]);
      expect((layers.apply(tf.ones([2, 4, 4, 3], 'int32')) as tf.Tensor).shape).toEqual([2, 2]);
      layers.dispose();
    });
  });
});
