/**
 * NumPy's `.npy` format, versions 1 to 3: one array with its dtype and shape. Little-endian, C order.
 * Source: NEP 1 and `numpy/lib/format.py`'s description of the format. Written byte for byte as `numpy.save` (2.x) writes.
 */
import { arrayView, bytesOf, bytesPerElement } from './array-view.ts';
import { CodaError } from './errors.ts';
import { requireLittleEndian } from './little-endian.ts';
import { sizeOf, type DType, type NdArray } from './nd-array.ts';

/** NumPy's own limit on a header it is willing to parse. */
const maxHeaderBytes = 10_000;
/** NumPy's classic limit. */
const maxRank = 32;
const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
/** Header and prefix together are padded to this, so that the data may be mapped. */
const alignment = 64;
/** NumPy leaves room for the first dimension to grow to this many digits in place. */
const growthDigits = 21;

const descrOfDType = {
  float32: '<f4',
  float64: '<f8',
  int8: '|i1',
  int16: '<i2',
  int32: '<i4',
  int64: '<i8',
  uint8: '|u1',
  uint16: '<u2',
  uint32: '<u4',
  uint64: '<u8',
  bool: '|b1',
} as const;
const dtypeOfDescr = new Map(Object.entries(descrOfDType).map(([dtype, descr]) => [descr as string, dtype as DType]));

/** The bytes of an `.npy` file. */
export function encodeNpy(array: NdArray): Uint8Array {
  requireLittleEndian('encodeNpy');
  const { dtype, shape, data } = array;
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  let header = `{'descr': '${descrOfDType[dtype]}', 'fortran_order': False, 'shape': ${tuple}, }`;
  if (shape.length > 0) header += ' '.repeat(growthDigits - String(shape[0]).length);
  const dataStart = Math.floor((10 + header.length + 1) / alignment + 1) * alignment;
  header = `${header.padEnd(dataStart - 11)}\n`;
  const bytes = new Uint8Array(dataStart + data.byteLength);
  bytes.set(magic);
  bytes.set([1, 0, header.length & 0xff, header.length >> 8], 6);
  bytes.set(new TextEncoder().encode(header), 10);
  bytes.set(bytesOf(data), dataStart);
  return bytes;
}

/** The array of an `.npy` file, a view of `bytes` where it is aligned. `where` names the file in errors. */
export function decodeNpy(bytes: Uint8Array, where: string): NdArray {
  requireLittleEndian(where);
  const { text, dataStart } = readHeader(bytes, where);
  const { descr, shape } = parseHeader(text, where);
  const dtype = dtypeOfDescr.get(descr);
  if (dtype === undefined) {
    throw new CodaError({
      kind: 'unsupported',
      where,
      problem: `no array type for the dtype '${descr}'`,
      expected: [...dtypeOfDescr.keys()].join(', '),
    });
  }
  let size = bytesPerElement(dtype);
  for (const d of shape) {
    size *= d;
    if (size > Number.MAX_SAFE_INTEGER) throw malformed(where, 'the shape overflows', undefined, `(${shape.join(', ')})`);
  }
  const available = bytes.length - dataStart;
  if (available !== size) {
    throw malformed(where, `the data does not fill ${descr} (${shape.join(', ')})`, `${size} bytes`, `${available}`);
  }
  const data = arrayView(dtype, bytes, dataStart, sizeOf(shape));
  if (dtype === 'bool') {
    const bad = (data as Uint8Array).find((byte) => byte > 1);
    if (bad !== undefined) throw malformed(where, 'a bool byte is neither 0 nor 1', undefined, `${bad}`);
  }
  return { dtype, shape, data };
}

function readHeader(bytes: Uint8Array, where: string): { text: string; dataStart: number } {
  if (bytes.length < 10 || magic.some((byte, i) => bytes[i] !== byte)) {
    throw malformed(where, 'this is no .npy file: it does not begin with \\x93NUMPY');
  }
  const version = bytes[6] as number;
  if (version < 1 || version > 3 || bytes[7] !== 0) {
    const problem = `version ${version}.${bytes[7]} of the format is not known`;
    throw new CodaError({ kind: 'unsupported', where, problem, expected: '1.0, 2.0 or 3.0' });
  }
  const start = version === 1 ? 10 : 12;
  if (bytes.length < start) throw malformed(where, 'the file ends inside its header', `${start} bytes`, `${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > maxHeaderBytes) throw malformed(where, 'the header is too long', `at most ${maxHeaderBytes}`, `${length}`);
  const dataStart = start + length;
  if (dataStart > bytes.length) {
    throw malformed(where, 'the file ends inside its header', `${dataStart} bytes`, `${bytes.length}`);
  }
  // Every header we accept is ASCII, in which the formats' two encodings (Latin-1, UTF-8 from version 3) agree.
  return { text: String.fromCharCode(...bytes.subarray(start, dataStart)), dataStart };
}

/** The header is a Python dictionary with three keys, in any order. */
function parseHeader(text: string, where: string): { descr: string; shape: number[] } {
  const body = /^\{(.*?),?\s*\}\s*$/s.exec(text)?.[1];
  if (body === undefined) throw malformed(where, 'the header is not a dictionary');
  const values = new Map<string, string>();
  const item = /\s*'(\w+)'\s*:\s*('[^']*'|True|False|\([\d,\s]*\))\s*(?:,|$)/y;
  while (item.lastIndex < body.length) {
    const match = item.exec(body);
    if (match === null) throw malformed(where, 'the header is not a dictionary of descr, fortran_order and shape');
    const [, key, value] = match as unknown as [string, string, string];
    if (values.has(key)) throw malformed(where, `the header has the key '${key}' twice`);
    values.set(key, value);
  }
  const descr = /^'(.*)'$/.exec(values.get('descr') ?? '')?.[1];
  const fortran = values.get('fortran_order');
  const tuple = /^\(\s*(?:(\d+(?:\s*,\s*\d+)*)\s*,?\s*)?\)$/.exec(values.get('shape') ?? '');
  if (values.size !== 3 || descr === undefined || tuple === null || (fortran !== 'True' && fortran !== 'False')) {
    throw malformed(where, 'the header is not a dictionary of descr, fortran_order and shape');
  }
  const shape = tuple[1] === undefined ? [] : tuple[1].split(',').map(Number);
  if (!shape.every(Number.isSafeInteger)) throw malformed(where, 'the shape overflows', undefined, `(${shape.join(', ')})`);
  if (shape.length > maxRank) throw malformed(where, 'too many dimensions', `at most ${maxRank}`, `${shape.length}`);
  if (fortran === 'True' && shape.length > 1) {
    throw new CodaError({
      kind: 'unsupported',
      where,
      problem: 'the array is in Fortran order',
      expected: 'C order',
      hint: 'Save numpy.ascontiguousarray(array).',
    });
  }
  return { descr, shape };
}

function malformed(where: string, problem: string, expected?: string, got?: string): CodaError {
  return new CodaError({ kind: 'malformed', where, problem, expected, got });
}
