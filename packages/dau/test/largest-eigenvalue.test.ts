import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
// Registers tfjs's gradients.
import '@coda-nets/core';
import { expectClose, expectOnlyResult, finiteDifference, randomValues, useBackend } from '@coda-nets/tools/testkit';
import { largestEigenvalue } from '../src/largest-eigenvalue.ts';
import { symmetricEigen } from './symmetric-eigen.ts';

/** G = AᵀA in float32 against float64: a few roundings of its largest entry. */
const valueTolerance = 2e-6;
/** The projector's entries, whose error is that of G over the gap between the first two eigenvalues. */
const gradientTolerance = { rtol: 1e-4, relativeTo: 'largest' } as const;

beforeAll(() => useBackend('cpu'));

/** AᵀA of random [d, r], in float64 and as float32. */
function gram(d: number, r: number, seed: number, scale = 1): Float64Array {
  const A = randomValues(d * r, seed);
  return Float64Array.from({ length: r * r }, (_, e) => {
    let sum = 0;
    for (let i = 0; i < d; i++) sum += (A[i * r + Math.floor(e / r)] as number) * (A[i * r + (e % r)] as number);
    return sum * scale;
  });
}

const lambda = (G: Float64Array, r: number): number => symmetricEigen(G, r).values[0] as number;
const tensor = (G: ArrayLike<number>, r: number): tf.Tensor3D => tf.tensor3d(Float32Array.from(G), [G.length / (r * r), r, r]);

describe('symmetricEigen, which the tests lean on', () => {
  it('takes a matrix apart into orthonormal vectors that put it together again', () => {
    const r = 7;
    const G = gram(5, r, 1);
    const { values, vectors } = symmetricEigen(G, r);
    const product = Float64Array.from({ length: r * r }, (_, e) =>
      values.reduce((sum, value, i) => sum + value * (vectors[i]?.[Math.floor(e / r)] as number) * (vectors[i]?.[e % r] as number), 0),
    );
    expectClose(product, G, { atol: 1e-13 });
    const inner = vectors.flatMap((v) => vectors.map((w) => v.reduce((sum, x, i) => sum + x * (w[i] as number), 0)));
    expectClose(
      inner,
      vectors.flatMap((_, i) => vectors.map((_, j) => (i === j ? 1 : 0))),
      { atol: 1e-14 },
    );
    // d = 5 < r: rank 5.
    expectClose(values.slice(5), [0, 0], { atol: 1e-13 });
  });
});

describe('largestEigenvalue', () => {
  it.each([
    [1, 1],
    [3, 2],
    [2, 5],
    [20, 7],
    [40, 32],
  ])('is λmax from above, to the roundings of float32 (d = %i, r = %i)', (d, r) => {
    tf.tidy(() => {
      const matrices = [1, 2, 3].map((seed) => gram(d, r, seed));
      const stacked = tensor(
        matrices.flatMap((G) => [...G]),
        r,
      );
      const found = expectOnlyResult(() => largestEigenvalue(stacked)).dataSync();
      for (const [i, G] of matrices.entries()) {
        const ratio = (found[i] as number) / lambda(G, r);
        expect(ratio).toBeGreaterThan(1 - valueTolerance);
        expect(ratio).toBeLessThan(1 + valueTolerance + Math.log(r) / 2 ** 20);
      }
    });
  });

  it.each([2, 3, 5, 10])('is a bound after %i squarings, within 1 / (1 − ln r / m)', (squarings) => {
    tf.tidy(() => {
      const r = 12;
      const matrices = [gram(9, r, 4), gram(9, r, 5), Float64Array.from({ length: r * r }, (_, e) => (e % (r + 1) === 0 ? 1 : 0))];
      for (const G of matrices) {
        const ratio = (largestEigenvalue(tensor(G, r), squarings).dataSync()[0] as number) / lambda(G, r);
        expect(ratio).toBeGreaterThan(1 - valueTolerance);
        expect(ratio).toBeLessThan(1 / (1 - Math.log(r) / 2 ** squarings) + valueTolerance);
      }
    });
  });

  it.each([1e-25, 1e-12, 1e12, 1e25])('neither overflows nor underflows at a scale of %s', (scale) => {
    tf.tidy(() => {
      const G = gram(6, 4, 6, scale);
      expectClose(largestEigenvalue(tensor(G, 4)), [lambda(G, 4)], { rtol: 2 * valueTolerance });
    });
  });

  it('has the derivative of λmax as its gradient', () => {
    tf.tidy(() => {
      const r = 5;
      for (const seed of [1, 2, 3]) {
        const G = gram(8, r, seed);
        const gradient = tf.grad((t: tf.Tensor) => tf.mul(tf.sum(largestEigenvalue(t as tf.Tensor3D)), -3))(tensor(G, r));
        // Eigenvalues of the symmetric part: an entry above the diagonal counts for both.
        const slow = (H: Float64Array): number =>
          -3 *
          lambda(
            H.map((x, e) => (x + (H[(e % r) * r + Math.floor(e / r)] as number)) / 2),
            r,
          );
        expectClose(gradient, finiteDifference(slow, G), gradientTolerance);
      }
    });
  });

  it('shares the gradient evenly among equal eigenvalues, and has none at 0', () => {
    tf.tidy(() => {
      const gradient = (G: tf.Tensor): Float32Array =>
        tf
          .grad((t: tf.Tensor) => tf.sum(largestEigenvalue(t as tf.Tensor3D)))(G)
          .dataSync() as Float32Array;
      expectClose(gradient(tensor([2, 0, 0, 0, 2, 0, 0, 0, 1], 3)), [0.5, 0, 0, 0, 0.5, 0, 0, 0, 0], { atol: 1e-5 });
      expect([...gradient(tf.zeros([2, 3, 3]))].every((x) => x === 0)).toBe(true);
      expect(largestEigenvalue(tf.zeros([1, 3, 3])).dataSync()[0]).toBe(0);
    });
  });
});
