/** Integrated Gradients along the straight line from zero (Sundararajan et al., arXiv 1703.01365, equations 1 and 3). */
import { repeatRows } from '../repeat-rows.ts';
import type { ProbingMethod } from './method.ts';
import { positiveInteger } from './check-options.ts';
import { channelSums, meanGradient } from './mean-gradient.ts';

export interface IntGradOptions {
  /** Points of the path. The error in completeness falls as 1/steps² where the path is smooth. Default 50. */
  readonly steps?: number;
}

/**
 *     s = a ⊙ 1/S · Σ_{k=0}^{S−1} ∂z_c/∂a (α_k a),     α_k = (k + ½)/S          Σ s → z_c(a) − z_c(0)
 *
 * The midpoint rule; papers that take the ends of the steps differ by O(1/S). The baseline is the zero activation of the tap.
 */
export function intGrad({ steps = 50 }: IntGradOptions = {}): ProbingMethod {
  positiveInteger(steps, 'intGrad: steps');
  return {
    name: 'intGrad',
    parameters: { steps, baseline: 'zero' },
    attribute: async (model, images, targets) => {
      const activations = repeatRows(images, targets.length / (images.shape[0] as number));
      const mean = await meanGradient({
        model,
        activations,
        targets,
        samples: steps,
        draw: (k) => (k + 0.5) / steps,
        perturb: (row, alpha) => {
          for (let i = 0; i < row.length; i++) (row[i] as number) *= alpha;
        },
      });
      return channelSums(activations.shape, (i) => (mean.data[i] as number) * (activations.data[i] as number));
    },
  };
}
