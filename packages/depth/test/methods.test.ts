import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { ndArray, type NdArray, type Network } from '@coda-nets/core';
import { expectClose, expectNoLeak, randomValues, useBackend } from '@coda-nets/tools/testkit';
import { attributor } from '../src/attributor.ts';
import { attributionMethods as methods, methodPresets, presetMethod } from '../src/methods/attribution-methods.ts';
import type { Method, ProbingMethod } from '../src/methods/method.ts';
import { occlusionParts } from '../src/methods/occlusion-parts.ts';
import { quickshift } from '../src/methods/quickshift.ts';
import { completenessResidual } from '../src/metrics/completeness.ts';
import { added, PIXELS, pixelImages, pixelNetwork, pixelWeights, twin, type Unit } from './pixel-network.ts';
import { scores, tapModel, type TapModel } from '../src/tap-model.ts';
import { eagerEngine, TOY_BIAS, toyImages, toyNetwork, toyWeights } from './toy-network.ts';

/** Float32 against float64 loops over a few terms. */
const TWIN = { rtol: 1e-5, relativeTo: 'largest' } as const;
/** The midpoint rule over a kink is off by at most half a step of the slope. */
const PATH = { rtol: 0.01, relativeTo: 'largest' } as const;

/**
 * The promise is 1e-4. Plain JavaScript adds up each row alone and gives the same bits; TensorFlow's products block rows of a batch together and add in
 * another order, which is the rounding of sums of a few dozen terms: at most 1e-6 of the largest.
 */
const CHUNKED = { rtol: 1e-6, relativeTo: 'largest' } as const;

beforeAll(() => useBackend('cpu'));

const C = 1;
const pixels = { engine: eagerEngine, network: pixelNetwork, weights: pixelWeights };

async function mapsOf(method: Method, { images = pixelImages(2), tap = 'input', chunk = 64 } = {}): Promise<NdArray<'float32'>> {
  const { attribute, dispose } = await attributor({ ...pixels, method, taps: [tap], chunk });
  const { taps } = await attribute(
    images,
    Array.from({ length: images.shape[0] as number }, () => C),
  );
  await dispose();
  return taps[0]?.maps as NdArray<'float32'>;
}

const slope = ({ active, slope }: Unit): number => (active ? slope : 0);
const over = (units: readonly Unit[], term: (unit: Unit) => number): number => units.reduce((sum, unit) => sum + term(unit), 0);

