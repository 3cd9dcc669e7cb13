import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectClose, expectOnlyResult, finiteDifference, randomTensor, randomValues, useBackend } from '@coda-nets/tools/testkit';
import { batchNormEpsilon, batchNormInference, batchNormMomentum, batchNormTraining, type BatchNormWeights } from '../src/index.ts';

/** float32 sums of at most a few hundred numbers, in another order. */
const float32Tolerance = { rtol: 1e-5, relativeTo: 'largest' } as const;
/** The gradient of x is a difference of like terms: a digit less. */
const gradientTolerance = { rtol: 1e-4, relativeTo: 'largest' } as const;

beforeAll(() => useBackend('cpu'));

const shapes = fc.tuple(
  fc.integer({ min: 1, max: 3 }),
  fc.integer({ min: 1, max: 5 }),
  fc.integer({ min: 1, max: 4 }),
  fc.integer({ min: 1, max: 4 }),
);
const shapesOfSeveral = shapes.filter(([n, h, w]) => n * h * w > 3);

function weightsOf(channels: number, seed: number): BatchNormWeights {
  return {
    gamma: randomTensor<tf.Rank.R1>([channels], seed, { min: 0.5, max: 1.5 }),
    beta: randomTensor<tf.Rank.R1>([channels], seed + 1),
    runningMean: randomTensor<tf.Rank.R1>([channels], seed + 2),
    runningVariance: randomTensor<tf.Rank.R1>([channels], seed + 3, { min: 0.5, max: 2 }),
  };
}

/** The textbook formulas with loops over float64: a value for each element, then the batch's statistics. */
function slowTwin(x: ArrayLike<number>, channels: number, gamma: ArrayLike<number>, beta: ArrayLike<number>) {
  const count = x.length / channels;
  const mean = new Float64Array(channels);
  const variance = new Float64Array(channels);
  for (let i = 0; i < x.length; i++) mean[i % channels]! += x[i]! / count;
  for (let i = 0; i < x.length; i++) variance[i % channels]! += (x[i]! - mean[i % channels]!) ** 2 / count;
  const y = Float64Array.from(
    { length: x.length },
    (_, i) => ((x[i]! - mean[i % channels]!) / Math.sqrt(variance[i % channels]! + 1e-5)) * gamma[i % channels]! + beta[i % channels]!,
  );
  return { y, mean, variance, count };
}

describe('batchNormInference', () => {
  it('uses the running statistics', () => {
    tf.tidy(() => {
      const weights = weightsOf(3, 5);
      const x = randomTensor<tf.Rank.R4>([2, 4, 5, 3], 1);
      const [gamma, beta, mean, variance] = Object.values(weights).map((t: tf.Tensor) => t.dataSync());
      const expected = Array.from(x.dataSync(), (v, i) => {
        const c = i % 3;
        return ((v - mean![c]!) / Math.sqrt(variance![c]! + 1e-5)) * gamma![c]! + beta![c]!;
      });
      expectClose(batchNormInference(x, weights), expected, float32Tolerance);
    });
  });
});

