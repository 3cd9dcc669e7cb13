/** Rows for several targets each: entry by entry, as the m vectors of an image stand everywhere here. */
import { ndArray, sizeOf, type NdArray } from '@coda-nets/core';

/** [N, …] → [N·times, …]: each entry `times` times in a row. */
export function repeatRows(array: NdArray<'float32'>, times: number): NdArray<'float32'> {
  if (times === 1) return array;
  const [count = 0, ...shape] = array.shape;
  const size = sizeOf(shape);
  const data = new Float32Array(count * times * size);
  for (let i = 0; i < count * times; i++) {
    const n = Math.floor(i / times);
    data.set(array.data.subarray(n * size, (n + 1) * size), i * size);
  }
  return ndArray('float32', [count * times, ...shape], data);
}