describe('on a network of independent pixels each method is its closed form', () => {
  const images = pixelImages(2);
  test.each<[string, Method, (units: readonly Unit[]) => number, object]>([
    ['gradient', methods.gradient(), (units) => over(units, (u) => u.weight * slope(u)), TWIN],
    ['inputXGradient', methods.inputXGradient(), (units) => over(units, (u) => (u.active ? u.weight * u.product : 0)), TWIN],
    [
      'contributions without dynamic weights',
      methods.contributions(),
      (units) => over(units, (u) => (u.active ? u.weight * u.product : 0)),
      TWIN,
    ],
    ['guidedBackprop', methods.guidedBackprop(), (units) => over(units, (u) => Math.max(0, u.weight) * slope(u)), TWIN],
    ['smoothGrad without noise', methods.smoothGrad({ noise: 0, samples: 3 }), (units) => over(units, (u) => u.weight * slope(u)), TWIN],
    ['deepLift', methods.deepLift(), added, TWIN],
    ['occlusion of one pixel', methods.occlusion({ window: 1, stride: 1 }), added, TWIN],
    ['intGrad', methods.intGrad({ steps: 200 }), added, PATH],
    // An additive game is a linear model in which segments are there: LIME finds it exactly.
    [
      'lime, a segment a pixel',
      methods.lime({ samples: 60, segments: 4, ridgePenalty: 1e-9, score: 'logit' }),
      added,
      { rtol: 1e-4, relativeTo: 'largest' },
    ],
  ])('%s', async (_, method, of, tolerance) => {
    expectClose((await mapsOf(method)).data, twin(images, C, of), tolerance);
  });

  test('the CAMs at the hidden tap, whose gradient is V everywhere', async () => {
    const sums = [0, 1, 2].map((k) =>
      [0, 1].map((n) =>
        twin(images, C, (units) => units[k]?.hidden as number)
          .slice(n * PIXELS, (n + 1) * PIXELS)
          .reduce((a, b) => a + b, 0),
      ),
    );
    const cam = await mapsOf(methods.gradCam(), { tap: 'hidden' });
    expectClose(
      cam.data,
      twin(images, C, (units) =>
        Math.max(
          0,
          over(units, (u) => u.weight * u.hidden),
        ),
      ),
      TWIN,
    );
    const layer = await mapsOf(methods.layerCam(), { tap: 'hidden' });
    expectClose(
      layer.data,
      twin(images, C, (units) => over(units, (u) => Math.max(0, u.weight) * u.hidden)),
      TWIN,
    );
    const plus = await mapsOf(methods.gradCamPlusPlus(), { tap: 'hidden' });
    for (const n of [0, 1]) {
      const expected = twin(images, C, (units) =>
        Math.max(
          0,
          over(units, (u) => {
            const total = sums[units.indexOf(u)]?.[n] as number;
            const alpha = u.weight ** 2 / (2 * u.weight ** 2 + total * u.weight ** 3);
            return PIXELS * alpha * Math.max(0, u.weight) * u.hidden;
          }),
        ),
      );
      expectClose(plus.data.slice(n * PIXELS, (n + 1) * PIXELS), expected.slice(n * PIXELS, (n + 1) * PIXELS), TWIN);
    }
  });

  test('rise finds a planted pixel, and lime the segment it is in', async () => {
    // Black but for pixel 6, which gets the colour that speaks most for the class, ten times as bright: a few hundred masks are noisy.
    const colours = pixelImages(1, 5);
    const parts = twin(colours, C, added);
    const best = parts.indexOf(Math.max(...parts));
    const data = new Float32Array(PIXELS * 3);
    data.set(
      colours.data.subarray(best * 3, best * 3 + 3).map((x) => 10 * x),
      6 * 3,
    );
    const images = { ...colours, data };
    const top = ({ data: map }: NdArray<'float32'>): number => map.indexOf(Math.max(...map));
    expect(top(await mapsOf(methods.rise({ masks: 600, cells: 4, score: 'logit' }), { images }))).toBe(6);
    const lime = await mapsOf(methods.lime({ samples: 40, segments: 4, features: 1, ridgePenalty: 1e-3 }), { images });
    expect(Array.from(lime.data, (x) => x > 0)).toEqual(Array.from({ length: PIXELS }, (_, p) => p === 6));
  });

  test('sign, window and stride mean what they say', async () => {
    const signed = (await mapsOf(methods.gradient())).data;
    const absolute = (await mapsOf(methods.gradient({ sign: 'absolute' }))).data;
    for (const [i, x] of absolute.entries()) expect(x).toBeGreaterThanOrEqual(Math.abs(signed[i] as number) - 1e-6);
    // One window over everything: each pixel gets f(x) − f(0).
    const whole = (await mapsOf(methods.occlusion({ window: 4, stride: 4 }), { images: pixelImages(1) })).data;
    const total = twin(pixelImages(1), C, added).reduce((a, b) => a + b, 0);
    expectClose(whole, new Float32Array(PIXELS).fill(total), TWIN);
  });
});

