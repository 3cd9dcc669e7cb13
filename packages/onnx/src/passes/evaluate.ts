/**
 * Computes a node of constants, bit for bit as any runtime must: moves of data, and arithmetic that IEEE 754 rounds in one way alone. Sums of products and
 * transcendental functions differ between runtimes and are left to them.
 */
import { ndArray, sizeOf, zerosArray, type NdArray } from '@coda-nets/core';
import type { Node } from '../graph.ts';

type Data = NdArray['data'];

/** float64 holds every product, quotient, sum and root of float32 well enough that rounding it is rounding the exact result. */
const arithmetic: Readonly<Record<string, (x: number, y: number) => number>> = {
  Add: (x, y) => x + y,
  Sub: (x, y) => x - y,
  Mul: (x, y) => x * y,
  Div: (x, y) => x / y,
};
const functions: Readonly<Record<string, (x: number) => number>> = {
  Sqrt: Math.sqrt,
  Reciprocal: (x) => 1 / x,
  Neg: (x) => -x,
  Abs: Math.abs,
};

/** The node's result; undefined where it is not computed here. `inputs` are constants, in the node's order. */
export function evaluate({ op, output, attributes }: Node, inputs: readonly (NdArray | undefined)[]): NdArray | undefined {
  const shape = output.shape;
  if (!shape.every((d) => typeof d === 'number')) return undefined;
  const [x, y] = inputs;
  if (x === undefined) return undefined;
  if (op === 'Identity') return x;
  // the same memory in another shape
  if (op === 'Reshape') return { ...x, shape };
  if (op === 'Transpose') return transposed(x, (attributes['perm'] as { ints: readonly number[] }).ints);
  if (op === 'Slice') return sliced(x, inputs);
  if (op === 'Concat') return joined(inputs as readonly NdArray[], (attributes['axis'] as { int: number }).int);
  if (op === 'Expand') return picked(x, shape, broadcastStrides(x.shape, shape));
  const one = functions[op];
  if (one !== undefined && x.dtype === 'float32') return ndArray('float32', shape, (x.data as Float32Array).map(one));
  const two = arithmetic[op];
  if (two === undefined || x.dtype !== 'float32' || y?.dtype !== 'float32') return undefined;
  const [a, b] = [x, y].map((array) => picked(array, shape, broadcastStrides(array.shape, shape)).data as Float32Array);
  return ndArray(
    'float32',
    shape,
    Float32Array.from(a as Float32Array, (value, i) => two(value, (b as Float32Array)[i] as number)),
  );
}

/** In C order: how far apart neighbours along each axis lie. */
function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
}

function broadcastStrides(from: readonly number[], to: readonly number[]): number[] {
  const strides = stridesOf(from);
  const missing = to.length - from.length;
  return to.map((_, axis) => (axis < missing || from[axis - missing] === 1 ? 0 : (strides[axis - missing] as number)));
}

/** Elements of `x` at `start` + Σ index · stride, for every index of `shape`. */
function picked(x: NdArray, shape: readonly number[], strides: readonly number[], start = 0): NdArray {
  const count = sizeOf(shape);
  const data = zerosArray(x.dtype, shape).data as Float32Array;
  const source = x.data as Float32Array;
  const index = shape.map(() => 0);
  let at = start;
  for (let i = 0; i < count; i++) {
    data[i] = source[at] as number;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis] as number;
      if (++(index[axis] as number) < (shape[axis] as number)) break;
      at -= (strides[axis] as number) * (shape[axis] as number);
      index[axis] = 0;
    }
  }
  return { dtype: x.dtype, shape, data } as NdArray;
}

export function transposed(x: NdArray, perm: readonly number[]): NdArray {
  const strides = stridesOf(x.shape);
  return picked(
    x,
    perm.map((axis) => x.shape[axis] as number),
    perm.map((axis) => strides[axis] as number),
  );
}

/** Slice of opset 13: starts, ends, axes, steps; of constants, all present. */
function sliced(x: NdArray, [, starts, ends, axes, steps]: readonly (NdArray | undefined)[]): NdArray | undefined {
  if (starts === undefined || ends === undefined) return undefined;
  const at = (array: NdArray, i: number): number => Number((array.data as ArrayLike<number | bigint>)[i]);
  const shape = [...x.shape];
  const strides = stridesOf(x.shape);
  let start = 0;
  for (let i = 0; i < starts.data.length; i++) {
    const given = axes === undefined ? i : at(axes, i);
    const axis = given < 0 ? given + x.shape.length : given;
    const step = steps === undefined ? 1 : at(steps, i);
    const size = x.shape[axis] as number;
    const from = clipped(at(starts, i), size, step > 0 ? [0, size] : [0, size - 1]);
    const to = clipped(at(ends, i), size, step > 0 ? [0, size] : [-1, size - 1]);
    shape[axis] = Math.max(0, Math.ceil((to - from) / step));
    start += from * (strides[axis] as number);
    strides[axis] = (strides[axis] as number) * step;
  }
  return picked(x, shape, strides, start);
}

function clipped(position: number, size: number, [least, most]: readonly [number, number]): number {
  return Math.max(least, Math.min(most, position < 0 ? position + size : position));
}

function joined(parts: readonly NdArray[], axis: number): NdArray | undefined {
  const [first] = parts;
  if (first === undefined || parts.some((part) => part?.dtype !== first.dtype)) return undefined;
  const at = axis < 0 ? axis + first.shape.length : axis;
  const shape = first.shape.map((d, i) => (i === at ? parts.reduce((sum, part) => sum + (part.shape[at] as number), 0) : d));
  const data = zerosArray(first.dtype, shape).data as Float32Array;
  const rows = sizeOf(first.shape.slice(0, at));
  let filled = 0;
  for (let row = 0; row < rows; row++) {
    for (const part of parts) {
      const length = sizeOf(part.shape.slice(at));
      data.set((part.data as Data as Float32Array).subarray(row * length, (row + 1) * length), filled);
      filled += length;
    }
  }
  return { dtype: first.dtype, shape, data } as NdArray;
}
