import { beforeAll, describe, expect, test } from 'vitest';
import { ndArray, type NdArray } from '@coda-nets/core';
import { expectClose, randomValues, useBackend } from '@coda-nets/tools/testkit';
import { completenessResidual } from '../src/metrics/completeness.ts';
import { areaUnder, deletion, insertion } from '../src/metrics/deletion-insertion.ts';
import { energyPointingGame } from '../src/metrics/energy-pointing-game.ts';
import { gridLocalisation } from '../src/metrics/grid-localisation.ts';
import { negativeMass } from '../src/metrics/negative-mass.ts';
import { pixelRemoval } from '../src/metrics/pixel-removal.ts';
import { cascade, randomisationCheck } from '../src/metrics/randomisation-check.ts';
import { rankCorrelation } from '../src/metrics/rank-correlation.ts';
import { quantileOfSorted, summaryOf } from '../src/metrics/summary.ts';
import { tapModel } from '../src/tap-model.ts';
import { added, PIXELS, pixelImages, pixelNetwork, pixelWeights, PIXEL_SIZE, twin } from './pixel-network.ts';
import { eagerEngine } from './toy-network.ts';

/** Sums of a dozen float32 numbers. */
const SUM = { rtol: 1e-5, relativeTo: 'largest' } as const;

beforeAll(() => useBackend('cpu'));

const mapOf = (h: number, w: number, value: (y: number, x: number) => number): NdArray<'float32'> =>
  ndArray(
    'float32',
    [h, w],
    Float32Array.from({ length: h * w }, (_, p) => value(Math.floor(p / w), p % w)),
  );

describe('grid localisation', () => {
  test.each([2, 3])('on made maps, n = %i', (n) => {
    const size = 2 * n;
    for (const scoring of ['pool', 'upsample'] as const) {
      const score = (map: NdArray<'float32'>, cell: number): number => gridLocalisation(map, { n, cell, scoring, gridSize: [size, size] });
      for (let cell = 0; cell < n * n; cell++) {
        const only = mapOf(size, size, (y, x) => (Math.floor(y / 2) * n + Math.floor(x / 2) === cell ? 0.3 : 0));
        expect(score(only, cell)).toBe(1);
        expect(score(only, (cell + 1) % (n * n))).toBe(0);
        expect(
          score(
            mapOf(size, size, () => 2),
            cell,
          ),
        ).toBeCloseTo(1 / n ** 2, 12);
        expect(
          score(
            mapOf(size, size, () => -1),
            cell,
          ),
        ).toBe(0);
        expect(
          score(
            mapOf(size, size, () => 0),
            cell,
          ),
        ).toBe(0);
      }
    }
  });

  test('negative attribution does not count, and a transposed map has another score', () => {
    const map = mapOf(4, 4, (y, x) => (y < 2 ? 1 : x < 2 ? -5 : 0.5));
    // Cells: 4, 4, 0 and 2 of 10.
    expect([0, 1, 2, 3].map((cell) => gridLocalisation(map, { n: 2, cell, scoring: 'pool' }))).toEqual([0.4, 0.4, 0, 0.2]);
    const transposed = mapOf(4, 4, (y, x) => map.data[x * 4 + y] as number);
    expect(gridLocalisation(transposed, { n: 2, cell: 1, scoring: 'pool' })).toBe(0);
  });

  test('pool is enlarging by nearest neighbour; bilinear bleeds over the border', () => {
    const map = mapOf(3, 3, (y, x) => (y === 1 && x === 1 ? 1 : 0));
    const options = { n: 3, cell: 4, gridSize: [12, 12] } as const;
    expect(gridLocalisation(map, { ...options, scoring: 'upsample', interpolation: 'nearest' })).toBe(1);
    const bilinear = gridLocalisation(map, { ...options, scoring: 'upsample' });
    expect(bilinear).toBeGreaterThan(0.4);
    expect(bilinear).toBeLessThan(0.9);
    // Where a map does not divide, only upsample scores it.
    expect(
      gridLocalisation(
        mapOf(4, 4, () => 1),
        { ...options, scoring: 'upsample' },
      ),
    ).toBeCloseTo(1 / 9, 12);
    expect(() =>
      gridLocalisation(
        mapOf(4, 4, () => 1),
        { ...options, scoring: 'pool' },
      ),
    ).toThrow('gridLocalisation: map: does not divide into 3 × 3 cells; expected multiples of 3, got [4, 4]');
    expect(() => gridLocalisation(map, { n: 3, cell: 9, scoring: 'pool' })).toThrow('gridLocalisation: cell: not in the grid');
  });

  test('the energy pointing game takes any region', () => {
    const map = mapOf(3, 4, (y, x) => y * 4 + x - 2);
    // Positive: 1 … 9; in rows 1 and 2, column 0: 2 and 6.
    expect(energyPointingGame(map, { top: 1, left: 0, height: 2, width: 1 })).toBeCloseTo(8 / 45, 12);
    expect(() => energyPointingGame(map, { top: 1, left: 0, height: 3, width: 1 })).toThrow(
      'energyPointingGame: region: not inside the map',
    );
  });
});

