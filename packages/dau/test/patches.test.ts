import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectClose, expectOnlyResult, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import { gatherPatches, patchCount, scatterPatches } from '../src/patches.ts';

/** Sums of at most a few hundred products of float32 numbers of size 1. */
const tolerance = { rtol: 1e-5, atol: 1e-4 } as const;

beforeAll(() => useBackend('cpu'));

const geometry = fc
  .record({ kernel: fc.integer({ min: 1, max: 5 }), stride: fc.integer({ min: 1, max: 12 }), padding: fc.integer({ min: 0, max: 3 }) })
  .filter(({ kernel, padding }) => padding < kernel);
const size = fc.integer({ min: 1, max: 9 });
const problem = fc
  .record({ geometry, height: size, width: size, channels: fc.integer({ min: 1, max: 3 }), seed: fc.integer({ min: 0, max: 1e6 }) })
  .filter(({ geometry: { kernel, padding }, height, width }) => Math.min(height, width) + 2 * padding >= kernel);

describe('patches', () => {
  it('are what a convolution with one-hot filters takes out', () => {
    fc.assert(
      fc.property(problem, ({ geometry, height, width, channels, seed }) =>
        tf.tidy(() => {
          const x = randomTensor<tf.Rank.R4>([2, height, width, channels], seed);
          const { kernel: k, stride, padding } = geometry;
          const d = k * k * channels;
          const filter = tf.reshape(tf.eye(d), [k, k, channels, d]) as tf.Tensor4D;
          const expected = tf.conv2d(
            tf.pad(x, [
              [0, 0],
              [padding, padding],
              [padding, padding],
              [0, 0],
            ]),
            filter,
            stride,
            'valid',
          );
          const patches = expectOnlyResult(() => gatherPatches(x, geometry));
          expect(patches.shape).toEqual([2 * patchCount(height, geometry) * patchCount(width, geometry), d]);
          expectClose(patches, tf.reshape(expected, patches.shape), tolerance);
        }),
      ),
      { numRuns: 100, seed: 20_261_125 },
    );
  });

  it('go back by the adjoint: ⟨gather(x), y⟩ = ⟨x, scatter(y)⟩', () => {
    fc.assert(
      fc.property(problem, ({ geometry, height, width, channels, seed }) =>
        tf.tidy(() => {
          const x = randomTensor<tf.Rank.R4>([2, height, width, channels], seed);
          const patches = expectOnlyResult(() => gatherPatches(x, geometry));
          const y = randomTensor<tf.Rank.R2>(patches.shape, seed + 1);
          const back = expectOnlyResult(() => scatterPatches(y, x.shape, geometry));
          expect(back.shape).toEqual(x.shape);
          expectClose(tf.sum(tf.mul(x, back)), tf.sum(tf.mul(patches, y)), tolerance);
        }),
      ),
      { numRuns: 200, seed: 20_261_125 },
    );
  });
});
