/**
 * A CIFAR ResNet as one writes it with TensorFlow.js alone: zeros by `tf.pad`, batch norm by `tf.moments` and `tf.batchNorm`, gradients by the tape. What `coda bench
 * eager` measures against; it shares no line with `@coda-nets/resnet` but the names of the weights and the plan of the layers. arXiv 1512.03385, section 4.2, option B.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { PlainForward } from './plain-training.ts';

const EPSILON = 1e-5;
const MOMENTUM = 0.1;

export interface PlainResnetConfig {
  /** 6·n + 2 */
  readonly depth: number;
  readonly normalisation: { readonly mean: readonly number[]; readonly std: readonly number[] };
}

export function plainResnet({ depth, normalisation: { mean, std } }: PlainResnetConfig): PlainForward {
  const blocks = (depth - 2) / 6;
  return (weights, images, setStatistic) => {
    const weight = <T extends tf.Tensor>(name: string): T => weights[name] as T;
    const convBatchNorm = (x: tf.Tensor4D, conv: string, bn: string, stride: 1 | 2): tf.Tensor4D => {
      const kernel = weight<tf.Tensor4D>(`${conv}.weight`);
      const zeros = (kernel.shape[0] - 1) / 2;
      const padded = zeros === 0 ? x : tf.pad4d(x, [[0, 0], [zeros, zeros], [zeros, zeros], [0, 0]]); // prettier-ignore
      const y = tf.conv2d(padded, kernel, stride, 'valid');
      const { mean, variance } = tf.moments(y, [0, 1, 2]) as { mean: tf.Tensor1D; variance: tf.Tensor1D };
      const count = y.size / mean.size;
      const blend = (name: string, batch: tf.Tensor): void =>
        setStatistic(`${bn}.${name}`, tf.add(tf.mul(weight(`${bn}.${name}`), 1 - MOMENTUM), tf.mul(batch, MOMENTUM)));
      blend('running_mean', mean);
      blend('running_var', tf.mul(variance, count / (count - 1)));
      return tf.batchNorm4d(y, mean, variance, weight<tf.Tensor1D>(`${bn}.bias`), weight<tf.Tensor1D>(`${bn}.weight`), EPSILON);
    };
    const normalised: tf.Tensor4D = tf.div(tf.sub(images, tf.tensor1d([...mean])), tf.tensor1d([...std]));
    let x = tf.relu(convBatchNorm(normalised, 'conv1', 'bn1', 1));
    for (const stage of [1, 2, 3]) {
      for (let block = 0; block < blocks; block++) {
        const name = `layer${stage}.${block}`;
        const stride = stage > 1 && block === 0 ? 2 : 1;
        const inner = tf.relu(convBatchNorm(x, `${name}.conv1`, `${name}.bn1`, stride));
        const residual = convBatchNorm(inner, `${name}.conv2`, `${name}.bn2`, 1);
        const shortcut = stride === 1 ? x : convBatchNorm(x, `${name}.downsample.0`, `${name}.downsample.1`, stride);
        x = tf.relu(tf.add(residual, shortcut));
      }
    }
    const pooled: tf.Tensor2D = tf.mean(x, [1, 2]);
    return tf.add(tf.matMul(pooled, weight('fc.weight')), weight('fc.bias'));
  };
}
