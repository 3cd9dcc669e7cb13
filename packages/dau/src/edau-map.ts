/**
 * The linear map W(x) that a layer of efficient units is at an input x (see `unit-map.ts`), with w_j = Â_j û as `edau-conv.ts` has them: `edauConv`
 * is W(x)·x. A reconstruction, like the units themselves.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { UnitAlignment } from '@coda-nets/core';
import { edauFactors, type EdauConvOptions, type EdauWeights } from './edau-conv.ts';
import { defaultDauEpsilon } from './unit-epsilon.ts';
import { alignmentOf, applied, appliedTransposed } from './unit-map.ts';

/**
 * W(x)·x′. x [N, H, W, C], vectors x′ [m·N, H, W, C]: m for each image, image by image → [m·N, H', W', n].
 * For x′ = x it is `edauConv(x, …)`. Throws a CodaError when weights, x and vectors do not fit together.
 */
export function edauMap(x: tf.Tensor4D, vectors: tf.Tensor4D, weights: EdauWeights, options: EdauConvOptions = {}): tf.Tensor4D {
  return tf.tidy(() => applied('edauMap', edauFactors('edauMap', x, weights, options), vectors));
}

/**
 * W(x)ᵀ·y. x [N, H, W, C], cotangents y [m·N, H', W', n]: m for each image, image by image → [m·N, H, W, C].
 * It is what a backward pass with û held computes. Throws a CodaError when weights, x and cotangents do not fit together.
 */
export function edauMapTransposed(
  x: tf.Tensor4D,
  cotangents: tf.Tensor4D,
  weights: EdauWeights,
  options: EdauConvOptions = {},
): tf.Tensor4D {
  return tf.tidy(() => appliedTransposed('edauMapTransposed', edauFactors('edauMapTransposed', x, weights, options), cotangents));
}

/**
 * ‖w_j‖ ≤ 1 and cos ∠(w_j, p) of every unit j at every position, both [N, H', W', n], so that out_j = ‖w_j‖·cos·‖p‖. Measured, not trained on.
 * In the cosine ‖w‖ and ‖p‖ are √(‖·‖² + ε²): with a zero vector it is 0. Throws as `edauMap`.
 */
export function edauAlignment(x: tf.Tensor4D, weights: EdauWeights, options: EdauConvOptions = {}): UnitAlignment {
  return tf.tidy(() => {
    const factors = edauFactors('edauAlignment', x, weights, options);
    return alignmentOf(factors, (options.eps ?? defaultDauEpsilon) ** 2);
  });
}
