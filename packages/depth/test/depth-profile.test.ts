import { beforeAll, describe, expect, test } from 'vitest';
import { ndArray, type NdArray } from '@coda-nets/core';
import { expectClose, randomValues, useBackend } from '@coda-nets/tools/testkit';
import { depthProfile, depthProfiler, joinTapProfiles, type DepthProfile } from '../src/depth-profile.ts';
import { gridLocalisation } from '../src/metrics/grid-localisation.ts';
import { confidentGrids, type GridListOptions } from '../src/grids/grid-list.ts';
import { tileGrid } from '../src/grids/tile-grid.ts';
import { interpretableDepth } from '../src/interpretable-depth.ts';
import { attributionMethods as methods } from '../src/methods/attribution-methods.ts';
import type { Method } from '../src/methods/method.ts';
import { eagerEngine, toyImages, toyNetwork, toyWeights } from './toy-network.ts';
import * as tf from '@tensorflow/tfjs-core';

/** Shares of sums, bits on plain JavaScript; TensorFlow adds in another order where other rows come along. The project promises 1e-4. */
const CHUNKED = { atol: 1e-6 } as const;

beforeAll(() => useBackend('cpu'));

/** `perClass` images of each class in turn; the i-th is right with a logit that falls with i. */
function predictions(classes: number, perClass: number): Pick<GridListOptions, 'predictions' | 'labels'> {
  const images = classes * perClass;
  const labels = Array.from({ length: images }, (_, i) => i % classes);
  const logits = randomValues(images * classes, 1, { min: -3, max: -2 });
  for (const [i, c] of labels.entries()) logits[i * classes + c] = 5 - i / images;
  const probabilities = logits.map((z) => 1 / (1 + Math.exp(-z)));
  const array = (data: Float32Array): NdArray<'float32'> => ndArray('float32', [images, classes], data);
  return { predictions: [{ logits: array(logits), probabilities: array(probabilities) }], labels };
}

describe('grids', () => {
  test('are of distinct classes, of the most confident images first, each image once, and seeded', () => {
    const given = predictions(6, 4);
    const list = confidentGrids({ ...given, n: 2, seed: 3 });
    const used = list.grids.flatMap(({ images }) => images);
    expect(new Set(used).size).toBe(used.length);
    const next = new Map<number, number>();
    for (const { images, classes } of list.grids) {
      expect(new Set(classes).size).toBe(4);
      for (const [k, c] of classes.entries()) {
        // Of class c the images are c, c + 6, c + 12, … by falling logit.
        const turn = next.get(c) ?? 0;
        expect(images[k]).toBe(c + 6 * turn);
        next.set(c, turn + 1);
      }
    }
    expect([...next.values()].filter((turns) => turns < 4).length).toBeLessThanOrEqual(4);
    expect(confidentGrids({ ...given, n: 2, seed: 3 })).toEqual(list);
    expect(confidentGrids({ ...given, n: 2, seed: 4 })).not.toEqual(list);
    expect(confidentGrids({ ...given, n: 2, count: 2 }).grids).toHaveLength(2);
    expect(JSON.parse(JSON.stringify(list))).toEqual(list);
  });

  test('hold no image that any network has wrong, or is not sure of', () => {
    const given = predictions(6, 4);
    const [first] = given.predictions;
    const doubtful = first!.probabilities.data.map((p, i) => (Math.floor(i / 6) === 0 ? 0.4 : p));
    const wrong = first!.logits.data.with(7 * 6 + 3, 9);
    const second = { logits: { ...first!.logits, data: wrong }, probabilities: { ...first!.probabilities, data: doubtful } };
    const list = confidentGrids({ labels: given.labels, predictions: [first!, second], n: 2 });
    const used = list.grids.flatMap(({ images }) => images);
    expect(used).not.toContain(0);
    expect(used).not.toContain(7);
    expect(() => confidentGrids({ ...given, n: 3 })).toThrow(
      'confidentGrids: no 3 × 3 grid can be drawn; expected more than 9 classes with images that are classified right with a probability above 0.5, got 6',
    );
    const unsure = given.predictions.map(({ logits, probabilities }) => ({
      logits,
      probabilities: { ...probabilities, data: probabilities.data.map(() => 0.1) },
    }));
    expect(() => confidentGrids({ ...given, predictions: unsure, n: 2 })).toThrow(
      'confidentGrids: no 2 × 2 grid can be drawn; expected more than 4 classes with images that are classified right with a probability above 0.5, got 0',
    );
    const one = predictions(1, 5);
    expect(() => confidentGrids({ ...one, n: 2 })).toThrow('got 1');
    expect(() => confidentGrids({ ...given, n: 1 })).toThrow(
      'confidentGrids: n: not the cells along a side of a grid; expected an integer from 2, got 1',
    );
    expect(() => confidentGrids({ ...given, n: 2, count: 0 })).toThrow(
      'confidentGrids: count: not a number of grids; expected an integer from 1, got 0',
    );
    expect(() => confidentGrids({ ...given, labels: [0] })).toThrow('confidentGrids: predictions: not of the same images as the labels');
  });

  test('are tiled row by row', () => {
    const images = ndArray('float32', [4, 1, 2, 1], Float32Array.of(0, 1, 10, 11, 20, 21, 30, 31));
    const grid = tileGrid(images, { images: [2, 0, 3, 1] });
    expect(grid.shape).toEqual([2, 4, 1]);
    expect([...grid.data]).toEqual([20, 21, 0, 1, 30, 31, 10, 11]);
    expect(() => tileGrid(images, { images: [0, 1] })).toThrow('tileGrid: grid: not a square number of images; expected n² of them, got 2');
    expect(() => tileGrid(images, { images: [4] })).toThrow('tileGrid: grid: there is no such image; expected an index from 0 to 3, got 4');
  });
});