describe('completeness', () => {
  test('DeepLIFT sums to z(a) − z(0) through two layers, IntGrad comes near with steps, input × gradient fails', async () => {
    const network = toyNetwork({ stem: true, linear: true });
    const base = { engine: eagerEngine, network, weights: toyWeights(network), taps: ['input'] };
    const images = toyImages(1);
    const logit = async (): Promise<number> => {
      // z(0): the score that occluding everything leaves, which DeepLIFT does not know.
      const { attribute } = await attributor({ ...base, method: methods.occlusion({ window: 7, stride: 7 }) });
      return (await attribute(images, [2])).taps[0]?.maps.data[0] as number;
    };
    const difference = await logit();
    const residual = async (method: Method): Promise<number> => {
      const { attribute } = await attributor({ ...base, method });
      return completenessResidual((await attribute(images, [2])).taps[0]?.maps as NdArray<'float32'>, difference);
    };
    expect(await residual(methods.deepLift())).toBeLessThan(1e-5);
    const [few, many] = [await residual(methods.intGrad({ steps: 2 })), await residual(methods.intGrad({ steps: 32 }))];
    expect(many).toBeLessThan(0.02);
    expect(many).toBeLessThan(few);
    expect(await residual(methods.inputXGradient())).toBeGreaterThan(0.02);
  });

  test('contributions sum to z − b₀ at exact taps of a dynamic linear network, and only they are called exact', async () => {
    const network = toyNetwork({ stem: true });
    const base = { engine: eagerEngine, network, weights: toyWeights(network) };
    for (const method of [methods.contributions(), methods.inputXGradient()]) {
      const { taps, expected } = await (await attributor({ ...base, method })).attribute(toyImages(1), [1]);
      for (const { name, exact, maps } of taps) {
        expect(exact).toBe(method.name === 'contributions' && name !== 'input');
        const residual = completenessResidual(maps, expected[0] as number, TOY_BIAS);
        if (exact) expect(residual).toBeLessThan(1e-5);
        else if (name === 'input' || name === 'stem') expect(residual).toBeGreaterThan(0.01);
      }
    }
  });

  test('DeepLIFT without a rule for products is input × gradient', async () => {
    // x ⊙ (x∗w): the product of two activations, as in a dynamic layer.
    const network = {
      ...pixelNetwork,
      forward: ((weights, images, context) => {
        const x = context.tap('input', images);
        const gate = tf.conv2d(x, weights['w'] as tf.Tensor4D, 1, 'valid');
        return { logits: tf.slice(tf.sum(tf.mul(x, gate), [1, 2]) as tf.Tensor2D, [0, 0], [-1, 2]), statistics: {} };
      }) satisfies typeof pixelNetwork.forward,
    };
    const one = async (method: Method) =>
      (await (await attributor({ ...pixels, network, method, taps: ['input'] })).attribute(pixelImages(1), [0])).taps[0]?.maps.data;
    expectClose((await one(methods.deepLift())) as Float32Array, (await one(methods.inputXGradient())) as Float32Array, TWIN);
  });
});

const cheap: readonly Method[] = [
  methods.contributions(),
  methods.gradient(),
  methods.guidedBackprop(),
  methods.gradCam(),
  methods.gradCamPlusPlus(),
  methods.layerCam(),
  methods.deepLift(),
  methods.intGrad({ steps: 3 }),
  methods.smoothGrad({ samples: 3 }),
  methods.occlusion({ window: 2, stride: 1 }),
  methods.rise({ masks: 5, cells: 2 }),
  methods.lime({ samples: 6, segments: 2, features: 2 }),
];

