/**
 * The linear map W(x) that a layer of units is at an input x, as ordinary operations: W(x)·x′, W(x)ᵀ·y, and how well its rows align with x.
 * Here x only chooses the map, and everything may be differentiated by every argument. Which numbers make a unit: `dau-map.ts`, `edau-map.ts`.
 *
 * With p and p′ the patches of x and x′ at one position, for each of n units j of a matrix U_j ∈ R^{d×s} and a vector u ∈ R^s that depends on p:
 *
 *     w_j = g_j U_j u
 *     (W x′)_j = g_j (U_jᵀp′)·u              one product gives all U_jᵀp′
 *     Wᵀy at a patch = Σ_j U_j (g_j y_j u)   one product, then patches are added up where they overlap
 *     ‖U_j u‖² = (U_jᵀU_j u)·u
 *
 * so that no w is built. Source: arXiv 2109.13004, section 3; the low-rank form is derived here.
 */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError, type UnitAlignment } from '@coda-nets/core';
import { gatherPatches, patchCount, scatterPatches, type PatchGeometry } from './patches.ts';
import { alongUnits, outer } from './unit-products.ts';

/** M = N·H'·W' positions. */
export interface UnitFactors {
  readonly x: tf.Tensor4D;
  readonly geometry: PatchGeometry;
  /** [M, d], of x */
  readonly patches: tf.Tensor2D;
  /** All U_j: [d, n·s], unit-major. */
  readonly U: tf.Tensor2D;
  /** [M, s] */
  readonly u: tf.Tensor2D;
  /** g_j [M, n] of ‖U_j u‖² [M, n]. Without it g = 1. */
  readonly scale?: (squaredNorm: tf.Tensor2D) => tf.Tensor2D;
}

/** W(x)·x′. vectors x′ [m·N, H, W, C]: m for each image, image by image → [m·N, H', W', n]. */
export function applied(where: string, factors: UnitFactors, vectors: tf.Tensor4D): tf.Tensor4D {
  const { x, geometry, U, u } = factors;
  checkPerImage(`${where}: vectors`, vectors, x.shape);
  const g = scaleOf(factors);
  const images = x.shape[0];
  const m = vectors.shape[0] / images;
  const values = alongUnits(tf.matMul(gatherPatches(vectors, geometry), U), repeated(u, images, m));
  return tf.reshape(g === undefined ? values : tf.mul(values, repeated(g, images, m)), [
    vectors.shape[0],
    ...sidesOf(factors),
    unitsOf(factors),
  ]);
}

/** W(x)ᵀ·y. cotangents y [m·N, H', W', n]: m for each image, image by image → [m·N, H, W, C]. */
export function appliedTransposed(where: string, factors: UnitFactors, cotangents: tf.Tensor4D): tf.Tensor4D {
  const { x, geometry, U, u } = factors;
  const [images, ...rest] = x.shape;
  const n = unitsOf(factors);
  checkPerImage(`${where}: cotangents`, cotangents, [images, ...sidesOf(factors), n]);
  const g = scaleOf(factors);
  const m = cotangents.shape[0] / images;
  const y = tf.reshape(cotangents, [-1, n]) as tf.Tensor2D;
  const scaled = g === undefined ? y : (tf.mul(y, repeated(g, images, m)) as tf.Tensor2D);
  const rows = tf.matMul(outer(scaled, repeated(u, images, m)), U, false, true) as tf.Tensor2D;
  return scatterPatches(rows, [cotangents.shape[0], ...rest], geometry);
}

/**
 * ‖w_j‖ and cos ∠(w_j, p) of every unit j at every position, both [N, H', W', n], so that out_j = ‖w_j‖·cos·‖p‖. Measured, not trained on.
 * In the cosine ‖v‖ and ‖p‖ are √(‖·‖² + ε): with a zero vector it is 0.
 */
export function alignmentOf(factors: UnitFactors, eps: number): UnitAlignment {
  const { x, patches, U, u } = factors;
  const squaredNorm = squaredNormOf(factors);
  const norm = tf.sqrt(squaredNorm);
  const g = factors.scale?.(squaredNorm);
  const squaredPatch = tf.sum(tf.square(patches), 1, true);
  const norms = tf.mul(tf.sqrt(tf.add(squaredNorm, eps)), tf.sqrt(tf.add(squaredPatch, eps)));
  const cosine = tf.div(alongUnits(tf.matMul(patches, U), u), norms);
  const asMap = (values: tf.Tensor): tf.Tensor4D => tf.reshape(values, [x.shape[0], ...sidesOf(factors), unitsOf(factors)]);
  return { norm: asMap(g === undefined ? norm : tf.mul(norm, g)), cosine: asMap(cosine) };
}

function unitsOf({ U, u }: UnitFactors): number {
  return U.shape[1] / u.shape[1];
}

/** H', W' */
function sidesOf({ x, geometry }: UnitFactors): [number, number] {
  return [patchCount(x.shape[1], geometry), patchCount(x.shape[2], geometry)];
}

function scaleOf(factors: UnitFactors): tf.Tensor2D | undefined {
  return factors.scale?.(squaredNormOf(factors));
}

/** ‖U_j u‖² [M, n], clamped at 0 where rounding leaves it below. */
function squaredNormOf({ U, u }: UnitFactors): tf.Tensor2D {
  const [d, s] = [U.shape[0], u.shape[1]];
  const n = U.shape[1] / s;
  const perUnit = tf.transpose(tf.reshape(U, [d, n, s]), [1, 0, 2]); // [n, d, s]
  const gram = tf.transpose(tf.matMul(perUnit, perUnit, true), [1, 0, 2]); // [n, s, s] → [s, n, s], each U_jᵀU_j symmetric
  return tf.maximum(alongUnits(tf.matMul(u, tf.reshape(gram, [s, n * s])) as tf.Tensor2D, u), 0) as tf.Tensor2D;
}

/** x [N·P, c] → [m·N·P, c], each image's rows m times in a row. Not tf.tile, whose gradient is a chain of slices. */
function repeated(x: tf.Tensor2D, images: number, m: number): tf.Tensor2D {
  if (m === 1) return x;
  const [rows, columns] = x.shape;
  const copies = tf.mul(tf.reshape(x, [images, 1, (rows / images) * columns]), tf.ones([1, m, 1]));
  return tf.reshape(copies, [rows * m, columns]);
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
