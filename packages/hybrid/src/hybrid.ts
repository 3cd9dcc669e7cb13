/**
 * A hybrid network: a conventional ResNet up to a cut computes features, CoDA layers on top classify them.
 *
 *     a = stem(x)        z = (1/T)·Σ_positions W(a) a + b₀        W(a) = W_m(a_{m−1}) ⋯ W_1(a)
 *
 * From the cut upwards the network is dynamic linear: with every dynamic weight held, the contributions of the taps `cut`, `head.layers.0`, … sum to
 * z − b₀ exactly. Below the cut they are gradient × activation of the stem. Idea: arXiv 2109.13004, abstract and section on hybrid networks; the
 * layout of the head is a reconstruction, as no code for hybrids is published.
 */
import { CodaError, type ForwardContext, type FrozenStem, type NamedTensors, type Network, type Tap, type WeightSpec } from '@coda-nets/core';
import { binaryCrossEntropy, codaLayers, sumPoolLogits } from '@coda-nets/dau';
import { resnetStem } from '@coda-nets/resnet';
import * as tf from '@tensorflow/tfjs-core';
import { parseHybridConfig, type HybridConfig, type HybridOptions } from './hybrid-config.ts';

/** Before the names of the stem's weights, which are torchvision's; the stem's taps keep their own names. */
export const stemPrefix = 'stem.';
const headPrefix = 'head.';

export interface HybridNetwork extends Network {
  readonly config: HybridConfig;
}

/** Throws a CodaError for a config that is wrong, or a cut that the backbone does not have, with the nearest and the list. */
export function hybrid(options: HybridOptions): HybridNetwork {
  const config = parseHybridConfig(options);
  const { head, backbone, cut } = config;
  const stem = resnetStem(backbone as Parameters<typeof resnetStem>[0], cut);
  const cutTap = stem.taps.at(-1) as Tap;
  const layers = codaLayers({ inputChannels: cutTap.channels, layers: head.layers, norm: head.norm });
  checkSizes(stem.featureShape, head.layers);
  const frozen = config.stem === 'frozen';

  const stemWeights = Object.entries(stem.weights).map(([name, spec]): [string, WeightSpec] => [
    stemPrefix + name,
    frozen ? { ...spec, role: 'frozen' } : spec,
  ]);
  const headWeights = Object.entries(layers.weights).map(([name, spec]): [string, WeightSpec] => [headPrefix + name, spec]);

  const features = (weights: NamedTensors, images: tf.Tensor4D, context: ForwardContext) =>
    stem.forwardFeatures(weights, images, frozen ? { ...context, training: false } : context, stemPrefix);
  const logits = (weights: NamedTensors, x: tf.Tensor4D, context: ForwardContext): tf.Tensor2D =>
    sumPoolLogits(layers.forward(weights, x, context, headPrefix), head.temperature, head.logitBias);
  const frozenStem: FrozenStem = {
    featureShape: stem.featureShape,
    embed: (weights, images) => features(weights, images, { training: false, tap: (_, x) => x }).features,
    forwardHead: (weights, x, context) => ({ logits: logits(weights, context.tap(cut, x), context), statistics: {} }),
  };

  return {
    config,
    inputShape: backbone.inputShape as Network['inputShape'],
    classes: backbone.classes,
    taps: [
      ...stem.taps.map((tap) => ({ ...tap, exact: tap === cutTap })),
      ...layers.taps.map((tap) => ({ ...tap, name: headPrefix + tap.name, stride: tap.stride * cutTap.stride })),
    ],
    weights: Object.fromEntries([...stemWeights, ...headWeights]),
    logitBias: head.logitBias,
    ...(frozen && { frozenStem }),
    forward: (weights, images, context) => {
      const { features: x, statistics } = features(weights, images, context);
      return { logits: logits(weights, x, context), statistics };
    },
    loss: binaryCrossEntropy,
    probabilities: (z) => tf.sigmoid(z),
  };
}

/** Every kernel of the head must fit into what the layers below leave of the features. */
function checkSizes(featureShape: readonly number[], layers: HybridConfig['head']['layers']): void {
  let side = Math.min(featureShape[0] as number, featureShape[1] as number);
  for (const [i, { kernel, stride, padding }] of layers.entries()) {
    if (side + 2 * padding < kernel) {
      throw new CodaError({
        kind: 'argument',
        where: `hybrid: config: head.layers[${i}].kernel`,
        problem: 'the kernel is larger than what the layers below leave',
        expected: `at most ${side + 2 * padding}`,
        got: String(kernel),
      });
    }
    side = Math.floor((side + 2 * padding - kernel) / stride) + 1;
  }
}
