/**
 * The header of a safetensors file: a little-endian u64 length, then JSON that says what lies where in the bytes after it.
 * Source: https://github.com/huggingface/safetensors (format section). Not the tensors: nothing here needs their bytes, so that a header read alone
 * is checked as a whole. What a hostile one can do is end in one CodaError.
 */
import { CodaError } from './errors.ts';
import { fileKind } from './file-signature.ts';
import { jsonOddity } from './json-oddity.ts';
import { bytesOfDType, dtypes, isDType, type SafetensorsDType } from './safetensors-dtypes.ts';
import { shown } from './shown.ts';

/** Four names a tensor, as many tensors as are read, and a hundred thousand of metadata: more are memory and minutes for nothing. */
const MAX_KEYS = 500_000;
/** Sizes and offsets of so many tensors. */
const MAX_ELEMENTS = 3_500_000;

/** The reference implementation's own limit: a header is parsed as a whole, before anything in it can be believed. */
export const maxHeaderBytes = 100_000_000;
/** Ten times the tensors of the largest public checkpoints; each costs an object and a view. */
export const maxTensors = 100_000;
/** NumPy's classic limit, far above the 6 dimensions TensorFlow.js computes with. */
const maxRank = 32;
/** The header, a tensor in it, its shape. */
const headerDepth = 3;
export const metadataKey = '__metadata__';

export interface TensorInfo {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  /** What it takes in the file. */
  readonly bytes: number;
}

/** A tensor and where it lies. */
export interface TensorPlace extends TensorInfo {
  readonly name: string;
  /** Of the file's bytes, the header included. */
  readonly begin: number;
  readonly end: number;
  /** The file and the tensor's name, for errors. */
  readonly place: string;
}

export interface Header {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their bytes. */
  readonly places: readonly TensorPlace[];
}

/** Where the header ends, from the file's first bytes (16 are enough) and its size. */
export function headerEnd(start: Uint8Array, fileBytes: number, where: string): number {
  if (fileBytes < 8) throw malformed(where, 'the file ends inside its header length', '8 bytes', `${fileBytes}`);
  const length = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes)) {
    // the header of a real one begins with a brace
    if (start.length > 8 && start[8] !== 0x7b)
      throw malformed(where, 'this is not a safetensors file', 'a safetensors file', fileKind(start));
    throw malformed(where, 'the header is too long', `at most ${maxHeaderBytes} bytes`, `${length}`);
  }
  if (8 + Number(length) > fileBytes) {
    throw malformed(where, 'the file ends inside its header', `${8 + Number(length)} bytes`, `${fileBytes}`);
  }
  return 8 + Number(length);
}

/**
 * The header in `utf8`, its JSON, of a file of `fileBytes` bytes. Throws a CodaError of kind `malformed` for anything that is not exactly the format,
 * `unsupported` for a dtype without an array. Data that is not aligned for its dtype is no error: older writers left it so.
 */
export function parseHeader(utf8: Uint8Array, fileBytes: number, where: string): Header {
  const dataStart = 8 + utf8.length;
  let metadata: Readonly<Record<string, string>> = {};
  const places: TensorPlace[] = [];
  for (const [name, value] of Object.entries(parseJson(utf8, where))) {
    if (name === metadataKey) metadata = readMetadata(value, where);
    else places.push(readPlace(name, value, dataStart, `${where}: tensor ${JSON.stringify(name)}`));
    if (places.length > maxTensors) throw malformed(where, 'too many tensors', `at most ${maxTensors}`);
  }
  // The bytes must be covered once: no overlap, no hole, nothing left.
  places.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = dataStart;
  for (const { begin, end, place } of places) {
    if (end > fileBytes) {
      const available = fileBytes - dataStart;
      throw malformed(place, 'the data runs past the end of the file', `at most ${available} bytes of data`, `${end - dataStart}`);
    }
    if (begin !== covered) {
      const problem = begin < covered ? 'the data overlaps another tensor' : 'there is a hole before the data';
      throw malformed(place, problem, `data from byte ${covered - dataStart}`, `${begin - dataStart}`);
    }
    covered = end;
  }
  if (covered !== fileBytes) {
    throw malformed(where, 'bytes after the last tensor', `${covered - dataStart} bytes of data`, `${fileBytes - dataStart}`);
  }
  return { metadata, places };
}

function parseJson(utf8: Uint8Array, where: string): Record<string, unknown> {
  const text = decodeUtf8(utf8, 'the header', where);
  const oddity = jsonOddity(text, { maxDepth: headerDepth, integersOnly: true, maxKeys: MAX_KEYS, maxElements: MAX_ELEMENTS });
  if (oddity !== undefined) throw malformed(where, `the header has ${oddity}`);
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (cause) {
    throw malformed(where, 'the header is not JSON', undefined, undefined, cause);
  }
  if (!isObject(header)) throw malformed(where, 'the header is not an object');
  if (utf8[0] !== 0x7b) throw malformed(where, 'the header does not begin with a brace');
  return header;
}

export function decodeUtf8(utf8: Uint8Array, what: string, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(utf8);
  } catch (cause) {
    throw malformed(where, `${what} is not UTF-8`, undefined, undefined, cause);
  }
}

function readMetadata(value: unknown, where: string): Record<string, string> {
  const place = `${where}: ${metadataKey}`;
  if (!isObject(value)) throw malformed(place, 'not an object');
  const metadata: Record<string, string> = {};
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw malformed(`${place}.${key}`, 'not a string');
    if (key === '__proto__') throw malformed(place, 'the key "__proto__" is reserved');
    if (!isUnicode(key + text)) throw malformed(`${place}.${key}`, 'not valid Unicode');
    metadata[key] = text;
  }
  return metadata;
}

function readPlace(name: string, value: unknown, dataStart: number, place: string): TensorPlace {
  if (name === '__proto__') throw malformed(place, 'the name "__proto__" is reserved');
  if (!isUnicode(name)) throw malformed(place, 'the name is not valid Unicode');
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
  if (!isDType(code)) {
    throw new CodaError({
      kind: 'unsupported',
      where: place,
      problem: `no array type for the dtype ${shown(code)}`,
      expected: dtypes.join(', '),
    });
  }
  let bytes = bytesOfDType(code);
  for (const d of shape) {
    bytes *= d;
    if (bytes > Number.MAX_SAFE_INTEGER) throw malformed(place, 'the shape overflows', undefined, shown(shape));
  }
  if (end - begin !== bytes) {
    throw malformed(place, `the data does not fill ${code} [${shape.join(', ')}]`, `${bytes} bytes`, `${end - begin}`);
  }
  return { name, dtype: code, shape, bytes, begin: dataStart + begin, end: dataStart + end, place };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isUnicode(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/** A number that may be a dimension or an offset: one that is exact, below 2⁵³. */
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

export function malformed(where: string, problem: string, expected?: string, got?: string, cause?: unknown): CodaError {
  return new CodaError({ kind: 'malformed', where, problem, expected, got, cause });
}
