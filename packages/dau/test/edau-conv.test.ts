import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { withDynamicWeightsHeld } from '@coda-nets/core';
import { expectClose, expectOnlyResult, finiteDifference, randomValues, useBackend } from '@coda-nets/tools/testkit';
import { edauBounds, edauConv, type EdauBound } from '../src/index.ts';
import { geometryOf } from './geometry-of.ts';
import { edauProblem } from './edau-problem.ts';
import { unitCases, type UnitCase } from './unit-cases.ts';
import { slowEdau, slowEdauUnits } from './slow-edau.ts';

/** float32 sums of up to 75·7 products against float64, through two square roots; relative to the largest, since the sums cancel. */
const valueTolerance = { rtol: 5e-6, relativeTo: 'largest' } as const;
/** The same with one more level of sums; the projector of the spectral norm is less exact where two eigenvalues are close. */
const gradientTolerance = { rtol: 5e-5, relativeTo: 'largest' } as const;
/** Over one number w = ±1: its gradient is 0, left over when terms of size 10 cancel in float32. */
const zeroGradient = { atol: 1e-5 } as const;

beforeAll(() => useBackend('cpu'));

const variants = unitCases.flatMap((c) => edauBounds.flatMap((bound) => [1, 2].map((seed) => [bound, seed, c] as const)));
const named = variants.map(([bound, seed, c]) => [`${bound} seed ${seed} ${JSON.stringify(c)}`, bound, seed, c] as const);

