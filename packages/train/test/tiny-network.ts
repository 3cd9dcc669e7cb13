/** The smallest network that has every role of weight: linear, softmax, with a running mean; optionally behind a frozen 1×1 convolution. */
import type { NamedTensors, Network, ForwardContext, NdArray, Random } from '@coda-nets/core';
import { ndArray } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';

export const side = 8;
/** Channels of the frozen stem's features. */
export const stemChannels = 2;

function uniform(shape: readonly number[], bound: number): (random: Random) => NdArray<'float32'> {
  const size = shape.reduce((a, b) => a * b, 1);
  return (random) =>
    ndArray(
      'float32',
      shape,
      Float32Array.from({ length: size }, () => bound * (2 * random.uniform() - 1)),
    );
}

/** z = flatten(x)·W + b; with `frozen` x are the features images·S [N, 8, 8, 2], else the images [N, 8, 8, 3]. */
export function tinyNetwork({ classes = 4, frozen = false, name = 'tiny' } = {}): Network {
  const channels = frozen ? stemChannels : 3;
  const inputs = side * side * channels;
  const head = (weights: NamedTensors, x: tf.Tensor4D, context: ForwardContext) => {
    const flat = tf.reshape(x, [-1, inputs]) as tf.Tensor2D;
    const logits = tf.add(tf.matMul(flat, weights['fc.weight'] as tf.Tensor2D), weights['fc.bias'] as tf.Tensor1D);
    const mean = weights['running.mean'] as tf.Tensor;
    const statistics: NamedTensors = context.training
      ? { 'running.mean': tf.add(tf.mul(mean, 0.9), tf.mul(tf.mean(x, [0, 1, 2]), 0.1)) }
      : {};
    return { logits: logits as tf.Tensor2D, statistics };
  };
  const embed = (weights: NamedTensors, images: tf.Tensor4D): tf.Tensor4D => {
    const pixels = tf.reshape(images, [-1, 3]) as tf.Tensor2D;
    return tf.reshape(tf.matMul(pixels, weights['stem.weight'] as tf.Tensor2D), [-1, side, side, stemChannels]);
  };
  return {
    config: { kind: 'tiny', classes, frozen, name },
    inputShape: [side, side, 3],
    classes,
    taps: [{ name: 'input', channels: 3, stride: 1, exact: false }],
    weights: {
      ...(frozen && {
        'stem.weight': { shape: [3, stemChannels], role: 'frozen', decay: true, init: uniform([3, stemChannels], 1) },
      }),
      'fc.weight': { shape: [inputs, classes], role: 'parameter', decay: true, init: uniform([inputs, classes], 0.3) },
      // not zero: a decay of it must show
      'fc.bias': { shape: [classes], role: 'parameter', decay: false, init: uniform([classes], 1) },
      'running.mean': { shape: [channels], role: 'statistic', decay: false, init: uniform([channels], 0) },
    },
    logitBias: 0,
    ...(frozen && {
      frozenStem: { featureShape: [side, side, stemChannels] as const, embed, forwardHead: head },
    }),
    forward: (weights, images, context) => head(weights, frozen ? embed(weights, images) : images, context),
    loss: (logits, targets) => tf.neg(tf.mean(tf.sum(tf.mul(targets, tf.logSoftmax(logits)), 1))) as tf.Scalar,
    probabilities: (logits) => tf.softmax(logits),
  };
}
