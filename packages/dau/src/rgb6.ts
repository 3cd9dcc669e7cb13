/** The encoding under which no colour is favoured: each pixel's six channels sum to 3. arXiv 2109.13004. */
import { checkTensor, CodaError } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';

/** images [N, H, W, 3] in [0, 1] → [r, g, b, 1−r, 1−g, 1−b], [N, H, W, 6]. */
export function encodeRgb6(images: tf.Tensor4D): tf.Tensor4D {
  checkTensor('encodeRgb6: images', images, '[N, H, W, 3]');
  if (images.rank !== 4 || images.shape[3] !== 3) {
    const got = `[${images.shape.join(', ')}]`;
    throw new CodaError({ kind: 'argument', where: 'encodeRgb6: images', problem: 'not colour images', expected: '[N, H, W, 3]', got });
  }
  return tf.tidy(() => tf.concat([images, tf.sub(1, images)], 3));
}
