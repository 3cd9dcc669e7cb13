/** Adaptive clipping against its formula in loops over units. Clipping by the norm: training-golden.test.ts, against PyTorch. */
import { expectClose, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { clipGradients, type ClipConfig } from '../src/clip-gradients.ts';

/** Sums of up to 24 squares in float32. */
const TOLERANCE = { rtol: 2e-6, atol: 1e-7 } as const;

beforeAll(() => useBackend('cpu'));

/** arXiv 2102.06171, equation 3. `unitOf`: the unit of the k-th number. */
function twin(w: ArrayLike<number>, g: ArrayLike<number>, unitOf: (k: number) => number, factor: number, epsilon: number): number[] {
  const norms = (x: ArrayLike<number>): Map<number, number> => {
    const squares = new Map<number, number>();
    for (let k = 0; k < x.length; k++) squares.set(unitOf(k), (squares.get(unitOf(k)) ?? 0) + (x[k] as number) ** 2);
    return new Map([...squares].map(([unit, sum]) => [unit, Math.sqrt(sum)]));
  };
  const [ofWeight, ofGradient] = [norms(w), norms(g)];
  return Array.from(g, (x, k) => {
    const weight = Math.max(ofWeight.get(unitOf(k)) as number, epsilon);
    const gradient = ofGradient.get(unitOf(k)) as number;
    return gradient / weight > factor ? (factor * weight * x) / gradient : x;
  });
}

describe('adaptive clipping', () => {
  const config: ClipConfig = { kind: 'adaptive', factor: 0.5, epsilon: 1e-3, except: ['fc.*'] };
  const cases: readonly [string, number[], number | undefined, (k: number) => number][] = [
    ['a convolution by its output channels', [1, 2, 3, 4], undefined, (k) => k % 4],
    ['a matrix by its columns', [5, 3], undefined, (k) => k % 3],
    ['the A of dynamic units by its units', [1, 1, 2, 3, 4], 3, (k) => Math.floor(k / 4) % 3],
    ['a bias as one', [6], undefined, () => 0],
  ];
  it.each(cases)('takes %s', (_, shape, unitAxis, unitOf) => {
    tf.tidy(() => {
      const scales = tf.tensor(
        Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (__, k) => [0, 0.05, 1][unitOf(k) % 3] as number),
        shape,
      );
      // a unit of weight 0 (ε holds), one whose gradient is far above, one whose is below: only the first two are touched
      const w = tf.mul(randomTensor(shape, 1), scales);
      const g = tf.mul(randomTensor(shape, 2), 0.3) as tf.Tensor;
      const clipped = clipGradients(config, { w }, { w: g }, unitAxis === undefined ? {} : { w: { unitAxis } })['w'] as tf.Tensor;
      const expected = twin(w.dataSync(), g.dataSync(), unitOf, 0.5, 1e-3);
      expectClose(clipped, expected, TOLERANCE);
      expect(expected.some((x, k) => x !== g.dataSync()[k])).toBe(true);
    });
  });

  it('leaves a gradient of zero, and what is excepted', () => {
    tf.tidy(() => {
      const [w, g] = [tf.zeros([2, 2]), tf.tensor1d([0, 3, 0, 4])];
      const clipped = clipGradients(config, { w, 'fc.weight': w }, { w: tf.zeros([2, 2]), 'fc.weight': tf.reshape(g, [2, 2]) }, {});
      expect([...(clipped['w'] as tf.Tensor).dataSync()]).toEqual([0, 0, 0, 0]);
      expect([...(clipped['fc.weight'] as tf.Tensor).dataSync()]).toEqual([0, 3, 0, 4]);
    });
  });
});