describe('the depth profile', () => {
  const network = toyNetwork({ stem: true });
  const weights = toyWeights(network);
  const gridList = { n: 2, seed: 0, threshold: 0.5, grids: [{ images: [0, 1, 2, 3], classes: [2, 0, 3, 1] }] };
  const base = { engine: eagerEngine, network, weights, images: toyImages(4), gridList };
  const tapOf = (profile: DepthProfile, name: string) => profile.taps.find((tap) => tap.name === name);

  test('a uniform map scores 1/n² at every tap, with either scoring', async () => {
    const uniform: Method = { name: 'uniform', parameters: {}, formula: (a) => tf.onesLike(tf.sum(a, 3)) };
    const { taps } = await depthProfile({ ...base, method: uniform });
    for (const { localisation, negativeMass } of taps) {
      for (const value of [...(localisation.pool ?? []), ...localisation.upsample]) expect(value).toBeCloseTo(0.25, 12);
      expect(negativeMass).toEqual([0, 0, 0, 0]);
    }
  });

  test('contributions are complete where the tap is exact; all taps from one call of the engine', async () => {
    eagerEngine.batches.length = 0;
    const profile = await depthProfile({ ...base, method: methods.contributions() });
    expect(eagerEngine.batches).toEqual([4]);
    expect(profile.taps.map(({ name }) => name)).toEqual(['input', 'stem', 'layer1', 'layer2']);
    for (const { exact, residual, size, localisation } of profile.taps) {
      expect(size).toEqual([10, 14]);
      expect(localisation.pool).toHaveLength(4);
      if (exact) expect(Math.max(...residual)).toBeLessThan(1e-5);
      else expect(Math.max(...residual)).toBeGreaterThan(0.01);
    }
    expect(JSON.parse(JSON.stringify(profile))).toEqual(profile);
  });

  test('is the same measured in parts, in one row at a time, and joined', async () => {
    const grids = [...gridList.grids, { images: [3, 1, 0, 2], classes: [0, 1, 2, 3] }];
    const method = methods.contributions();
    const whole = await depthProfile({ ...base, gridList: { ...gridList, grids }, method });
    const profiler = await depthProfiler({ ...base, n: 2, method, chunk: 1 });
    const parts = [await profiler.measure(grids.slice(0, 1)), await profiler.measure(grids.slice(1))];
    const joined = joinTapProfiles(parts);
    expect(joined.map(({ name, exact, size }) => [name, exact, size])).toEqual(
      whole.taps.map(({ name, exact, size }) => [name, exact, size]),
    );
    for (const [t, { localisation, negativeMass }] of joined.entries()) {
      const same = whole.taps[t] as (typeof whole.taps)[number];
      expectClose(localisation.pool as number[], same.localisation.pool as number[], CHUNKED);
      expectClose(localisation.upsample, same.localisation.upsample, CHUNKED);
      expectClose(negativeMass, same.negativeMass, CHUNKED);
    }
    expect(whole.taps[0]?.localisation.upsample).toHaveLength(8);
    const [first = []] = parts;
    expect(() => joinTapProfiles([first, first.toReversed()])).toThrow(
      'joinTapProfiles: parts of different taps; expected input [10, 14], got layer2 [10, 14]',
    );
    const controller = new AbortController();
    controller.abort(new Error('enough'));
    const aborted = await depthProfiler({ ...base, n: 2, method, signal: controller.signal });
    await expect(aborted.measure(grids)).rejects.toThrow('enough');
  });

  test('smoothing comes before clamping: a checkerboard in the cell is nothing to speak of', async () => {
    // ±1 outside of cell 0, 1 in it
    const checkers = Float32Array.from({ length: 36 }, (_, p) => {
      const [y, x] = [Math.floor(p / 6), p % 6];
      return y < 3 && x < 3 ? 1 : (y + x) % 2 === 0 ? 1 : -1;
    });
    const map = ndArray('float32', [6, 6], checkers);
    const plain = gridLocalisation(map, { n: 2, cell: 0, scoring: 'pool' });
    const smooth = gridLocalisation(map, { n: 2, cell: 0, scoring: 'pool', smooth: 3 });
    expect(plain).toBeLessThan(0.5);
    expect(smooth).toBeGreaterThan(0.65);
    expect(() => gridLocalisation(map, { n: 2, cell: 0, scoring: 'pool', smooth: 2 })).toThrow(
      'gridLocalisation: smooth: not the side of a box with a middle; expected an odd whole number, got 2',
    );
  });

  test('DiFull gives gradient methods exactly 1, Grad-CAM less, and uniform maps 1/n²; in the whole grid cells do interact', async () => {
    for (const method of [methods.gradient({ sign: 'absolute' }), methods.contributions()]) {
      const control = await depthProfile({ ...base, method, setting: 'difull' });
      for (const { localisation } of control.taps) expect(localisation.pool).toEqual([1, 1, 1, 1]);
      const whole = await depthProfile({ ...base, method, taps: ['input'] });
      expect(Math.max(...(tapOf(whole, 'input')?.localisation.pool ?? []))).toBeLessThan(0.9);
    }
    const cam = await depthProfile({ ...base, method: methods.gradCam(), setting: 'difull', taps: ['stem'] });
    expect(Math.min(...(cam.taps[0]?.localisation.pool ?? []))).toBeLessThan(0.9);
  });
});

