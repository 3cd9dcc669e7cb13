/**
 * Contribution maps of one prediction at any number of taps, from one forward and one backward pass.
 *
 * A dynamic linear network is z(x) = W(x)·x + b₀. Held at W(x), the contribution of entry i of a tap's activation a to logit c is
 *     s_c,i = [W_{tap→z}(x)]_c,i · a_i = ∂z_c/∂a_i · a_i      with every dynamic weight constant,      and Σ_i s_c,i = z_c − b₀
 * at every tap above which all is dynamic linear (arXiv 2104.00032, section 3.3; arXiv 2109.13004, section 3). At other taps, inside a
 * hybrid's conventional stem, the same product is only gradient × activation with the head held (reconstruction: the papers' code for
 * hybrids is not public); `Tap.exact` says which. Pure tensor functions: they read no value, so they can be traced into a graph.
 */
import * as tf from '@tensorflow/tfjs-core';
import { withDynamicWeightsHeld } from '@coda-nets/core';
import type { NamedTensors, Network } from '@coda-nets/core';
import { passAtTaps, type Target } from './pass-at-taps.ts';

// Type aliases, not interfaces: only these are assignable to what tf.tidy returns.
export type TapContributions = {
  /** [N, h, w]: contributions, summed over channels. */
  readonly map: tf.Tensor3D;
  /** [N]: Σ over the map. */
  readonly sum: tf.Tensor1D;
  /** [N]: |sum − expected| / max(|expected|, ε), ε = 2⁻²³ · max(1, |b₀|). */
  readonly residual: tf.Tensor1D;
  /** [N, h, w, C]: the contributions by channel. */
  readonly contributions: tf.Tensor4D;
  /** [N, h, w, C]: the linear map from this tap to the selected logit, W_{tap→z}; at an inexact tap the gradient. */
  readonly linearMap: tf.Tensor4D;
};

export type Contributions = {
  /** [N, C] */
  readonly logits: tf.Tensor2D;
  /** [N, C]: `target` as it was used, one-hot. */
  readonly selector: tf.Tensor2D;
  /** [N]: Σ_c selector_c · (z_c − b₀), which the contributions of an exact tap sum to. */
  readonly expected: tf.Tensor1D;
  readonly taps: Readonly<Record<string, TapContributions>>;
};

const FLOAT32_EPSILON = 2 ** -23;

/** The smallest |z − b₀| a residual is taken relative to. */
export function residualFloor(logitBias: number): number {
  return FLOAT32_EPSILON * Math.max(1, Math.abs(logitBias));
}

/**
 * Contributions to the target's logit at `tapNames`; images [N, H, W, 3]. The result belongs to the caller's `tf.tidy`.
 * Throws a CodaError for a tap the network does not have, or one that is not a map.
 */
export function contributionsAtTaps(
  network: Network,
  weights: NamedTensors,
  images: tf.Tensor4D,
  target: Target,
  tapNames: readonly string[],
): Contributions {
  return withDynamicWeightsHeld(() => gradientTimesActivation(network, weights, images, target, tapNames));
}

/**
 * The same without holding the dynamic weights: plain gradient × activation (IxG at the input). On a dynamic linear network it is *not*
 * complete and localises at chance level (arXiv 2104.00032, section 4.2): a baseline, and the negative control of the completeness test.
 */
export function inputTimesGradient(
  network: Network,
  weights: NamedTensors,
  images: tf.Tensor4D,
  target: Target,
  tapNames: readonly string[],
): Contributions {
  return gradientTimesActivation(network, weights, images, target, tapNames);
}

function gradientTimesActivation(
  network: Network,
  weights: NamedTensors,
  images: tf.Tensor4D,
  target: Target,
  tapNames: readonly string[],
): Contributions {
  return tf.tidy(() => {
    const { logits, selector, expected, activations, gradients } = passAtTaps('explain', network, weights, images, target, tapNames);
    const size = tf.maximum(tf.abs(expected), residualFloor(network.logitBias));
    const taps: Record<string, TapContributions> = {};
    for (const name of tapNames) {
      const linearMap = gradients[name] as tf.Tensor4D;
      const contributions = tf.mul(linearMap, activations[name] as tf.Tensor4D) as tf.Tensor4D;
      const map = tf.sum(contributions, 3) as tf.Tensor3D;
      const sum = tf.sum(map, [1, 2]) as tf.Tensor1D;
      const residual = tf.div(tf.abs(tf.sub(sum, expected)), size) as tf.Tensor1D;
      taps[name] = { map, sum, residual, contributions, linearMap };
    }
    return { logits, selector, expected, taps } satisfies Contributions;
  });
}
