import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { withDynamicWeightsHeld } from '@coda-nets/core';
import { randomTensor, useBackend } from '@coda-nets/tools/testkit';
import { edauBounds, edauConv, type EdauBound, type EdauWeights } from '../src/index.ts';
import { edauProblem } from './edau-problem.ts';
import type { UnitCase } from './unit-cases.ts';

/** How far rounding may take ‖w‖ above 1: a few ulps of each of two norms, and of the sum. */
const boundTolerance = 1e-5;

beforeAll(() => useBackend('cpu'));

/** ‖patch‖ of every position, [N, H', W', 1]. */
function patchNorm(x: tf.Tensor4D, { k, stride, padding }: Pick<UnitCase, 'k' | 'stride' | 'padding'>): tf.Tensor {
  const squares = tf.pad(tf.square(x), [
    [0, 0],
    [padding, padding],
    [padding, padding],
    [0, 0],
  ]) as tf.Tensor4D;
  return tf.sqrt(tf.conv2d(squares, tf.ones([k, k, x.shape[3], 1]) as tf.Tensor4D, stride, 'valid'));
}

/** w(x) of one unit at the one position of x [1, k, k, C]: the gradient under held weights. */
function weightOf(x: tf.Tensor4D, weights: EdauWeights, bound: EdauBound): tf.Tensor {
  return withDynamicWeightsHeld(() => tf.grad((t: tf.Tensor) => tf.sum(edauConv(t as tf.Tensor4D, weights, { bound })))(x));
}

describe('keeps its promise', () => {
  const dimension = fc.integer({ min: 1, max: 4 });
  const power = fc.integer({ min: -5, max: 5 });
  const arbitrary = [
    dimension,
    dimension,
    dimension,
    fc.integer({ min: 1, max: 6 }),
    fc.constantFrom<EdauBound>(...edauBounds),
    fc.integer({ min: 0, max: 1e6 }),
    power,
    power,
    power,
  ] as const;
  const drawn = (k: number, C: number, n: number, r: number, bound: EdauBound, seed: number, powers: readonly number[], size: number) => {
    const c = { size: [1, size, size, C], k, n, r, stride: 1, padding: 0 } as const;
    const { x, weights } = edauProblem(c, seed, bound);
    const [X, A, B] = [x, weights.A, weights.B].map((t, i) => tf.mul(t, 10 ** (powers[i] as number))) as [
      tf.Tensor4D,
      tf.Tensor,
      tf.Tensor,
    ];
    return { x: X, weights: { A, B }, c };
  };

  it('‖w‖ ≤ 1 for any weights and any input', () => {
    fc.assert(
      fc.property(...arbitrary, (k, C, _, r, bound, seed, ...powers) => {
        tf.tidy(() => {
          const { x, weights } = drawn(k, C, 1, r, bound, seed, powers, k);
          const length = tf.norm(weightOf(x, weights, bound)).dataSync()[0] as number;
          expect(length).toBeLessThanOrEqual(1 + boundTolerance);
        });
      }),
      { numRuns: 300, seed: 20_240_601 },
    );
  });

  it('|out| ≤ ‖x‖ for any weights and any input', () => {
    fc.assert(
      fc.property(...arbitrary, (k, C, n, r, bound, seed, ...powers) => {
        tf.tidy(() => {
          const { x, weights, c } = drawn(k, C, n, r, bound, seed, powers, k + 2);
          const y = edauConv(x, weights, { bound, padding: 1 });
          const excess = tf.sub(tf.abs(y), tf.mul(patchNorm(x, { ...c, padding: 1 }), 1 + boundTolerance));
          expect(tf.max(excess).dataSync()[0]).toBeLessThanOrEqual(0);
        });
      }),
      { numRuns: 150, seed: 20_240_601 },
    );
  });

  it('the spectral bound is the tighter one: its weight is never the shorter', () => {
    fc.assert(
      fc.property(dimension, dimension, fc.integer({ min: 1, max: 6 }), fc.integer({ min: 0, max: 1e6 }), (k, C, r, seed) => {
        tf.tidy(() => {
          const { x, weights } = drawn(k, C, 1, r, 'spectral', seed, [0, 0, 0], k);
          const [frobenius, spectral] = (['frobenius', 'spectral'] as const).map(
            (bound) => tf.norm(weightOf(x, weights, bound)).dataSync()[0] as number,
          );
          expect(frobenius).toBeLessThanOrEqual((spectral as number) + boundTolerance);
        });
      }),
      { numRuns: 50, seed: 20_240_601 },
    );
  });
});

