import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodaError, decodeSafetensors, encodeSafetensors, ndArray, type NamedArrays } from '../src/index.ts';
import { arbitraryArray, bytesOfData, goldenArrays, goldenDTypes, goldenFile } from './array-files.ts';
import { safetensorsBytes as file } from './safetensors-bytes.ts';

const metadata = { key: 'a "value"\u001f\u007fé' };

const floatsOf = (bits: readonly number[]): Float32Array => new Float32Array(Uint32Array.from(bits).buffer);

const errorOf = (bytes: Uint8Array): CodaError => thrownBy(() => decodeSafetensors(bytes, 'w.safetensors'));

function thrownBy(work: () => unknown): CodaError {
  try {
    work();
  } catch (error) {
    if (CodaError.isInstance(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('encodeSafetensors', () => {
  it('writes the reference implementation’s bytes', () => {
    expect(Buffer.from(encodeSafetensors(goldenArrays, metadata)).equals(goldenFile('safetensors'))).toBe(true);
  });

  it('writes every dtype as PyTorch does, NaNs of 16 bits included', () => {
    const { tensors, metadata, halves } = decodeSafetensors(goldenDTypes.file, 'golden');
    const shuffled = Object.fromEntries(Object.entries(tensors).toReversed());
    expect(Buffer.from(encodeSafetensors(shuffled, metadata, halves)).equals(goldenDTypes.file)).toBe(true);
  });

  it.each(['F16', 'BF16'] as const)('rounds to %s as PyTorch does', (dtype) => {
    const x = ndArray('float32', [goldenDTypes.x.length], goldenDTypes.x);
    expect(Buffer.from(encodeSafetensors({ x }, {}, { x: dtype })).equals(goldenDTypes.rounded[dtype])).toBe(true);
  });

  const values = { weight: ndArray('float32', [2], Float32Array.of(1, 65520)), bias: ndArray('float64', [1], Float64Array.of(1)) };
  it.each<[string, Readonly<Record<string, unknown>>, string, string]>([
    [
      'a finite number that would become infinite',
      { weight: 'F16' },
      'numeric',
      'tensor "weight": element 1 is finite, and would be infinite in F16; expected a magnitude below 65520, got 65520',
    ],
    [
      'a name that is not there',
      { weihgt: 'F16' },
      'argument',
      'tensor "weihgt": to be stored as F16, and not there. Did you mean "weight"?',
    ],
    ['another dtype', { weight: 'F8_E4M3' }, 'argument', 'tensor "weight": no dtype of 16 bits; expected F16 or BF16, got "F8_E4M3"'],
    [
      'to round what is no float32',
      { bias: 'BF16' },
      'argument',
      'tensor "bias": only a float32 array is rounded to BF16; expected float32, got float64',
    ],
  ])('refuses %s', (_, halves, kind, text) => {
    const error = thrownBy(() => encodeSafetensors(values, {}, halves as Record<string, 'F16'>));
    expect(error.message).toBe(`encodeSafetensors: ${text}`);
    expect(error.kind).toBe(kind);
  });

  it('keeps infinity and what is small in F16', () => {
    const x = ndArray('float32', [3], Float32Array.of(Infinity, -65504, 1e-30));
    expect(decodeSafetensors(encodeSafetensors({ x }, {}, { x: 'F16' }), 'x').tensors['x']?.data).toEqual(
      Float32Array.of(Infinity, -65504, 0),
    );
  });

  it('refuses data that do not fill their shape, and metadata that are no texts', () => {
    const x = { dtype: 'float32', shape: [3], data: new Float32Array(2) } as const;
    expect(() => encodeSafetensors({ x })).toThrow(
      'encodeSafetensors: tensor "x": data does not fill the shape [3]; expected 3 elements, got 2',
    );
    expect(() => encodeSafetensors({}, { a: 1 as unknown as string })).toThrow('encodeSafetensors: __metadata__.a: not a string; got 1');
    expect(() => encodeSafetensors({}, { a: '\ud800' })).toThrow('encodeSafetensors: __metadata__.a: not valid Unicode');
  });

  it.each([
    ['__proto__', 'encodeSafetensors: tensor "__proto__": the name is reserved'],
    ['__metadata__', 'encodeSafetensors: tensor "__metadata__": the name is reserved'],
    ['\ud800', 'encodeSafetensors: tensor "\\ud800": the name is not valid Unicode'],
  ])('refuses the name %j', (name, text) => {
    const tensors = Object.fromEntries([[name, ndArray('uint8', [0], new Uint8Array(0))]]);
    expect(() => encodeSafetensors(tensors)).toThrow(text);
  });
});

describe('decodeSafetensors', () => {
  it('reads what the reference implementation wrote', () => {
    const decoded = decodeSafetensors(goldenFile('safetensors'), 'golden');
    expect(decoded.metadata).toEqual(metadata);
    expect(decoded.tensors).toEqual(goldenArrays);
    expect(decoded.halves).toEqual({});
  });

  it('reads every dtype as PyTorch does', () => {
    const { tensors, metadata, halves } = decodeSafetensors(goldenDTypes.file, 'golden');
    expect(metadata).toEqual({ format: 'pt' });
    expect(halves).toEqual({ F16: 'F16', BF16: 'BF16' });
    expect(Object.fromEntries(Object.entries(tensors).map(([name, { dtype, shape }]) => [name, `${dtype} [${shape.join(', ')}]`]))).toEqual(
      {
        U64: 'uint64 [2]',
        I64: 'int64 [3]',
        F64: 'float64 []',
        F32: 'float32 [2, 2]',
        U32: 'uint32 [2]',
        I32: 'int32 [3]',
        BF16: 'float32 [3, 4]',
        F16: 'float32 [12]',
        U16: 'uint16 [2]',
        I16: 'int16 [3]',
        I8: 'int8 [3]',
        U8: 'uint8 [2]',
        BOOL: 'bool [3]',
      },
    );
    const inPython: Record<string, (x: number) => string> = { F64: (x) => x.toExponential(), BOOL: (x) => (x === 1 ? 'True' : 'False') };
    for (const [name, values] of Object.entries(goldenDTypes.values)) {
      const { data } = tensors[name]!;
      // what a NaN carries is PyTorch's choice
      if (data instanceof Float32Array) expect([name, ...data]).toEqual([name, ...floatsOf(values as number[])]);
      else expect([name, ...Array.from(data as Int32Array, inPython[name] ?? String)]).toEqual([name, ...values]);
    }
  });

  it('takes views where they are aligned and copies where they are not', () => {
    const bytes = encodeSafetensors(goldenArrays);
    expect(decodeSafetensors(bytes, 'aligned').tensors['l']?.data.buffer).toBe(bytes.buffer);
    const shifted = new Uint8Array(bytes.length + 1);
    shifted.set(bytes, 1);
    const { tensors } = decodeSafetensors(shifted.subarray(1), 'shifted');
    expect(tensors).toEqual(goldenArrays);
    expect(tensors['l']?.data.buffer).not.toBe(shifted.buffer);
  });

  it('gives back any tensors and metadata', () => {
    const name = fc.string({ unit: 'grapheme', maxLength: 8 }).filter((s) => s !== '__proto__' && s !== '__metadata__');
    fc.assert(
      fc.property(
        fc.dictionary(name, arbitraryArray, { maxKeys: 5, noNullPrototype: true }),
        fc.dictionary(name, fc.string(), { maxKeys: 3, noNullPrototype: true }),
        (tensors: NamedArrays, texts) => {
          const bytes = encodeSafetensors(tensors, texts);
          const decoded = decodeSafetensors(bytes, 'round trip');
          expect(decoded.metadata).toEqual(texts);
          expect(Object.keys(decoded.tensors).toSorted()).toEqual(Object.keys(tensors).toSorted());
          for (const [key, array] of Object.entries(tensors)) {
            const got = decoded.tensors[key] as typeof array;
            expect([got.dtype, got.shape]).toEqual([array.dtype, array.shape]);
            expect(bytesOfData(got)).toEqual(bytesOfData(array));
          }
          expect(encodeSafetensors(decoded.tensors, decoded.metadata)).toEqual(bytes);
        },
      ),
      { numRuns: 200, seed: 1 },
    );
  });

  it('refuses a file cut anywhere', () => {
    const whole = goldenFile('safetensors');
    for (let length = 0; length < whole.length; length++) expect(errorOf(whole.slice(0, length)).kind).toBe('malformed');
  });

  const u8 = (begin: number, end: number, shape: unknown = [end - begin]): object => ({ dtype: 'U8', shape, data_offsets: [begin, end] });
  it.each<[string, Uint8Array, string]>([
    ['no header length', new Uint8Array(7), 'the file ends inside its header length; expected 8 bytes, got 7'],
    [
      'a header length beyond the limit',
      Uint8Array.of(1, 225, 245, 5, 0, 0, 0, 0),
      'the header is too long; expected at most 100000000 bytes, got 100000001',
    ],
    ['a text', new TextEncoder().encode('Networks that explain themselves'), 'this is not a safetensors file; expected a safetensors file'],
    [
      'a PNG',
      Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13),
      'this is not a safetensors file; expected a safetensors file, got a PNG image',
    ],
    [
      'an ONNX file',
      Uint8Array.of(8, 10, 18, 9, 99, 111, 100, 97, 45, 110, 101, 116),
      'this is not a safetensors file; expected a safetensors file, got an ONNX file',
    ],
    [
      'a header length beyond 2^53',
      new Uint8Array(8).fill(255),
      'the header is too long; expected at most 100000000 bytes, got 18446744073709551615',
    ],
    [
      'a header that runs past the end',
      Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, 123),
      'the file ends inside its header; expected 11 bytes, got 9',
    ],
    ['a header that is not UTF-8', Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe), 'the header is not UTF-8'],
    ['a byte order mark', Uint8Array.of(5, 0, 0, 0, 0, 0, 0, 0, 0xef, 0xbb, 0xbf, 0x7b, 0x7d), 'the header is not JSON'],
    ['a header that is not JSON', file('{'), 'the header is not JSON'],
    ['a header that is no object', file('[]'), 'the header is not an object'],
    ['a key given twice', file('{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\\u0061":1}'), 'the header has the key "a" twice'],
    [
      'a field given twice',
      file('{"a":{"dtype":"U8","shape":[0],"shape":[0],"data_offsets":[0,0]}}'),
      'the header has the key "shape" twice',
    ],
    [
      'a tensor named __proto__',
      file('{"__proto__":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
      'tensor "__proto__": the name "__proto__" is reserved',
    ],
    ['metadata that is no object', file({ __metadata__: [] }), '__metadata__: not an object'],
    ['metadata that is no text', file({ __metadata__: { a: 1 } }), '__metadata__.a: not a string'],
    ['metadata named __proto__', file('{"__metadata__":{"__proto__":"x"}}'), '__metadata__: the key "__proto__" is reserved'],
    ['a tensor that is no object', file({ a: 1 }), 'tensor "a": not an object'],
    ['a dtype that is no text', file({ a: { dtype: 1, shape: [], data_offsets: [0, 1] } }), 'tensor "a": dtype is not a string'],
    ['a negative dimension', file({ a: u8(0, 1, [-1]) }, 1), 'the header has the number -1, which is not written as an integer from 0'],
    [
      'a dimension of minus zero',
      file('{"a":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}'),
      'the header has the number -0, which is not written as an integer from 0',
    ],
    ['a fractional dimension', file({ a: u8(0, 1, [0.5]) }, 1), 'the header has the number 0.5, which is not written as an integer from 0'],
    [
      'an infinite dimension',
      file('{"a":{"dtype":"U8","shape":[1e999],"data_offsets":[0,0]}}'),
      'the header has the number 1e999, which is not written as an integer from 0',
    ],
    [
      'a dimension that is written as a float',
      file('{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}', 1),
      'the header has the number 1.0, which is not written as an integer from 0',
    ],
    [
      'a dimension beyond 2^53',
      file('{"a":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,0]}}'),
      'tensor "a": shape is not a list of integers from 0; got [9007199254740992]',
    ],
    [
      'offsets beyond 2^53',
      file('{"a":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551615,18446744073709551616]}}'),
      'tensor "a": data_offsets is not [begin, end]; got [18446744073709552000,18446744073709552000]',
    ],
    [
      'a name that is no Unicode',
      file('{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
      'tensor "\\ud800": the name is not valid Unicode',
    ],
    ['metadata that is no Unicode', file('{"__metadata__":{"a":"\\udfff"}}'), '__metadata__.a: not valid Unicode'],
    ['a header that begins with a space', file(' {}'), 'the header does not begin with a brace'],
    [
      'the index of a sharded model',
      new TextEncoder().encode('{"metadata":{}}'),
      'this is not a safetensors file; expected a safetensors file, got a JSON file, such as the index of a model in several files',
    ],
    ['no shape', file({ a: { dtype: 'U8', data_offsets: [0, 0] } }), 'tensor "a": shape is not a list of integers from 0; got nothing'],
    ['33 dimensions', file({ a: u8(0, 1, Array(33).fill(1)) }, 1), 'tensor "a": too many dimensions; expected at most 32, got 33'],
    [
      'a product that overflows',
      file({ a: u8(0, 0, [2 ** 30, 2 ** 30, 0]) }),
      'tensor "a": the shape overflows; got [1073741824,1073741824,0]',
    ],
    ['one offset', file({ a: { dtype: 'U8', shape: [], data_offsets: [0] } }), 'tensor "a": data_offsets is not [begin, end]; got [0]'],
    [
      'offsets that are text',
      file({ a: { dtype: 'U8', shape: [], data_offsets: ['0', '1'] } }),
      'tensor "a": data_offsets is not [begin, end]; got ["0","1"]',
    ],
    [
      'offsets the wrong way round',
      file({ a: { dtype: 'U8', shape: [1], data_offsets: [1, 0] } }, 1),
      'tensor "a": data_offsets is not [begin, end]; got [1,0]',
    ],
    [
      'a size that is not the shape’s',
      file({ a: { dtype: 'F32', shape: [2], data_offsets: [0, 4] } }, 4),
      'tensor "a": the data does not fill F32 [2]; expected 8 bytes, got 4',
    ],
    [
      'data past the end',
      file({ a: u8(0, 9) }, 8),
      'tensor "a": the data runs past the end of the file; expected at most 8 bytes of data, got 9',
    ],
    ['an overlap', file({ a: u8(0, 4), b: u8(3, 8) }, 8), 'tensor "b": the data overlaps another tensor; expected data from byte 4, got 3'],
    [
      'the same bytes twice',
      file({ a: u8(0, 4), b: u8(0, 4) }, 4),
      'tensor "b": the data overlaps another tensor; expected data from byte 4, got 0',
    ],
    ['a hole', file({ a: u8(0, 4), b: u8(5, 8) }, 8), 'tensor "b": there is a hole before the data; expected data from byte 4, got 5'],
    ['a hole at the start', file({ a: u8(1, 4) }, 4), 'tensor "a": there is a hole before the data; expected data from byte 0, got 1'],
    ['bytes left over', file({ a: u8(0, 4) }, 5), 'bytes after the last tensor; expected 4 bytes of data, got 5'],
    [
      'a BOOL of 2',
      file('{"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}\u0000', 0)
        .with(-1, 2)
        .map((x, i) => (i === 0 ? x - 1 : x)),
      'tensor "a": a BOOL byte is neither 0 nor 1; got 2',
    ],
  ])('refuses %s', (_, bytes, text) => {
    const error = errorOf(bytes);
    expect(error.message).toBe(`w.safetensors: ${text}`);
    expect(error.kind).toBe('malformed');
  });

  it('reads tensors whose names come in another order than their data', () => {
    const bytes = file({ b: u8(2, 4), empty: u8(4, 4), c: u8(4, 5), a: u8(0, 2) }, 5);
    bytes.set([1, 2, 3, 4, 5], bytes.length - 5);
    const { tensors } = decodeSafetensors(bytes, 'w');
    expect(
      Object.entries(tensors)
        .map(([name, { data }]) => `${name} ${String(data)}`)
        .toSorted(),
    ).toEqual(['a 1,2', 'b 3,4', 'c 5', 'empty ']);
  });

  it('refuses more tensors than the limit', () => {
    const header = Object.fromEntries(Array.from({ length: 100_001 }, (_, i) => [`${i}x`, u8(0, 0)]));
    expect(errorOf(file(header)).message).toBe('w.safetensors: too many tensors; expected at most 100000');
  });

  it('survives a header of brackets alone', () => {
    for (const header of ['['.repeat(1_000_000), `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`])
      expect(errorOf(file(header)).message).toBe('w.safetensors: the header has brackets nested deeper than 3');
  });

  it('says which dtype it has no array for', () => {
    for (const dtype of ['F8_E4M3', 'C64', 'toString']) {
      const error = errorOf(file({ h: { dtype, shape: [1], data_offsets: [0, 2] } }, 2));
      expect(error.kind).toBe('unsupported');
      expect(error.message).toBe(
        `w.safetensors: tensor "h": no array type for the dtype "${dtype}"; expected U64, I64, F64, F32, U32, I32, BF16, F16, U16, I16, I8, U8, BOOL`,
      );
    }
  });
});
