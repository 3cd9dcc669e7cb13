import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { withDynamicWeightsHeld } from '@coda-nets/core';
import { expectClose, randomTensor } from '@coda-nets/tools/testkit';
import { dauAlignment, dauConv, dauMap, edauConv, type DauNorm, type DauWeights } from '../src/index.ts';
import { describeOnBackends } from './backends.ts';

/** Half the square of what float32 may lose of ‖v‖² over what is added for it, 1/32: 5·10⁻⁴, and the roundings of the products. */
const boundTolerance = 1e-3;
/** Of the gradient where v cancels: f counts as a constant, and the values the difference is made of are rounded too. */
const gradientTolerance = { rtol: 2e-2, relativeTo: 'largest' } as const;
/** The promise of the two forms, where v does not cancel. */
const formTolerance = { rtol: 1e-6, relativeTo: 'largest' } as const;

/** Units whose b is −A u times 1 + δ at the first position: v is δ A u there, far below A u and b. */
function cancelling(d: number, n: number, r: number, delta: number): { readonly x: tf.Tensor4D; readonly weights: DauWeights } {
  const x = randomTensor<tf.Rank.R4>([1, 1, 4, d], 1);
  const A = randomTensor([1, 1, d, n, r] as never, 2);
  const B = randomTensor([1, 1, d, r] as never, 3);
  const [p, a, w] = [x.dataSync(), A.dataSync(), B.dataSync()];
  const u = Array.from({ length: r }, (_, t) =>
    Array.from({ length: d }, (_, i) => (p[i] as number) * (w[i * r + t] as number)).reduce((s, v) => s + v, 0),
  );
  const b = Float32Array.from(
    { length: d * n },
    (_, e) => -(1 + delta * ((e % 7) - 3)) * u.reduce((sum, ut, t) => sum + ut * (a[e * r + t] as number), 0),
  );
  return { x, weights: { A, B, b: tf.tensor(b, [1, 1, d, n]) } };
}

const sizes = [
  [1, 40, 1],
  [3, 40, 2],
  [9, 20, 4],
  [64, 20, 32],
] as const;
const cases = sizes.flatMap(([d, n, r]) =>
  [0, 1e-7, 1e-5, 1e-4, 1e-3].flatMap((delta) => (['sq', 'l2'] as const).map((norm) => [norm, d, n, r, delta] as const)),
);

