/**
 * The units on vectors: out_j = w_j(x)ᵀ x for x ∈ R^d. Each vector is a map of one position, seen by a 1×1 kernel; equations, bounds and sources stand in
 * `dauConv` and `edauConv`.
 */
import * as tf from '@tensorflow/tfjs-core';
import { checkTensor, CodaError } from '@coda-nets/core';
import { dauUnits, type DauConvOptions, type DauWeights } from './dau-conv.ts';
import { edauUnits, type EdauConvOptions, type EdauWeights } from './edau-conv.ts';
import { checkUnitCall, weightNames } from './unit-shapes.ts';

/**
 * x [N, d] and A [d, n, r], B [d, r], b [d, n] → [N, n]. Inside `withDynamicWeightsHeld` the gradient with respect to x is w(x).
 * Throws a CodaError when the weights do not fit together or to x.
 */
export function dauDense(x: tf.Tensor2D, weights: DauWeights, options: Pick<DauConvOptions, 'norm' | 'eps'> = {}): tf.Tensor2D {
  checkUnitCall('dauDense', weights, weightNames.dau, options, ['norm', 'eps']);
  checkShapes('dauDense', x, weights, 'dau');
  const { A, B, b } = weights;
  return onePosition(x, (map) => dauUnits('dauDense', map, { A: asKernel(A), B: asKernel(B), b: asKernel(b) }, options));
}

/** The efficient unit, a reconstruction: x [N, d] and A [d, n, r], B [d, r] → [N, n]; the rest as in `dauDense`. */
export function edauDense(x: tf.Tensor2D, weights: EdauWeights, options: Pick<EdauConvOptions, 'bound' | 'eps'> = {}): tf.Tensor2D {
  checkUnitCall('edauDense', weights, weightNames.edau, options, ['bound', 'eps']);
  checkShapes('edauDense', x, weights, 'edau');
  const { A, B } = weights;
  return onePosition(x, (map) => edauUnits('edauDense', map, { A: asKernel(A), B: asKernel(B) }, options));
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

const layouts = { A: '[d, n, r]', B: '[d, r]', b: '[d, n]' } as const;

function checkShapes(where: string, x: tf.Tensor2D, weights: DauWeights | EdauWeights, kind: keyof typeof weightNames): void {
  const names = weightNames[kind];
  const given: Partial<Record<keyof typeof layouts, tf.Tensor>> = weights;
  for (const name of names) checkTensor(`${where}: weights.${name}`, given[name], layouts[name]);
  const { A } = weights;
  const [d = 0, n = 0, r = 0] = A.shape;
  const wanted = A.rank !== 3 ? layouts.A : A.shape.includes(0) ? 'sizes of at least 1' : shown(A.shape);
  const expected = { A: wanted, B: shown([d, r]), b: shown([d, n]) };
  for (const name of names) {
    const got = shown((given[name] as tf.Tensor).shape);
    if (got === expected[name]) continue;
    throw new CodaError({
      kind: 'argument',
      where: `${where}: weights.${name}`,
      problem: `the weights do not fit together: ${names.map((each) => `${each} ${layouts[each]}`).join(', ')}`,
      expected: expected[name],
      got,
    });
  }
  checkTensor(`${where}: x`, x, `[N, ${d}]`);
  if (x.rank === 2 && x.shape[1] === d) return;
  const problem = 'x does not fit the weights';
  throw new CodaError({ kind: 'argument', where: `${where}: x`, problem, expected: `[N, ${d}]`, got: shown(x.shape) });
}

function shown(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}
