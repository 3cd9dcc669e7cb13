/**
 * The scope in which dynamic weights are constants.
 *
 * A dynamic linear layer computes W(x)·x. Its contribution map is [W(x)]_c ⊙ x, which is gradient × input once W(x) counts
 * as a constant (arXiv 2109.13004, section 3; arXiv 2104.00032, section 3.3). Layers pass everything their dynamic weight is made of
 * through `dynamicWeight`; inside `withDynamicWeightsHeld` that is a constant for the gradient, outside it is the identity. A layer with a
 * hand-written gradient asks `dynamicWeightsAreHeld` instead, and writes the shorter one.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { holdConstant } from './hold-constant.ts';
import { runScope } from './run-scope.ts';

let held = 0;

/** Runs `fn`, which must be synchronous, with every dynamic weight held constant. Scopes nest. */
export function withDynamicWeightsHeld<T>(fn: () => T): T {
  return runScope('withDynamicWeightsHeld', fn, { enter: () => held++, leave: () => held-- });
}

/** Whether the call is made inside `withDynamicWeightsHeld`. */
export function dynamicWeightsAreHeld(): boolean {
  return held > 0;
}

/** Marks x as (part of) a dynamic weight. */
export function dynamicWeight<T extends tf.Tensor>(x: T): T {
  return dynamicWeightsAreHeld() ? holdConstant(x) : x;
}