describe('batchNormTraining', () => {
  it('equals the slow twin, also in its running statistics', () => {
    fc.assert(
      fc.property(shapesOfSeveral, fc.nat(1000), (shape, seed) => {
        tf.tidy(() => {
          const channels = shape[3];
          const weights = weightsOf(channels, seed);
          const x = randomTensor<tf.Rank.R4>(shape, seed, { min: -1, max: 3 });
          const { y, runningMean, runningVariance } = batchNormTraining(x, weights);
          const slow = slowTwin(x.dataSync(), channels, weights.gamma.dataSync(), weights.beta.dataSync());
          expectClose(y, slow.y, gradientTolerance);
          const blended = (old: tf.Tensor, batch: Float64Array) => Array.from(old.dataSync(), (v, c) => 0.9 * v + 0.1 * batch[c]!);
          expectClose(runningMean, blended(weights.runningMean, slow.mean), float32Tolerance);
          const unbiased = slow.variance.map((v) => (v * slow.count) / (slow.count - 1));
          expectClose(runningVariance, blended(weights.runningVariance, unbiased), float32Tolerance);
        });
      }),
      { numRuns: 30, seed: 1 },
    );
  });

  it('keeps its precision where the mean is a thousand deviations away from zero', () => {
    tf.tidy(() => {
      const weights = weightsOf(2, 3);
      const x = randomTensor<tf.Rank.R4>([2, 5, 5, 2], 1, { min: 999, max: 1001 });
      const { y } = batchNormTraining(x, weights);
      // The input itself has 6e-5 in its last digit here.
      expectClose(y, slowTwin(x.dataSync(), 2, weights.gamma.dataSync(), weights.beta.dataSync()).y, { atol: 1e-3 });
    });
  });

  it('has the gradients of finite differences of the slow twin', () => {
    const [shape, channels] = [[2, 3, 2, 3] as [number, number, number, number], 3];
    const x = randomValues(36, 8, { min: -1, max: 2 });
    const direction = randomValues(36, 9);
    const gamma = randomValues(channels, 10, { min: 0.5, max: 1.5 });
    const beta = randomValues(channels, 11);
    const loss = (a: ArrayLike<number>, g: ArrayLike<number>, b: ArrayLike<number>) =>
      slowTwin(a, channels, g, b).y.reduce((sum, y, i) => sum + y * direction[i]!, 0);
    tf.tidy(() => {
      const weights = weightsOf(channels, 1);
      const [dx, dGamma, dBeta] = tf.grads((...[a, g, b]) => {
        const { y } = batchNormTraining(a as tf.Tensor4D, { ...weights, gamma: g as tf.Tensor1D, beta: b as tf.Tensor1D });
        return tf.sum(tf.mul(y, tf.tensor(direction, shape)));
      })([tf.tensor(x, shape), tf.tensor(gamma), tf.tensor(beta)]) as [tf.Tensor, tf.Tensor, tf.Tensor];
      expectClose(
        dx,
        finiteDifference((a) => loss(a, gamma, beta), x),
        gradientTolerance,
      );
      expectClose(
        dGamma,
        finiteDifference((g) => loss(x, g, beta), gamma),
        gradientTolerance,
      );
      expectClose(
        dBeta,
        finiteDifference((b) => loss(x, gamma, b), beta),
        gradientTolerance,
      );
    });
  });

  it('has the gradients of the decomposed formula', () => {
    fc.assert(
      fc.property(shapesOfSeveral, fc.nat(1000), (shape, seed) => {
        tf.tidy(() => {
          const weights = weightsOf(shape[3], seed);
          const x = randomTensor<tf.Rank.R4>(shape, seed + 7, { min: -1, max: 2 });
          const direction = randomTensor(shape, seed + 8);
          const decomposed = (a: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor): tf.Tensor => {
            const d = tf.sub(a, tf.mean(a, [0, 1, 2]));
            const variance = tf.mean(tf.square(d), [0, 1, 2]);
            return tf.add(tf.mul(tf.mul(d, gamma), tf.rsqrt(tf.add(variance, batchNormEpsilon))), beta);
          };
          const fused = (a: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor): tf.Tensor =>
            batchNormTraining(a as tf.Tensor4D, { ...weights, gamma: gamma as tf.Tensor1D, beta: beta as tf.Tensor1D }).y;
          // A square, so that dy depends on y.
          const gradients = (f: typeof fused): tf.Tensor[] =>
            tf.grads((...[a, g, b]) => tf.sum(tf.mul(tf.square(f(a!, g!, b!)), direction)))([x, weights.gamma, weights.beta]);
          const [actual, expected] = [gradients(fused), gradients(decomposed)];
          for (const [i, gradient] of actual.entries()) expectClose(gradient, expected[i]!, gradientTolerance);
        });
      }),
      { numRuns: 30, seed: 2 },
    );
  });

  it('back-propagates the same out of a tidy that has ended', () => {
    tf.tidy(() => {
      const weights = weightsOf(2, 1);
      const x = randomTensor<tf.Rank.R4>([2, 3, 3, 2], 1);
      const inTidy = tf.grad((a) => tf.tidy(() => tf.sum(tf.square(batchNormTraining(a as tf.Tensor4D, weights).y))))(x);
      const plain = tf.grad((a) => tf.sum(tf.square(batchNormTraining(a as tf.Tensor4D, weights).y)))(x);
      expect(inTidy.dataSync()).toEqual(plain.dataSync());
    });
  });

  it('leaves no tensors behind', () => {
    const weights = weightsOf(2, 1);
    const x = randomTensor<tf.Rank.R4>([2, 3, 3, 2], 1);
    tf.tidy(() => {
      expectOnlyResult(() => batchNormTraining(x, weights));
      expectOnlyResult(() => tf.grad((a) => tf.sum(batchNormTraining(a as tf.Tensor4D, weights).y))(x));
    });
  });

  it('refuses a single position', () => {
    expect(() => tf.tidy(() => batchNormTraining(tf.zeros([1, 1, 1, 2]), weightsOf(2, 1)).y)).toThrow(
      'batchNormTraining: x: the statistics of a single value for each channel are not defined; ' +
        'expected at least two positions, got shape [1, 1, 1, 2]',
    );
  });

  it("has PyTorch's defaults", () => {
    expect([batchNormEpsilon, batchNormMomentum]).toEqual([1e-5, 0.1]);
  });
});
