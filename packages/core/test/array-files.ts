/** The arrays inside of golden/array-files.json, written down by hand, and arbitrary ones. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { arrayConstructors } from '../src/nd-array.ts';
import { ndArray, sizeOf, type DType, type NamedArrays, type NdArray } from '../src/index.ts';

const golden = JSON.parse(readFileSync(new URL('golden/array-files.json', import.meta.url), 'utf8')) as {
  files: Record<string, string>;
};

/** A golden file, at an address that is aligned for every dtype. */
export function goldenFile(name: string): Uint8Array {
  return Uint8Array.from(Buffer.from(golden.files[name] as string, 'base64'));
}

const dtypes = JSON.parse(readFileSync(new URL('golden/safetensors-dtypes.json', import.meta.url), 'utf8')) as {
  file: string;
  values: Readonly<Record<string, readonly (number | string)[]>>;
  rounded: { x: readonly number[]; F16: string; BF16: string };
};

/** What PyTorch wrote: a file of every dtype, with its values as texts or, of floats up to 32 bits, as the bits of their float32. */
export const goldenDTypes = {
  file: Buffer.from(Uint8Array.from(Buffer.from(dtypes.file, 'base64')).buffer),
  values: dtypes.values,
  /** Numbers, and the files PyTorch makes of them. */
  x: new Float32Array(Uint32Array.from(dtypes.rounded.x).buffer),
  rounded: { F16: Buffer.from(dtypes.rounded.F16, 'base64'), BF16: Buffer.from(dtypes.rounded.BF16, 'base64') },
} as const;

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

/** Any dtype, rank 0 to 4, dimensions 0 to 3, any bits. */
export const arbitraryArray: fc.Arbitrary<NdArray> = fc
  .tuple(fc.constantFrom(...(Object.keys(arrayConstructors) as DType[])), fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 4 }))
  .chain(([dtype, shape]) => {
    const length = sizeOf(shape) * arrayConstructors[dtype].BYTES_PER_ELEMENT;
    return fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => {
      const bits = Uint8Array.from(bytes, (byte) => (dtype === 'bool' ? byte & 1 : byte));
      return { dtype, shape, data: new arrayConstructors[dtype](bits.buffer) } as NdArray;
    });
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
