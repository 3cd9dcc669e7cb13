/** An n-dimensional array on the host, in C order: what travels between files, engines and trainers. Not a tensor: it computes nothing. */
import { CodaError } from './errors.ts';

export interface DataByDType {
  float32: Float32Array;
  float64: Float64Array;
  int8: Int8Array;
  int16: Int16Array;
  int32: Int32Array;
  int64: BigInt64Array;
  uint8: Uint8Array;
  uint16: Uint16Array;
  uint32: Uint32Array;
  uint64: BigUint64Array;
  /** Each byte 0 or 1. */
  bool: Uint8Array;
}
export type DType = keyof DataByDType;

export interface NdArray<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: DataByDType[D];
}

export type NamedArrays = Readonly<Record<string, NdArray>>;

export const arrayConstructors = {
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const;

/** Number of elements of `shape`; 1 for a scalar. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, d) => product * d, 1);
}

/** Wraps `data` (not copied) as an array of `shape`. Throws when the lengths differ. */
export function ndArray<D extends DType>(dtype: D, shape: readonly number[], data: DataByDType[D]): NdArray<D> {
  if (data.length !== sizeOf(shape)) {
    throw new CodaError({
      kind: 'argument',
      where: 'ndArray',
      problem: `data does not fill the shape [${shape.join(', ')}]`,
      expected: `${sizeOf(shape)} elements`,
      got: `${data.length}`,
    });
  }
  return { dtype, shape, data };
}

/** A zero-filled array. */
export function zerosArray<D extends DType>(dtype: D, shape: readonly number[]): NdArray<D> {
  return { dtype, shape, data: new arrayConstructors[dtype](sizeOf(shape)) as DataByDType[D] };
}

/** Whether two shapes are equal. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i]);
}
