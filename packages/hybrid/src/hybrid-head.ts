/**
 * The part of a hybrid above its cut: DAU layers, sum pooling, temperature, b₀. One dynamic linear map of the features.
 * arXiv 2109.13004, section 3; that it stands on a cut ResNet is our reconstruction of the paper's hybrids.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { ForwardContext, NamedTensors, Tap, WeightSpec } from '@coda-nets/core';
import { codaLayers, sumPoolScores } from '@coda-nets/dau';
import type { HybridHead } from './hybrid-config.ts';

export interface Head {
  /** `head.0` …; strides count input pixels. */
  readonly taps: readonly Tap[];
  /** `head.0.B`, `head.0.A`, and of DAUs `head.0.b`, … */
  readonly weights: Readonly<Record<string, WeightSpec>>;
  /** features [N, H, W, C] → logits and z − b₀ [N, classes] */
  forward(
    weights: NamedTensors,
    features: tf.Tensor4D,
    context: ForwardContext,
  ): { readonly logits: tf.Tensor2D; readonly scores: tf.Tensor2D };
}

/** Stands before the numbers of the head's layers, in taps and weights. */
export const headPrefix = 'head.';

export function hybridHead({ norm, temperature, logitBias, eps, layers }: HybridHead, cut: Pick<Tap, 'channels' | 'stride'>): Head {
  const stack = codaLayers({ inputChannels: cut.channels, layers, norm, eps, prefix: headPrefix });
  return {
    taps: stack.taps.map((tap) => ({ ...tap, stride: tap.stride * cut.stride })),
    weights: stack.weights,
    forward: (weights, features, context) => {
      const scores = sumPoolScores(stack.forward(weights, features, context), temperature);
      return { logits: tf.add(scores, logitBias), scores };
    },
  };
}