it.each(edauBounds)('reaches the bound where the weight aligns with the patch (%s)', (bound) => {
  tf.tidy(() => {
    // AB = x xᵀ, of rank 1.
    const x = tf.tensor4d([3, 0, 4], [1, 1, 1, 3]);
    const weights = { A: tf.reshape(tf.mul(x, 7), [1, 1, 3, 1, 1]), B: tf.reshape(tf.mul(x, 0.1), [1, 1, 3, 1]) };
    expect(edauConv(x, weights, { bound }).dataSync()[0]).toBeCloseTo(5, 4);
  });
});

it('reaches the spectral bound at full rank, where the other two cannot', () => {
  tf.tidy(() => {
    const x = tf.tensor4d([1, 2, 3, 4], [1, 1, 1, 4]);
    const weights = { A: tf.reshape(tf.eye(4), [1, 1, 4, 1, 4]), B: tf.reshape(tf.eye(4), [1, 1, 4, 4]) };
    const [frobenius, spectral, product] = edauBounds.map((bound) => edauConv(x, weights, { bound }).dataSync()[0] as number);
    expect(spectral).toBeCloseTo(Math.sqrt(30), 4);
    expect(frobenius).toBeCloseTo(Math.sqrt(30) / 2, 4);
    expect(product).toBeCloseTo(Math.sqrt(30) / 2, 4);
  });
});

const shape = { x: [1, 3, 3, 2], A: [3, 3, 2, 2, 2], B: [3, 3, 2, 2] } as const;
it.each(edauBounds.flatMap((bound) => [['x'], ['A'], ['B'], ['A', 'B'], ['x', 'A', 'B']].map((zeros) => [bound, zeros] as const)))(
  'is 0 with finite gradients where its norms are (%s, zeros in %j)',
  (bound, zeros) => {
    tf.tidy(() => {
      const values = Object.entries(shape).map(([name, s], i) =>
        zeros.includes(name) ? tf.zeros([...s]) : randomTensor([...s] as never, i),
      );
      const run = (x: tf.Tensor, A: tf.Tensor, B: tf.Tensor): tf.Scalar =>
        tf.sum(edauConv(x as tf.Tensor4D, { A, B }, { bound, padding: 1 }));
      expect(run(...(values as [tf.Tensor, tf.Tensor, tf.Tensor])).dataSync()[0]).toBe(0);
      for (const gradient of tf.grads(run as never)(values)) expect(gradient.dataSync().every(Number.isFinite)).toBe(true);
      const held = withDynamicWeightsHeld(() => tf.grads(run as never)(values));
      for (const gradient of held) expect(gradient.dataSync().every(Number.isFinite)).toBe(true);
    });
  },
);

it('is finite where rounding takes ‖A B‖_F² below 0 (product)', () => {
  tf.tidy(() => {
    // All rows of B are equal, and the columns of each A sum to 0, so that A B = 0 but for rounding.
    const [d, n] = [6, 64];
    const columns = [1, 2].map((seed) => randomTensor([d, n] as never, seed, { min: -100, max: 100 }));
    const A = tf.reshape(tf.stack([...columns, tf.neg(tf.addN(columns))], 2), [1, 1, d, n, 3]);
    const row = randomTensor([d, 1] as never, 3);
    const B = tf.reshape(tf.concat([row, row, row], 1), [1, 1, d, 3]);
    const x = randomTensor<tf.Rank.R4>([1, 1, 1, d], 4);
    const run = (t: tf.Tensor): tf.Scalar => tf.sum(edauConv(t as tf.Tensor4D, { A, B }, { bound: 'product' }));
    const { value, grad } = tf.valueAndGrad(run)(x);
    expect(Number.isFinite(value.dataSync()[0])).toBe(true);
    expect(grad.dataSync().every(Number.isFinite)).toBe(true);
  });
});
