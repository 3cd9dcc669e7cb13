/** Whether a tensor can be a batch of images. */
import type * as tf from '@tensorflow/tfjs-core';
import { CodaError } from '@coda-nets/core';

/** Throws a CodaError unless `images` is float32 [N, H, W, 3]. Values are not looked at. */
export function checkImages(images: tf.Tensor): void {
  const { shape, dtype } = images;
  if (shape.length === 4 && shape[3] === 3 && dtype === 'float32') return;
  throw new CodaError({
    kind: 'argument',
    where: 'resnet: images',
    problem: 'not a batch of colour images',
    expected: 'float32 [N, H, W, 3]',
    got: `${dtype} [${shape.join(', ')}]`,
  });
}
