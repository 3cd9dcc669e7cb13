/** Gradients that are too long are made shorter, all together or unit by unit. Pure; part of the compiled step. */
import * as tf from '@tensorflow/tfjs-core';
import type { NamedTensors, WeightSpec } from '@coda-nets/core';
import { matchesPattern } from './name-patterns.ts';

export type ClipConfig =
  | { readonly kind: 'norm'; readonly max: number }
  | { readonly kind: 'adaptive'; readonly factor: number; readonly epsilon: number; readonly except: readonly string[] };

/** Added to the norm, as PyTorch's clip_grad_norm_ does. */
const normEpsilon = 1e-6;

/**
 * `norm` (Pascanu et al., arXiv 1211.5063, algorithm 1, in PyTorch's form): with ‖g‖ over all gradients as one vector,
 *
 *     g ← g · min(1, max / (‖g‖ + 10⁻⁶))
 *
 * `adaptive` (AGC; Brock et al., arXiv 2102.06171, equation 3), for the gradient G_i and the weight W_i of each unit, Frobenius norms:
 *
 *     G_i ← G_i · λ·‖W_i‖* / ‖G_i‖     where ‖G_i‖ / ‖W_i‖* > λ;     ‖W_i‖* = max(‖W_i‖, ε), λ = `factor`
 *
 * A unit is what makes one output: a slice of the weight at one place of its `unitAxis` (the last where it names none); of biases, norms and other
 * vectors it is all of it, as in the authors' code. Weights that match one of `except` are left alone (the paper does not clip the last layer).
 */
export function clipGradients(
  config: ClipConfig,
  parameters: NamedTensors,
  gradients: NamedTensors,
  weights: Readonly<Record<string, Pick<WeightSpec, 'unitAxis'>>>,
): NamedTensors {
  const entries = Object.entries(gradients);
  if (config.kind === 'norm') {
    const squares = entries.map(([, g]) => tf.sum(tf.square(g)));
    const norm = tf.sqrt(squares.length === 1 ? (squares[0] as tf.Tensor) : tf.addN(squares));
    const share = tf.minimum(tf.div(config.max, tf.add(norm, normEpsilon)), 1);
    return Object.fromEntries(entries.map(([name, g]) => [name, tf.mul(g, share)]));
  }
  const { factor, epsilon, except } = config;
  return Object.fromEntries(
    entries.map(([name, g]) => {
      if (except.some((pattern) => matchesPattern(name, pattern))) return [name, g];
      const most = tf.mul(tf.maximum(unitNorms(parameters[name] as tf.Tensor, weights[name]?.unitAxis), epsilon), factor);
      const norm = unitNorms(g, weights[name]?.unitAxis);
      // ‖G_i‖ = 0 is never above: the quotient beside it is not chosen, and the maximum keeps it finite
      const share = tf.where(tf.greater(norm, most), tf.div(most, tf.maximum(norm, tinyNorm)), tf.onesLike(norm));
      return [name, tf.mul(g, share)];
    }),
  );
}

/** Below λ·ε of any sensible config. */
const tinyNorm = 1e-30;

/** Of shape 1, but for the units' axis; of a vector one number. */
function unitNorms(x: tf.Tensor, unitAxis = x.rank - 1): tf.Tensor {
  const axes = Array.from({ length: x.rank }, (_, axis) => axis).filter((axis) => x.rank < 2 || axis !== unitAxis);
  return tf.sqrt(tf.sum(tf.square(x), axes, true));
}
