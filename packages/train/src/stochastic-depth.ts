/** Stochastic depth: which residual branches a training step leaves out, of which images. Drawn on the host, fed as an input. */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError, ndArray, type ForwardContext, type NdArray, type Network, type Random } from '@coda-nets/core';

/** The input that says what is kept: float32 [B, branches], 0 or 1 / p_l. */
export const depthInput = 'stochasticDepth/keep';

/**
 * p_l = 1 − (l / L)·`drop`: the probability that branch l = 1 … L is kept (Huang et al., arXiv 1603.09382, equation 4, the linear decay rule;
 * `drop` = 1 − p_L).
 */
export function keepProbabilities(branches: number, drop: number): readonly number[] {
  return Array.from({ length: branches }, (_, i) => 1 - ((i + 1) / branches) * drop);
}

/**
 * b_l / p_l for b_l ~ Bernoulli(p_l), drawn for each image and branch: [batch, branches]. Differs from the paper, which draws once for a batch and
 * scales by p_l in inference: scaled in training, E[b_l / p_l] = 1, inference needs no change (as torchvision's `row` mode).
 */
export function depthMask(random: Random, batch: number, branches: number, drop: number): NdArray<'float32'> {
  const keep = keepProbabilities(branches, drop);
  const mask = new Float32Array(batch * branches);
  for (let i = 0; i < mask.length; i++) {
    const p = keep[i % branches] as number;
    mask[i] = random.uniform() < p ? 1 / p : 0;
  }
  return ndArray('float32', [batch, branches], mask);
}

/** `context`, in which each branch of an image is multiplied by its number in `mask` [B, branches]. */
export function withStochasticDepth(context: ForwardContext, branches: readonly string[], mask: tf.Tensor2D): ForwardContext {
  return {
    ...context,
    branch: (name, x) => {
      const column = tf.slice(mask, [0, branches.indexOf(name)], [mask.shape[0], 1]);
      return tf.mul(x, tf.reshape(column, [-1, ...Array<number>(x.rank - 1).fill(1)])) as typeof x;
    },
  };
}

/** The network's branches. Throws a CodaError where it has none that a training step goes through. */
export function residualBranches(network: Network): readonly string[] {
  const { residualBranches: branches = [] } = network;
  if (branches.length > 0) return branches;
  throw new CodaError({
    kind: 'argument',
    where: 'train: config: stochasticDepth',
    problem: 'this network has no trained residual branch that could be left out',
    expected: 'a ResNet, or a hybrid whose stem is trained',
    got: `kind ${JSON.stringify(network.config.kind)}`,
  });
}