describe('edauConv', () => {
  it('computes the example one can check by hand', () => {
    // d = 3, r = 2: A = [[1,0],[0,1],[1,1]], B = [[1,0,1],[0,1,0]], x = [1, 2, −1]; u = Bx = [0, 2], Aᵀx = [0, 1], (Aᵀx)·u = 2, ‖u‖ = 2.
    // AᵀA = [[2,1],[1,2]] with eigenvalues 3 and 1, so that ‖A‖₂ = √3; ‖A‖_F = 2; BBᵀ = diag(2, 1), ‖AB‖_F² = 6; ‖x‖² = 6.
    const output = (bound: EdauBound): number =>
      tf.tidy(() => {
        const weights = {
          A: tf.tensor([1, 0, 0, 1, 1, 1], [1, 1, 3, 1, 2]),
          B: tf.tensor([1, 0, 0, 1, 1, 0], [1, 1, 3, 2]),
        };
        return edauConv(tf.tensor4d([1, 2, -1], [1, 1, 1, 3]), weights, { bound }).dataSync()[0] as number;
      });
    expect(output('frobenius')).toBeCloseTo(2 / (2 * 2), 5);
    expect(output('spectral')).toBeCloseTo(2 / (Math.sqrt(3) * 2), 5);
    expect(output('product')).toBeCloseTo(2 / 6, 5);
  });

  it.each(named)('equals the explicit form (%s)', (_, bound, seed, c) => {
    tf.tidy(() => {
      const { x, weights, slow } = edauProblem(c, seed, bound);
      const y = expectOnlyResult(() => edauConv(x, weights, { ...geometryOf(c), bound }));
      const side = (length: number): number => Math.floor((length + 2 * c.padding - c.k) / c.stride) + 1;
      expect(y.shape).toEqual([c.size[0], side(c.size[1]), side(c.size[2]), c.n]);
      expectClose(y, slowEdau(slow), valueTolerance);
      // The same however it is called: held weights change gradients alone.
      expect(withDynamicWeightsHeld(() => edauConv(x, weights, { ...geometryOf(c), bound })).dataSync()).toEqual(y.dataSync());
    });
  });

  it('is bounded by the Frobenius norm unless told otherwise', () => {
    tf.tidy(() => {
      const { x, weights } = edauProblem(unitCases[1] as UnitCase, 1, 'frobenius');
      expect(edauConv(x, weights).dataSync()).toEqual(
        edauConv(x, weights, { bound: 'frobenius', stride: 1, padding: 0, eps: 1e-12 }).dataSync(),
      );
    });
  });

  it.each(edauBounds)('leaves one tensor, its result (%s)', (bound) => {
    const [x, A, B] = [tf.ones([1, 3, 3, 2]), tf.ones([3, 3, 2, 2, 2]), tf.ones([3, 3, 2, 2])] as const;
    const before = tf.memory().numTensors;
    const y = edauConv(x as tf.Tensor4D, { A, B }, { bound, padding: 1 });
    expect(tf.memory().numTensors).toBe(before + 1);
    tf.dispose([x, A, B, y]);
  });

  it.each(named.filter(([, , seed, c]) => seed === 1 && c.size[1] < 9))(
    'has the gradients of the explicit form (%s)',
    (_, bound, seed, c) => {
      tf.tidy(() => {
        const { x, weights, slow } = edauProblem(c, seed, bound);
        const direction = randomValues(slowEdau(slow).length, seed + 400);
        const loss = (x: tf.Tensor, A: tf.Tensor, B: tf.Tensor): tf.Scalar => {
          const y = edauConv(x as tf.Tensor4D, { A, B }, { ...geometryOf(c), bound });
          return tf.sum(tf.mul(y, tf.tensor(direction, y.shape)));
        };
        const gradients = tf.grads(loss as never)([x, weights.A, weights.B]);
        for (const [i, name] of (['x', 'A', 'B'] as const).entries()) {
          const slowLoss = (value: Float64Array): number =>
            slowEdau({ ...slow, [name]: value }).reduce((sum, y, j) => sum + y * (direction[j] as number), 0);
          expectClose(gradients[i] as tf.Tensor, finiteDifference(slowLoss, slow[name]), {
            ...gradientTolerance,
            ...zeroGradient,
          });
        }
      });
    },
  );

  it.each(named)('has w(x) as its gradient under held weights, and gradient × x sums to the output (%s)', (_, bound, seed, c) => {
    tf.tidy(() => {
      const { x, weights, slow } = edauProblem(c, seed, bound);
      const units = slowEdauUnits(slow);
      const direction = randomValues(units.length, seed + 400);
      const loss = (x: tf.Tensor): tf.Scalar => {
        const y = edauConv(x as tf.Tensor4D, weights, { ...geometryOf(c), bound });
        return tf.sum(tf.mul(y, tf.tensor(direction, y.shape)));
      };
      const { value, grad } = withDynamicWeightsHeld(() => tf.valueAndGrad(loss as never)(x));
      // Σ direction·w, put back where its patch was taken from: the same loops over an input of indices.
      const index = slowEdauUnits({ ...slow, x: slow.x.map((_, i) => i + 1) });
      const expected = new Float64Array(slow.x.length);
      for (const [u, { w }] of units.entries()) {
        for (const [i, wi] of w.entries()) {
          const place = ((index[u] as { patch: Float64Array }).patch[i] as number) - 1;
          if (place >= 0) expected[place] = (expected[place] as number) + wi * (direction[u] as number);
        }
      }
      expectClose(grad, expected, gradientTolerance);
      const contributions = tf.mul(grad, x);
      const scale = tf.sum(tf.abs(contributions)).dataSync()[0] as number;
      expectClose(tf.sum(contributions), value, { atol: 1e-6 * scale });
    });
  });

  it('has a gradient of 0 by its weights where they are held', () => {
    tf.tidy(() => {
      const { x, weights } = edauProblem(unitCases[1] as UnitCase, 1, 'frobenius');
      const byA = (A: tf.Tensor): tf.Tensor => tf.sum(edauConv(x, { ...weights, A }));
      const held = withDynamicWeightsHeld(() => tf.grad(byA)(weights.A));
      expect(tf.max(tf.abs(held)).dataSync()[0]).toBe(0);
    });
  });

  it('has no gradient × input decomposition without the scope', () => {
    tf.tidy(() => {
      for (const bound of edauBounds) {
        const { x, weights } = edauProblem(unitCases[1] as UnitCase, 1, bound);
        const { value, grad } = tf.valueAndGrad((t: tf.Tensor) => tf.sum(edauConv(t as tf.Tensor4D, weights, { bound })))(x);
        // Each unit is homogeneous of degree 1 in x, so that the whole sums up by Euler's theorem, and no single position does.
        expectClose(tf.sum(tf.mul(grad, x)), value, { rtol: 1e-4 });
        const held = withDynamicWeightsHeld(() => tf.grad((t: tf.Tensor) => tf.sum(edauConv(t as tf.Tensor4D, weights, { bound })))(x));
        expect(tf.max(tf.abs(tf.sub(grad, held))).dataSync()[0]).toBeGreaterThan(1e-2);
      }
    });
  });

  it.each([
    [
      'another channel count',
      [1, 4, 4, 5],
      'edauConv: x: x does not fit a 3×3 kernel with padding 0 over 2 channels; expected [N, H, W, 2] with H and W at least 3, got [1, 4, 4, 5]',
    ],
    [
      'a map smaller than the kernel',
      [1, 2, 4, 2],
      'edauConv: x: x does not fit a 3×3 kernel with padding 0 over 2 channels; expected [N, H, W, 2] with H and W at least 3, got [1, 2, 4, 2]',
    ],
  ])('names %s', (_, shape, text) => {
    tf.tidy(() => {
      const weights = { A: tf.zeros([3, 3, 2, 4, 5]), B: tf.zeros([3, 3, 2, 5]) };
      expect(() => edauConv(tf.zeros(shape as never) as tf.Tensor4D, weights)).toThrow(text);
    });
  });

  it('names the weight that does not fit the others', () => {
    tf.tidy(() => {
      const weights = { A: tf.zeros([3, 3, 2, 4, 5]), B: tf.zeros([3, 3, 2, 4]) };
      expect(() => edauConv(tf.zeros([1, 4, 4, 2]), weights)).toThrow(
        'edauConv: weights.B: the weights do not fit together: A [k, k, C, n, r], B [k, k, C, r]; expected [3, 3, 2, 5], got [3, 3, 2, 4]',
      );
    });
  });

  it('names the nearest bound for one that there is not', () => {
    tf.tidy(() => {
      const { x, weights } = edauProblem(unitCases[1] as UnitCase, 1, 'spectral');
      expect(() => edauConv(x, weights, { bound: 'spectrum' as EdauBound })).toThrow(
        'edauConv: bound: no such bound; expected one of frobenius, spectral, product, got "spectrum". Did you mean "spectral"?',
      );
    });
  });
});