describe('use', () => {
  test.each(cheap.map((method) => [method.name, method] as const))(
    '%s: a batch is its images one by one, however it is chunked',
    async (_, method) => {
      const images = pixelImages(3);
      const whole = await mapsOf(method, { images });
      const chunked = await mapsOf(method, { images, chunk: 2 });
      expect(chunked.shape).toEqual(whole.shape);
      expectClose(chunked.data, whole.data, CHUNKED);
      const first = await mapsOf(method, { images: pixelImages(1), chunk: 5 });
      expectClose(whole.data.slice(0, PIXELS), first.data, TWIN);
      // Several classes of one image are the same image with each class.
      const { attribute } = await attributor({ ...pixels, method, taps: ['input'], chunk: 2 });
      const both = (await attribute(images, [0, C, 0, C, 0, C])).taps[0]?.maps;
      expect(both?.shape).toEqual([6, 3, 4]);
      for (const n of [0, 1, 2]) {
        expectClose(both!.data.slice((2 * n + 1) * PIXELS, (2 * n + 2) * PIXELS), whole.data.slice(n * PIXELS, (n + 1) * PIXELS), TWIN);
      }
    },
  );

  test('leaves no tensor behind', async () => {
    for (const method of [methods.guidedBackprop(), methods.deepLift(), methods.rise({ masks: 2 })]) {
      await expectNoLeak(async () => mapsOf(method));
    }
  });

  test('a method of one’s own is one function', async () => {
    const own: Method = { name: 'own', parameters: {}, formula: (a) => tf.sum(a, 3) };
    const images = pixelImages(1);
    expectClose((await mapsOf(own, { images })).data, twinSum(images), TWIN);
    const probing: Method = {
      name: 'own',
      parameters: {},
      attribute: async (_, { data, shape }) => ({ dtype: 'float32', shape: shape.slice(0, 3), data: data.filter((__, i) => i % 3 === 0) }),
    };
    expect((await mapsOf(probing, { images })).data).toEqual(images.data.filter((_, i) => i % 3 === 0));
  });

  test('presets give parameters that are recorded', () => {
    expect(presetMethod('coda2021', 'rise').parameters).toMatchObject({ masks: 6000, cells: 6, p: 0.1 });
    expect(presetMethod('bcos2', 'intGrad').parameters).toMatchObject({ steps: 50 });
    expect(presetMethod('attr-eval', 'gradient').parameters).toMatchObject({ sign: 'absolute' });
    for (const preset of Object.values(methodPresets)) for (const make of Object.values(preset)) expect(make().name).toBeTypeOf('string');
    expect(() => presetMethod('bcos2', 'occlusion5')).toThrow(
      'presetMethod: bcos2: no method of that name in this preset; expected one of contributions',
    );
    expect(() => presetMethod('coda2021', 'gradcam')).toThrow('Did you mean "gradCam"?');
  });

  test('a wrong call is told what was expected', async () => {
    expect(() => methods.intGrad({ steps: 0 })).toThrow('intGrad: steps: not a count; expected an integer from 1, got 0');
    expect(() => methods.rise({ p: 0 })).toThrow('rise: p: not a share; expected a number in (0, 1], got 0');
    await expect(mapsOf(methods.gradient(), { chunk: 0 })).rejects.toThrow(
      'chunk: not a number of rows; expected an integer from 1, got 0',
    );
    await expect(mapsOf(methods.gradient(), { images: pixelImages(0) })).rejects.toThrow('attribute: images: there are none');
    const nan: Method = { name: 'nan', parameters: {}, formula: (a) => tf.sum(tf.log(tf.sub(tf.mul(a, 0), 1)), 3) };
    await expect(mapsOf(nan)).rejects.toThrow('attribute: image 0, tap "input", method nan: the map is not finite');
  });
});

function twinSum({ data }: NdArray<'float32'>): Float64Array {
  return Float64Array.from({ length: data.length / 3 }, (_, p) => [0, 1, 2].reduce((sum, i) => sum + (data[p * 3 + i] as number), 0));
}

