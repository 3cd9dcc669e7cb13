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
 * By Cauchy and Schwarz |out_j| = |w_jᵀp| ≤ ‖w_j‖·‖p‖ ≤ ‖p‖. Of the three `spectral` is the tightest, and reaches 1 for some u; `frobenius` reaches it
 * only where A_j has rank 1, `product` only where A_jB has. With `product` the output is quadratic in p but for ‖p‖.
 *
 * Everything of size d is used once a layer, on the weights alone: with G_j = A_jᵀA_j (r×r), ‖A_j‖₂² is its largest eigenvalue, taken from above (see
 * `largestEigenvalue`), and ‖A_jB‖_F² = ⟨G_j, B Bᵀ⟩, clamped at 0. Every norm N is guarded as √(N² + ε), which only lowers ‖w_j‖: at u = 0, A_j = 0 or
 * p = 0 the output is 0 and its gradient finite.
 *
 * Source: that such units exist, and bound the norm without computing each weight, is published (arXiv 2109.13004); the code for them is not. These three
 * bounds are our reconstruction.
 */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError, dynamicWeight, nearestName } from '@coda-nets/core';
import { defaultDauEpsilon } from './dau-conv.ts';
import { largestEigenvalue } from './largest-eigenvalue.ts';

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
  /** Zeros on each of the four sides. */
  readonly padding?: number;
  /** ε in √(N² + ε) for each norm N; default 1e-12. */
  readonly eps?: number;
}

/**
 * x [N, H, W, C] → [N, H', W', n] with H' = ⌊(H + 2·padding − k) / stride⌋ + 1.
 * Inside `withDynamicWeightsHeld` û is a constant, so that the gradient with respect to x is exactly w(x): gradient × x sums to the output.
 * Throws a CodaError when the weights do not fit together or to x, when the kernel is larger than the padded x, and for a bound there is not.
 */
export function edauConv(
  x: tf.Tensor4D,
  weights: EdauWeights,
  { bound = 'frobenius', stride = 1, padding = 0, eps = defaultDauEpsilon }: EdauConvOptions = {},
): tf.Tensor4D {
  const { k, channels, n, r } = dimensionsOf(weights);
  checkInput(x, k, channels, padding);
  checkBound(bound);
  return tf.tidy(() => {
    const { A, B } = weights;
    const bounded = tf.mul(A, tf.reshape(inverseRoot(squaredBound(weights, bound), eps), [n, 1])); // Â
    const kernel = tf.concat([B, tf.reshape(bounded, [k, k, channels, n * r])], 3) as tf.Tensor4D;
    const padded =
      padding === 0
        ? x
        : tf.pad(x, [
            [0, 0],
            [padding, padding],
            [padding, padding],
            [0, 0],
          ]);
    const y = tf.conv2d(padded, kernel, stride, 'valid');
    const [batch, height, width] = y.shape;
    const [u, projections] = tf.split(y, [r, n * r], 3) as [tf.Tensor4D, tf.Tensor4D];

    const squared = bound === 'product' ? squaredPatchNorm(padded, k, stride) : tf.sum(tf.square(u), 3, true);
    // All of w(p) that depends on x.
    const direction = dynamicWeight(tf.mul(u, inverseRoot(squared, eps))); // û
    // [N, H', W', n·r], unit-major → [N, H', W', n, r]
    const projected = tf.reshape(projections, [batch, height, width, n, r]);
    return tf.sum(tf.mul(projected, tf.reshape(direction, [batch, height, width, 1, r])), 4) as tf.Tensor4D;
  });
}

/** [n]: ‖A_j‖_F², ‖A_j‖₂² from above, or ‖A_jB‖_F². */
function squaredBound({ A, B }: EdauWeights, bound: EdauBound): tf.Tensor {
  const [k = 0, , channels = 0, n = 0, r = 0] = A.shape;
  if (bound === 'frobenius') return tf.sum(tf.square(A), [0, 1, 2, 4]);
  const byUnit = tf.transpose(tf.reshape(A, [k * k * channels, n, r]), [1, 0, 2]); // [n, d, r]
  const G = tf.matMul(byUnit, byUnit, true) as tf.Tensor3D; // [n, r, r]
  if (bound === 'spectral') return largestEigenvalue(G);
  const rows = tf.reshape(B, [k * k * channels, r]);
  const BBt = tf.matMul(rows, rows, true); // [r, r]: B is stored transposed
  return tf.maximum(tf.sum(tf.mul(G, BBt), [1, 2]), 0);
}

/** ‖p‖² of every patch of the padded x: [N, H', W', 1]. */
function squaredPatchNorm(padded: tf.Tensor4D, k: number, stride: number): tf.Tensor {
  const squares = tf.sum(tf.square(padded), 3, true) as tf.Tensor4D;
  return tf.conv2d(squares, tf.ones([k, k, 1, 1]) as tf.Tensor4D, stride, 'valid');
}

/** 1 / √(N² + ε) */
function inverseRoot(squaredNorm: tf.Tensor, eps: number): tf.Tensor {
  return tf.rsqrt(tf.add(squaredNorm, eps));
}

function dimensionsOf({ A, B }: EdauWeights): { k: number; channels: number; n: number; r: number } {
  const [k = 0, , channels = 0, n = 0, r = 0] = A.shape;
  const expected = { A: [k, k, channels, n, r], B: [k, k, channels, r] };
  for (const [name, x] of Object.entries({ A, B })) {
    const shape = expected[name as keyof typeof expected];
    if (x.shape.join() !== shape.join()) {
      throw new CodaError({
        kind: 'argument',
        where: `edauConv: weights.${name}`,
        problem: 'the weights do not fit together: A [k, k, C, n, r], B [k, k, C, r]',
        expected: `[${shape.join(', ')}]`,
        got: `[${x.shape.join(', ')}]`,
      });
    }
  }
  return { k, channels, n, r };
}

function checkInput(x: tf.Tensor4D, k: number, channels: number, padding: number): void {
  const [, height, width, got] = x.shape;
  if (x.rank === 4 && got === channels && Math.min(height, width) + 2 * padding >= k) return;
  throw new CodaError({
    kind: 'argument',
    where: 'edauConv: x',
    problem: `x does not fit a ${k}×${k} kernel with padding ${padding} over ${channels} channels`,
    expected: `[N, H, W, ${channels}] with H and W at least ${Math.max(1, k - 2 * padding)}`,
    got: `[${x.shape.join(', ')}]`,
  });
}

function checkBound(bound: string): void {
  if (edauBounds.some((known) => known === bound)) return;
  const near = nearestName(bound, edauBounds);
  throw new CodaError({
    kind: 'argument',
    where: 'edauConv: bound',
    problem: 'no such bound',
    expected: `one of ${edauBounds.join(', ')}`,
    got: JSON.stringify(bound),
    hint: near === undefined ? undefined : `Did you mean ${JSON.stringify(near)}?`,
  });
}