describe('single maps', () => {
  test('completeness and negative mass', () => {
    const map = mapOf(2, 2, (y, x) => [1, -2, 3, 0.5][y * 2 + x] as number);
    expect(completenessResidual(map, 2.5)).toBe(0);
    expect(completenessResidual(map, 2)).toBeCloseTo(0.25, 12);
    expect(
      completenessResidual(
        mapOf(1, 1, () => 0),
        0,
      ),
    ).toBe(0);
    expect(negativeMass(map)).toBeCloseTo(2 / 6.5, 7);
    expect(negativeMass(mapOf(1, 1, () => 0))).toBe(0);
  });

  test('summaries keep the values; quartiles are linear between order statistics', () => {
    const summary = summaryOf([4, 1, 3, 2]);
    expect(summary).toEqual({
      values: [4, 1, 3, 2],
      count: 4,
      mean: 2.5,
      min: 1,
      lowerQuartile: 1.75,
      median: 2.5,
      upperQuartile: 3.25,
      max: 4,
    });
    expect(quantileOfSorted([], 0.5)).toBeNaN();
  });

  test('rank correlation', () => {
    expect(rankCorrelation([1, 2, 3, 10], [0, 5, 6, 7])).toBeCloseTo(1, 12);
    expect(rankCorrelation([1, 2, 3], [3, 2, 1])).toBeCloseTo(-1, 12);
    // Ties share their mean rank: ranks 0.5, 0.5, 2 against 0, 1, 2.
    expect(rankCorrelation([1, 1, 2], [1, 2, 3])).toBeCloseTo(1.5 / Math.sqrt(1.5 * 2), 12);
    expect(rankCorrelation([1, 1], [1, 2])).toBeNaN();
    expect(() => rankCorrelation([1], [1, 2])).toThrow('rankCorrelation: not as many values; expected 1, got 2');
  });
});

describe('removal', () => {
  const images = pixelImages(2);
  const targets = Int32Array.of(1, 1);
  const parts = twin(images, 1, added);
  const maps = ndArray('float32', [2, ...PIXEL_SIZE], Float32Array.from(parts));
  const model = tapModel({ engine: eagerEngine, network: pixelNetwork, weights: pixelWeights, tap: 'input', chunk: 7 });
  /** z without the pixels that go first, in float64. */
  const left = (n: number, order: 'least' | 'most', count: number, plain: number): number => {
    const sorted = parts.slice(n * PIXELS, (n + 1) * PIXELS).toSorted((a, b) => (order === 'least' ? a - b : b - a));
    return plain - sorted.slice(0, count).reduce((a, b) => a + b, 0);
  };

  test('pixels taken by what they add: the score falls by just that', async () => {
    const activations = await model.activations(images);
    for (const order of ['least', 'most'] as const) {
      const result = await pixelRemoval({ model, activations, targets, maps, order, share: 0.5, points: 4, score: 'logit' });
      // 12 pixels: 0, 2, 4, 6 of them.
      expect(result.removed).toEqual([0, 2, 4, 6].map((count) => count / 12));
      for (const [n, curve] of result.values.entries()) {
        expectClose(
          curve,
          [0, 2, 4, 6].map((count) => left(n, order, count, curve[0] as number)),
          SUM,
        );
      }
      expectClose(
        result.mean,
        result.values[0]!.map((x, i) => (x + (result.values[1]?.[i] as number)) / 2),
        { rtol: 1e-12 },
      );
      expect(result.meanOfCurve).toBeCloseTo(result.mean.reduce((a, b) => a + b, 0) / 4, 12);
    }
  });

  test('deletion ends where insertion begins, and areas follow the trapezoid rule', async () => {
    const activations = await model.activations(images);
    const [gone, come] = [
      await deletion({ model, activations, targets, maps, steps: 4, score: 'logit' }),
      await insertion({ model, activations, targets, maps, steps: 4, score: 'logit' }),
    ];
    for (const n of [0, 1]) {
      const [down, up] = [gone.curves[n] as readonly number[], come.curves[n] as readonly number[]];
      expectClose(
        down,
        [0, 3, 6, 9, 12].map((count) => left(n, 'most', count, down[0] as number)),
        SUM,
      );
      // f is additive: what is inserted and what is left after deleting it make the whole.
      expectClose(
        up.map((z, i) => z + (down[i] as number)),
        down.map(() => (down[0] as number) + (down[4] as number)),
        SUM,
      );
      expect(gone.area.values[n]).toBeCloseTo(areaUnder([0, 0.25, 0.5, 0.75, 1], down), 12);
    }
    expect(areaUnder([0, 1, 3], [2, 4, 0])).toBe(7);
  });

  test('maps of another size are refused', async () => {
    const activations = await model.activations(images);
    const wrong = ndArray('float32', [2, 1, 1], new Float32Array(2));
    await expect(deletion({ model, activations, targets, maps: wrong })).rejects.toThrow(
      'removalCurves: maps: not one map of the tap’s size for each image',
    );
  });
});

describe('randomisation check', () => {
  const maps = async (weights: object): Promise<NdArray<'float32'>> =>
    ndArray('float32', [1, 3, 3], randomValues(9, (weights as { seed: { data: Float32Array } }).seed.data[0] as number));
  const spec = { shape: [1], decay: false, init: () => ndArray('float32', [1], Float32Array.of(9)) } as const;
  const network = {
    weights: { seed: { ...spec, role: 'parameter' }, 'a.b.w': { ...spec, role: 'frozen' }, 'a.b.running_var': { ...spec, role: 'frozen' } },
  } as const;

  test('compares before and after, stage by stage', async () => {
    const weights = { seed: ndArray('float32', [1], Float32Array.of(2)) };
    const [head, all] = await randomisationCheck({ network, weights, maps, stages: [['a.b.w'], ['seed']] });
    expect(head?.similarity.mean).toBeCloseTo(1, 12);
    expect(all?.randomised).toEqual(['a.b.w', 'seed']);
    expect(all?.similarity.values[0]).toBeLessThan(0.9);
    expect(cascade(network)).toEqual([['a.b.w'], ['seed']]);
  });
});
