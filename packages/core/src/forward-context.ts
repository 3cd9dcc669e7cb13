/** What a forward pass is told and what it reports, beside its weights and input. */
import type * as tf from '@tensorflow/tfjs-core';

export interface ForwardContext {
  /** Batch norm uses the batch's statistics and returns new running ones. */
  readonly training: boolean;
  /** Called by the network at each of its taps, in order; the network goes on with what it returns. */
  tap<T extends tf.Tensor>(name: string, x: T): T;
  /** Called by the network with each residual branch before it is added to its shortcut; the network goes on with what it returns. */
  branch?<T extends tf.Tensor>(name: string, x: T): T;
  /** In training by many processes: what becomes of the batch's statistics. Those of one process are its own. */
  readonly ranks?: RankStatistics;
}

/** Each of `size` processes has as many images of a batch; running statistics are those of all of them. */
export interface RankStatistics {
  readonly size: number;
  /** By what values cross: `meanOverRanks`, or what says why they cannot. */
  mean<T extends tf.Tensor>(x: T, name: string): T;
  /** Whether images are normalised with the statistics of all ranks, or with their own rank's. */
  readonly synchronised: boolean;
}

/** No taps are looked at. */
export const inferenceContext: ForwardContext = { training: false, tap: (_, x) => x };
export const trainingContext: ForwardContext = { training: true, tap: (_, x) => x };

/** `context`, and what the network passes on at each tap it reaches, by name. */
export function recordTaps(context: ForwardContext): {
  readonly context: ForwardContext;
  readonly activations: Readonly<Record<string, tf.Tensor>>;
} {
  const activations: Record<string, tf.Tensor> = {};
  return {
    context: { ...context, tap: (name, x) => (activations[name] = context.tap(name, x)) as typeof x },
    activations,
  };
}
