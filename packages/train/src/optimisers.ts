/**
 * Optimisers as pure tensor functions: parameter, gradient and slots in, new ones out. What changes from step to step beside them are a few
 * scalars, computed on the host in float64 and fed in, so that a compiled step serves the whole training.
 */
import type { NamedTensors } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';

export type OptimiserConfig =
  | { readonly kind: 'adam'; readonly beta1: number; readonly beta2: number; readonly epsilon: number }
  | { readonly kind: 'sgd'; readonly momentum: number; readonly nesterov: boolean };

export interface Optimiser {
  /** Suffixes of the slots of each parameter: slot `m` of `fc.weight` is carried as `fc.weight#m`. All start at zero. */
  readonly slots: readonly string[];
  /** The scalars of step `step` (from 1) at this learning rate. */
  scalars(step: number, learningRate: number): Readonly<Record<string, number>>;
  /** The new parameter and slots; `slots` and the result's are by suffix, scalars by name. */
  update(parameter: tf.Tensor, gradient: tf.Tensor, slots: NamedTensors, scalars: NamedTensors): { parameter: tf.Tensor; slots: NamedTensors };
}

export const slotName = (parameter: string, slot: string): string => `${parameter}#${slot}`;

export function optimiser(config: OptimiserConfig): Optimiser {
  return config.kind === 'adam' ? adam(config) : sgd(config);
}

/**
 * Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1), in the order of operations that PyTorch uses:
 *
 *     m ← β₁m + (1−β₁)g     v ← β₂v + (1−β₂)g²     p ← p − α/(1−β₁ᵗ) · m / (√v / √(1−β₂ᵗ) + ε)
 */
function adam({ beta1, beta2, epsilon }: Extract<OptimiserConfig, { kind: 'adam' }>): Optimiser {
  return {
    slots: ['m', 'v'],
    scalars: (step, learningRate) => ({
      stepSize: learningRate / (1 - beta1 ** step),
      varianceScale: 1 / Math.sqrt(1 - beta2 ** step),
    }),
    update: (parameter, gradient, { m, v }, { stepSize, varianceScale }) => {
      const first = tf.add(tf.mul(m as tf.Tensor, beta1), tf.mul(gradient, 1 - beta1));
      const second = tf.add(tf.mul(v as tf.Tensor, beta2), tf.mul(tf.square(gradient), 1 - beta2));
      const denominator = tf.add(tf.mul(tf.sqrt(second), varianceScale as tf.Tensor), epsilon);
      const change = tf.div(tf.mul(first, stepSize as tf.Tensor), denominator);
      return { parameter: tf.sub(parameter, change), slots: { m: first, v: second } };
    },
  };
}

/**
 * Stochastic gradient descent with momentum μ (Sutskever et al., ICML 2013, in PyTorch's form):
 *
 *     m ← μm + g     p ← p − α·m, or with Nesterov's look-ahead p ← p − α·(g + μm)
 */
function sgd({ momentum, nesterov }: Extract<OptimiserConfig, { kind: 'sgd' }>): Optimiser {
  return {
    slots: momentum === 0 ? [] : ['m'],
    scalars: (_, learningRate) => ({ learningRate }),
    update: (parameter, gradient, { m }, { learningRate }) => {
      if (momentum === 0) return { parameter: tf.sub(parameter, tf.mul(gradient, learningRate as tf.Tensor)), slots: {} };
      const velocity = tf.add(tf.mul(m as tf.Tensor, momentum), gradient);
      const direction = nesterov ? tf.add(gradient, tf.mul(velocity, momentum)) : velocity;
      return { parameter: tf.sub(parameter, tf.mul(direction, learningRate as tf.Tensor)), slots: { m: velocity } };
    },
  };
}
