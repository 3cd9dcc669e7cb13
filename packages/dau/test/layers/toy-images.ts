/** Images whose class is the colour of a patch somewhere in grey noise: separable, and not by one pixel. */
import * as tf from '@tensorflow/tfjs-core';
import { randomValues } from '@coda-nets/tools/testkit';

export const toySide = 8;
export const toyClasses = 3;

/** [count, 8, 8, 3] in [0, 1], and one-hot [count, 3]; classes take turns. The caller disposes both. */
export function toyImages(count: number, seed: number): { readonly images: tf.Tensor4D; readonly labels: tf.Tensor2D } {
  const noise = randomValues(count * toySide * toySide, seed, { min: 0.2, max: 0.8 });
  const places = randomValues(count * 2, seed + 1, { min: 0, max: toySide - 3 });
  const images = Float32Array.from({ length: count * toySide * toySide * 3 }, (_, i) => noise[Math.floor(i / 3)] as number);
  for (let n = 0; n < count; n++) {
    const [top, left] = [Math.floor(places[2 * n] as number), Math.floor(places[2 * n + 1] as number)];
    for (let y = top; y < top + 3; y++) {
      for (let x = left; x < left + 3; x++) {
        for (let c = 0; c < 3; c++) images[((n * toySide + y) * toySide + x) * 3 + c] = c === n % 3 ? 0.9 : 0.3;
      }
    }
  }
  const classes = Int32Array.from({ length: count }, (_, n) => n % toyClasses);
  return {
    images: tf.tensor4d(images, [count, toySide, toySide, 3]),
    labels: tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(classes, 'int32'), toyClasses), 'float32') as tf.Tensor2D),
  };
}
