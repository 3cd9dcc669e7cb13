/** Seeded values for tests; independent of the generator in core, which is itself under test. */
import * as tf from '@tensorflow/tfjs-core';

interface Range {
  readonly min?: number;
  readonly max?: number;
}

/** A float32 tensor, uniform in [min, max), by default [−1, 1). The caller disposes it. */
export function randomTensor<R extends tf.Rank = tf.Rank>(shape: tf.ShapeMap[R], seed: number, range: Range = {}): tf.Tensor<R> {
  const size = (shape as readonly number[]).reduce((product, d) => product * d, 1);
  return tf.tensor<R>(randomValues(size, seed, range), shape, 'float32');
}

/** `count` numbers, uniform in [min, max), by default [−1, 1). */
export function randomValues(count: number, seed: number, { min = -1, max = 1 }: Range = {}): Float32Array {
  let state = seed | 0;
  return Float32Array.from({ length: count }, () => {
    // Mulberry32 (Tommy Ettinger, public domain).
    state = (state + 0x6d2b_79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return min + ((max - min) * ((t ^ (t >>> 14)) >>> 0)) / 0x1_0000_0000;
  });
}
