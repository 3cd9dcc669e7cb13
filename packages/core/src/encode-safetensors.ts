/**
 * Named arrays as a safetensors file, byte for byte as the reference implementation writes: header padded with spaces to a multiple of 8, tensors by
 * descending size of their dtype, then by name. Metadata, whose order the reference leaves to chance, comes in the order of the object.
 */
import { allocateBytes } from './allocate-bytes.ts';
import { bytesOf } from './array-view.ts';
import { CodaError } from './errors.ts';
import { encodeBfloat16, encodeFloat16 } from './half-floats.ts';
import { requireLittleEndian } from './little-endian.ts';
import { nearestName } from './nearest-name.ts';
import { arrayConstructors, sizeOf, type NamedArrays, type NdArray } from './nd-array.ts';
import { bytesOfDType, dtypes, fileDType, isHalf, type HalfDType, type SafetensorsDType } from './safetensors-dtypes.ts';
import { isUnicode, metadataKey } from './safetensors-header.ts';
import { shown } from './shown.ts';

/** A file in pieces, in order. */
export interface SafetensorsPieces {
  readonly size: number;
  /** Each is made when it is asked for, and is a view of the array where nothing is rounded. */
  readonly pieces: Iterable<Uint8Array>;
}

interface Entry {
  readonly name: string;
  readonly array: NdArray;
  readonly dtype: SafetensorsDType;
  readonly utf8: Uint8Array;
}

/**
 * The bytes of a safetensors file. Every array is stored as it is; a float32 array that `halves` names is rounded to F16 or BF16, to the nearest, of two
 * equally near numbers to the even. Arrays that were read from such a file are written back without loss.
 * Throws a CodaError: `argument` for a name the format cannot hold, `numeric` for a finite number that would become infinite.
 */
export function encodeSafetensors(
  tensors: NamedArrays,
  metadata: Readonly<Record<string, string>> = {},
  halves: Readonly<Record<string, HalfDType>> = {},
): Uint8Array {
  const { size, pieces } = safetensorsPieces(tensors, metadata, halves, 'encodeSafetensors');
  const bytes = allocateBytes(size, 'encodeSafetensors');
  let offset = 0;
  for (const piece of pieces) {
    bytes.set(piece, offset);
    offset += piece.length;
  }
  return bytes;
}

/** The same file without a second copy of the arrays. `where` names the function or the file in errors. */
export function safetensorsPieces(
  tensors: NamedArrays,
  metadata: Readonly<Record<string, string>>,
  halves: Readonly<Record<string, HalfDType>>,
  where: string,
): SafetensorsPieces {
  requireLittleEndian(where);
  checkHalves(tensors, halves, where);
  const entries = Object.entries(tensors).map(([name, array]): Entry => {
    const half = Object.hasOwn(halves, name) ? halves[name] : undefined;
    if (!array.shape.every((d) => Number.isSafeInteger(d) && d >= 0)) {
      throw wrongArgument(placeOf(name, where), 'a shape that no array has', 'whole numbers from 0', `[${array.shape.join(', ')}]`);
    }
    if (!isArrayOf(array)) {
      throw wrongArgument(
        placeOf(name, where),
        'data of another kind than its dtype',
        array.dtype,
        array.data?.constructor?.name ?? String(array.data),
      );
    }
    const size = sizeOf(array.shape);
    if (array.data.length !== size) {
      const problem = `data does not fill the shape [${array.shape.join(', ')}]`;
      throw wrongArgument(placeOf(name, where), problem, `${size} elements`, `${array.data.length}`);
    }
    return { name, array, dtype: half ?? fileDType(array.dtype), utf8: utf8Of(name, where) };
  });
  entries.sort((a, b) => dtypes.indexOf(a.dtype) - dtypes.indexOf(b.dtype) || compareBytes(a.utf8, b.utf8));
  const fields = Object.keys(metadata).length === 0 ? [] : [metadataField(metadata, where)];
  let end = 0;
  for (const { name, array, dtype } of entries) {
    const begin = end;
    end += sizeOf(array.shape) * bytesOfDType(dtype);
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape: array.shape, data_offsets: [begin, end] })}`);
  }
  const json = new TextEncoder().encode(`{${fields.join(',')}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return { size: header.length + end, pieces: piecesOf(header, entries, where) };
}

