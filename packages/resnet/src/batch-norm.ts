/**
 * Batch normalisation over the last axis of [N, H, W, C], in both modes, with few passes over the large tensors.
 * Source: Ioffe and Szegedy, arXiv 1502.03167, algorithms 1 and 2. Not a layer: it has no weights of its own.
 */
import * as tf from '@tensorflow/tfjs-core';
import { batchNormKernels, CodaError, type RankStatistics } from '@coda-nets/core';

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

export interface BatchNormOptions {
  readonly epsilon?: number;
  readonly momentum?: number;
  /** Where the batch is spread over several processes. */
  readonly ranks?: RankStatistics | undefined;
  /** What is waited for, in errors of those. */
  readonly name?: string;
}

/**
 * Normalises with the batch's own statistics. With M = N·H·W, d = x − mean(x), r = 1/√(mean(d²) + ε), a = γ·r:
 *
 *     y  = d·a + β
 *     dγ = r·Σ dy·d        dβ = Σ dy        dx = dy·a + d·c₁ + c₀        c₁ = −a·r²·(Σ dy·d)/M        c₀ = −a·(Σ dy)/M
 *
 * One custom-gradient op: the dependence of mean and variance on x is in dx, and the batch statistics, computed outside of the op, are
 * on no path to y that a gradient would follow. No gradient flows into the running statistics' old values either.
 *
 * In training by `ranks` of R processes r, with E for the mean over them, m and v for a rank's own mean and variance, and δ = m − runningMean, the running
 * statistics are those of all M·R values, by the law of total variance (δ instead of m, since little is lost in a difference of small numbers):
 *
 *     mean = runningMean + E δ        var = E v + E δ² − (E δ)²
 *
 * `synchronised`, x is normalised with these too, and in c₁ and c₀ the sums are E Σ dy·d and E Σ dy: R ranks of N images are one process of R·N. dγ and dβ stay
 * the rank's own, whose mean is taken with all gradients. Otherwise each rank normalises with its own ("ghost" batch norm, arXiv 1705.08741).
 * Throws a CodaError where M = 1: the variance of one value is not defined.
 */
export function batchNormTraining(
  x: tf.Tensor4D,
  weights: BatchNormWeights,
  { epsilon = batchNormEpsilon, momentum = batchNormMomentum, ranks, name = 'batch norm' }: BatchNormOptions = {},
): BatchNormTraining {
  const [n, h, w] = x.shape;
  const count = n * h * w;
  const countOfAll = count * (ranks?.size ?? 1);
  if ((ranks?.synchronised === true ? countOfAll : count) < 2) {
    throw new CodaError({
      kind: 'argument',
      where: 'batchNormTraining: x',
      problem: 'the statistics of a single value for each channel are not defined',
      expected: 'at least two positions',
      got: `shape [${x.shape.join(', ')}]`,
    });
  }
  return tf.tidy(() => {
    if (ranks === undefined && tf.getKernel(batchNormKernels.forward, tf.getBackend()) !== undefined)
      return inOneKernel(x, weights, epsilon, momentum);
    const own = moments(x);
    const all = ranks === undefined ? own : momentsOfAll(own, weights.runningMean, (value) => ranks.mean(value, name));
    const synchronised = ranks?.synchronised === true;
    const saved = normaliser(x, synchronised ? all : own, weights.gamma, epsilon);
    const sumOfAll = (sum: tf.Tensor): tf.Tensor => (synchronised ? ranks.mean(sum, `${name}: gradient`) : sum);
    const normalise = tf.customGrad((...args) => {
      const [, , beta, save] = args as unknown as [tf.Tensor, tf.Tensor, tf.Tensor, tf.GradSaveFunc];
      save([saved.centred, saved.inverse, saved.scale]);
      const gradFunc = (dy: tf.Tensor, [centred, inverse, scale]: tf.Tensor[]): tf.Tensor[] =>
        gradients(dy, { centred, inverse, scale } as typeof saved, count, sumOfAll);
      return { value: tf.add(tf.mul(saved.centred, saved.scale), beta), gradFunc };
    });
    return {
      y: normalise(x, weights.gamma, weights.beta) as tf.Tensor4D,
      runningMean: blend(weights.runningMean, all.mean, momentum, momentum),
      runningVariance: blend(weights.runningVariance, all.variance, momentum, (momentum * countOfAll) / (countOfAll - 1)),
    };
  });
}

const axes = [0, 1, 2];

interface Moments {
  readonly mean: tf.Tensor1D;
  /** Biased. */
  readonly variance: tf.Tensor1D;
  readonly centred?: tf.Tensor;
}

function moments(x: tf.Tensor4D): Required<Moments> {
  const mean = tf.mean(x, axes) as tf.Tensor1D;
  const centred = tf.sub(x, mean);
  return { mean, centred, variance: tf.mean(tf.square(centred), axes) as tf.Tensor1D };
}

/** Of the values of all ranks, each of which has as many; `origin` is the same on all. */
function momentsOfAll({ mean, variance }: Moments, origin: tf.Tensor1D, meanOfRanks: (x: tf.Tensor1D) => tf.Tensor1D): Moments {
  const from = tf.sub(mean, origin) as tf.Tensor1D;
  const [first, second, within] = [meanOfRanks(from), meanOfRanks(tf.square(from)), meanOfRanks(variance)];
  // rounding may leave less than nothing
  const between = tf.relu(tf.sub(second, tf.square(first)));
  return { mean: tf.add(origin, first), variance: tf.add(within, between) };
}

/** d, r and a of `batchNormTraining`. */
function normaliser(x: tf.Tensor4D, { mean, variance, centred = tf.sub(x, mean) }: Moments, gamma: tf.Tensor, epsilon: number) {
  const inverse = tf.rsqrt(tf.add(variance, epsilon));
  return { centred, inverse, scale: tf.mul(gamma, inverse) };
}

function gradients(
  dy: tf.Tensor,
  { centred, inverse, scale }: Record<'centred' | 'inverse' | 'scale', tf.Tensor>,
  count: number,
  sumOfAll: (sum: tf.Tensor) => tf.Tensor = (sum) => sum,
): [tf.Tensor, tf.Tensor, tf.Tensor] {
  const sumDy = tf.sum(dy, axes);
  const dGamma = tf.mul(inverse, tf.sum(tf.mul(dy, centred), axes));
  const c1 = tf.mul(tf.mul(scale, tf.mul(inverse, sumOfAll(dGamma))), -1 / count);
  const c0 = tf.mul(tf.mul(scale, sumOfAll(sumDy)), -1 / count);
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
        const image = x as tf.Tensor4D;
        return gradients(dy, normaliser(image, moments(image), gamma as tf.Tensor, epsilon), sizeOfChannel(image));
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
