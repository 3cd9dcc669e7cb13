/** The maps of efficient units against full matrices in float64. What they share with those of DAUs: dau-map.test.ts. */
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { withDynamicWeightsHeld } from '@coda-nets/core';
import { expectClose, expectOnlyResult, finiteDifference, randomTensor } from '@coda-nets/tools/testkit';
import { edauAlignment, edauBounds, edauConv, edauMap, edauMapTransposed, type EdauBound, type EdauWeights } from '../src/index.ts';
import { describeOnBackends } from './backends.ts';
import { geometryOf } from './geometry-of.ts';
import { edauProblem } from './edau-problem.ts';
import { unitCases, type UnitCase } from './unit-cases.ts';
import { slowEdauUnits, type SlowEdau } from './slow-edau.ts';
import { slowMatrix, times, transposed, type Matrix } from './slow-linear-map.ts';

/** float32 sums of up to 75·7 products against float64; relative to the largest, since the sums cancel. */
const valueTolerance = { rtol: 5e-6, relativeTo: 'largest' } as const;
/** The same with one more level of sums; the projector of the spectral norm is less exact where two eigenvalues are close. */
const gradientTolerance = { rtol: 5e-5, relativeTo: 'largest' } as const;
/** Of numbers of at most 1: cosines and norms, the spectral bound 6·10⁻⁶ from above among them. */
const unitTolerance = { atol: 1e-5 } as const;

const named = unitCases.flatMap((c) => edauBounds.map((bound) => [`${bound} ${JSON.stringify(c)}`, bound, c] as const));
type Map4D = [number, number, number];

/** The slow twin's images one by one. */
function images({ x, shape: [n, ...size], ...rest }: SlowEdau): SlowEdau[] {
  const length = x.length / n;
  return Array.from({ length: n }, (_, i) => ({ ...rest, shape: [1, ...size], x: x.slice(i * length, (i + 1) * length) }));
}

/** Each of `m` vectors an image times its image's matrix. */
function product(matrices: readonly Matrix[], vectors: tf.Tensor, m: number): number[] {
  const all = Float64Array.from(vectors.dataSync());
  const length = all.length / (matrices.length * m);
  return matrices.flatMap((matrix, i) =>
    Array.from({ length: m }, (_, k) => [...times(matrix, all.slice((i * m + k) * length, (i * m + k + 1) * length))]).flat(),
  );
}

