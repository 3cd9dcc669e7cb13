/**
 * The efficient Dynamic Alignment Unit (eDAU), convolutional: its norm is bounded without the weight of any position, so that the output is one dot
 * product of r numbers. There is no offset b, and one matrix product gives everything that depends on the input.
 *
 * At each position, with the patch p ∈ R^d (d = k²·C, zero padding counts) and for each of n units j:
 *
 *     u = B p                       B ∈ R^{r×d}, shared by all units; A_j ∈ R^{d×r}
 *     out_j = w_jᵀ p = (Â_jᵀ p)·û   w_j = Â_j û: a weight that depends on p through û alone
 *
 *     bound        Â_j              û          why ‖w_j‖ ≤ 1
 *     frobenius    A_j / ‖A_j‖_F    u / ‖u‖    ‖A_j u‖ ≤ ‖A_j‖₂·‖u‖ ≤ ‖A_j‖_F·‖u‖
 *     spectral     A_j / ‖A_j‖₂     u / ‖u‖    ‖A_j u‖ ≤ ‖A_j‖₂·‖u‖
 *     product      A_j / ‖A_jB‖_F   u / ‖p‖    ‖A_j u‖ = ‖A_jB p‖ ≤ ‖A_jB‖₂·‖p‖ ≤ ‖A_jB‖_F·‖p‖
 *
 * By Cauchy and Schwarz |out_j| = |w_jᵀp| ≤ ‖w_j‖·‖p‖ ≤ ‖p‖. `spectral` is never looser than `frobenius`, and reaches 1 where B can give the u it wants; `frobenius` reaches it
 * only where A_j has rank 1, `product` only where A_jB has. With `product` the output is quadratic in p but for ‖p‖.
 *
 * Everything of size d is used once a layer, on the weights alone: with G_j = A_jᵀA_j (r×r), ‖A_j‖₂² is its largest eigenvalue, taken from above (see
 * `largestEigenvalue`), and ‖A_jB‖_F² = ⟨G_j, B Bᵀ⟩, kept above what rounding may have left of it (`norm-guard.ts`); where r > d the d×d matrices A_jA_jᵀ and A_jB serve instead. Every norm N is guarded as √(N² + ε²), which only lowers ‖w_j‖: at u = 0, A_j = 0 or
 * p = 0 the output is 0 and its gradient finite. ε² (10⁻²⁴) lies below the squares of what a deep stack passes on: units are homogeneous above it.
 *
 * Source: that such units exist, and bound the norm without computing each weight, is published (arXiv 2109.13004); the code for them is not. These three
 * bounds are our reconstruction.
 */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError, described, dynamicWeight, nearestName } from '@coda-nets/core';
import { largestEigenvalue } from './largest-eigenvalue.ts';
import { guardedSquaredNorm } from './norm-guard.ts';
import { ofNoImages } from './of-no-images.ts';
import { gatherPatches, patchCount } from './patches.ts';
import { defaultDauEpsilon } from './unit-epsilon.ts';
import { cheaperForm } from './unit-form.ts';
import type { UnitFactors } from './unit-map.ts';
import { alongUnits } from './unit-products.ts';
import { checkUnitCall, unitDimensions, weightNames } from './unit-shapes.ts';

/** What bounds ‖w‖ by 1, the default first. */
export const edauBounds = ['frobenius', 'spectral', 'product'] as const;
export type EdauBound = (typeof edauBounds)[number];

export function isEdauBound(norm: string): norm is EdauBound {
  return (edauBounds as readonly string[]).includes(norm);
}

export interface EdauWeights {
  /** [k, k, C, n, r] */
  readonly A: tf.Tensor;
  /** [k, k, C, r] */
  readonly B: tf.Tensor;
}

export interface EdauConvOptions {
  /** Default `frobenius`. */
  readonly bound?: EdauBound;
  readonly stride?: number;
  /** Zeros on each of the four sides, at most as many as the kernel is wide. */
  readonly padding?: number;
  /** ε in √(N² + ε²) for each norm N: default 1e-12, from there to 1; below, the gradient at 0 overflows float32. */
  readonly eps?: number;
}

const optionNames = ['bound', 'stride', 'padding', 'eps'] as const satisfies readonly (keyof EdauConvOptions)[];

/**
 * x [N, H, W, C] → [N, H', W', n] with H' = ⌊(H + 2·padding − k) / stride⌋ + 1.
 * Inside `withDynamicWeightsHeld` Â and û are constants, so that the gradient with respect to x is exactly w(x): gradient × x sums to the output.
 * Throws a CodaError when the weights do not fit together or to x, when the kernel is larger than the padded x, and for a bound there is not.
 */
