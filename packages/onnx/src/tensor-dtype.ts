/** The dtype under which TensorFlow.js sees a value of a graph. */
import type { DType } from '@coda-nets/core';

/** tfjs knows int32 where the graph has other integers, and float32 where it has float64. */
export function tensorDType(dtype: DType): 'float32' | 'int32' | 'bool' {
  if (dtype === 'float64') return 'float32';
  return dtype === 'float32' || dtype === 'bool' ? dtype : 'int32';
}
