/** Bytes seen as the elements of an array: a view where the alignment allows it, a copy where it does not. */
import { arrayConstructors, type DataByDType, type DType } from './nd-array.ts';

/** Bytes an element takes. */
export function bytesPerElement(dtype: DType): number {
  return arrayConstructors[dtype].BYTES_PER_ELEMENT;
}

/** The `length` elements of `dtype` that start `offset` bytes into `bytes`, which must hold them. */
export function arrayView<D extends DType>(dtype: D, bytes: Uint8Array, offset: number, length: number): DataByDType[D] {
  const start = bytes.byteOffset + offset;
  const elements =
    start % bytesPerElement(dtype) === 0
      ? new arrayConstructors[dtype](bytes.buffer as ArrayBuffer, start, length)
      : new arrayConstructors[dtype](bytes.slice(offset, offset + length * bytesPerElement(dtype)).buffer, 0, length);
  return elements as DataByDType[D];
}

/** The memory of `data` as bytes, not copied. */
export function bytesOf(data: DataByDType[DType]): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
