/**
 * The safetensors file format: a little-endian u64 header length, a JSON header, the tensors' bytes without holes.
 * Source: https://github.com/huggingface/safetensors (format section). Written byte for byte as the reference implementation
 * writes: header padded with spaces to a multiple of 8, tensors by descending alignment of their dtype, then by name.
 * Not a file reader: bytes in, arrays out. What a hostile file can do here is end in one CodaError.
 */
import { arrayView, bytesOf, bytesPerElement } from './array-view.ts';
import { duplicateKey } from './duplicate-key.ts';
import { CodaError } from './errors.ts';
import { fileKind } from './file-signature.ts';
import { requireLittleEndian } from './little-endian.ts';
import { sizeOf, type DType, type NamedArrays, type NdArray } from './nd-array.ts';
import { shown } from './shown.ts';

/** The reference implementation's own limit: a header is parsed as a whole, before anything in it can be believed. */
const maxHeaderBytes = 100_000_000;
/** Ten times the tensors of the largest public checkpoints; each costs an object and a view. */
const maxTensors = 100_000;
/** NumPy's classic limit, far above the 6 dimensions TensorFlow.js computes with. */
const maxRank = 32;

const codeOfDType = { float32: 'F32', float64: 'F64', int32: 'I32', int64: 'I64', uint8: 'U8', bool: 'BOOL' } as const;
const dtypeOfCode = new Map(Object.entries(codeOfDType).map(([dtype, code]) => [code as string, dtype as DType]));
/** The order in which the reference writes dtypes. */
const writingOrder: readonly DType[] = ['int64', 'float64', 'float32', 'int32', 'uint8', 'bool'];
const metadataKey = '__metadata__';

