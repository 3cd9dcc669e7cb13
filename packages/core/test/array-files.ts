/** The arrays inside of golden/array-files.json, written down by hand, and arbitrary ones. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { ndArray, sizeOf, type DType, type NamedArrays, type NdArray } from '../src/index.ts';

const golden = JSON.parse(readFileSync(new URL('golden/array-files.json', import.meta.url), 'utf8')) as {
  files: Record<string, string>;
};

/** A golden file, at an address that is aligned for every dtype. */
export function goldenFile(name: string): Uint8Array {
  return Uint8Array.from(Buffer.from(golden.files[name] as string, 'base64'));
}

export const goldenArrays: NamedArrays = {
  z: ndArray('float32', [2, 3], Float32Array.of(1.5, -2.25, 3, 0, 1e-30, -1e30)),
  a: ndArray('uint8', [5], Uint8Array.of(0, 1, 2, 3, 4)),
  'é"\n\u001f\u007f': ndArray('float64', [], Float64Array.of(1.5)),
  i: ndArray('int32', [1, 2], Int32Array.of(1, -2)),
  l: ndArray('int64', [1], BigInt64Array.of(2n ** 40n)),
  b: ndArray('bool', [3], Uint8Array.of(1, 0, 1)),
  '\u{1f600}': ndArray('float32', [0, 3], new Float32Array(0)),
  '\uffee': ndArray('float32', [1], Float32Array.of(1)),
};

const makers: { readonly [D in DType]: (bytes: Uint8Array) => NdArray['data'] } = {
  float32: (bytes) => new Float32Array(bytes.buffer),
  float64: (bytes) => new Float64Array(bytes.buffer),
  int32: (bytes) => new Int32Array(bytes.buffer),
  int64: (bytes) => new BigInt64Array(bytes.buffer),
  uint8: (bytes) => bytes,
  bool: (bytes) => bytes.map((x) => x & 1),
};

const elementBytes: Readonly<Record<DType, number>> = { float32: 4, float64: 8, int32: 4, int64: 8, uint8: 1, bool: 1 };

/** Any dtype, rank 0 to 4, dimensions 0 to 3, any bits. */
export const arbitraryArray: fc.Arbitrary<NdArray> = fc
  .tuple(fc.constantFrom(...(Object.keys(makers) as DType[])), fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 4 }))
  .chain(([dtype, shape]) => {
    const length = sizeOf(shape) * elementBytes[dtype];
    return fc
      .uint8Array({ minLength: length, maxLength: length })
      .map((bytes) => ({ dtype, shape, data: makers[dtype](Uint8Array.from(bytes)) }) as NdArray);
  });

/** Bytes compare where numbers do not: NaN has many forms. */
export function bytesOfData({ data }: NdArray): Uint8Array {
  return Uint8Array.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

/** One to four changed, removed or added bytes. */
export function mutated(bytes: Uint8Array, edits: readonly (readonly [number, number, number])[]): Uint8Array {
  const out = Array.from(bytes);
  for (const [place, kind, value] of edits) {
    const at = Math.floor(place * out.length);
    if (kind === 0) out[at] = value;
    else if (kind === 1) out.splice(at, 1 + (value % 8));
    else out.splice(at, 0, value);
  }
  return Uint8Array.from(out);
}

export const arbitraryEdits = fc.array(
  fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 255 })),
  { minLength: 1, maxLength: 4 },
);
