/** How fast this machine multiplies float32 matrices: the limit that a share is taken of. */
import { ndArray, Random, type Engine, type NdArray } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { measureCalls, type Contender } from './interleave.ts';

/** [m, k] × [k, n] */
export interface MatmulShape {
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

/** Large enough that neither call nor result counts, small enough for a cache of the last level. */
export const peakShape: MatmulShape = { m: 1024, k: 4096, n: 1024 };

/** A multiply and an add for each element of each inner product. */
export function matmulFlops({ m, k, n }: MatmulShape): number {
  return 2 * m * k * n;
}

/** The product in an engine, one factor a constant, as weights are. */
export async function engineMatmul(engine: Engine, { m, k, n }: MatmulShape): Promise<Contender & { release(): Promise<void> }> {
  const random = Random.seeded(0);
  const matrix = (rows: number, columns: number): NdArray<'float32'> =>
    ndArray(
      'float32',
      [rows, columns],
      Float32Array.from({ length: rows * columns }, () => random.uniform() - 0.5),
    );
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
