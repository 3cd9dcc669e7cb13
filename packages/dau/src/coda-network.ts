/**
 * CoDA-Net: input encoding, a stack of DAU layers, sum pooling, temperature and fixed bias, binary cross entropy.
 * arXiv 2109.13004, section 3. Every tap is exact: Σ contributions = z − b₀.
 */
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, type JsonObject, type Network } from '@coda-nets/core';
import { parseCodaConfig, type CodaConfig } from './coda-config.ts';
import { codaLayers } from './coda-layers.ts';
import { codaLinearMap } from './coda-linear-map.ts';
import { binaryCrossEntropy, sumPoolScores } from './readout.ts';
import { encodeRgb6 } from './rgb6.ts';

/** How a network is computed, which changes no number of it; not part of its config. */
export interface CodaRuntime {
  /** Units of a layer at once, see `DauConvOptions`; default all. A network of efficient units refuses it. */
  readonly unitsAtOnce?: number | undefined;
}

/**
 * The network of a config, which may come out of a file: all of it is checked. Throws a CodaError that names what is wrong in it.
 * The tap `input` is the encoded image: 6 channels for `rgb6`.
 */
export function codaNetwork(config: CodaConfig | JsonObject, runtime: CodaRuntime = {}): Network {
  checkOptions('codaNetwork: runtime', runtime, ['unitsAtOnce']);
  const { unitsAtOnce } = runtime;
  const canonical = parseCodaConfig(config);
  const { inputShape, encoding, layers, norm, eps, temperature, logitBias, classes } = canonical;
  const inputChannels = encoding === 'rgb6' ? 6 : 3;
  const dynamicLinear = codaLinearMap({ layers, norm, eps, temperature, input: 'input' });
  const stack = codaLayers({ inputChannels, layers, norm, eps, unitsAtOnce });
  return {
    config: canonical,
    inputShape,
    classes,
    taps: [{ name: 'input', channels: inputChannels, stride: 1, exact: true }, ...stack.taps],
    weights: stack.weights,
    logitBias,
    dynamicLinear,
    forward: (weights, images, context) => {
      const input = context.tap('input', encoding === 'rgb6' ? encodeRgb6(images) : images);
      const scores = sumPoolScores(stack.forward(weights, input, context), temperature);
      return { logits: tf.add(scores, logitBias), scores, statistics: {} };
    },
    loss: binaryCrossEntropy,
    probabilities: (logits) => tf.sigmoid(logits),
  };
}
