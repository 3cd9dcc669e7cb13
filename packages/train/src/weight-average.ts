/** The exponential moving average of a run's weights: a slot beside each, carried by the compiled step. Pure. */
import * as tf from '@tensorflow/tfjs-core';
import type { NamedArrays, NamedTensors, NdArray } from '@coda-nets/core';
import { slotName } from './optimisers.ts';

export interface AverageConfig {
  /** d, the share of the average that stays at an update. */
  readonly decay: number;
}

/** `averageSlot('fc.weight')` is `fc.weight#average`. */
export function averageSlot(weight: string): string {
  return slotName(weight, 'average');
}

/**
 * d_t = min(d, (1 + t) / (10 + t)) at update t = 1, 2, …: at the start the average forgets its first, untrained weights fast. The cap is TensorFlow's
 * (`tf.train.ExponentialMovingAverage`, `num_updates`); averages of weights: Polyak and Juditsky 1992.
 */
export function averageDecay({ decay }: AverageConfig, update: number): number {
  return Math.min(decay, (1 + update) / (10 + update));
}

/** a ← d_t·a + (1 − d_t)·w for all weights and running statistics w. `averages` by slot; `decay` d_t, a scalar. */
export function averaged(weights: NamedTensors, averages: NamedTensors, decay: tf.Tensor): NamedTensors {
  const rest = tf.sub(1, decay);
  return Object.fromEntries(
    Object.entries(weights).map(([name, w]) => {
      const slot = averageSlot(name);
      return [slot, tf.add(tf.mul(averages[slot] as tf.Tensor, decay), tf.mul(w, rest))];
    }),
  );
}

/** The first averages: the weights themselves. */
export function firstAverages(weights: NamedArrays, names: readonly string[]): NamedArrays {
  return Object.fromEntries(names.map((name) => [averageSlot(name), weights[name] as NdArray]));
}

/** What is measured and shipped: the averages in the place of the weights where there are some. */
export function averagedWeights(weights: NamedArrays, slots: NamedArrays): NamedArrays {
  return Object.fromEntries(Object.entries(weights).map(([name, w]) => [name, slots[averageSlot(name)] ?? w]));
}
