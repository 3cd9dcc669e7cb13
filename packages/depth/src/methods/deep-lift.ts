/**
 * DeepLIFT with the Rescale rule (Shrikumar et al., arXiv 1704.02685, section 3.5.1) against a zero activation, in one pass over pairs.
 *
 *     m = Δy/Δx at every elementwise nonlinearity, the gradient elsewhere          s = m ⊙ (a − 0)          Σ s = z_c(a) − z_c(0)
 *
 * The paper has no formula for max pooling. Here Δy of a window goes to where the larger of the two maxima is: to the input's maximum where the
 * output rose, to the reference's where it fell. There Δx ≥ Δy > 0, or Δx ≤ Δy < 0, so that m = Δy/Δx is in (0, 1] and the sum stays complete.
 *
 * There is no rule for the product of two activations. On a CoDA network, whose dynamic weights are such products, DeepLIFT therefore equals
 * input × gradient, and its sum is not z_c(a) − z_c(0) there.
 */
import { oneHot, withGradientRules, type GradientRule } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { repeatRows } from '../repeat-rows.ts';
import type { AboveFunction } from '../tap-model.ts';
import type { ProbingMethod } from './method.ts';

export interface DeepLiftOptions {
  /** Where |Δx| is at most this, the gradient takes the place of Δy/Δx. Default 1e-6. */
  readonly eps?: number;
}

const elementwise = ['Relu', 'Relu6', 'LeakyRelu', 'Elu', 'Selu', 'Sigmoid', 'Tanh', 'Softplus'] as const;

/** Complete on networks of affine layers, elementwise activations of tfjs and max pooling. */
export function deepLift({ eps = 1e-6 }: DeepLiftOptions = {}): ProbingMethod {
  const rules = { ...Object.fromEntries(elementwise.map((name) => [name, rescale(eps)])), MaxPool: maxPool(eps) };
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

/** The first half of the batch is the input, the second its reference: first·(x's half) + second·(reference's half). */
function weigh(t: tf.Tensor, first: number, second: number): tf.Tensor {
  const [, ...rest] = t.shape;
  return tf.sum(tf.mul(tf.reshape(t, [2, -1, ...rest]), tf.tensor([first, second], [2, 1, ...rest.map(() => 1)])), 0);
}

/** numerator/Δx where |Δx| > eps, else the gradient of the input's half; nothing for the reference's. */
function multiplied(numerator: tf.Tensor, x: tf.Tensor, plain: tf.Tensor, eps: number): tf.Tensor {
  const dx = weigh(x, 1, -1);
  const far = tf.greater(tf.abs(dx), eps);
  const ratio = tf.div(numerator, tf.where(far, dx, tf.onesLike(dx)));
  return tf.reshape(withZeros(tf.where(far, ratio, weigh(plain, 1, 0))), x.shape);
}

function rescale(eps: number): GradientRule {
  return (dy, { x, y, plain }) => multiplied(tf.mul(weigh(dy, 1, 0), weigh(y, 1, -1)), x, plain(dy), eps);
}

function maxPool(eps: number): GradientRule {
  return (dy, { x, y, plain }) => {
    const change = weigh(y, 1, -1);
    const sent = weigh(dy, 1, 0);
    const [rise, fall] = [tf.mul(sent, tf.relu(change)), tf.neg(tf.mul(sent, tf.relu(tf.neg(change))))];
    // [2, N, …]: the rise for the input's half of the batch, the fall for its reference's
    const halves = tf.add(withZeros(rise), tf.mul(tf.expandDims(fall, 0), tf.tensor([0, 1], [2, ...fall.shape.map(() => 1)])));
    return multiplied(weigh(plain(tf.reshape(halves, y.shape)), 1, 1), x, plain(dy), eps);
  };
}
