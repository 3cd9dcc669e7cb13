/**
 * The units on vectors: out_j = w_j(x)ᵀ x for x ∈ R^d. Each vector is a map of one position, seen by a 1×1 kernel; equations, bounds and sources stand in
 * `dauConv` and `edauConv`.
 */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError } from '@coda-nets/core';
import { dauConv, defaultDauEpsilon, type DauConvOptions, type DauWeights } from './dau-conv.ts';
import { edauConv, type EdauConvOptions, type EdauWeights } from './edau-conv.ts';

/**
 * x [N, d] and A [d, n, r], B [d, r], b [d, n] → [N, n]. Inside `withDynamicWeightsHeld` the gradient with respect to x is w(x).
 * Throws a CodaError when the weights do not fit together or to x.
 */
export function dauDense(
  x: tf.Tensor2D,
  { A, B, b }: DauWeights,
  { norm = 'sq', eps = defaultDauEpsilon }: Pick<DauConvOptions, 'norm' | 'eps'> = {},
): tf.Tensor2D {
  checkShapes('dauDense', x, { A, B, b });
  return onePosition(x, (map) => dauConv(map, { A: asKernel(A), B: asKernel(B), b: asKernel(b) }, { norm, eps }));
}

/** The efficient unit, a reconstruction: x [N, d] and A [d, n, r], B [d, r] → [N, n]; the rest as in `dauDense`. */
export function edauDense(
  x: tf.Tensor2D,
  { A, B }: EdauWeights,
  { bound = 'frobenius', eps = defaultDauEpsilon }: Pick<EdauConvOptions, 'bound' | 'eps'> = {},
): tf.Tensor2D {
  checkShapes('edauDense', x, { A, B });
  return onePosition(x, (map) => edauConv(map, { A: asKernel(A), B: asKernel(B) }, { bound, eps }));
}

/** [N, d] → [N, 1, 1, d] → [N, 1, 1, n] → [N, n] */
function onePosition(x: tf.Tensor2D, unit: (map: tf.Tensor4D) => tf.Tensor4D): tf.Tensor2D {
  return tf.tidy(() => {
    const [batch, d] = x.shape;
    const y = unit(tf.reshape(x, [batch, 1, 1, d]));
    return tf.reshape(y, [batch, y.shape[3]]);
  });
}

/** [d, …] → [1, 1, d, …] */
function asKernel(weight: tf.Tensor): tf.Tensor {
  return tf.reshape(weight, [1, 1, ...weight.shape]);
}

function checkShapes(where: string, x: tf.Tensor2D, weights: DauWeights | EdauWeights): void {
  const { A } = weights;
  const [d = 0, n = 0, r = 0] = A.shape;
  const layout: Record<string, string> = { A: '[d, n, r]', B: '[d, r]', b: '[d, n]' };
  const expected = { A: A.rank === 3 ? shown(A.shape) : layout['A'], B: shown([d, r]), b: shown([d, n]) };
  for (const [name, weight] of Object.entries(weights) as [keyof typeof expected, tf.Tensor][]) {
    if (shown(weight.shape) === expected[name]) continue;
    const all = Object.keys(weights).map((key) => `${key} ${layout[key]}`);
    throw new CodaError({
      kind: 'argument',
      where: `${where}: weights.${name}`,
      problem: `the weights do not fit together: ${all.join(', ')}`,
      expected: expected[name],
      got: shown(weight.shape),
    });
  }
  if (x.rank === 2 && x.shape[1] === d) return;
  const problem = 'x does not fit the weights';
  throw new CodaError({ kind: 'argument', where: `${where}: x`, problem, expected: `[N, ${d}]`, got: shown(x.shape) });
}

function shown(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}
