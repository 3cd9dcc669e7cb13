/** Batch norms folded into the convolutions before them, for inference and frozen stems. Numbers on the host; nothing is trained. */
import { checkWeights, CodaError, ndArray, type NamedArrays, type NdArray } from '@coda-nets/core';
import { batchNormEpsilon } from './batch-norm.ts';
import { parseResnetConfig, type ResnetOptions } from './resnet-config.ts';
import { blockPlans, convPlans, stemPlan } from './resnet-plan.ts';
import type { ResnetWithWeights } from './resnet-with-weights.ts';
import { resnet } from './resnet.ts';

/**
 * The network with `batchNorm: 'folded'` that gives the same activations in inference. With the running mean m and variance v of each output channel:
 *
 *     a = γ / √(v + ε)        a·(k ∗ x − m) + β = (a·k) ∗ x + (β − a·m)
 *
 * so `<conv>.weight` becomes a·k and `<conv>.bias` β − a·m, computed in float64. Zero padding stands before the convolution and stays as it is.
 * Throws a CodaError where `weights` are not the network's or a variance is below −ε; folding what is folded changes nothing.
 */
export function foldBatchNorm(options: ResnetOptions, weights: NamedArrays, epsilon = batchNormEpsilon): ResnetWithWeights {
  const config = parseResnetConfig(options);
  checkWeights(resnet(config), weights, 'foldBatchNorm: weights');
  if (config.batchNorm === 'folded') return { config, weights };
  const data = (name: string): Float32Array => (weights[name] as NdArray<'float32'>).data;
  const folded: Record<string, NdArray> = {};
  for (const { conv, bn, outChannels } of convPlans(stemPlan(config), blockPlans(config))) {
    const [gamma, beta, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map((part) => data(`${bn}.${part}`));
    const bad = (variance as Float32Array).findIndex((v) => !(v + epsilon > 0));
    if (bad >= 0) {
      throw new CodaError({
        kind: 'numeric',
        where: `foldBatchNorm: ${bn}.running_var[${bad}]`,
        problem: 'no variance: its root would not be a number',
        expected: `more than −${epsilon}`,
        got: String((variance as Float32Array)[bad]),
      });
    }
    const scale = Float64Array.from(gamma as Float32Array, (g, c) => g / Math.sqrt(((variance as Float32Array)[c] as number) + epsilon));
    // [k, k, in, out]: the output channel runs fastest.
    const kernel = data(`${conv}.weight`).map((k, i) => k * (scale[i % outChannels] as number));
    const bias = (beta as Float32Array).map((b, c) => b - (scale[c] as number) * ((mean as Float32Array)[c] as number));
    folded[`${conv}.weight`] = ndArray('float32', (weights[`${conv}.weight`] as NdArray).shape, kernel);
    folded[`${conv}.bias`] = ndArray('float32', [outChannels], bias);
  }
  for (const name of ['fc.weight', 'fc.bias']) folded[name] = weights[name] as NdArray;
  return { config: { ...config, batchNorm: 'folded' }, weights: folded };
}
