/** A stem for [r, g, b, 1−r, 1−g, 1−b] out of one for [r, g, b], so that the network computes what it did. */
import { checkWeights, CodaError, ndArray, type NamedArrays, type NdArray } from '@coda-nets/core';
import { parseResnetConfig, type ResnetOptions } from './resnet-config.ts';
import type { ResnetWithWeights } from './resnet-with-weights.ts';
import { resnet } from './resnet.ts';

/**
 * The same network with `encoding: 'rgb6'`. The stem convolves n = (x − m) / s with its kernel w, and zeros stand around n. For a pixel of the image
 * x + (1 − x) = 1, so that m = m·x + m·(1 − x) and
 *
 *     w·(x − m)/s = w·(1 − m)/s · x  −  w·m/s · (1 − x)
 *
 * in which no constant is left. Around the image both x and 1 − x are zero, which gives the 0 that stood around n: with `normalisation: 'folded'`
 * (the default) the kernel is [w·(1 − m)/s, −w·m/s] and the network has no normalisation. With `'kept'` the six channels are normalised by (m, 1 − m)
 * and (s, s), to n and −n, and the kernel is [w, −w]/2. Computed in float64. Only `conv1.weight` changes.
 * Throws a CodaError where `weights` are not the network's, or where the network has six channels already.
 */
export function withSixChannels(
  options: ResnetOptions,
  weights: NamedArrays,
  { normalisation = 'folded' }: { readonly normalisation?: 'folded' | 'kept' } = {},
): ResnetWithWeights {
  const config = parseResnetConfig(options);
  if (normalisation !== 'folded' && normalisation !== 'kept') {
    throw new CodaError({
      kind: 'argument',
      where: 'withSixChannels: normalisation',
      problem: 'no such way',
      expected: 'folded or kept',
      got: String(normalisation),
    });
  }
  if (config.encoding === 'rgb6') {
    throw new CodaError({
      kind: 'argument',
      where: 'withSixChannels: config.encoding',
      problem: 'has six channels already',
      got: '"rgb6"',
    });
  }
  checkWeights(resnet(config), weights, 'withSixChannels: weights');
  const { data, shape } = weights['conv1.weight'] as NdArray<'float32'>;
  const [height, width, channels, out] = shape as [number, number, number, number];
  // without a normalisation there is nothing to keep: 1 − x has nothing that takes its half away again
  const kept = normalisation === 'kept' && config.normalisation !== null;
  const { mean, std } = config.normalisation ?? { mean: [0, 0, 0], std: [1, 1, 1] };
  const positive = [0, 1, 2].map((c) => (kept ? 0.5 : (1 - (mean[c] as number)) / (std[c] as number)));
  const negative = [0, 1, 2].map((c) => (kept ? -0.5 : -(mean[c] as number) / (std[c] as number)));
  const factors = [...positive, ...negative];
  // [k, k, 3, out] → [k, k, 6, out]
  const kernel = Float32Array.from({ length: 2 * data.length }, (_, i) => {
    const channel = Math.floor(i / out) % (2 * channels);
    const position = Math.floor(i / (2 * channels * out));
    return (data[(position * channels + (channel % channels)) * out + (i % out)] as number) * (factors[channel] as number);
  });
  return {
    config: { ...config, encoding: 'rgb6', normalisation: kept ? config.normalisation : null },
    weights: { ...weights, 'conv1.weight': ndArray('float32', [height, width, 2 * channels, out], kernel) },
  };
}
