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
/** v itself is rounded to κ·2⁻²⁴ of its length, 3·10⁻⁵ at κ = 480, and its parts are some ten times as long as their sum. */
const explicitTolerance = { rtol: 1e-3, relativeTo: 'largest' } as const;
/** Of the units in a sum. */
const mix = [1, -0.5];
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

  const forms = (['low-rank', 'explicit'] as const).flatMap((form) => (['sq', 'l2'] as const).map((norm) => [form, norm] as const));
  it.each(forms)('the gradient is that of the values, differences in float64 (%s, %s)', (form, norm) => {
    tf.tidy(() => {
      const { x: positions, weights } = cancelling(3, 2, 2, 2e-3);
      const x: tf.Tensor4D = tf.slice(positions, [0, 0, 0, 0], [1, 1, 1, 3]);
      const given = { x, ...weights };
      const doubles = { x: float64(x), A: float64(weights.A), B: float64(weights.B), b: float64(weights.b) };
      const { kappa, value } = slowUnits(doubles, form, norm);
      expect(Math.max(...kappa)).toBeGreaterThan(400); // where the low-rank form is guarded

      const tolerance = form === 'explicit' ? explicitTolerance : gradientTolerance;
      for (const layer of [
        (p: tf.Tensor4D, w: DauWeights) => dauConv(p, w, { norm, form }),
        (p: tf.Tensor4D, w: DauWeights) => dauMap(p, p, w, { norm, form }),
      ]) {
        const loss = (p: tf.Tensor, A: tf.Tensor, B: tf.Tensor, b: tf.Tensor): tf.Scalar =>
          tf.sum(tf.mul(layer(p as tf.Tensor4D, { A, B, b }), mix)) as tf.Scalar;
        const found = tf.valueAndGrads((...all) => loss(...(all as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor])))([
          x,
          weights.A,
          weights.B,
          weights.b,
        ]);
        expectClose(found.value, [value], tolerance);
        for (const [i, key] of (['x', 'A', 'B', 'b'] as const).entries()) {
          const differences = Array.from({ length: given[key].size }, (_, e) => {
            const moved = (by: number): number => {
              const values = Float64Array.from(doubles[key], (v, k) => v + (k === e ? by : 0));
              // the guard counts as a constant in the gradient
              return slowUnits({ ...doubles, [key]: values }, form, norm, slowUnits(doubles, form, norm).f).value;
            };
            return (moved(1e-7) - moved(-1e-7)) / 2e-7;
          });
          expectClose(tf.reshape(found.grads[i] as tf.Tensor, [-1]), differences, tolerance);
        }
      }
    });
  });
});

/** One position: Σ_j mix_j·out_j for d = 3, n = 2, r = 2 as written, with the low-rank form's guard in that form alone; κ_j = S_j/‖v_j‖. */
function slowUnits(
  { x, A, B, b }: Record<'x' | 'A' | 'B' | 'b', Float64Array>,
  form: 'low-rank' | 'explicit',
  norm: DauNorm,
  guards?: readonly number[],
): { readonly value: number; readonly kappa: number[]; readonly f: number[] } {
  const [d, n, r] = [3, 2, 2];
  const sum = (count: number, term: (i: number) => number): number =>
    Array.from({ length: count }, (_, i) => term(i)).reduce((t, v) => t + v, 0);
  const u = [0, 1].map((t) => sum(d, (i) => x[i]! * B[i * r + t]!));
  const units = [0, 1].map((j) => {
    const a = (i: number, t: number): number => A[(i * n + j) * r + t]!;
    const v = [0, 1, 2].map((i) => sum(r, (t) => a(i, t) * u[t]!) + b[i * n + j]!);
    const s = sum(d, (i) => v[i]! ** 2) + 1e-12;
    const gram = sum(r, (t) => sum(r, (q) => sum(d, (i) => a(i, t) * a(i, q)) ** 2));
    const size = Math.sqrt(gram) * sum(r, (t) => u[t]! ** 2) + sum(d, (i) => b[i * n + j]! ** 2);
    const f = form === 'explicit' ? 0 : (guards?.[j] ?? 2 ** -18 * size);
    const N2 = s + f ** 2 / (s + f);
    return {
      out: sum(d, (i) => v[i]! * x[i]!) * (norm === 'l2' ? 1 / Math.sqrt(N2) : Math.sqrt(N2) / (1 + N2)),
      kappa: Math.sqrt(size / s),
      f,
    };
  });
  return { value: sum(n, (j) => mix[j]! * units[j]!.out), kappa: units.map(({ kappa }) => kappa), f: units.map(({ f }) => f) };
}

function float64(t: tf.Tensor): Float64Array {
  return Float64Array.from(t.dataSync());
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
