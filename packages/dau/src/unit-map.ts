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
 * so that no w is built. Where that costs more (s large for d), the explicit form builds v_j = U_j u instead: (W x′)_j = g_j v_jᵀp′, Wᵀy = Σ_j g_j y_j v_j.
 * Source: arXiv 2109.13004, section 3; the low-rank form is derived here.
 */
import * as tf from '@tensorflow/tfjs-core';
import { checkPerImage, type UnitAlignment } from '@coda-nets/core';
import { ofNoImages } from './of-no-images.ts';
import { gatherPatches, patchCount, scatterPatches, type PatchGeometry } from './patches.ts';
import type { UnitFormName } from './unit-form.ts';
import { alongUnits, outer, weightedSum } from './unit-products.ts';

/** M = N·H'·W' positions. */
export interface UnitFactors {
  readonly x: tf.Tensor4D;
  /** Those that U and u come from. */
  readonly weights: readonly tf.Tensor[];
  readonly geometry: PatchGeometry;
  /** [M, d], of x */
  readonly patches: tf.Tensor2D;
  /** All U_j: [d, n·s], unit-major. */
  readonly U: tf.Tensor2D;
  /** [M, s] */
  readonly u: tf.Tensor2D;
  readonly form: UnitFormName;
  /** g_j [M, n]. Without it g = 1. */
  readonly scale?: (norm: UnitNorm) => tf.Tensor2D;
}

export interface UnitNorm {
  /** ‖U_j u‖² [M, n] */
  readonly squaredNorm: tf.Tensor2D;
  /** The U_jᵀU_j [n, s, s] it comes from; in the explicit form it is a sum of squares instead. */
  readonly gram?: tf.Tensor3D;
}

/** W(x)·x′. vectors x′ [m·N, H, W, C]: m for each image, image by image → [m·N, H', W', n]. */
export function applied(where: string, factors: UnitFactors, vectors: tf.Tensor4D): tf.Tensor4D {
  const { x, weights, geometry } = factors;
  checkPerImage(`${where}: vectors`, vectors, x.shape);
  const images = x.shape[0];
  const shape: [number, number, number, number] = [vectors.shape[0], ...sidesOf(factors), unitsOf(factors)];
  if (images === 0) return ofNoImages([x, vectors, ...weights], shape);
  const m = vectors.shape[0] / images;
  const { along, unitNorm } = productsOf(factors, images, m);
  const g = factors.scale?.(unitNorm());
  const values = along(gatherPatches(vectors, geometry));
  return tf.reshape(g === undefined ? values : tf.mul(values, repeated(g, images, m)), shape);
}

/** W(x)ᵀ·y. cotangents y [m·N, H', W', n]: m for each image, image by image → [m·N, H, W, C]. */
export function appliedTransposed(where: string, factors: UnitFactors, cotangents: tf.Tensor4D): tf.Tensor4D {
  const { x, weights, geometry } = factors;
  const [images, ...rest] = x.shape;
  const n = unitsOf(factors);
  checkPerImage(`${where}: cotangents`, cotangents, [images, ...sidesOf(factors), n]);
  if (images === 0) return ofNoImages([x, cotangents, ...weights], [0, ...rest]);
  const m = cotangents.shape[0] / images;
  const { combined, unitNorm } = productsOf(factors, images, m);
  const g = factors.scale?.(unitNorm());
  const y = tf.reshape(cotangents, [-1, n]) as tf.Tensor2D;
  const scaled = g === undefined ? y : (tf.mul(y, repeated(g, images, m)) as tf.Tensor2D);
  return scatterPatches(combined(scaled), [cotangents.shape[0], ...rest], geometry);
}

/**
 * ‖w_j‖ and cos ∠(w_j, p) of every unit j at every position, both [N, H', W', n], so that out_j = ‖w_j‖·cos·‖p‖. Measured, not trained on.
 * In the cosine ‖v‖ and ‖p‖ are √(‖·‖² + ε): with a zero vector it is 0.
 */
export function alignmentOf(factors: UnitFactors, eps: number): UnitAlignment {
  const { x, patches } = factors;
  const products = productsOf(factors, x.shape[0], 1);
  const unitNorm = products.unitNorm();
  const { squaredNorm } = unitNorm;
  const norm = tf.sqrt(squaredNorm);
  const g = factors.scale?.(unitNorm);
  const squaredPatch = tf.sum(tf.square(patches), 1, true);
  const norms = tf.mul(tf.sqrt(tf.add(squaredNorm, eps)), tf.sqrt(tf.add(squaredPatch, eps)));
  const cosine = tf.div(products.along(patches), norms);
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

interface UnitProducts {
  /** (U_j u)ᵀp for patches p [m·M, d] → [m·M, n] */
  along(patches: tf.Tensor2D): tf.Tensor2D;
  /** Σ_j a_j U_j u for a [m·M, n] → [m·M, d] */
  combined(a: tf.Tensor2D): tf.Tensor2D;
  unitNorm(): UnitNorm;
}

/** In whichever form; every position stands m times in what they take. */
function productsOf(factors: UnitFactors, images: number, m: number): UnitProducts {
  const { U, u, form } = factors;
  if (form === 'low-rank') {
    return {
      along: (patches) => alongUnits(tf.matMul(patches, U), repeated(u, images, m)),
      combined: (a) => tf.matMul(outer(a, repeated(u, images, m)), U, false, true),
      unitNorm: () => lowRankNorm(factors),
    };
  }
  const [d, n, s] = [U.shape[0], unitsOf(factors), u.shape[1]];
  const rows = tf.reshape(tf.transpose(tf.reshape(U, [d, n, s]), [1, 0, 2]), [n * d, s]); // [d, n·s] → [n·d, s]
  const v = tf.matMul(u, rows, false, true) as tf.Tensor2D; // [M, n·d]
  const all = (): tf.Tensor3D => tf.reshape(repeated(v, images, m), [-1, n, d]);
  return {
    along: (patches) => tf.reshape(tf.matMul(all(), tf.expandDims(patches, 2)), [-1, n]),
    combined: (a) => weightedSum(a, all()),
    unitNorm: () => ({ squaredNorm: tf.sum(tf.square(tf.reshape(v, [-1, n, d])), 2) }),
  };
}

/** ‖U_j u‖² is clamped at 0 where rounding leaves it below. */
function lowRankNorm({ U, u }: UnitFactors): UnitNorm {
  const [d, s] = [U.shape[0], u.shape[1]];
  const n = U.shape[1] / s;
  const perUnit = tf.transpose(tf.reshape(U, [d, n, s]), [1, 0, 2]); // [n, d, s]
  const gram = tf.matMul(perUnit, perUnit, true) as tf.Tensor3D;
  const rows = tf.reshape(tf.transpose(gram, [1, 0, 2]), [s, n * s]); // each U_jᵀU_j is symmetric
  return { gram, squaredNorm: tf.maximum(alongUnits(tf.matMul(u, rows) as tf.Tensor2D, u), 0) as tf.Tensor2D };
}

/** x [N·P, c] → [m·N·P, c], each image's rows m times in a row. Not tf.tile, whose gradient is a chain of slices. */
function repeated(x: tf.Tensor2D, images: number, m: number): tf.Tensor2D {
  if (m === 1) return x;
  const [rows, columns] = x.shape;
  const copies = tf.mul(tf.reshape(x, [images, 1, (rows / images) * columns]), tf.ones([1, m, 1]));
  return tf.reshape(copies, [rows * m, columns]);
}
