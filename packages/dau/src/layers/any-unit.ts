/** The unit of a layer, whichever its norm: `dauConv` with A, B and b, or `edauConv`, which has no b (a reconstruction, see there). */
import type * as tf from '@tensorflow/tfjs-core';
import { dauConv, type DauWeights } from '../dau-conv.ts';
import { edauConv, isEdauBound } from '../edau-conv.ts';
import type { CodaNorm } from '../coda-layer-schema.ts';

/** `b` is there where the norm is that of a DAU. */
export type AnyUnitWeights = Pick<DauWeights, 'A' | 'B'> & { readonly b?: tf.Tensor };

export interface AnyUnitOptions {
  readonly norm: CodaNorm;
  readonly eps: number;
  readonly stride?: number;
  readonly padding?: number;
}

/** x [N, H, W, C] → [N, H', W', n] */
export function anyUnit(x: tf.Tensor4D, { A, B, b }: AnyUnitWeights, { norm, ...options }: AnyUnitOptions): tf.Tensor4D {
  if (isEdauBound(norm)) return edauConv(x, { A, B }, { bound: norm, ...options });
  return dauConv(x, { A, B, b: b as tf.Tensor }, { norm, ...options });
}