export function edauConv(x: tf.Tensor4D, weights: EdauWeights, options: EdauConvOptions = {}): tf.Tensor4D {
  return edauUnits('edauConv', x, weights, options);
}

/** `edauConv` under another name in errors. */
export function edauUnits(where: string, x: tf.Tensor4D, weights: EdauWeights, options: EdauConvOptions): tf.Tensor4D {
  return tf.tidy(() => {
    const { patches, U, u, geometry } = edauFactors(where, x, weights, options);
    const shape = [x.shape[0], patchCount(x.shape[1], geometry), patchCount(x.shape[2], geometry), weights.A.shape[3] as number] as const;
    if (x.shape[0] === 0) return ofNoImages([x, weights.A, weights.B], shape);
    const values = alongUnits(tf.matMul(patches, dynamicWeight(U)), dynamicWeight(u));
    return tf.reshape(values, [...shape]) as tf.Tensor4D;
  });
}

/** Â_j and û, which make w_j = Â_j û. `where` names the function in errors. */
export function edauFactors(where: string, x: tf.Tensor4D, weights: EdauWeights, options: EdauConvOptions): UnitFactors {
  checkUnitCall(where, weights, weightNames.edau, options, optionNames);
  const { bound = 'frobenius', stride = 1, padding = 0, eps = defaultDauEpsilon } = options;
  const { k, d, n, r } = unitDimensions(where, x, weights, 'edau', { stride, padding, eps });
  checkBound(where, bound);
  const geometry = { kernel: k, stride, padding };
  const patches = gatherPatches(x, geometry);
  const units = tf.reshape(weights.A, [d, n, r]) as tf.Tensor3D;
  const B = tf.reshape(weights.B, [d, r]) as tf.Tensor2D;
  const bounded = tf.mul(units, tf.reshape(tf.rsqrt(squaredBound(units, B, bound, eps * eps)), [n, 1])); // Â
  const u = tf.matMul(patches, B) as tf.Tensor2D;
  const squared = tf.sum(tf.square(bound === 'product' ? patches : u), 1, true);
  const direction = tf.mul(u, tf.rsqrt(tf.add(squared, eps * eps))) as tf.Tensor2D; // û
  return {
    x,
    weights: [weights.A, weights.B],
    geometry,
    patches,
    U: tf.reshape(bounded, [d, n * r]),
    u: direction,
    form: cheaperForm({ d, r }),
  };
}

/** N² + ε² [n] for N = ‖A_j‖_F, ‖A_j‖₂ (from above) or ‖A_jB‖_F. A_j [d, n, r], B [d, r] (stored transposed). */
function squaredBound(A: tf.Tensor3D, B: tf.Tensor2D, bound: EdauBound, squaredEps: number): tf.Tensor {
  const squaredA = tf.sum(tf.square(A), [0, 2]);
  if (bound === 'frobenius') return tf.add(squaredA, squaredEps);
  const [d, , r] = A.shape;
  const byUnit = tf.transpose(A, [1, 0, 2]); // [n, d, r]
  // the nonzero eigenvalues of AᵀA are those of AAᵀ: the smaller of the two
  if (bound === 'spectral') return tf.add(largestEigenvalue(tf.matMul(byUnit, byUnit, d >= r, d < r)), squaredEps);
  if (d < r) {
    const products = tf.matMul(tf.reshape(byUnit, [-1, r]), B, false, true); // A_jB, one above the other: [n·d, d]
    return tf.add(tf.sum(tf.reshape(tf.square(products), [-1, d * d]), 1), squaredEps);
  }
  const G = tf.matMul(byUnit, byUnit, true); // [n, r, r]
  const BBt = tf.matMul(B, B, true); // [r, r]
  const size = (product: tf.Tensor): tf.Tensor => tf.sqrt(tf.sum(tf.square(product), [-2, -1]));
  return guardedSquaredNorm(tf.sum(tf.mul(G, BBt), [1, 2]), () => tf.mul(size(G), size(BBt)), squaredEps);
}

function checkBound(where: string, bound: unknown): void {
  if (edauBounds.some((known) => known === bound)) return;
  const near = typeof bound === 'string' ? nearestName(bound, edauBounds) : undefined;
  throw new CodaError({
    kind: 'argument',
    where: `${where}: bound`,
    problem: 'no such bound',
    expected: `one of ${edauBounds.join(', ')}`,
    got: described(bound),
    hint: near === undefined ? undefined : `Did you mean ${JSON.stringify(near)}?`,
  });
}
