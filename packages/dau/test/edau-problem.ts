/** Random problems for the efficient unit, as tensors and for its slow twin. */
import type * as tf from '@tensorflow/tfjs-core';
import { randomTensor } from '@coda-nets/tools/testkit';
import { defaultDauEpsilon, type EdauBound, type EdauWeights } from '../src/index.ts';
import type { SlowEdau } from './slow-edau.ts';
import type { UnitCase } from './unit-cases.ts';

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