describe('at the edges', () => {
  test('one mask of RISE is the mask, by the score that it leaves', async () => {
    // p = 1: the mask keeps everything, and every place has the plain probability
    const images = pixelImages(1);
    const { attribute } = await attributor({ ...pixels, method: methods.rise({ masks: 1, p: 1 }), taps: ['input'] });
    const { taps, probabilities } = await attribute(images, [C]);
    expectClose(taps[0]?.maps.data as Float32Array, new Float32Array(PIXELS).fill(probabilities.data[C] as number), TWIN);
    // and one that keeps some is ones and zeros times one number, bilinear in between
    const { data } = await mapsOf(methods.rise({ masks: 1, cells: 2, p: 0.5, seed: 3 }), { images });
    expect(Math.max(...data)).toBeGreaterThan(0);
    for (const x of data) expect(x).toBeGreaterThanOrEqual(0);
  });

  test('a window larger than the map is one window: every place gets f(a) − f(0)', async () => {
    const images = pixelImages(1);
    const total = twin(images, C, added).reduce((a, b) => a + b, 0);
    for (const window of [5, 8, 100]) {
      expectClose((await mapsOf(methods.occlusion({ window, stride: 2 }), { images })).data, new Float32Array(PIXELS).fill(total), TWIN);
    }
  });

  test('a network without taps has logits and no maps', async () => {
    const network = { ...pixelNetwork, taps: [] };
    for (const method of [methods.gradient(), methods.occlusion()]) {
      const { attribute, dispose } = await attributor({ ...pixels, network, method });
      const { taps, logits } = await attribute(pixelImages(2), [0, 1]);
      expect(taps).toEqual([]);
      expect(logits.shape).toEqual([2, 2]);
      await dispose();
    }
  });
});

describe('occlusion of parts of the map', () => {
  const toy = toyNetwork({ stem: true });
  const weights = toyWeights(toy);
  const unasked = (): never => {
    throw new Error('not asked for');
  };
  /** Two layers of 3×3 above the stem; `less` takes something from the truth. */
  const local = (less = 0): Network => ({
    ...toy,
    dynamicLinear: {
      taps: ['stem', 'layer1', 'layer2'],
      apply: unasked,
      applyTransposed: unasked,
      alignment: unasked,
      localityAt: (tap) => ({ stride: 1, reach: ['layer2', 'layer1', 'stem'].indexOf(tap) - less }),
    },
  });
  const size = [17, 19] as const;
  const images = ndArray('float32', [2, ...size, 3], randomValues(2 * size[0] * size[1] * 3, 8, { min: 0, max: 1 }));
  const maps = async (network: Network, options: object, tap: string): Promise<Float32Array> => {
    const { attribute } = await attributor({
      engine: eagerEngine,
      network,
      weights,
      method: methods.occlusion(options),
      taps: [tap],
      imageSize: size,
    });
    return (await attribute(images, [2, 0])).taps[0]?.maps.data as Float32Array;
  };

  test.each([
    ['stem', { window: 3, stride: 2 }],
    ['stem', { window: 2, stride: 5 }],
    ['layer1', { window: 4, stride: 3 }],
    ['layer2', { window: 2, stride: 4 }],
  ] as const)('%s, %o: what whole maps give, for fewer numbers', async (tap, options) => {
    const plain = await maps(toy, options, tap);
    eagerEngine.numbers = 0;
    await maps(toy, options, tap);
    const whole = eagerEngine.numbers;
    eagerEngine.numbers = 0;
    expectClose(await maps(local(), options, tap), plain, { rtol: 1e-5, relativeTo: 'largest' });
    expect(eagerEngine.numbers).toBeLessThan(0.8 * whole);
  });

  test('with too short a reach they differ, and a probability is asked of the whole', async () => {
    const options = { window: 3, stride: 2 };
    const [right, wrong] = [await maps(toy, options, 'stem'), await maps(local(1), options, 'stem')];
    expect(Math.max(...right.map((x, i) => Math.abs(x - (wrong[i] as number))))).toBeGreaterThan(1e-3);
    const score = { ...options, score: 'probability' } as const;
    expect(await maps(local(), score, 'stem')).toEqual(await maps(toy, score, 'stem'));
  });

  test('parts begin where places of the last map do, hold what their windows reach, and have every window once', () => {
    for (const [length, window, step, stride, reach] of [
      [48, 8, 2, 2, 3],
      [47, 8, 2, 2, 3],
      [33, 5, 3, 4, 2],
      [16, 4, 2, 2, 9],
      [9, 12, 1, 2, 1],
    ] as const) {
      const starts = Array.from({ length: Math.max(1, Math.ceil((length - window) / step) + 1) }, (_, i) => i * step);
      const { size, parts } = occlusionParts({ size: [length, length], window, tops: starts, lefts: starts, locality: { stride, reach } });
      for (const { at, windows } of parts) {
        for (const axis of [0, 1] as const) {
          expect(at[axis] % stride).toBe(0);
          expect(at[axis] + size[axis]).toBeLessThanOrEqual(length);
          for (const place of windows) {
            expect(at[axis]).toBeLessThanOrEqual(Math.max(0, place[axis] - 2 * reach));
            expect(at[axis] + size[axis]).toBeGreaterThanOrEqual(Math.min(length, place[axis] + window + 2 * reach));
          }
        }
      }
      const found = parts.flatMap(({ windows }) => windows.map((place) => place.join()));
      expect(found.toSorted()).toEqual(starts.flatMap((y) => starts.map((x) => `${y},${x}`)).toSorted());
    }
  });
});