describeOnBackends('edauMap and edauMapTransposed', () => {
  it.each(named)('are the matrix W(x) and its transpose (%s)', (_, bound, c) => {
    tf.tidy(() => {
      const { x, weights, slow } = edauProblem(c, 1, bound);
      const options = { ...geometryOf(c), bound };
      const y = edauConv(x, weights, options);
      expectClose(edauMap(x, x, weights, options), y, valueTolerance);
      const matrices = images(slow).map(slowMatrix);
      for (const m of [1, 2]) {
        const vectors = randomTensor<tf.Rank.R4>([x.shape[0] * m, ...(x.shape.slice(1) as Map4D)], 2);
        const cotangents = randomTensor<tf.Rank.R4>([x.shape[0] * m, ...(y.shape.slice(1) as Map4D)], 3);
        expectClose(edauMap(x, vectors, weights, options), product(matrices, vectors, m), valueTolerance);
        const back = edauMapTransposed(x, cotangents, weights, options);
        expect(back.shape).toEqual(vectors.shape);
        expectClose(back, product(matrices.map(transposed), cotangents, m), valueTolerance);
      }
    });
  });

  it.each(named)('transposed is the gradient of edauConv with û held (%s)', (_, bound, c) => {
    tf.tidy(() => {
      const { x, weights } = edauProblem(c, 1, bound);
      const layer = (t: tf.Tensor): tf.Tensor4D => edauConv(t as tf.Tensor4D, weights, { ...geometryOf(c), bound });
      const y = randomTensor<tf.Rank.R4>(layer(x).shape, 3);
      const held = withDynamicWeightsHeld(() => tf.grad(layer)(x, y));
      expectClose(edauMapTransposed(x, y, weights, { ...geometryOf(c), bound }), held, valueTolerance);
    });
  });

  it.each(named.filter(([, , c]) => c.k < 5))('have the gradients of the loops (%s)', (_, bound, c) => {
    tf.tidy(() => {
      // one image, so that the loops are few
      const { x, weights, slow } = edauProblem({ ...c, size: [1, ...(c.size.slice(1) as Map4D)] } as UnitCase, 1, bound);
      const options = { ...geometryOf(c), bound };
      const y = randomTensor<tf.Rank.R4>(edauConv(x, weights, options).shape, 3);
      const v = randomTensor<tf.Rank.R4>(x.shape, 2);
      const [yValues, vValues] = [Float64Array.from(y.dataSync()), Float64Array.from(v.dataSync())];
      // <y, W v> both ways round
      const forward = (x: tf.Tensor, A: tf.Tensor, B: tf.Tensor): tf.Tensor =>
        tf.sum(tf.mul(y, edauMap(x as tf.Tensor4D, v, { A, B }, options)));
      const back = (x: tf.Tensor, A: tf.Tensor, B: tf.Tensor): tf.Tensor =>
        tf.sum(tf.mul(v, edauMapTransposed(x as tf.Tensor4D, y, { A, B }, options)));
      const args = [x, weights.A, weights.B];
      const both = [tf.grads(forward as never)(args), tf.grads(back as never)(args)];
      for (const [i, name] of (['x', 'A', 'B'] as const).entries()) {
        const loss = (value: Float64Array): number =>
          times(slowMatrix({ ...slow, [name]: value }), vValues).reduce((sum, out, j) => sum + out * (yValues[j] as number), 0);
        const expected = finiteDifference(loss, slow[name]);
        // over one number w = ±1: its gradient is 0, left over when terms of size 10 cancel in float32
        for (const gradients of both) expectClose(gradients[i] as tf.Tensor, expected, { ...gradientTolerance, atol: 1e-5 });
      }
    });
  });

  it('name their own function in errors', () => {
    tf.tidy(() => {
      const weights: EdauWeights = { A: tf.zeros([3, 3, 2, 4, 5]), B: tf.zeros([3, 3, 2, 5]) };
      const ones = (...shape: [number, number, number, number]): tf.Tensor4D => tf.ones(shape);
      expect(() => edauMap(ones(2, 4, 4, 2), ones(3, 4, 4, 2), weights)).toThrow(
        'edauMap: vectors: not the same number of maps for each of the 2 images; expected [m·2, 4, 4, 2], got [3, 4, 4, 2]',
      );
      expect(() => edauMapTransposed(ones(1, 4, 4, 3), ones(1, 2, 2, 4), weights)).toThrow(
        'edauMapTransposed: x: x does not fit a 3×3 kernel',
      );
      expect(() => edauAlignment(ones(1, 4, 4, 2), weights, { bound: 'spectrum' as EdauBound })).toThrow(
        'edauAlignment: bound: no such bound; expected one of frobenius, spectral, product, got "spectrum". Did you mean "spectral"?',
      );
    });
  });
});

describeOnBackends('edauAlignment', () => {
  it.each(named)('is ‖w‖ ≤ 1 and cos ∠(w, patch) of the explicit weights (%s)', (_, bound, c) => {
    tf.tidy(() => {
      const { x, weights, slow } = edauProblem(c, 1, bound);
      const { norm, cosine } = expectOnlyResult(() => edauAlignment(x, weights, { ...geometryOf(c), bound }));
      const length = (v: Float64Array): number => Math.hypot(...v);
      const units = slowEdauUnits(slow);
      expectClose(
        norm,
        units.map(({ w }) => length(w)),
        unitTolerance,
      );
      expectClose(
        cosine,
        units.map(({ w, patch, out }) => out / (length(w) * length(patch))),
        unitTolerance,
      );
      expect(Math.max(...norm.dataSync())).toBeLessThanOrEqual(1 + 1e-6);
    });
  });
});
