/** First weights, uniform around zero. */
import { zerosArray, type NdArray, type Random } from '@coda-nets/core';

/** U(−bound, bound) */
export function uniformInit(random: Random, shape: readonly number[], bound: number): NdArray<'float32'> {
  const array = zerosArray('float32', shape);
  for (let i = 0; i < array.data.length; i++) array.data[i] = bound * (2 * random.uniform() - 1);
  return array;
}
