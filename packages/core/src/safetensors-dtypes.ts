/**
 * The dtypes of safetensors files, and what each is in memory. F16 and BF16 become float32, in which every one of their values is exact. Those of the
 * format that are not here (8-bit floats and smaller, complex numbers) have no array to be read into.
 */
import { bytesPerElement } from './array-view.ts';
import type { DType } from './nd-array.ts';

/** The dtypes that are read, each with that of its array, in the order in which the reference writes them: by descending size. */
const arrayDTypes = {
  U64: 'uint64',
  I64: 'int64',
  F64: 'float64',
  F32: 'float32',
  U32: 'uint32',
  I32: 'int32',
  BF16: 'float32',
  F16: 'float32',
  U16: 'uint16',
  I16: 'int16',
  I8: 'int8',
  U8: 'uint8',
  BOOL: 'bool',
} as const satisfies Record<string, DType>;

/** A dtype by its name in the file. */
export type SafetensorsDType = keyof typeof arrayDTypes;
/** The dtypes of 16 bits that JavaScript has no array for: both are float32 in memory, where every one of their values is exact. */
export type HalfDType = 'F16' | 'BF16';

/** In the order in which the reference writes them. */
export const dtypes = Object.keys(arrayDTypes) as readonly SafetensorsDType[];

export function isDType(code: string): code is SafetensorsDType {
  return Object.hasOwn(arrayDTypes, code);
}

export function isHalf(dtype: SafetensorsDType): dtype is HalfDType {
  return dtype === 'F16' || dtype === 'BF16';
}

/** The dtype of the array that a dtype of the file becomes. */
export function arrayDType(dtype: SafetensorsDType): DType {
  return arrayDTypes[dtype];
}

/** The dtype in the file that holds just what an array has. */
export function fileDType(dtype: DType): SafetensorsDType {
  return dtypes.find((code) => arrayDTypes[code] === dtype) as SafetensorsDType;
}

export function bytesOfDType(dtype: SafetensorsDType): number {
  return isHalf(dtype) ? 2 : bytesPerElement(arrayDTypes[dtype]);
}
