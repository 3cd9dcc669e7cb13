/** SmoothGrad: the mean gradient over noisy copies (Smilkov et al., arXiv 1706.03825, section 3). */
import { Random } from '@coda-nets/core';
import { repeatRows } from '../repeat-rows.ts';
import { positiveInteger } from './check-options.ts';
import type { GradientOptions } from './gradient.ts';
import { channelSums, meanGradient } from './mean-gradient.ts';
import type { ProbingMethod } from './method.ts';

export interface SmoothGradOptions extends GradientOptions {
  /** Default 25. */
  readonly samples?: number;
  /** σ as a share of max − min of each image's activation. Default 0.15. */
  readonly noise?: number;
  /** Default 0. */
  readonly seed?: number;
}

/** Σ_channels 1/S · Σ_s ∂z_c/∂a (a + σ ε_s), ε_s ~ N(0, 1), or the sum of its absolute values. σ = 0 is the gradient. */
export function smoothGrad({ samples = 25, noise = 0.15, seed = 0, sign = 'signed' }: SmoothGradOptions = {}): ProbingMethod {
  positiveInteger(samples, 'smoothGrad: samples');
  return {
    name: 'smoothGrad',
    parameters: { samples, noise, seed, sign },
    attribute: async (model, images, targets) => {
      const activations = repeatRows(images, targets.length / (images.shape[0] as number));
      const random = Random.seeded(seed);
      const size = activations.data.length / targets.length;
      const deviations = Float64Array.from(targets, (_, n) => noise * range(activations.data.subarray(n * size, (n + 1) * size)));
      const mean = await meanGradient({
        model,
        activations,
        targets,
        samples,
        draw: (s) => {
          const stream = random.split(s);
          return Float64Array.from({ length: size }, () => stream.normal());
        },
        perturb: (row, epsilon, n) => {
          for (let i = 0; i < row.length; i++) (row[i] as number) += (deviations[n] as number) * (epsilon[i] as number);
        },
      });
      return channelSums(activations.shape, (i) => (sign === 'absolute' ? Math.abs(mean.data[i] as number) : (mean.data[i] as number)));
    },
  };
}

function range(values: Float32Array): number {
  let [least, most] = [Infinity, -Infinity];
  for (const x of values) {
    least = Math.min(least, x);
    most = Math.max(most, x);
  }
  return most - least;
}