function* piecesOf(header: Uint8Array, entries: readonly Entry[], where: string): Generator<Uint8Array> {
  yield header;
  for (const { name, array, dtype } of entries) {
    yield isHalf(dtype) ? rounded(array.data as Float32Array, dtype, placeOf(name, where)) : bytesOf(array.data);
  }
}

function rounded(values: Float32Array, dtype: HalfDType, place: string): Uint8Array {
  const halves = new Uint16Array(values.length);
  const [encode, infinity, limit] =
    dtype === 'F16' ? ([encodeFloat16, 0x7c00, '65520'] as const) : ([encodeBfloat16, 0x7f80, '(2 − 2⁻⁸)·2¹²⁷'] as const);
  encode(values, halves);
  const lost = halves.findIndex((half, i) => (half & 0x7fff) === infinity && Number.isFinite(values[i]));
  if (lost === -1) return bytesOf(halves);
  throw new CodaError({
    kind: 'numeric',
    where: place,
    problem: `element ${lost} is finite, and would be infinite in ${dtype}`,
    expected: `a magnitude below ${limit}`,
    got: `${values[lost]}`,
  });
}

const isArrayOf = ({ dtype, data }: NdArray): boolean => data instanceof (arrayConstructors[dtype] as new () => object);

export function checkHalves(tensors: NamedArrays, halves: Readonly<Record<string, HalfDType>>, where: string): void {
  for (const [name, dtype] of Object.entries(halves)) {
    const array = Object.hasOwn(tensors, name) ? tensors[name] : undefined;
    const place = placeOf(name, where);
    if (array === undefined) {
      const near = nearestName(name, Object.keys(tensors));
      const hint = near === undefined ? undefined : `Did you mean ${JSON.stringify(near)}?`;
      throw new CodaError({ kind: 'argument', where: place, problem: `to be stored as ${dtype}, and not there`, hint });
    }
    if (!isHalf(dtype)) throw wrongArgument(place, 'no dtype of 16 bits', 'F16 or BF16', shown(dtype));
    if (array.dtype !== 'float32') throw wrongArgument(place, `only a float32 array is rounded to ${dtype}`, 'float32', array.dtype);
  }
}

function metadataField(metadata: Readonly<Record<string, string>>, where: string): string {
  for (const [key, text] of Object.entries(metadata)) {
    const place = `${where}: ${metadataKey}.${key}`;
    if (typeof text !== 'string') throw wrongArgument(place, 'not a string', undefined, shown(text));
    if (key === '__proto__') throw wrongArgument(place, 'the key is reserved');
    if (!isUnicode(key + text)) throw wrongArgument(place, 'not valid Unicode');
  }
  return `"${metadataKey}":${JSON.stringify(metadata)}`;
}

function utf8Of(name: string, where: string): Uint8Array {
  if (name === metadataKey || name === '__proto__') throw wrongArgument(placeOf(name, where), 'the name is reserved');
  if (!isUnicode(name)) throw wrongArgument(placeOf(name, where), 'the name is not valid Unicode');
  return new TextEncoder().encode(name);
}

function placeOf(name: string, where: string): string {
  return `${where}: tensor ${JSON.stringify(name)}`;
}

function wrongArgument(where: string, problem: string, expected?: string, got?: string): CodaError {
  return new CodaError({ kind: 'argument', where, problem, expected, got });
}

/** UTF-8 order, which is the reference's; UTF-16 order differs above the basic plane. */
function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
