/**
 * DeepLIFT with the Rescale rule (Shrikumar et al., arXiv 1704.02685, section 3.5.1) against a zero activation, in one pass over pairs.
 *
 *     m = Δy/Δx at every elementwise nonlinearity, the gradient elsewhere          s = m ⊙ (a − 0)          Σ s = z_c(a) − z_c(0)
 *
 * There is no rule for the product of two activations. On a CoDA network, whose dynamic weights are such products, DeepLIFT therefore equals
 * input × gradient, and its sum is not z_c(a) − z_c(0) there.
 */
import { CodaError, oneHot, withGradientRules, type GradientRule } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { repeatRows } from '../repeat-rows.ts';
import type { AboveFunction } from '../tap-model.ts';
import type { ProbingMethod } from './method.ts';

export interface DeepLiftOptions {
  /** Where |Δx| is at most this, the gradient takes the place of Δy/Δx. Default 1e-6. */
  readonly eps?: number;
}

const elementwise = ['Relu', 'Relu6', 'LeakyRelu', 'Elu', 'Selu', 'Sigmoid', 'Tanh', 'Softplus'] as const;

/** Complete on networks of affine layers and elementwise activations of tfjs. Max pooling, which Rescale does not cover, is refused. */
export function deepLift({ eps = 1e-6 }: DeepLiftOptions = {}): ProbingMethod {
  const rules = { ...Object.fromEntries(elementwise.map((name) => [name, rescale(eps)])), MaxPool: noRule };
  const multiply: AboveFunction = (above, { activation, target }) => {
    const a = activation as tf.Tensor4D;
    const toPairs = (x: tf.Tensor4D): tf.Tensor4D => tf.reshape(withZeros(x), [2 * x.shape[0], x.shape[1], x.shape[2], x.shape[3]]);
    const score = (x: tf.Tensor4D): tf.Tensor => {
      const logits = above.logits(toPairs(x));
      const selector = oneHot(target as tf.Tensor1D, logits.shape[1]);
      return tf.sum(tf.mul(tf.reshape(logits, [2, -1, logits.shape[1]]), withZeros(selector)));
    };
    return {
      map: tf.sum(
        tf.mul(
          a,
          withGradientRules(rules, () => tf.grad(score as (x: tf.Tensor) => tf.Tensor)(a)),
        ),
        3,
      ),
    };
  };
  return {
    name: 'deepLift',
    parameters: { eps, baseline: 'zero', rule: 'rescale' },
    attribute: async (model, images, targets) => {
      const activation = repeatRows(images, targets.length / (images.shape[0] as number));
      const target = { dtype: 'int32', shape: [targets.length], data: targets } as const;
      return (await model.run(multiply, { activation, target }))['map'] as typeof activation;
    },
  };
}

/** x [N, …] → [2, N, …]: x, then zeros. A product and not a concatenation, whose gradient slices at the batch size and cannot be traced. */
function withZeros(x: tf.Tensor): tf.Tensor {
  return tf.mul(tf.expandDims(x, 0), tf.tensor([1, 0], [2, ...x.shape.map(() => 1)]));
}

/** The first half of the batch is the input, the second its reference. */
function rescale(eps: number): GradientRule {
  return (dy, { x, y, plain }) => {
    const [, ...rest] = x.shape;
    const halves = [2, -1, ...rest];
    const weigh = (t: tf.Tensor, first: number, second: number): tf.Tensor =>
      tf.sum(tf.mul(tf.reshape(t, halves), tf.tensor([first, second], [2, 1, ...rest.map(() => 1)])), 0);
    const dx = weigh(x, 1, -1);
    const far = tf.greater(tf.abs(dx), eps);
    const slope = tf.div(weigh(y, 1, -1), tf.where(far, dx, tf.onesLike(dx)));
    return tf.reshape(withZeros(tf.where(far, tf.mul(weigh(dy, 1, 0), slope), weigh(plain(dy), 1, 0))), x.shape);
  };
}

const noRule: GradientRule = () => {
  throw new CodaError({
    kind: 'unsupported',
    where: 'deepLift',
    problem: 'the Rescale rule does not say what max pooling does',
    expected: 'a network without max pooling above the tap',
  });
};
