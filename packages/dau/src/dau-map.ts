/**
 * The linear map W(x) that a DAU layer is at an input x (see `unit-map.ts`): `dauConv` is W(x)·x and has a gradient of its own; here everything may
 * be differentiated by every argument.
 *
 *     u = [B p; 1]             u ∈ R^s, s = r + 1
 *     v_j = U_j u              U_j = [A_j | b_j] ∈ R^{d×s}
 *     w_j = g_j v_j            L2: g = 1/‖v‖     SQ: g = ‖v‖/(1+‖v‖²)
 *
 * Source: arXiv 2109.13004, section 3.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { UnitAlignment } from '@coda-nets/core';
import { checkForm, checkNorm, dauScale, type DauConvOptions, type DauWeights } from './dau-conv.ts';
import { guardedSquaredNorm, magnitudeOf } from './norm-guard.ts';
import { gatherPatches } from './patches.ts';
import { defaultDauEpsilon } from './unit-epsilon.ts';
import { cheaperForm } from './unit-form.ts';
import { alignmentOf, applied, appliedTransposed, type UnitFactors, type UnitNorm } from './unit-map.ts';
import { checkUnitCall, unitDimensions, weightNames } from './unit-shapes.ts';

/** Those of `dauConv`; all units are computed at once. */
export type DauMapOptions = Omit<DauConvOptions, 'unitsAtOnce'>;
const optionNames = ['stride', 'padding', 'norm', 'eps', 'form'] as const satisfies readonly (keyof DauMapOptions)[];

/**
 * W(x)·x′. x [N, H, W, C], vectors x′ [m·N, H, W, C]: m for each image, image by image → [m·N, H', W', n].
 * For x′ = x it is `dauConv(x, …)`. Throws a CodaError when weights, x and vectors do not fit together.
 */
export function dauMap(x: tf.Tensor4D, vectors: tf.Tensor4D, weights: DauWeights, options: DauMapOptions = {}): tf.Tensor4D {
  return tf.tidy(() => applied('dauMap', factorsOf('dauMap', x, weights, options), vectors));
}

/**
 * W(x)ᵀ·y. x [N, H, W, C], cotangents y [m·N, H', W', n]: m for each image, image by image → [m·N, H, W, C].
 * It is what a backward pass with the dynamic weights held computes. Throws a CodaError when weights, x and cotangents do not fit together.
 */
export function dauMapTransposed(x: tf.Tensor4D, cotangents: tf.Tensor4D, weights: DauWeights, options: DauMapOptions = {}): tf.Tensor4D {
  return tf.tidy(() => appliedTransposed('dauMapTransposed', factorsOf('dauMapTransposed', x, weights, options), cotangents));
}

/**
 * ‖w_j‖ and cos ∠(w_j, p) of every unit j at every position, both [N, H', W', n], so that out_j = ‖w_j‖·cos·‖p‖. Measured, not trained on.
 * In the cosine ‖v‖ and ‖p‖ are √(‖·‖² + ε): with a zero vector it is 0. Throws as `dauMap`.
 */
export function dauAlignment(x: tf.Tensor4D, weights: DauWeights, options: DauMapOptions = {}): UnitAlignment {
  return tf.tidy(() => {
    const factors = factorsOf('dauAlignment', x, weights, options);
    return alignmentOf(factors, options.eps ?? defaultDauEpsilon);
  });
}

function factorsOf(where: string, x: tf.Tensor4D, weights: DauWeights, options: DauMapOptions): UnitFactors {
  checkUnitCall(where, weights, weightNames.dau, options, optionNames);
  const { stride = 1, padding = 0, norm = 'sq', eps = defaultDauEpsilon, form = 'auto' } = options;
  const { k, d, n, r } = unitDimensions(where, x, weights, 'dau', { stride, padding, eps });
  checkNorm(where, norm);
  checkForm(where, form);
  const { A, B, b } = weights;
  const geometry = { kernel: k, stride, padding };
  const patches = gatherPatches(x, geometry);
  const shared = tf.matMul(patches, tf.reshape(B, [d, r])) as tf.Tensor2D;
  // what `dauConv` has in the same form
  const magnitude = ({ squaredNorm, gram }: UnitNorm): tf.Tensor =>
    gram === undefined ? squaredNorm : magnitudeOf(shared, tf.slice(gram, [0, 0, 0], [n, r, r]), tf.slice(gram, [0, r, r], [n, 1, 1]));
  return {
    x,
    weights: [A, B, b],
    geometry,
    patches,
    U: tf.reshape(tf.concat([A, tf.expandDims(b, 4)], 4), [d, n * (r + 1)]),
    u: tf.concat([shared, tf.ones([shared.shape[0], 1])], 1),
    form: form === 'auto' ? cheaperForm({ d, r }) : form,
    scale: (unitNorm) => dauScale(guardedSquaredNorm(unitNorm.squaredNorm, () => magnitude(unitNorm), eps) as tf.Tensor2D, norm),
  };
}
