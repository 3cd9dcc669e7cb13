/** What the two ways of computing a unit have in common: the low-rank form and the explicit one. Sizes, contracts and the choice between them. */
import { checkOptions } from '@coda-nets/core';
import type * as tf from '@tensorflow/tfjs-core';

/** M patches of d entries, n units of rank r. */
export interface UnitSizes {
  readonly d: number;
  readonly n: number;
  readonly r: number;
}

/** The weights of a layer as matrices: A [d, n·r] (column j·r + t is column t of A_j), B [d, r], b [d, n]. */
export interface UnitMatrices extends UnitSizes {
  readonly A: tf.Tensor2D;
  readonly B: tf.Tensor2D;
  readonly b: tf.Tensor2D;
}

interface UnitValues {
  /** v_jᵀp [M, n] */
  readonly alignment: tf.Tensor2D;
  /** ‖v_j‖² [M, n]; rounding may leave it below 0. */
  readonly squaredNorm: tf.Tensor2D;
  /** S² [M, n]: the size of what rounding is a share of, see `norm-guard.ts`. */
  readonly magnitude: tf.Tensor2D;
  /** What the pullbacks want to find again. */
  readonly saved: readonly tf.Tensor[];
}

export interface UnitGradients {
  /** [M, d] */
  readonly patches: tf.Tensor2D;
  readonly A: tf.Tensor2D;
  readonly B: tf.Tensor2D;
  readonly b: tf.Tensor2D;
}

export interface UnitForm {
  /** patches [M, d] */
  values(patches: tf.Tensor2D, weights: UnitMatrices): UnitValues;
  /** The gradients of Σ (a ∘ alignment + s ∘ squaredNorm), with a and s [M, n]. */
  pullback(patches: tf.Tensor2D, weights: UnitMatrices, saved: readonly tf.Tensor[], a: tf.Tensor2D, s: tf.Tensor2D): UnitGradients;
  /** Σ_j a_j v_j [M, d]: the gradient of Σ (a ∘ alignment) with respect to the patches, v held constant. */
  heldPullback(weights: UnitMatrices, saved: readonly tf.Tensor[], a: tf.Tensor2D): tf.Tensor2D;
}

/** `low-rank` never builds v; `explicit` does. */
export const unitFormNames = ['low-rank', 'explicit'] as const;
export type UnitFormName = (typeof unitFormNames)[number];

/** Multiply-adds in the time in which one number is written or read: 150 GFLOP/s a core against 5 GB/s, see docs/decisions/0007. */
const MULTIPLY_ADDS_PER_NUMBER = 60;
/** How often a training step writes or reads each of the n·r numbers of a position (A_jᵀp, G_j u + h_j and two outer products), or each of the n·d of v and its gradient. */
const LOW_RANK_TOUCHES = 11;
const EXPLICIT_TOUCHES = 15;

/**
 * The cheaper form for a patch of d entries and rank r, for any number of units and positions: per unit and position a training step costs
 *
 *     low-rank    3·r·(d + r) multiply-adds and 11·r numbers touched
 *     explicit    3·r·d       multiply-adds and 15·d numbers touched
 */
export function cheaperForm(sizes: Pick<UnitSizes, 'd' | 'r'>): UnitFormName {
  checkOptions('cheaperForm: sizes', sizes, ['d', 'r', 'n']);
  const { d, r } = sizes;
  const lowRank = 3 * r * (d + r) + MULTIPLY_ADDS_PER_NUMBER * LOW_RANK_TOUCHES * r;
  const explicit = 3 * r * d + MULTIPLY_ADDS_PER_NUMBER * EXPLICIT_TOUCHES * d;
  return explicit < lowRank ? 'explicit' : 'low-rank';
}
