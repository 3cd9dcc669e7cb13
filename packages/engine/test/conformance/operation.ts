/** What a conformance case is: an operation of TensorFlow.js with attributes, the shapes and dtypes of what it takes, and how that lies in the graph. */
import type { Random } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';

export interface InputSpec {
  readonly shape: readonly number[];
  /** Default float32. */
  readonly dtype?: 'float32' | 'int32' | 'bool';
  /** Range of the values, the end excluded; default −2 … 2, for whole numbers −4 … 5. */
  readonly from?: number;
  readonly to?: number;
  /** Whether the same number may stand in several places; default true. */
  readonly repeats?: false;
  /** Whether gradients are taken by it; default for floats. */
  readonly gradient?: false;
}

type Tensors = Readonly<Record<string, tf.Tensor>>;

export interface Operation {
  readonly name: string;
  readonly cases: fc.Arbitrary<Prepared>;
}

/** A case without the data: what goes in, and what is done. */
export interface Prepared {
  readonly inputs: Readonly<Record<string, InputSpec>>;
  readonly params: unknown;
  readonly run: (t: Tensors) => tf.Tensor | readonly tf.Tensor[];
  /** Whether the operation has a gradient; default true. */
  readonly gradient: boolean;
}

export interface Case extends Prepared {
  readonly name: string;
  readonly seed: number;
  /** For each input how it lies: 0 as it is, 1 with its axes in another order, 2 with an axis that is repeated. */
  readonly guises: readonly number[];
}

/** `P`: attributes and shapes, which fast-check makes and shrinks. */
export function operation<P, K extends string>(
  name: string,
  params: fc.Arbitrary<P>,
  inputs: (p: P) => Readonly<Record<K, InputSpec>>,
  run: (t: Record<K, tf.Tensor<never>>, p: P) => tf.Tensor | readonly tf.Tensor[],
  gradient: boolean | ((p: P) => boolean) = true,
): Operation {
  const cases = params.map((p): Prepared => {
    return {
      inputs: inputs(p),
      params: p,
      run: (t) => run(t as Record<K, tf.Tensor<never>>, p),
      gradient: typeof gradient === 'function' ? gradient(p) : gradient,
    };
  });
  return { name, cases };
}

/** Cases of an operation with data and guises; shrinks to small shapes, plain layouts and seed 0. */
export function casesOf({ name, cases }: Operation): fc.Arbitrary<Case> {
  return fc
    .tuple(cases, fc.nat(9999), fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 4, maxLength: 4 }))
    .map(([prepared, seed, guises]) => ({
      ...prepared,
      name,
      seed,
      guises,
      [fc.toStringMethod]: () => describeCase(name, prepared, seed, guises),
    }));
}

export function describeCase(name: string, { inputs, params }: Prepared, seed: number, guises: readonly number[]): string {
  return JSON.stringify({ name, params, inputs, seed, guises: guises.slice(0, Object.keys(inputs).length) });
}

/** How an input reaches the operation: the shape in the graph, and what makes the tensor of it. */
export interface Disguise {
  readonly shape: readonly number[];
  readonly undo: (x: tf.Tensor) => tf.Tensor;
}

export function disguise({ shape, repeats }: InputSpec, guise: number, random: Random): Disguise {
  const plain: Disguise = { shape, undo: (x) => x };
  if (guise === 1 && shape.length > 1) {
    const perm = [...random.permutation(shape.length)];
    const inverse = perm.map((_, axis) => perm.indexOf(axis));
    return { shape: perm.map((axis) => shape[axis] as number), undo: (x) => tf.transpose(x, inverse) };
  }
  const long = shape.flatMap((d, axis) => (d > 1 ? [axis] : []));
  // TensorFlow.js has no gradient of a repetition of five axes
  if (guise !== 2 || long.length === 0 || shape.length > 4 || repeats === false) return plain;
  const axis = long[random.below(long.length)] as number;
  return {
    shape: shape.map((d, i) => (i === axis ? 1 : d)),
    undo: (x) =>
      tf.tile(
        x,
        shape.map((d, i) => (i === axis ? d : 1)),
      ),
  };
}

/** Shapes of small sizes. */
export const shapes = (minRank: number, maxRank: number, maxSize = 4): fc.Arbitrary<number[]> =>
  fc.array(fc.integer({ min: 1, max: maxSize }), { minLength: minRank, maxLength: maxRank });

/** A shape and an axis of it, which may be counted from the end. */
export const shapeAndAxis = (minRank: number, maxRank: number): fc.Arbitrary<{ shape: number[]; axis: number }> =>
  shapes(minRank, maxRank).chain((shape) =>
    fc.record({ shape: fc.constant(shape), axis: fc.integer({ min: -shape.length, max: shape.length - 1 }) }),
  );

/** Two shapes that broadcast to one. */
export const broadcastPair: fc.Arbitrary<{ a: number[]; b: number[] }> = shapes(0, 4).chain((shape) => {
  const mask = fc.array(fc.boolean(), { minLength: shape.length, maxLength: shape.length });
  const cut = fc.nat(shape.length);
  return fc.tuple(mask, mask, cut, fc.boolean()).map(([ones, others, leading, swap]) => {
    const full = shape.map((d, i) => (ones[i] && !others[i] ? 1 : d));
    const short = shape.map((d, i) => (others[i] && !ones[i] ? 1 : d)).slice(leading);
    return swap ? { a: short, b: full } : { a: full, b: short };
  });
});

export const oneOf = <T>(...values: T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
