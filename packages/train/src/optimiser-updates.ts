/** The formulas of the optimisers, for one weight. Pure: (weight, gradient, slots) → (weight′, slots′). Which weights and slots there are is `optimisers.ts`. */
import * as tf from '@tensorflow/tfjs-core';
import type { NamedTensors } from '@coda-nets/core';

/** `decay`: λ of this weight, 0 where it does not decay. */
export type Update = (
  w: tf.Tensor,
  g: tf.Tensor,
  slots: Readonly<Record<string, tf.Tensor>>,
  scalars: NamedTensors,
  decay: number,
) => { readonly w: tf.Tensor; readonly slots: Readonly<Record<string, tf.Tensor>> };

export interface Moments {
  readonly beta1: number;
  readonly beta2: number;
}

/** m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g² (arXiv 1412.6980, algorithm 1). */
function moments({ beta1, beta2 }: Moments, g: tf.Tensor, slots: Readonly<Record<string, tf.Tensor>>): { m: tf.Tensor; v: tf.Tensor } {
  return {
    m: tf.add(tf.mul(slots['m'] as tf.Tensor, beta1), tf.mul(g, 1 - beta1)),
    v: tf.add(tf.mul(slots['v'] as tf.Tensor, beta2), tf.mul(tf.square(g), 1 - beta2)),
  };
}

export function adam(betas: Moments, decoupled: boolean): Update {
  return (w, gradient, slots, scalars, decay) => {
    const g = decay === 0 || decoupled ? gradient : tf.add(gradient, tf.mul(w, decay));
    const { m, v } = moments(betas, g, slots);
    const change = tf.div(tf.mul(m, scalars['stepSize'] as tf.Tensor), tf.add(tf.sqrt(v), scalars['epsilon'] as tf.Tensor));
    const kept = decay !== 0 && decoupled ? tf.sub(w, tf.mul(w, scalars['shrink'] as tf.Tensor)) : w;
    return { w: tf.sub(kept, change), slots: { m, v } };
  };
}

export function sgd(momentum: number, nesterov: boolean): Update {
  return (w, gradient, slots, scalars, decay) => {
    const g = decay === 0 ? gradient : tf.add(gradient, tf.mul(w, decay));
    const rate = scalars['learningRate'] as tf.Tensor;
    if (momentum === 0) return { w: tf.sub(w, tf.mul(g, rate)), slots: {} };
    const m = tf.add(tf.mul(slots['m'] as tf.Tensor, momentum), g);
    const direction = nesterov ? tf.add(g, tf.mul(m, momentum)) : m;
    return { w: tf.sub(w, tf.mul(direction, rate)), slots: { m } };
  };
}

/** `adapts`: whether the step of this weight has a length in proportion to the weight's own. */
export function lamb(betas: Moments, adapts: boolean): Update {
  return (w, g, slots, scalars, decay) => {
    const { m, v } = moments(betas, g, slots);
    const ratio = tf.div(tf.mul(m, scalars['scale'] as tf.Tensor), tf.add(tf.sqrt(v), scalars['epsilon'] as tf.Tensor));
    const direction = decay === 0 ? ratio : tf.add(ratio, tf.mul(w, decay));
    const rate = scalars['learningRate'] as tf.Tensor;
    return { w: tf.sub(w, tf.mul(direction, adapts ? tf.mul(rate, trust(w, direction)) : rate)), slots: { m, v } };
  };
}

/** ‖w‖ / ‖r‖; 1 where either is 0. */
function trust(w: tf.Tensor, r: tf.Tensor): tf.Tensor {
  const [ofWeight, ofStep] = [tf.sqrt(tf.sum(tf.square(w))), tf.sqrt(tf.sum(tf.square(r)))];
  const product = tf.mul(ofWeight, ofStep);
  return tf.where(tf.greater(product, 0), tf.div(ofWeight, ofStep), tf.onesLike(product));
}
