/**
 * CoDA-Net: input encoding, a stack of DAU layers, sum pooling, temperature and fixed bias, binary cross entropy.
 * arXiv 2109.13004, section 3. Every tap is exact: Σ contributions = z − b₀.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Network } from '@coda-nets/core';
import { parseCodaConfig, type CodaConfig } from './coda-config.ts';
import { codaLayers } from './coda-layers.ts';
import { codaLinearMap } from './coda-linear-map.ts';
import { binaryCrossEntropy, sumPoolLogits } from './readout.ts';
import { encodeRgb6 } from './rgb6.ts';

/**
 * The network of a config. Throws a CodaError that names what is wrong in it.
 * The tap `input` is the encoded image: 6 channels for `rgb6`.
 */
export function codaNetwork(config: CodaConfig): Network {
  const canonical = parseCodaConfig(config);
  const { inputShape, encoding, layers, norm, eps, temperature, logitBias, classes } = canonical;
  const inputChannels = encoding === 'rgb6' ? 6 : 3;
  const stack = codaLayers({ inputChannels, layers, norm, eps });
  return {
    config: canonical,
    inputShape,
    classes,
    taps: [{ name: 'input', channels: inputChannels, stride: 1, exact: true }, ...stack.taps],
    weights: stack.weights,
    logitBias,
    dynamicLinear: codaLinearMap({ layers, norm, eps, temperature, input: 'input' }),
    forward: (weights, images, context) => {
      const input = context.tap('input', encoding === 'rgb6' ? encodeRgb6(images) : images);
      const logits = sumPoolLogits(stack.forward(weights, input, context), temperature, logitBias);
      return { logits, statistics: {} };
    },
    loss: binaryCrossEntropy,
    probabilities: (logits) => tf.sigmoid(logits),
  };
}
