import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { withDynamicWeightsHeld } from '@coda-nets/core';
import { expectClose, expectOnlyResult, finiteDifference, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import { codaNorms, dauDense, defaultDauEpsilon, edauBounds, edauDense, type CodaNorm } from '../src/index.ts';
import { slowDau } from './slow-dau.ts';
import { slowEdau } from './slow-edau.ts';

/** float32 against float64 over a few dozen products, relative to the largest, since the sums cancel. */
const valueTolerance = { rtol: 3e-6, relativeTo: 'largest' } as const;
const gradientTolerance = { rtol: 5e-5, relativeTo: 'largest', atol: 1e-5 } as const;

beforeAll(() => useBackend('cpu'));

/** A vector is a map of one position under a 1×1 kernel: what the slow twins of the convolution take. */
function slow(
  norm: CodaNorm,
  batch: number,
  [x, A, B, b]: readonly Float64Array[],
  [d, n, r]: readonly [number, number, number],
): Float64Array {
  const common = {
    x,
    A,
    B,
    shape: [batch, 1, 1, d],
    k: 1,
    n,
    r,
    stride: 1,
    padding: 0,
    eps: defaultDauEpsilon,
  } as never as Parameters<typeof slowEdau>[0];
  return norm === 'sq' || norm === 'l2' ? slowDau({ ...common, b: b as Float64Array, norm }) : slowEdau({ ...common, bound: norm });
}

function unit(norm: CodaNorm, x: tf.Tensor, A: tf.Tensor, B: tf.Tensor, b: tf.Tensor): tf.Tensor2D {
  if (norm === 'sq' || norm === 'l2') return dauDense(x as tf.Tensor2D, { A, B, b }, { norm });
  return edauDense(x as tf.Tensor2D, { A, B }, { bound: norm });
}

const sizes = [
  [1, 1, 1, 1],
  [4, 6, 3, 2],
  [3, 2, 2, 5],
] as const;

describe.each(codaNorms)('the dense unit (%s)', (norm) => {
  it.each(sizes)('equals the explicit form, in value and gradients (%i vectors, d = %i, n = %i, r = %i)', (batch, d, n, r) => {
    tf.tidy(() => {
      const tensors = [
        [batch, d],
        [d, n, r],
        [d, r],
        [d, n],
      ].map((shape, i) => randomTensor(shape as never, i + 1));
      const values = tensors.map((t) => Float64Array.from(t.dataSync()));
      const y = expectOnlyResult(() => unit(norm, ...(tensors as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor])));
      expect(y.shape).toEqual([batch, n]);
      expectClose(y, slow(norm, batch, values, [d, n, r]), valueTolerance);

      const direction = randomTensor([batch, n] as never, 9);
      const weights = norm === 'sq' || norm === 'l2' ? 4 : 3;
      const gradients = tf.grads(((...given: tf.Tensor[]) =>
        tf.sum(
          tf.mul(unit(norm, ...([...given, ...tensors.slice(weights)] as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor])), direction),
        )) as never)(tensors.slice(0, weights));
      for (const [i, gradient] of gradients.entries()) {
        const loss = (value: Float64Array): number =>
          slow(
            norm,
            batch,
            values.map((v, j) => (j === i ? value : v)),
            [d, n, r],
          ).reduce((sum, out, o) => sum + out * (direction.dataSync()[o] as number), 0);
        expectClose(gradient, finiteDifference(loss, values[i] as Float64Array), gradientTolerance);
      }
    });
  });

  it('has w(x) as its gradient under held weights: ‖w‖ ≤ 1, and w·x is the output', () => {
    tf.tidy(() => {
      const tensors = [
        [5, 4],
        [4, 1, 3],
        [4, 3],
        [4, 1],
      ].map((shape, i) => randomTensor(shape as never, i + 20)) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      const [x, ...weights] = tensors;
      const y = unit(norm, x, ...weights);
      const w = withDynamicWeightsHeld(() => tf.grad((t: tf.Tensor) => tf.sum(unit(norm, t, ...weights)))(x));
      expectClose(tf.sum(tf.mul(w, x), 1, true), y, { rtol: 1e-5, relativeTo: 'largest' });
      expect(tf.max(tf.norm(w, 2, 1)).dataSync()[0]).toBeLessThanOrEqual(1 + 1e-6);
    });
  });
});

describe('what does not fit', () => {
  it.each<[string, () => tf.Tensor, string]>([
    [
      'x of another size',
      () => dauDense(tf.zeros([2, 3]), { A: tf.zeros([4, 2, 5]), B: tf.zeros([4, 5]), b: tf.zeros([4, 2]) }),
      'dauDense: x: x does not fit the weights; expected [N, 4], got [2, 3]',
    ],
    [
      'a vector alone',
      () => edauDense(tf.zeros([4]) as never, { A: tf.zeros([4, 2, 5]), B: tf.zeros([4, 5]) }),
      'edauDense: x: x does not fit the weights; expected [N, 4], got [4]',
    ],
    [
      'another rank in B',
      () => dauDense(tf.zeros([2, 4]), { A: tf.zeros([4, 2, 5]), B: tf.zeros([4, 3]), b: tf.zeros([4, 2]) }),
      'dauDense: weights.B: the weights do not fit together: A [d, n, r], B [d, r], b [d, n]; expected [4, 5], got [4, 3]',
    ],
    [
      'a kernel of the convolution',
      () => edauDense(tf.zeros([2, 4]), { A: tf.zeros([1, 1, 4, 2, 5]), B: tf.zeros([4, 5]) }),
      'edauDense: weights.A: the weights do not fit together: A [d, n, r], B [d, r]; expected [d, n, r], got [1, 1, 4, 2, 5]',
    ],
  ])('is answered with one clear error: %s', (_, call, text) => {
    let message = 'nothing was thrown';
    tf.tidy(() => {
      try {
        call();
      } catch (error) {
        message = (error as Error).message;
      }
    });
    expect(message).toBe(text);
  });

  it('takes the defaults of the convolutions', () => {
    tf.tidy(() => {
      const [x, A, B, b] = [
        [2, 4],
        [4, 2, 3],
        [4, 3],
        [4, 2],
      ].map((shape, i) => randomTensor(shape as never, i)) as [tf.Tensor2D, tf.Tensor, tf.Tensor, tf.Tensor];
      expect(dauDense(x, { A, B, b }).dataSync()).toEqual(dauDense(x, { A, B, b }, { norm: 'sq', eps: 1e-12 }).dataSync());
      expect(edauDense(x, { A, B }).dataSync()).toEqual(edauDense(x, { A, B }, { bound: edauBounds[0], eps: 1e-12 }).dataSync());
    });
  });
});
