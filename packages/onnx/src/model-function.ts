/** A model of TensorFlow.js as what `trace` and every engine take: a function of named tensors and its signature. What kinds of models have in common. */
import { CodaError, type ArraySpec, type Signature, type TensorFunction } from '@coda-nets/core';
import type * as tf from '@tensorflow/tfjs-core';

export interface ModelFunction {
  /** Closes over the model's weights: keep the model until the function is traced or compiled. */
  readonly fn: TensorFunction;
  readonly signature: Signature;
  /** The weights by the model's own names, for `trace`. */
  readonly names: ReadonlyMap<tf.Tensor, string>;
}

export interface ModelFunctionOptions {
  /**
   * Shapes of inputs, for those that are to have other ones than the model leaves open: `{ image: ['batch', '32*height', '32*width', 3] }`, or numbers. By
   * default the first open size is `batch`, and those of images are `height` and `width`.
   */
  readonly shapes?: Readonly<Record<string, ArraySpec['shape']>>;
}

/** An input as a model declares it: null or −1 is open, no shape is any. */
export interface DeclaredInput {
  readonly name: string;
  readonly shape: readonly (number | null)[] | undefined;
  readonly dtype: string | undefined;
}

const space: Readonly<Record<number, readonly string[]>> = { 3: ['length'], 4: ['height', 'width'], 5: ['depth', 'height', 'width'] };

export function inputSpecs(where: string, declared: readonly DeclaredInput[], { shapes = {} }: ModelFunctionOptions): Signature['inputs'] {
  const unknown = Object.keys(shapes).filter((name) => !declared.some((input) => input.name === name));
  if (unknown.length > 0) {
    throw new CodaError({
      kind: 'argument',
      where: `${where}: shapes`,
      problem: `not an input of the model: ${unknown.join(', ')}`,
      expected: declared.map(({ name }) => name).join(', '),
    });
  }
  return Object.fromEntries(
    declared.map((input) => [input.name, { shape: shapeOf(where, input, shapes[input.name]), dtype: dtypeOf(where, input) }]),
  );
}

function shapeOf(where: string, { name, shape }: DeclaredInput, wanted: ArraySpec['shape'] | undefined): ArraySpec['shape'] {
  const isOpen = (d: number | null | undefined): boolean => d === null || d === undefined || d < 0;
  if (wanted !== undefined) {
    if (shape === undefined || (shape.length === wanted.length && shape.every((d, i) => isOpen(d) || d === wanted[i]))) return wanted;
    throw new CodaError({
      kind: 'argument',
      where: `${where}: shapes.${name}`,
      problem: 'not a shape that the model takes',
      expected: `[${shape.map((d) => (isOpen(d) ? 'any' : d)).join(', ')}]`,
      got: `[${wanted.join(', ')}]`,
    });
  }
  if (shape === undefined) {
    throw new CodaError({
      kind: 'argument',
      where: `${where}: input "${name}"`,
      problem: 'the model does not say which shape it has',
      hint: `Give it: shapes: { ${JSON.stringify(name)}: ['batch', …] }.`,
    });
  }
  const words = [...(space[shape.length] ?? [])];
  return shape.map((d, axis) => {
    if (!isOpen(d)) return d as number;
    return axis === 0 ? 'batch' : (words.shift() ?? `size_${axis}`);
  });
}

function dtypeOf(where: string, { name, dtype = 'float32' }: DeclaredInput): ArraySpec['dtype'] {
  if (dtype === 'float32' || dtype === 'int32' || dtype === 'bool') return dtype;
  throw new CodaError({
    kind: 'unsupported',
    where: `${where}: input "${name}"`,
    problem: 'a type that graphs do not take here',
    expected: 'float32, int32 or bool',
    got: dtype,
  });
}

/** The names, each once: `dense`, `dense:1`. Names of `taken` are not given again. */
export function distinctNames(names: readonly string[], taken: readonly string[] = []): readonly string[] {
  const used = new Set(taken);
  return names.map((name) => {
    let distinct = name;
    for (let n = 1; used.has(distinct); n++) distinct = `${name}:${n}`;
    used.add(distinct);
    return distinct;
  });
}
