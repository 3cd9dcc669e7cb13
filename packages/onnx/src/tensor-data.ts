/** What TensorFlow.js can hold of the arrays a signature gives: float32, int32 and bool. Nothing is rounded or cut off in silence. */
import { CodaError, ndArray, type ArraySpec, type DType, type NdArray } from '@coda-nets/core';
import { tensorDType } from './tensor-dtype.ts';

const LEAST = -(2 ** 31);
const MOST = 2 ** 31 - 1;

/** The constant as float32, int32 or bool. Throws a CodaError for a number that these do not hold. */
export function tensorData(name: string, array: NdArray): NdArray {
  const { dtype, shape, data } = array;
  if (dtype === 'float32' || dtype === 'int32' || dtype === 'bool') return array;
  const numbers = Array.from(data as ArrayLike<number | bigint>, Number);
  const wanted = tensorDType(dtype);
  const held = wanted === 'float32' ? (x: number) => Object.is(Math.fround(x), x) : (x: number) => x >= LEAST && x <= MOST;
  const lost = numbers.find((x) => !held(x));
  if (lost !== undefined) {
    throw new CodaError({
      kind: 'unsupported',
      where: `trace: constant "${name}"`,
      problem: `TensorFlow.js computes with ${wanted}, which does not hold all of its numbers`,
      expected: wanted,
      got: `${dtype} with ${lost}`,
    });
  }
  return wanted === 'float32' ? ndArray('float32', shape, Float32Array.from(numbers)) : ndArray('int32', shape, Int32Array.from(numbers));
}

const carriedDTypes: readonly DType[] = ['float32', 'int32', 'int64', 'uint8', 'bool'] satisfies readonly ArraySpec['dtype'][];

/** Throws a CodaError for a carried value of a dtype that would come back as another. */
export function carriedDType(name: string, { dtype }: NdArray): ArraySpec['dtype'] {
  if (carriedDTypes.includes(dtype)) return dtype as ArraySpec['dtype'];
  throw new CodaError({
    kind: 'unsupported',
    where: `trace: carried value "${name}"`,
    problem: 'a dtype that TensorFlow.js has no tensors of',
    expected: carriedDTypes.join(', '),
    got: dtype,
  });
}
