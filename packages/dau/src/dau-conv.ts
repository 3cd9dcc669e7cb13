/**
 * The convolutional Dynamic Alignment Unit as a pure function, in its low-rank form: no weight vector w(x) is ever built.
 *
 * At each position, with the patch p ∈ R^d (d = k²·C, zero padding counts) and for each of n units j:
 *
 *     u = B p                     B ∈ R^{r×d}, shared by all units
 *     v_j(p) = A_j u + b_j        A_j ∈ R^{d×r}, b_j ∈ R^d
 *     w_j(p) = g(v_j)             L2: v/‖v‖     SQ: v/‖v‖ · ‖v‖²/(1+‖v‖²)
 *     out_j = w_j(p)ᵀ p           so that |out_j| ≤ ‖p‖
 *
 * computed as
 *
 *     v_jᵀp  = (A_jᵀp)·u + b_jᵀp                  one convolution gives Bp, all A_jᵀp and all b_jᵀp
 *     ‖v_j‖² = uᵀG_j u + 2 h_jᵀu + ‖b_j‖²         G_j = A_jᵀA_j, h_j = A_jᵀb_j
 *
 * Source: arXiv 2109.13004, section 3. Differs from it: the low-rank form, which is
 * exact, is derived here; ε keeps the gradient finite at v = 0.
 */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError, dynamicWeight } from '@coda-nets/core';

/** `sq`: the squash g, ‖w‖ < 1. `l2`: unit weights, ‖w‖ = 1. */
export type DauNorm = 'sq' | 'l2';

/** ‖v‖ is taken as √(‖v‖² + ε): 10⁻⁶ at v = 0, which no trained unit comes near, and far above where float32 would overflow 1/‖v‖³. */
export const defaultDauEpsilon = 1e-12;

export interface DauWeights {
  /** [k, k, C, n, r] */
  readonly A: tf.Tensor;
  /** [k, k, C, r] */
  readonly B: tf.Tensor;
  /** [k, k, C, n] */
  readonly b: tf.Tensor;
}

export interface DauConvOptions {
  readonly stride?: number;
  /** Zeros on each of the four sides. */
  readonly padding?: number;
  readonly norm?: DauNorm;
  /** ε in ‖v‖ = √(‖v‖² + ε). */
  readonly eps?: number;
}

/**
 * x [N, H, W, C] → [N, H', W', n] with H' = ⌊(H + 2·padding − k) / stride⌋ + 1.
 * Inside `withDynamicWeightsHeld` the gradient with respect to x is exactly w(x): gradient × x sums to the output.
 * Throws a CodaError when the weights do not fit together or to x, or when the kernel is larger than the padded x.
 */
export function dauConv(
  x: tf.Tensor4D,
  weights: DauWeights,
  { stride = 1, padding = 0, norm = 'sq', eps = defaultDauEpsilon }: DauConvOptions = {},
): tf.Tensor4D {
  const { k, channels, n, r } = dimensionsOf(weights);
  checkInput(x, k, channels, padding);
  return tf.tidy(() => {
    const { A, B, b } = weights;
    const kernel = tf.concat([B, tf.reshape(A, [k, k, channels, n * r]), b], 3) as tf.Tensor4D;
    const padded = padding === 0 ? x : tf.pad(x, [[0, 0], [padding, padding], [padding, padding], [0, 0]]);
    const y = tf.conv2d(padded, kernel, stride, 'valid');
    const [batch, height, width] = y.shape;
    // split, whose gradient is one concatenation; three slices would pad each part to the whole and add them up
    const [shared, projections, offsets] = tf.split(y, [r, n * r, n], 3) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];

    // All of w(p) that depends on x does so through u, so that holding u holds v and its norm.
    const u = dynamicWeight(shared);
    // [N, H', W', n·r], unit-major → [N, H', W', n, r]
    const projected = tf.reshape(projections, [batch, height, width, n, r]);
    const aligned = tf.sum(tf.mul(projected, tf.reshape(u, [batch, height, width, 1, r])), 4);
    const vx = tf.add(aligned, offsets); // v_jᵀp

    const squaredNorm = tf.add(squaredNormOf(u, weights), eps);
    const scale =
      norm === 'l2' ? tf.rsqrt(squaredNorm) : tf.div(tf.sqrt(squaredNorm), tf.add(squaredNorm, 1)); // 1/‖v‖ or ‖v‖/(1+‖v‖²)
    return tf.mul(vx, scale) as tf.Tensor4D;
  });
}

/** u [N, H', W', r] → ‖v_j‖² [N, H', W', n], clamped at 0 where rounding leaves it below. */
function squaredNormOf(u: tf.Tensor4D, weights: DauWeights): tf.Tensor {
  const { k, channels, n, r } = dimensionsOf(weights);
  const d = k * k * channels;
  const [batch, height, width] = u.shape;
  const A = tf.transpose(tf.reshape(weights.A, [d, n, r]), [1, 2, 0]); // [n, r, d]
  const b = tf.reshape(weights.b, [d, n]);
  const G = tf.matMul(A, A, false, true); // [n, r, r]
  const h = tf.matMul(A, tf.reshape(tf.transpose(b), [n, d, 1])); // [n, r, 1]
  // Columns of one matrix: the r² coefficients of u ⊗ u, then the r of u. [n, r² + r] → [1, 1, r² + r, n]
  const coefficients = tf.concat([tf.reshape(G, [n, r * r]), tf.mul(tf.reshape(h, [n, r]), 2)], 1);
  const filter = tf.reshape(tf.transpose(coefficients), [1, 1, r * r + r, n]) as tf.Tensor4D;
  const outer = tf.mul(tf.reshape(u, [batch, height, width, r, 1]), tf.reshape(u, [batch, height, width, 1, r]));
  const features = tf.concat([tf.reshape(outer, [batch, height, width, r * r]), u], 3) as tf.Tensor4D;
  const quadratic = tf.conv2d(features, filter, 1, 'valid');
  return tf.maximum(tf.add(quadratic, tf.sum(tf.square(b), 0)), 0);
}

function dimensionsOf({ A, B, b }: DauWeights): { k: number; channels: number; n: number; r: number } {
  const [k = 0, , channels = 0, n = 0, r = 0] = A.shape;
  const expected = { A: [k, k, channels, n, r], B: [k, k, channels, r], b: [k, k, channels, n] };
  for (const [name, x] of Object.entries({ A, B, b })) {
    const shape = expected[name as keyof typeof expected];
    if (x.shape.join() !== shape.join()) {
      throw new CodaError({
        kind: 'argument',
        where: `dauConv: weights.${name}`,
        problem: 'the weights do not fit together: A [k, k, C, n, r], B [k, k, C, r], b [k, k, C, n]',
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
    where: 'dauConv: x',
    problem: `x does not fit a ${k}×${k} kernel with padding ${padding} over ${channels} channels`,
    expected: `[N, H, W, ${channels}] with H and W at least ${Math.max(1, k - 2 * padding)}`,
    got: `[${x.shape.join(', ')}]`,
  });
}