describeOnBackends('where v cancels', () => {
  it.each(cases)('|out| ≤ ‖p‖ and ‖w‖ ≤ 1 hold (%s, d = %i, n = %i, r = %i, δ = %s)', (norm, d, n, r, delta) => {
    tf.tidy(() => {
      const { x, weights } = cancelling(d, n, r, delta);
      for (const form of ['low-rank', 'explicit'] as const) {
        const excess = tf.max(tf.div(tf.abs(dauConv(x, weights, { norm, form })), tf.norm(x, 2, 3, true))).dataSync()[0] as number;
        expect(excess, form).toBeLessThanOrEqual(1 + boundTolerance);
        const { norm: length } = dauAlignment(x, weights, { norm, form });
        expect(tf.max(length).dataSync()[0], form).toBeLessThanOrEqual(1 + boundTolerance);
      }
      // w itself: the gradient under held weights, unit by unit
      const w = withDynamicWeightsHeld(() =>
        tf.grad((t: tf.Tensor) =>
          tf.sum(tf.slice(dauConv(t as tf.Tensor4D, weights, { norm, form: 'low-rank' }), [0, 0, 0, 0], [1, 1, 1, 1])),
        )(x),
      );
      expect(tf.norm(w).dataSync()[0]).toBeLessThanOrEqual(1 + boundTolerance);
    });
  });

  it.each<DauNorm>(['sq', 'l2'])('both forms and the map stay one function where it does not (%s)', (norm) => {
    tf.tidy(() => {
      const { x, weights } = cancelling(64, 20, 32, 1);
      const explicit = dauConv(x, weights, { norm, form: 'explicit' });
      expectClose(dauConv(x, weights, { norm, form: 'low-rank' }), explicit, formTolerance);
      for (const form of ['low-rank', 'explicit'] as const) expectClose(dauMap(x, x, weights, { norm, form }), explicit, formTolerance);
    });
  });

  it('the gradient is that of the values: differences across the guard', () => {
    tf.tidy(() => {
      const norm = 'l2';
      const { x, weights } = cancelling(3, 1, 2, 2e-3);
      const out = (t: tf.Tensor): tf.Tensor =>
        tf.slice(dauConv(t as tf.Tensor4D, weights, { norm, form: 'explicit' }), [0, 0, 0, 0], [1, 1, 1, 1]);
      const gradient = tf.slice(tf.grad((t: tf.Tensor) => tf.sum(out(t)))(x), [0, 0, 0, 0], [1, 1, 1, 3]).dataSync();
      const values = Float64Array.from(x.dataSync());
      const doubles = (t: tf.Tensor): Float64Array => Float64Array.from(t.dataSync());
      const { A, B, b } = { A: doubles(weights.A), B: doubles(weights.B), b: doubles(weights.b) };
      // the guard again, in float64
      const loss = (p: Float64Array): number => {
        const { v } = guardedUnit({ A, B, b, p });
        const u = [0, 1].map((t) => p[0]! * B[t]! + p[1]! * B[2 + t]! + p[2]! * B[4 + t]!);
        const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value * value, 0);
        const [s, f] = [sum(v) + 1e-12, 2 ** -18 * (sum(A) * sum(u) + sum(b))];
        return v.reduce((total, value, i) => total + value * p[i]!, 0) / Math.sqrt(s + (f * f) / (s + f));
      };
      const step = 1e-7;
      const differences = [0, 1, 2].map((i) => {
        const moved = (by: number): Float64Array => values.slice(0, 3).map((value, j) => value + (i === j ? by : 0));
        return (loss(moved(step)) - loss(moved(-step))) / (2 * step);
      });
      expectClose(gradient, differences, gradientTolerance);
    });
  });
});

function guardedUnit({ A, B, b, p }: { A: Float64Array; B: Float64Array; b: Float64Array; p: Float64Array }): { readonly v: number[] } {
  const u = [0, 1].map((t) => p[0]! * B[t]! + p[1]! * B[2 + t]! + p[2]! * B[4 + t]!);
  return { v: [0, 1, 2].map((i) => b[i]! + A[2 * i]! * u[0]! + A[2 * i + 1]! * u[1]!) };
}

describeOnBackends('product', () => {
  it.each([
    [4, 1, 3],
    [6, 2, 6],
    [3, 1, 9],
    [8, 4, 8],
  ])('keeps ‖w‖ ≤ 1 where A_jB is far smaller than A_j and B (d = %i, n = %i, r = %i)', (d, n, r) => {
    tf.tidy(() => {
      // the columns of A_j are those of one another's negatives, the rows of B the same: A_jB is what rounding leaves, and a little more
      for (const delta of [0, 1e-6, 1e-5, 1e-4, 1e-3]) {
        const column = randomTensor([1, 1, d, n, 1] as never, 5);
        const signs = tf.tensor(
          Array.from({ length: r }, (_, t) => (t % 2 === 0 ? 1 : -1 - delta)),
          [1, 1, 1, 1, r],
        );
        const even = tf.tensor(
          Array.from({ length: r }, (_, t) => (t === r - 1 && r % 2 === 1 ? 0 : 1)),
          [1, 1, 1, 1, r],
        );
        const A = tf.mul(tf.mul(column, signs), even);
        const B = tf.mul(randomTensor([1, 1, d, 1] as never, 6), tf.ones([1, 1, 1, r]));
        const x = randomTensor<tf.Rank.R4>([1, 1, 1, d], 7);
        const w = withDynamicWeightsHeld(() =>
          tf.grad((t: tf.Tensor) =>
            tf.sum(tf.slice(edauConv(t as tf.Tensor4D, { A, B }, { bound: 'product' }), [0, 0, 0, 0], [1, 1, 1, 1])),
          )(x),
        );
        expect(tf.norm(w).dataSync()[0], `δ = ${delta}`).toBeLessThanOrEqual(1 + boundTolerance);
      }
    });
  });
});