test('parts of a map are cut out when they are asked for: no array is larger than a call of the network, or the map', async () => {
  const [h, w, channels, chunk] = [48, 40, 6, 16] as const;
  const activations = ndArray('float32', [2, h, w, channels], randomValues(2 * h * w * channels, 9));
  // f of an image is the sum of its squares: nothing reaches beyond its place
  const squares = (data: Float32Array): number => data.reduce((sum, x) => sum + x * x, 0);
  const model = (locality: TapModel['locality'], calls: number[] = []): TapModel => ({
    tap: 'made',
    classes: 1,
    chunk,
    locality,
    resized: () => model(locality, calls),
    activations: () => Promise.reject(new Error('not asked for')),
    run: (_, { activation }) => {
      const { shape, data } = activation as NdArray<'float32'>;
      const size = data.length / (shape[0] as number);
      calls.push(data.length);
      const logit = Float32Array.from({ length: shape[0] as number }, (_, n) => squares(data.subarray(n * size, (n + 1) * size)));
      return Promise.resolve({ logit: ndArray('float32', [logit.length, 1], logit) });
    },
    dispose: () => Promise.resolve(),
  });
  const method = methods.occlusion({ window: 8, stride: 2 }) as ProbingMethod;
  const targets = Int32Array.of(0, 0);
  const whole = await method.attribute(model(undefined), activations, targets);
  const [calls, made]: number[][] = [[], []] as [number[], number[]];
  const plain = Float32Array;
  vi.stubGlobal(
    'Float32Array',
    new Proxy(plain, {
      construct: (target, [of]: [number]) => {
        if (typeof of === 'number') made.push(of);
        return new target(of);
      },
    }),
  );
  const parts = await method.attribute(model({ stride: 1, reach: 0 }, calls), activations, targets).finally(() => vi.unstubAllGlobals());
  expectClose(parts.data, whole.data, { rtol: 1e-4, relativeTo: 'largest' });
  expect(made.length).toBeGreaterThan(calls.length - 1);
  expect(Math.max(...made)).toBe(Math.max(...calls));
  expect(Math.max(...made)).toBeLessThan(activations.data.length);
});

test('a method that probes tells which share of one call is done, over all of its taps', async () => {
  const toy = toyNetwork({ stem: true });
  const shares: number[] = [];
  const { attribute, dispose } = await attributor({
    engine: eagerEngine,
    network: toy,
    weights: toyWeights(toy),
    method: methods.intGrad({ steps: 4 }),
    taps: ['input', 'layer1'],
    chunk: 2,
    onShare: (share) => shares.push(share),
  });
  await attribute(toyImages(1));
  await dispose();
  expect(shares).toEqual([0.25, 0.5, 0.75, 1]);
});

test('parts are planned at once for the largest maps there are', () => {
  // 3×3 images of ImageNet. Where every plan is made to be compared, 37 million windows do not fit into memory.
  const [length, window] = [672, 8];
  const starts = Array.from({ length: (length - window) / 2 + 1 }, (_, i) => 2 * i);
  const { size, parts } = occlusionParts({
    size: [length, length],
    window,
    tops: starts,
    lefts: starts,
    locality: { stride: 1, reach: 1 },
  });
  const numbers = size[0] * size[1] * parts.reduce((sum, { windows }) => sum + 1 + windows.length, 0);
  expect(numbers).toBeLessThan(0.01 * length ** 2 * starts.length ** 2);
});

