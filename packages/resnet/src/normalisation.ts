/** What a network does first with its images: encodes and normalises them. */
import * as tf from '@tensorflow/tfjs-core';
import type { ResnetConfig } from './resnet-config.ts';

type Channels = readonly [red: number, green: number, blue: number];

/** (x − mean) / std, for values in [0, 1]. */
export type Normalisation = {
  readonly mean: Channels;
  readonly std: Channels;
};

/** Mean and standard deviation of the pixels of CIFAR-10's 50,000 training images, in [0, 1]. */
export const cifar10Normalisation: Normalisation = { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };

/** The numbers torchvision and timm normalise ImageNet's images with, in [0, 1]. */
export const imagenetNormalisation: Normalisation = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/** [r, g, b] → [r, g, b, 1−r, 1−g, 1−b] for `rgb6`; images [N, H, W, 3] in [0, 1]. */
export function encodeImages(images: tf.Tensor4D, { encoding }: Pick<ResnetConfig, 'encoding'>): tf.Tensor4D {
  return encoding === 'rgb6' ? tf.concat([images, tf.sub(1, images)], 3) : images;
}

/**
 * (x − m) / s as one product and one sum, with mean (m, 1 − m) and deviation (s, s) of six channels: the normalised 1 − x is
 * ((1 − x) − (1 − m)) / s = −(x − m) / s. x [N, H, W, 3 or 6].
 */
export function normaliseImages(
  x: tf.Tensor4D,
  { encoding, normalisation }: Pick<ResnetConfig, 'encoding' | 'normalisation'>,
): tf.Tensor4D {
  if (normalisation === null) return x;
  const { mean, std } = normalisation;
  const means = encoding === 'rgb6' ? [...mean, ...mean.map((m) => 1 - m)] : mean;
  const scale = (encoding === 'rgb6' ? [...std, ...std] : std).map((s) => 1 / s);
  const shift = means.map((m, c) => -m * (scale[c] as number));
  return tf.add(tf.mul(x, tf.tensor1d(scale)), tf.tensor1d(shift)) as tf.Tensor4D;
}