export interface Safetensors {
  readonly tensors: NamedArrays;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The bytes of a safetensors file. Throws a CodaError for a name the format cannot hold. */
export function encodeSafetensors(tensors: NamedArrays, metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  requireLittleEndian('encodeSafetensors');
  const entries = Object.entries(tensors).map(([name, array]) => ({ name, utf8: utf8Of(name), array }));
  entries.sort((a, b) => writingOrder.indexOf(a.array.dtype) - writingOrder.indexOf(b.array.dtype) || compareBytes(a.utf8, b.utf8));
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"${metadataKey}":${JSON.stringify(metadata)}`);
  let end = 0;
  for (const { name, array } of entries) {
    const begin = end;
    end += array.data.byteLength;
    const { dtype, shape } = array;
    const info = JSON.stringify({ dtype: codeOfDType[dtype], shape, data_offsets: [begin, end] });
    fields.push(`${JSON.stringify(name)}:${info}`);
  }
  const header = new TextEncoder().encode(`{${fields.join(',')}}`);
  const dataStart = 8 + Math.ceil(header.length / 8) * 8;
  const bytes = new Uint8Array(dataStart + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(dataStart - 8), true);
  bytes.fill(0x20, 8, dataStart);
  bytes.set(header, 8);
  let offset = dataStart;
  for (const { array } of entries) {
    bytes.set(bytesOf(array.data), offset);
    offset += array.data.byteLength;
  }
  return bytes;
}

/**
 * The tensors and metadata of a safetensors file. `where` names the file in errors. Arrays are views of `bytes` where they are aligned.
 * Throws a CodaError of kind `malformed` for anything that is not exactly the format, `unsupported` for a dtype we have no array for.
 */
export function decodeSafetensors(bytes: Uint8Array, where: string): Safetensors {
  requireLittleEndian(where);
  const dataStart = headerEnd(bytes, where);
  const header = parseHeader(bytes.subarray(8, dataStart), where);
  const metadata: Record<string, string> = {};
  const infos: TensorInfo[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === metadataKey) readMetadata(value, metadata, where);
    else infos.push(readTensorInfo(name, value, `${where}: tensor ${JSON.stringify(name)}`));
    if (infos.length > maxTensors) throw malformed(where, 'too many tensors', `at most ${maxTensors}`);
  }
  // The bytes must be covered once: no overlap, no hole, nothing left.
  infos.sort((a, b) => a.begin - b.begin || a.end - b.end);
  const available = bytes.length - dataStart;
  let covered = 0;
  for (const { begin, end, place } of infos) {
    if (end > available) {
      throw malformed(place, 'the data runs past the end of the file', `at most ${available} bytes of data`, `${end}`);
    }
    if (begin !== covered) {
      const problem = begin < covered ? 'the data overlaps another tensor' : 'there is a hole before the data';
      throw malformed(place, problem, `data from byte ${covered}`, `${begin}`);
    }
    covered = end;
  }
  if (covered !== available) {
    throw malformed(where, 'bytes after the last tensor', `${covered} bytes of data`, `${available}`);
  }
  const tensors: Record<string, NdArray> = {};
  for (const { name, dtype, shape, begin, place } of infos) {
    const data = arrayView(dtype, bytes, dataStart + begin, sizeOf(shape));
    if (dtype === 'bool') {
      const bad = (data as Uint8Array).find((byte) => byte > 1);
      if (bad !== undefined) throw malformed(place, 'a BOOL byte is neither 0 nor 1', undefined, `${bad}`);
    }
    tensors[name] = { dtype, shape, data };
  }
  return { tensors, metadata };
}

interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
  readonly place: string;
}

function headerEnd(bytes: Uint8Array, where: string): number {
  if (bytes.length < 8) throw malformed(where, 'the file ends inside its header length', '8 bytes', `${bytes.length}`);
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes)) {
    // the header of a real one begins with a brace
    if (bytes.length > 8 && bytes[8] !== 0x7b)
      throw malformed(where, 'this is not a safetensors file', 'a safetensors file', fileKind(bytes));
    throw malformed(where, 'the header is too long', `at most ${maxHeaderBytes} bytes`, `${length}`);
  }
  if (8 + Number(length) > bytes.length) {
    throw malformed(where, 'the file ends inside its header', `${8 + Number(length)} bytes`, `${bytes.length}`);
  }
  return 8 + Number(length);
}

function parseHeader(utf8: Uint8Array, where: string): Record<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(utf8);
  } catch (cause) {
    throw malformed(where, 'the header is not UTF-8', undefined, undefined, cause);
  }
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (cause) {
    throw malformed(where, 'the header is not JSON', undefined, undefined, cause);
  }
  if (!isObject(header)) throw malformed(where, 'the header is not an object');
  const twice = duplicateKey(text);
  if (twice !== undefined) throw malformed(where, `the header has the key ${JSON.stringify(twice)} twice`);
  return header;
}

function readMetadata(value: unknown, into: Record<string, string>, where: string): void {
  const place = `${where}: ${metadataKey}`;
  if (!isObject(value)) throw malformed(place, 'not an object');
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw malformed(`${place}.${key}`, 'not a string');
    if (key === '__proto__') throw malformed(place, 'the key "__proto__" is reserved');
    into[key] = text;
  }
}

function readTensorInfo(name: string, value: unknown, place: string): TensorInfo {
  if (name === '__proto__') throw malformed(place, 'the name "__proto__" is reserved');
  if (!isObject(value)) throw malformed(place, 'not an object');
  const { dtype: code, shape, data_offsets: offsets } = value;
  if (typeof code !== 'string') throw malformed(place, 'dtype is not a string');
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw malformed(place, 'shape is not a list of integers from 0', undefined, shown(shape));
  }
  if (shape.length > maxRank) throw malformed(place, 'too many dimensions', `at most ${maxRank}`, `${shape.length}`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw malformed(place, 'data_offsets is not [begin, end]', undefined, shown(offsets));
  }
  const [begin, end] = offsets as unknown as [number, number];
  if (begin > end) throw malformed(place, 'data_offsets is not [begin, end]', undefined, shown(offsets));
  const dtype = dtypeOfCode.get(code);
  if (dtype === undefined) {
    throw new CodaError({
      kind: 'unsupported',
      where: place,
      problem: `no array type for the dtype ${JSON.stringify(code)}`,
      expected: [...dtypeOfCode.keys()].join(', '),
    });
  }
  let size = bytesPerElement(dtype);
  for (const d of shape) {
    size *= d;
    if (size > Number.MAX_SAFE_INTEGER) throw malformed(place, 'the shape overflows', undefined, shown(shape));
  }
  if (end - begin !== size) {
    throw malformed(place, `the data does not fill ${code} [${shape.join(', ')}]`, `${size} bytes`, `${end - begin}`);
  }
  return { name, dtype, shape, begin, end, place };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A number that may be a dimension or an offset; −0 is no integer of the format's. */
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0);
}

function malformed(where: string, problem: string, expected?: string, got?: string, cause?: unknown): CodaError {
  return new CodaError({ kind: 'malformed', where, problem, expected, got, cause });
}

function utf8Of(name: string): Uint8Array {
  const problem =
    name === metadataKey || name === '__proto__'
      ? 'the name is reserved'
      : /\p{Surrogate}/u.test(name)
        ? 'the name is not valid Unicode'
        : undefined;
  if (problem !== undefined) {
    throw new CodaError({ kind: 'argument', where: `encodeSafetensors: tensor ${JSON.stringify(name)}`, problem });
  }
  return new TextEncoder().encode(name);
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