describe('interpretable depth', () => {
  const profile = (medians: readonly number[], spread = 0): DepthProfile => {
    const grids = Array.from({ length: 40 }, () => ({ images: [0, 1, 2, 3], classes: [0, 1, 2, 3] }));
    const noise = randomValues(40, 7, { min: -spread, max: spread + 1e-12 });
    const taps = medians.map((median, i) => {
      const values = grids.flatMap((_, g) => [0, 1, 2, 3].map(() => median + (noise[g] as number)));
      const localisation = { pool: values, upsample: values };
      return { name: `tap${i}`, exact: true, size: [2, 2] as const, localisation, residual: [], negativeMass: [] };
    });
    return { method: { name: 'made', parameters: {} }, setting: 'whole', gridList: { n: 2, seed: 0, threshold: 0.5, grids }, taps };
  };

  test('counts from the output without a gap', () => {
    // input … output; the gap at tap2 ends the count though tap1 is good again.
    const depth = interpretableDepth(profile([0.2, 0.9, 0.4, 0.6, 0.8]));
    expect(depth).toMatchObject({ taps: 2, of: 5, share: 0.4, deepest: 'tap3', threshold: 0.5, scoring: 'pool' });
    expect(depth.curve.map(({ tap }) => tap)).toEqual(['tap4', 'tap3', 'tap2', 'tap1', 'tap0']);
    expect(depth.areaUnderCurve).toBeCloseTo(2.9 / 5, 6);
    expect(depth.interval).toMatchObject({ low: 2, high: 2 });
    expect(interpretableDepth(profile([0.9, 0.1]))).toMatchObject({ taps: 0, deepest: undefined });
    expect(interpretableDepth(profile([0.9, 0.5]), { threshold: 0.5 })).toMatchObject({ taps: 2, share: 1 });
    expect(interpretableDepth(profile([0.9, 0.6]), { threshold: 0.7 }).taps).toBe(0);
  });

  test('the interval says how sure that is, and is seeded', () => {
    const near = profile([0.2, 0.501, 0.8], 0.2);
    const { interval, taps } = interpretableDepth(near);
    expect(interval.low).toBe(1);
    expect(interval.high).toBe(2);
    expect(taps).toBeGreaterThanOrEqual(1);
    expect(interpretableDepth(near)).toEqual(interpretableDepth(near));
  });

  test('no taps, or no grids, have no depth', () => {
    expect(() => interpretableDepth(profile([]))).toThrow('interpretableDepth: profile: it has no taps');
    const { gridList, ...rest } = profile([0.5]);
    expect(() => interpretableDepth({ ...rest, gridList: { ...gridList, grids: [] } })).toThrow(
      'interpretableDepth: profile: it has no grids',
    );
  });

  test('pool must be defined at every tap', () => {
    const { taps, ...rest } = profile([0.6]);
    const without = { ...rest, taps: taps.map((tap) => ({ ...tap, localisation: { ...tap.localisation, pool: null } })) };
    expect(interpretableDepth(without).scoring).toBe('upsample');
    expect(() => interpretableDepth(without, { scoring: 'pool' })).toThrow(
      'interpretableDepth: scoring: the maps of tap "tap0" do not divide into the cells; expected upsample, got pool',
    );
  });
});
