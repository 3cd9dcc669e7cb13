/** Random problems for the efficient unit, as tensors and for its slow twin. */
import type * as tf from '@tensorflow/tfjs-core';
import { randomTensor } from '@coda-nets/tools/testkit';
import { defaultDauEpsilon, type EdauBound, type EdauWeights } from '../src/index.ts';
import type { SlowEdau } from './slow-edau.ts';
import type { UnitCase } from './unit-cases.ts';

/** Odd and even maps, kernels 1 to 5, ranks below and above the patch's size, strides that leave a rest. */
export const edauCases: readonly UnitCase[] = [
  { size: [1, 1, 1, 1], k: 1, n: 1, r: 1, stride: 1, padding: 0 },
  { size: [2, 4, 5, 2], k: 3, n: 3, r: 4, stride: 1, padding: 1 },
  { size: [2, 6, 5, 3], k: 3, n: 2, r: 1, stride: 2, padding: 1 },
  { size: [1, 7, 8, 2], k: 2, n: 4, r: 3, stride: 3, padding: 0 },
  { size: [3, 4, 4, 3], k: 1, n: 2, r: 5, stride: 1, padding: 0 },
  { size: [1, 9, 7, 3], k: 5, n: 2, r: 7, stride: 2, padding: 3 },
];

export interface EdauProblem {
  readonly x: tf.Tensor4D;
  readonly weights: EdauWeights;
  readonly slow: SlowEdau;
}

export function edauProblem({ size, k, n, r, stride, padding }: UnitCase, seed: number, bound: EdauBound): EdauProblem {
  const x = randomTensor<tf.Rank.R4>([...size], seed);
  const A = randomTensor([k, k, size[3], n, r] as never, seed + 100);
  const B = randomTensor([k, k, size[3], r] as never, seed + 200);
  const [xs, As, Bs] = [x, A, B].map((t) => Float64Array.from(t.dataSync())) as [Float64Array, Float64Array, Float64Array];
  const slow = { x: xs, shape: size, A: As, B: Bs, k, n, r, stride, padding, bound, eps: defaultDauEpsilon };
  return { x, weights: { A, B }, slow };
}
