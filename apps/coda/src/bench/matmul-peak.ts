/** How fast this machine multiplies float32 matrices: the limit that a share is taken of. */
import { ndArray, Random, type Engine, type NdArray } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { measureCalls, type Contender } from './interleave.ts';

/** [m, k] × [k, n]: large enough that neither call nor result counts, small enough for a cache of the last level. */
export const PEAK_SHAPE = { m: 1024, k: 4096, n: 1024 } as const;
/** A multiply and an add for each element of each inner product. */
export const PEAK_FLOPS = 2 * PEAK_SHAPE.m * PEAK_SHAPE.k * PEAK_SHAPE.n;

/** The product in an engine, one factor a constant, as weights are. */
export async function engineMatmul(engine: Engine): Promise<Contender & { release(): Promise<void> }> {
  const { m, k, n } = PEAK_SHAPE;
  const random = Random.seeded(0);
  const matrix = (rows: number, columns: number): NdArray<'float32'> =>
    ndArray('float32', [rows, columns], Float32Array.from({ length: rows * columns }, () => random.uniform() - 0.5));
  const a = matrix(m, k);
  const product = await engine.compile(({ a, b }) => ({ c: tf.matMul(a as tf.Tensor2D, b as tf.Tensor2D) }), {
    inputs: { a: { shape: [m, k], dtype: 'float32' } },
    constants: { b: matrix(k, n) },
  });
  return {
    name: engine.name,
    measure: (repeats) => measureCalls(() => product.run({ a }), repeats),
    release: () => product.dispose(),
  };
}
