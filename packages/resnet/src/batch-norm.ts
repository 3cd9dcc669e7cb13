/**
 * Batch normalisation over the last axis of [N, H, W, C], in both modes, with few passes over the large tensors.
 * Source: Ioffe and Szegedy, arXiv 1502.03167, algorithms 1 and 2. Not a layer: it has no weights of its own.
 */
import * as tf from '@tensorflow/tfjs-core';
import { CodaError } from '@coda-nets/core';

/** Added to the variance. PyTorch's default. */
export const batchNormEpsilon = 1e-5;
/** Share of the batch's statistics in the new running ones. PyTorch's default. */
export const batchNormMomentum = 0.1;

export interface BatchNormWeights {
  /** γ, [C] */
  readonly gamma: tf.Tensor1D;
  /** β, [C] */
  readonly beta: tf.Tensor1D;
  /** [C] */
  readonly runningMean: tf.Tensor1D;
  /** [C], unbiased */
  readonly runningVariance: tf.Tensor1D;
}

/** y = x·a + b with a = γ / √(var + ε), b = β − mean·a for each channel; mean and var are the running ones. x [N, H, W, C]. */
export function batchNormInference(x: tf.Tensor4D, weights: BatchNormWeights, epsilon = batchNormEpsilon): tf.Tensor4D {
  const scale = tf.mul(weights.gamma, tf.rsqrt(tf.add(weights.runningVariance, epsilon)));
  const shift = tf.sub(weights.beta, tf.mul(weights.runningMean, scale));
  return tf.add(tf.mul(x, scale), shift) as tf.Tensor4D;
}

export interface BatchNormTraining {
  /** [N, H, W, C] */
  readonly y: tf.Tensor4D;
  /** (1 − momentum)·runningMean + momentum·mean, [C] */
  readonly runningMean: tf.Tensor1D;
  /** (1 − momentum)·runningVariance + momentum·var·M/(M − 1), [C]; M = N·H·W */
  readonly runningVariance: tf.Tensor1D;
}

/**
 * Normalises with the batch's own statistics. With M = N·H·W, d = x − mean(x), r = 1/√(mean(d²) + ε), a = γ·r:
 *
 *     y  = d·a + β
 *     dγ = r·Σ dy·d        dβ = Σ dy        dx = dy·a + d·c₁ + c₀        c₁ = −a·r²·(Σ dy·d)/M        c₀ = −a·(Σ dy)/M
 *
 * One custom-gradient op: the dependence of mean and variance on x is in dx, and the batch statistics, computed outside of the op, are
 * on no path to y that a gradient would follow. No gradient flows into the running statistics' old values either.
 * Throws a CodaError where M = 1: the variance of one value is not defined.
 */
export function batchNormTraining(
  x: tf.Tensor4D,
  weights: BatchNormWeights,
  { epsilon = batchNormEpsilon, momentum = batchNormMomentum }: { epsilon?: number; momentum?: number } = {},
): BatchNormTraining {
  const [n, h, w] = x.shape;
  const count = n * h * w;
  if (count < 2) {
    throw new CodaError({
      kind: 'argument',
      where: 'batchNormTraining: x',
      problem: 'the statistics of a single value for each channel are not defined',
      expected: 'at least two positions',
      got: `shape [${x.shape.join(', ')}]`,
    });
  }
  return tf.tidy(() => {
    const axes = [0, 1, 2];
    const mean = tf.mean(x, axes) as tf.Tensor1D;
    const centred = tf.sub(x, mean);
    const variance = tf.mean(tf.square(centred), axes) as tf.Tensor1D;
    const inverse = tf.rsqrt(tf.add(variance, epsilon));
    const scale = tf.mul(weights.gamma, inverse);

    const normalise = tf.customGrad((...args) => {
      const [, , beta, save] = args as unknown as [tf.Tensor, tf.Tensor, tf.Tensor, tf.GradSaveFunc];
      save([centred, inverse, scale]);
      const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] => {
        const [d, r, a] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
        const sumDy = tf.sum(dy, axes);
        const sumDyD = tf.sum(tf.mul(dy, d), axes);
        const dGamma = tf.mul(r, sumDyD);
        const c1 = tf.mul(tf.mul(a, tf.mul(r, dGamma)), -1 / count);
        const c0 = tf.mul(tf.mul(a, sumDy), -1 / count);
        return [tf.add(tf.add(tf.mul(dy, a), tf.mul(d, c1)), c0), dGamma, sumDy];
      };
      return { value: tf.add(tf.mul(centred, scale), beta), gradFunc };
    });
    return {
      y: normalise(x, weights.gamma, weights.beta) as tf.Tensor4D,
      runningMean: blend(weights.runningMean, mean, momentum, momentum),
      runningVariance: blend(weights.runningVariance, variance, momentum, (momentum * count) / (count - 1)),
    };
  });
}

function blend(running: tf.Tensor1D, batch: tf.Tensor1D, momentum: number, share: number): tf.Tensor1D {
  return tf.add(tf.mul(running, 1 - momentum), tf.mul(batch, share));
}
