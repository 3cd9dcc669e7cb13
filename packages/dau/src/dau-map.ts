/**
 * The linear map W(x) that a DAU layer is at an input x, as ordinary operations: W(x)·x′, W(x)ᵀ·y, and how well its rows align with x.
 * `dauConv` is W(x)·x and has a gradient of its own; here x only chooses the map, and everything may be differentiated by every argument.
 *
 * With p and p′ the patches of x and x′ at one position, for each of n units j:
 *
 *     u = [B p; 1]             u ∈ R^s, s = r + 1
 *     v_j = U_j u              U_j = [A_j | b_j] ∈ R^{d×s}
 *     w_j = g_j v_j            L2: g = 1/‖v‖     SQ: g = ‖v‖/(1+‖v‖²)
 *
 *     (W x′)_j = g_j (U_jᵀp′)·u              one convolution gives all U_jᵀp′
 *     Wᵀy at a patch = Σ_j U_j (g_j y_j u)   one transposed convolution, which also adds up patches where they overlap
 *     ‖v_j‖² = (U_jᵀU_j u)·u
 *
 * so that no w is built. Source: arXiv 2109.13004, section 3; the low-rank form is derived here.
 */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError, type UnitAlignment } from '@coda-nets/core';
import { defaultDauEpsilon, type DauConvOptions, type DauWeights } from './dau-conv.ts';

/**
 * W(x)·x′. x [N, H, W, C], vectors x′ [m·N, H, W, C]: m for each image, image by image → [m·N, H', W', n].
 * For x′ = x it is `dauConv(x, …)`. Throws a CodaError when weights, x and vectors do not fit together.
 */
export function dauMap(
  x: tf.Tensor4D,
  vectors: tf.Tensor4D,
  weights: DauWeights,
  options: DauConvOptions = {},
): tf.Tensor4D {
  return tf.tidy(() => {
    const { filter, u, g } = factorsOf('dauMap', x, weights, options);
    checkPerImage('dauMap: vectors', vectors, x.shape);
    const m = vectors.shape[0] / x.shape[0];
    const projections = convolve(vectors, filter, options);
    return tf.mul(alongUnits(projections, repeated(u, m)), repeated(g, m)) as tf.Tensor4D;
  });
}

/**
 * W(x)ᵀ·y. x [N, H, W, C], cotangents y [m·N, H', W', n]: m for each image, image by image → [m·N, H, W, C].
 * It is what a backward pass with the dynamic weights held computes. Throws a CodaError when weights, x and cotangents do not fit together.
 */
export function dauMapTransposed(
  x: tf.Tensor4D,
  cotangents: tf.Tensor4D,
  weights: DauWeights,
  options: DauConvOptions = {},
): tf.Tensor4D {
  const { stride = 1, padding = 0 } = options;
  return tf.tidy(() => {
    const { filter, u, g } = factorsOf('dauMapTransposed', x, weights, options);
    checkPerImage('dauMapTransposed: cotangents', cotangents, g.shape);
    const [count, h, w, n] = cotangents.shape;
    const m = count / x.shape[0];
    const scaled = tf.reshape(tf.mul(cotangents, repeated(g, m)), [count, h, w, n, 1]);
    const factors = tf.mul(scaled, tf.reshape(repeated(u, m), [count, h, w, 1, u.shape[3]])); // g_j y_j u
    const [, height, width, channels] = x.shape;
    const padded = [count, height + 2 * padding, width + 2 * padding, channels] as [number, number, number, number];
    const whole = tf.conv2dTranspose(
      tf.reshape(factors, [count, h, w, n * u.shape[3]]) as tf.Tensor4D,
      filter,
      padded,
      stride,
      'valid',
    );
    return padding === 0 ? whole : tf.slice(whole, [0, padding, padding, 0], [count, height, width, channels]);
  });
}

/**
 * ‖w_j‖ and cos ∠(w_j, p) of every unit j at every position, both [N, H', W', n], so that out_j = ‖w_j‖·cos·‖p‖. Measured, not trained on.
 * In the cosine ‖v‖ and ‖p‖ are √(‖·‖² + ε): with a zero vector it is 0. Throws as `dauMap`.
 */
export function dauAlignment(x: tf.Tensor4D, weights: DauWeights, options: DauConvOptions = {}): UnitAlignment {
  const { eps = defaultDauEpsilon } = options;
  return tf.tidy(() => {
    const { filter, u, g, squaredNorm } = factorsOf('dauAlignment', x, weights, options);
    const vp = alongUnits(convolve(x, filter, options), u);
    const [k, , channels] = weights.A.shape as [number, number, number];
    const squaredPatch = convolve(tf.square(x), tf.ones([k, k, channels, 1]), options);
    const norms = tf.mul(tf.sqrt(tf.add(squaredNorm, eps)), tf.sqrt(tf.add(squaredPatch, eps)));
    return { norm: tf.mul(tf.sqrt(squaredNorm), g) as tf.Tensor4D, cosine: tf.div(vp, norms) as tf.Tensor4D };
  });
}

