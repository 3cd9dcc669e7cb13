import * as tf from '@tensorflow/tfjs-core';
import { it } from 'vitest';
import { Random } from '@coda-nets/core';
import { expectClose } from '@coda-nets/tools/testkit';
import { dauConv, dauMap } from '../src/index.ts';
import { slowDau } from './slow-dau.ts';
import { describeOnBackends } from './backends.ts';

/** The promise at any rank: 16 roundings of the largest output. The guard adds 2⁻³⁷ κ⁴, 2·10⁻⁷ of them for rank 1,024 and patches of 32 (norm-guard.ts). */
const formTolerance = { rtol: 1e-6, relativeTo: 'largest' } as const;

const sizes = [
  [64, 64],
  [64, 512],
  [64, 1024],
  [288, 512],
  [32, 1024],
] as const;

/** Layers as they are drawn at first: U(±1/√fan_in). */
function drawn(d: number, r: number) {
  const [positions, n] = [3, 2];
  const draw = (name: string, size: number, bound: number): Float32Array => {
    const random = Random.seeded(5).split(name);
    return Float32Array.from({ length: size }, () => (2 * random.uniform() - 1) * bound);
  };
  const x = draw('x', positions * d, 1);
  const A = draw('A', d * n * r, r ** -0.5);
  const B = draw('B', d * r, d ** -0.5);
  const b = draw('b', d * n, r ** -0.5);
  return {
    x: tf.tensor4d(x, [1, 1, positions, d]),
    weights: { A: tf.tensor5d(A, [1, 1, d, n, r]), B: tf.tensor4d(B, [1, 1, d, r]), b: tf.tensor4d(b, [1, 1, d, n]) },
    slow: (norm: 'sq' | 'l2'): Float64Array => {
      const [x64, A64, B64, b64] = [x, A, B, b].map((values) => Float64Array.from(values)) as [
        Float64Array,
        Float64Array,
        Float64Array,
        Float64Array,
      ];
      return slowDau({ x: x64, shape: [1, 1, positions, d], A: A64, B: B64, b: b64, k: 1, n, r, stride: 1, padding: 0, norm, eps: 1e-12 });
    },
  };
}

describeOnBackends('units of a large rank', () => {
  it.each(sizes)('both forms, and both maps, are the equation to 1e-6 (d = %i, r = %i)', (d, r) => {
    tf.tidy(() => {
      const { x, weights, slow } = drawn(d, r);
      for (const norm of ['sq', 'l2'] as const) {
        const expected = slow(norm);
        for (const form of ['low-rank', 'explicit'] as const) {
          expectClose(tf.reshape(dauConv(x, weights, { norm, form }), [-1]), expected, formTolerance);
        }
        expectClose(tf.reshape(dauMap(x, x, weights, { norm }), [-1]), expected, formTolerance);
      }
    });
  });
});