test('DeepLIFT is complete through max pooling too, windows that overlap included', async () => {
  const conv = (x: tf.Tensor4D, w: tf.Tensor): tf.Tensor4D => tf.conv2d(x, w as tf.Tensor4D, 1, 'same');
  const toy = toyNetwork({ linear: true });
  const network = {
    ...toy,
    taps: toy.taps.slice(0, 1),
    forward: (...[weights, images, context]: Parameters<typeof toy.forward>) => {
      const x = context.tap('input', tf.concat([images, tf.sub(1, images)], 3) as tf.Tensor4D);
      // −0.5, so that windows of the black reference have maxima of their own
      const y = tf.maxPool(tf.sub(conv(x, weights['a0'] as tf.Tensor), 0.5) as tf.Tensor4D, 3, 2, 'valid');
      return { logits: tf.sum(conv(tf.relu(y), weights['a1'] as tf.Tensor), [1, 2]) as tf.Tensor2D, statistics: {} };
    },
  };
  const weights = toyWeights(network);
  const model = tapModel({ engine: eagerEngine, network, weights, tap: 'input', chunk: 2 });
  const activations = await model.activations(toyImages(2));
  const maps = await methods.deepLift().attribute(model, activations, Int32Array.of(1, 3));
  const zeros = { ...activations, data: new Float32Array(activations.data.length) };
  const [at, black] = [await model.run(scores, { activation: activations }), await model.run(scores, { activation: zeros })];
  for (const [n, c] of [1, 3].entries()) {
    const i = n * 4 + c;
    const change = (at['logit']?.data[i] as number) - (black['logit']?.data[i] as number);
    const sum = maps.data.subarray(n * 35, (n + 1) * 35).reduce((a, b) => a + b, 0);
    expect(Math.abs(sum - change) / Math.abs(change)).toBeLessThan(1e-4);
  }
});

describe('superpixels', () => {
  // three flat areas: left, and on the right an upper and a lower one; C = 2
  const [h, w] = [10, 12];
  const area = (p: number): number => (p % w < 5 ? 0 : Math.floor(p / w) < 4 ? 1 : 2);
  const values = Float32Array.from({ length: h * w * 2 }, (_, i) => (area(Math.floor(i / 2)) === (i % 2) + 1 ? 1 : 0));

  test('never cross an edge, and are numbered in reading order', () => {
    const { segments, count } = quickshift(values, [h, w, 2], { kernelSize: 2 });
    expect(count).toBeGreaterThanOrEqual(3);
    expect(count).toBeLessThan(12);
    const areas = new Map<number, number>();
    for (const [p, s] of segments.entries()) expect(areas.set(s, areas.get(s) ?? area(p)).get(s)).toBe(area(p));
    expect([...areas.keys()]).toEqual(Array.from({ length: count }, (_, i) => i));
    expect(quickshift(values, [h, w, 2], { maxDistance: 0.5 }).count).toBe(h * w);
    expect(() => quickshift(values, [h, w, 2], { ratio: 0 })).toThrow(
      'quickshift: ratio: not above 0; expected a finite number above 0, got 0',
    );
  });

  test('LIME by superpixels finds an additive game, image by image', async () => {
    // a segment a pixel, as the pixels of these images have little in common
    const method = methods.lime({ samples: 60, segmentation: 'superpixels', ridgePenalty: 1e-9, score: 'logit' });
    expect(method.parameters).toMatchObject({ segmentation: 'superpixels' });
    const both = await mapsOf(method);
    const places = both.data.length / 2;
    const one = await mapsOf(method, { images: pixelImages(1) });
    expectClose(one.data, both.data.slice(0, places), TWIN);
  });
});
