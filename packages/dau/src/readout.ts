/** What follows the last layer: logits from a map of class evidence, and the loss whose pressure aligns the weights. */
import { checkTensor, CodaError, parseConfig } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import * as v from 'valibot';

/** b₀ at which an unexplained class has probability 0.1. arXiv 2109.13004. */
export const defaultLogitBias = Math.log(0.1 / 0.9);

export const temperatureSchema = v.pipe(v.number(), v.finite(), v.gtValue(0));
const biasSchema = v.pipe(v.number(), v.finite());

/** z_c − b₀ = (1/T)·Σ_positions x[…, c]. x [N, H, W, C] → [N, C]. A larger temperature T asks for more alignment. */
export function sumPoolScores(x: tf.Tensor4D, temperature: number): tf.Tensor2D {
  return scores('sumPoolScores', x, temperature);
}

/** z_c = (1/T)·Σ_positions x[…, c] + b₀. x [N, H, W, C] → [N, C]. */
export function sumPoolLogits(x: tf.Tensor4D, temperature: number, logitBias: number): tf.Tensor2D {
  parseConfig(biasSchema, logitBias, 'sumPoolLogits: logitBias');
  return tf.tidy(() => tf.add(scores('sumPoolLogits', x, temperature), logitBias) as tf.Tensor2D);
}

function scores(where: string, x: tf.Tensor4D, temperature: number): tf.Tensor2D {
  parseConfig(temperatureSchema, temperature, `${where}: temperature`);
  checkRank(`${where}: x`, x, 4, '[N, H, W, C]');
  return tf.tidy(() => tf.div(tf.sum(x, [1, 2]), temperature) as tf.Tensor2D);
}

/**
 * Binary cross entropy with logits, mean over batch and classes: relu(z) − z·y + log(1 + e^{−|z|}), which overflows nowhere.
 * logits and targets [N, C], targets one-hot or soft.
 */
export function binaryCrossEntropy(logits: tf.Tensor2D, targets: tf.Tensor2D): tf.Scalar {
  checkRank('binaryCrossEntropy: logits', logits, 2, '[N, C]');
  checkTensor('binaryCrossEntropy: targets', targets, `[${logits.shape.join(', ')}]`, 'any');
  if (targets.shape.join() !== logits.shape.join())
    throw otherShape('binaryCrossEntropy: targets', `[${logits.shape.join(', ')}]`, targets);
  return tf.tidy(() => {
    const linear = tf.sub(tf.relu(logits), tf.mul(logits, targets));
    return tf.mean(tf.add(linear, tf.softplus(tf.neg(tf.abs(logits)))));
  });
}

function checkRank(where: string, x: tf.Tensor, rank: number, expected: string): void {
  checkTensor(where, x, expected);
  if (x.rank !== rank) throw otherShape(where, expected, x);
}

function otherShape(where: string, expected: string, x: tf.Tensor): CodaError {
  return new CodaError({ kind: 'argument', where, problem: 'another shape', expected, got: `[${x.shape.join(', ')}]` });
}
