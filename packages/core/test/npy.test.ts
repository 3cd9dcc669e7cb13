import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodaError, decodeNpy, encodeNpy, ndArray } from '../src/index.ts';
import { arbitraryArray, arbitraryEdits, bytesOfData, goldenArrays, goldenFile, mutated } from './array-files.ts';

function file(header: string, data: readonly number[] = [], [major, minor] = [1, 0]): Uint8Array {
  const text = new TextEncoder().encode(header);
  return Uint8Array.of(0x93, 78, 85, 77, 80, 89, major as number, minor as number, text.length & 255, text.length >> 8, ...text, ...data);
}

function errorOf(bytes: Uint8Array): CodaError {
  try {
    decodeNpy(bytes, 'x.npy');
  } catch (error) {
    if (CodaError.isInstance(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const names = Object.keys(goldenArrays).filter((name) => name !== '\uffee');

describe('npy', () => {
  it.each(names)('writes and reads numpy’s bytes (%j)', (name) => {
    const array = goldenArrays[name] as (typeof goldenArrays)[string];
    const bytes = goldenFile(`npy ${name}`);
    expect(Buffer.from(encodeNpy(array)).equals(bytes)).toBe(true);
    expect(decodeNpy(bytes, 'golden')).toEqual(array);
  });

  it.each([
    ['i1', ndArray('int8', [3], Int8Array.of(-128, 127, 1))],
    ['i2', ndArray('int16', [3], Int16Array.of(-32768, 32767, 1))],
    ['u2', ndArray('uint16', [3], Uint16Array.of(0, 65535, 1))],
    ['u4', ndArray('uint32', [3], Uint32Array.of(0, 2 ** 32 - 1, 1))],
    ['u8', ndArray('uint64', [3], BigUint64Array.of(0n, 2n ** 64n - 1n, 1n))],
  ])('writes and reads numpy’s %s', (dtype, array) => {
    const bytes = goldenFile(`npy ${dtype}`);
    expect(Buffer.from(encodeNpy(array)).equals(bytes)).toBe(true);
    expect(decodeNpy(bytes, 'golden')).toEqual(array);
  });

  it.each(['npy version 2', 'npy version 3'])('reads %s', (name) => {
    expect(decodeNpy(goldenFile(name), name)).toEqual(goldenArrays['z']);
  });

  it('gives back any array, aligned or not', () => {
    fc.assert(
      fc.property(arbitraryArray, (array) => {
        const bytes = encodeNpy(array);
        const shifted = new Uint8Array(bytes.length + 3);
        shifted.set(bytes, 3);
        for (const got of [decodeNpy(bytes, 'aligned'), decodeNpy(shifted.subarray(3), 'shifted')]) {
          expect([got.dtype, got.shape]).toEqual([array.dtype, array.shape]);
          expect(bytesOfData(got)).toEqual(bytesOfData(array));
        }
      }),
      { numRuns: 200, seed: 1 },
    );
  });

  it('ends in a CodaError, or in a valid result, whatever bytes are changed', () => {
    const whole = goldenFile('npy z');
    let refused = 0;
    fc.assert(
      fc.property(arbitraryEdits, (edits) => {
        try {
          decodeNpy(mutated(whole, edits), 'mutated');
        } catch (error) {
          if (!CodaError.isInstance(error)) throw error;
          expect(['malformed', 'unsupported']).toContain(error.kind);
          refused++;
        }
      }),
      { numRuns: 2000, seed: 2 },
    );
    expect(refused).toBeGreaterThan(1000);
  });

  it('refuses a file cut anywhere', () => {
    const whole = goldenFile('npy z');
    for (let length = 0; length < whole.length; length++) expect(errorOf(whole.slice(0, length)).kind).toBe('malformed');
  });

  const header = (descr: string, shape: string): string => `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;
  const notOurs = 'the header is not a dictionary of descr, fortran_order and shape';
  it.each<[string, Uint8Array, string]>([
    ['another file', new TextEncoder().encode('PNG and more'), 'this is no .npy file: it does not begin with \\x93NUMPY'],
    ['a header beyond the limit', file(' '.repeat(10_001)), 'the header is too long; expected at most 10000, got 10001'],
    ['no dictionary', file('[1]'), 'the header is not a dictionary'],
    ['a missing key', file(`{'descr': '<f4', 'shape': (1,), }`), notOurs],
    ['an expression', file(`{'descr': '<f4', 'fortran_order': __import__('os'), 'shape': (1,), }`), notOurs],
    [
      'a key given twice',
      file(`{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (), }`),
      "the header has the key 'descr' twice",
    ],
    ['a negative dimension', file(header('<f4', '(-1,)')), notOurs],
    ['a huge dimension', file(header('<f4', '(99999999999999999999,)')), 'the shape overflows; got (100000000000000000000)'],
    [
      'a product that overflows',
      file(header('<f4', '(4294967296, 4294967296, 0)')),
      'the shape overflows; got (4294967296, 4294967296, 0)',
    ],
    ['33 dimensions', file(header('<f4', `(${'1, '.repeat(33)})`)), 'too many dimensions; expected at most 32, got 33'],
    ['too little data', file(header('<i4', '(2,)'), [1, 2, 3]), 'the data does not fill <i4 (2); expected 8 bytes, got 3'],
    ['too much data', file(header('|u1', '(2,)'), [1, 2, 3]), 'the data does not fill |u1 (2); expected 2 bytes, got 3'],
    ['a bool of 2', file(header('|b1', '(2,)'), [1, 2]), 'a bool byte is neither 0 nor 1; got 2'],
  ])('refuses %s', (_, bytes, text) => {
    const error = errorOf(bytes);
    expect(error.message).toBe(`x.npy: ${text}`);
    expect(error.kind).toBe('malformed');
  });

  it.each<[string, Uint8Array, string]>([
    ['Fortran order', goldenFile('npy fortran'), 'the array is in Fortran order; expected C order. Save numpy.ascontiguousarray(array).'],
    [
      'big-endian numbers',
      goldenFile('npy big-endian'),
      "no array type for the dtype '>f4'; expected <f4, <f8, |i1, <i2, <i4, <i8, |u1, <u2, <u4, <u8, |b1",
    ],
    [
      'Python objects',
      file(header('|O', '(1,)'), [0]),
      "no array type for the dtype '|O'; expected <f4, <f8, |i1, <i2, <i4, <i8, |u1, <u2, <u4, <u8, |b1",
    ],
    ['version 4', file(header('<f4', '()'), [], [4, 0]), 'version 4.0 of the format is not known; expected 1.0, 2.0 or 3.0'],
  ])('says that %s is not supported', (_, bytes, text) => {
    const error = errorOf(bytes);
    expect(error.message).toBe(`x.npy: ${text}`);
    expect(error.kind).toBe('unsupported');
  });
});