interface Factors {
  /** All U_j: [k, k, C, n·s], unit-major. */
  readonly filter: tf.Tensor4D;
  /** [N, H', W', s] */
  readonly u: tf.Tensor4D;
  /** ‖v_j‖² [N, H', W', n], clamped at 0 where rounding leaves it below. */
  readonly squaredNorm: tf.Tensor4D;
  /** g_j [N, H', W', n] */
  readonly g: tf.Tensor4D;
}

function factorsOf(where: string, x: tf.Tensor4D, weights: DauWeights, options: DauConvOptions): Factors {
  const { padding = 0, norm = 'sq', eps = defaultDauEpsilon } = options;
  checkWeights(where, weights);
  checkInput(where, x, weights, padding);
  const { A, B, b } = weights;
  const [k, , channels, n, r] = A.shape as [number, number, number, number, number];
  const [d, s] = [k * k * channels, r + 1];
  const U = tf.reshape(tf.concat([A, tf.expandDims(b, 4)], 4), [d, n, s]);
  const shared = convolve(x, B as tf.Tensor4D, options);
  const u = tf.concat([shared, tf.onesLike(tf.slice(shared, [0, 0, 0, 0], [-1, -1, -1, 1]))], 3) as tf.Tensor4D;

  const units = tf.transpose(U, [1, 0, 2]); // [n, d, s]
  const gram = tf.transpose(tf.matMul(units, units, true, false), [1, 0, 2]); // [n, s, s] → [s, n, s], each U_jᵀU_j symmetric
  const products = tf.conv2d(u, tf.reshape(gram, [1, 1, s, n * s]) as tf.Tensor4D, 1, 'valid');
  const squaredNorm = tf.maximum(alongUnits(products, u), 0) as tf.Tensor4D;
  const guarded = tf.add(squaredNorm, eps);
  const g = norm === 'l2' ? tf.rsqrt(guarded) : tf.div(tf.sqrt(guarded), tf.add(guarded, 1));
  return { filter: tf.reshape(U, [k, k, channels, n * s]), u, squaredNorm, g: g as tf.Tensor4D };
}

function convolve(x: tf.Tensor4D, filter: tf.Tensor4D, { stride = 1, padding = 0 }: DauConvOptions): tf.Tensor4D {
  const padded =
    padding === 0
      ? x
      : tf.pad(x, [
          [0, 0],
          [padding, padding],
          [padding, padding],
          [0, 0],
        ]);
  return tf.conv2d(padded, filter, stride, 'valid');
}

/** values [M, H', W', n·s], unit-major, and u [M, H', W', s] → Σ_s value·u [M, H', W', n] */
function alongUnits(values: tf.Tensor4D, u: tf.Tensor4D): tf.Tensor4D {
  const [count, h, w, s] = u.shape;
  const perUnit = tf.reshape(values, [count, h, w, values.shape[3] / s, s]);
  return tf.sum(tf.mul(perUnit, tf.reshape(u, [count, h, w, 1, s])), 4);
}

/** x [N, …] → [m·N, …], each image m times in a row. Not tf.tile, whose gradient is a chain of slices. */
function repeated(x: tf.Tensor4D, m: number): tf.Tensor4D {
  if (m === 1) return x;
  const [images, h, w, channels] = x.shape;
  const copies = tf.mul(tf.reshape(x, [images, 1, h * w * channels]), tf.ones([1, m, 1]));
  return tf.reshape(copies, [images * m, h, w, channels]);
}

function checkWeights(where: string, weights: DauWeights): void {
  const [k = 0, , channels = 0, n = 0, r = 0] = weights.A.shape;
  const shapes = { A: [k, k, channels, n, r], B: [k, k, channels, r], b: [k, k, channels, n] };
  for (const name of ['A', 'B', 'b'] as const) {
    if (weights[name].shape.join() === shapes[name].join()) continue;
    throw new CodaError({
      kind: 'argument',
      where: `${where}: weights.${name}`,
      problem: 'the weights do not fit together: A [k, k, C, n, r], B [k, k, C, r], b [k, k, C, n]',
      expected: `[${shapes[name].join(', ')}]`,
      got: `[${weights[name].shape.join(', ')}]`,
    });
  }
}

function checkInput(where: string, x: tf.Tensor4D, { A }: DauWeights, padding: number): void {
  const [k, , channels] = A.shape as [number, number, number];
  const [, height, width, got] = x.shape;
  if (x.rank === 4 && got === channels && Math.min(height, width) + 2 * padding >= k) return;
  throw new CodaError({
    kind: 'argument',
    where: `${where}: x`,
    problem: `x does not fit a ${k}×${k} kernel with padding ${padding} over ${channels} channels`,
    expected: `[N, H, W, ${channels}] with H and W at least ${Math.max(1, k - 2 * padding)}`,
    got: `[${x.shape.join(', ')}]`,
  });
}

/** Whether `x` is some number of `shape`s for each of its images. */
function checkPerImage(where: string, x: tf.Tensor4D, shape: readonly number[]): void {
  const [images, ...rest] = shape as [number, ...number[]];
  if (x.rank === 4 && x.shape.slice(1).join() === rest.join() && x.shape[0] % images === 0) return;
  throw new CodaError({
    kind: 'argument',
    where,
    problem: `not the same number of maps for each of the ${images} images`,
    expected: `[m·${images}, ${rest.join(', ')}]`,
    got: `[${x.shape.join(', ')}]`,
  });
}
