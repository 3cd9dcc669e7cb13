/**
 * Batch normalisation over the last axis of [N, H, W, C], in both modes, with few passes over the large tensors.
 * Source: Ioffe and Szegedy, arXiv 1502.03167, algorithms 1 and 2. Not a layer: it has no weights of its own.
 */
import * as tf from '@tensorflow/tfjs-core';
import { batchNormKernels, CodaError } from '@coda-nets/core';

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
    if (tf.getKernel(batchNormKernels.forward, tf.getBackend()) !== undefined) return inOneKernel(x, weights, epsilon, momentum);
    const { mean, variance, ...saved } = statistics(x, weights.gamma, epsilon);
    const normalise = tf.customGrad((...args) => {
      const [, , beta, save] = args as unknown as [tf.Tensor, tf.Tensor, tf.Tensor, tf.GradSaveFunc];
      save([saved.centred, saved.inverse, saved.scale]);
      const gradFunc = (dy: tf.Tensor, [centred, inverse, scale]: tf.Tensor[]): tf.Tensor[] =>
        gradients(dy, { centred, inverse, scale } as typeof saved, count);
      return { value: tf.add(tf.mul(saved.centred, saved.scale), beta), gradFunc };
    });
    return {
      y: normalise(x, weights.gamma, weights.beta) as tf.Tensor4D,
      runningMean: blend(weights.runningMean, mean, momentum, momentum),
      runningVariance: blend(weights.runningVariance, variance, momentum, (momentum * count) / (count - 1)),
    };
  });
}

const axes = [0, 1, 2];

/** d, r and a of `batchNormTraining`, and the mean and the biased variance. */
function statistics(x: tf.Tensor4D, gamma: tf.Tensor, epsilon: number) {
  const mean = tf.mean(x, axes) as tf.Tensor1D;
  const centred = tf.sub(x, mean);
  const variance = tf.mean(tf.square(centred), axes) as tf.Tensor1D;
  const inverse = tf.rsqrt(tf.add(variance, epsilon));
  return { mean, variance, centred, inverse, scale: tf.mul(gamma, inverse) };
}

function gradients(
  dy: tf.Tensor,
  { centred, inverse, scale }: Record<'centred' | 'inverse' | 'scale', tf.Tensor>,
  count: number,
): [tf.Tensor, tf.Tensor, tf.Tensor] {
  const sumDy = tf.sum(dy, axes);
  const dGamma = tf.mul(inverse, tf.sum(tf.mul(dy, centred), axes));
  const c1 = tf.mul(tf.mul(scale, tf.mul(inverse, dGamma)), -1 / count);
  const c0 = tf.mul(tf.mul(scale, sumDy), -1 / count);
  return [tf.add(tf.add(tf.mul(dy, scale), tf.mul(centred, c1)), c0), dGamma, sumDy];
}

/** The same by the backend's own kernels. */
function inOneKernel(x: tf.Tensor4D, weights: BatchNormWeights, epsilon: number, momentum: number) {
  const run = (kernel: string, inputs: Record<string, tf.Tensor>, attrs: object = {}): tf.Tensor[] =>
    tf.engine().runKernel(kernel, inputs, { epsilon, ...attrs }) as tf.Tensor[];
  const { gamma, beta } = weights;
  const [value, runningMean, runningVariance, ...saved] = run(batchNormKernels.forward, { x, ...weights }, { momentum }) as [
    tf.Tensor,
    tf.Tensor1D,
    tf.Tensor1D,
  ];
  const normalise = tf.customGrad((...args) => {
    const save = args[3] as unknown as tf.GradSaveFunc;
    save([x, gamma, ...(saved as tf.Tensor[])]);
    const gradFunc = (dy: tf.Tensor, [x, gamma, ...saved]: tf.Tensor[]): tf.Tensor[] => {
      // the kernel has no gradient of its own, for who differentiates once more
      if (tf.engine().state.gradientDepth > 0) {
        return gradients(dy, statistics(x as tf.Tensor4D, gamma as tf.Tensor, epsilon), sizeOfChannel(x as tf.Tensor));
      }
      const named = Object.fromEntries(saved.map((tensor, i) => [`saved${i}`, tensor]));
      return run(batchNormKernels.gradient, { dy, x: x as tf.Tensor, gamma: gamma as tf.Tensor, ...named });
    };
    return { value: tf.clone(value), gradFunc };
  });
  return { y: normalise(x, gamma, beta) as tf.Tensor4D, runningMean, runningVariance };
}

const sizeOfChannel = ({ size, shape }: tf.Tensor): number => size / (shape[3] as number);

function blend(running: tf.Tensor1D, batch: tf.Tensor1D, momentum: number, share: number): tf.Tensor1D {
  return tf.add(tf.mul(running, 1 - momentum), tf.mul(batch, share));
}
