/** A safetensors file that is in memory. Not a file reader: bytes in, arrays out. For a part of a file, or one by URL: `openSafetensors`. */
import { arrayView } from './array-view.ts';
import { decodeBfloat16, decodeFloat16 } from './half-floats.ts';
import { requireLittleEndian } from './little-endian.ts';
import { sizeOf, type NamedArrays, type NdArray } from './nd-array.ts';
import { arrayDType, isHalf, type HalfDType } from './safetensors-dtypes.ts';
import { headerEnd, malformed, parseHeader, type TensorPlace } from './safetensors-header.ts';

export interface Safetensors {
  readonly tensors: NamedArrays;
  readonly metadata: Readonly<Record<string, string>>;
  /** The float32 arrays that the file has in 16 bits. `encodeSafetensors(tensors, metadata, halves)` gives such a file again. */
  readonly halves: Readonly<Record<string, HalfDType>>;
}

/**
 * The tensors and metadata of a safetensors file. `where` names the file in errors. Arrays are views of `bytes` where they are aligned; those of
 * F16 and BF16 tensors are new float32 arrays, exact and twice as large.
 * Throws a CodaError of kind `malformed` for anything that is not exactly the format, `unsupported` for a dtype we have no array for.
 */
export function decodeSafetensors(bytes: Uint8Array, where: string): Safetensors {
  requireLittleEndian(where);
  const dataStart = headerEnd(bytes, bytes.length, where);
  const { metadata, places } = parseHeader(bytes.subarray(8, dataStart), bytes.length, where);
  const tensors: Record<string, NdArray> = {};
  const halves: Record<string, HalfDType> = {};
  for (const place of places) {
    tensors[place.name] = decodeTensor(place, bytes, place.begin);
    if (isHalf(place.dtype)) halves[place.name] = place.dtype;
  }
  return { tensors, metadata, halves };
}

/** The tensor whose data start `offset` bytes into `bytes`. */
export function decodeTensor({ dtype, shape, place }: TensorPlace, bytes: Uint8Array, offset: number): NdArray {
  const size = sizeOf(shape);
  if (isHalf(dtype)) {
    const data = new Float32Array(size);
    const decode = dtype === 'F16' ? decodeFloat16 : decodeBfloat16;
    decode(arrayView('uint16', bytes, offset, size), data);
    return { dtype: 'float32', shape, data };
  }
  const data = arrayView(arrayDType(dtype), bytes, offset, size);
  if (dtype === 'BOOL') {
    const bad = (data as Uint8Array).find((byte) => byte > 1);
    if (bad !== undefined) throw malformed(place, 'a BOOL byte is neither 0 nor 1', undefined, `${bad}`);
  }
  return { dtype: arrayDType(dtype), shape, data };
}
