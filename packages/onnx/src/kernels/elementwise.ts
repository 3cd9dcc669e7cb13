/** Elementwise arithmetic with broadcasting, and what all elementwise kernels share. All work in whatever order their operands lie in. */
import { ndArray, sizeOf, type DType } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import type { Node } from '../graph.ts';
import type { GraphBuilder } from '../graph-builder.ts';
import { kernel } from '../kernel.ts';
import { blockedElementwise } from './blocked-elementwise.ts';
import { dtypeOf, filled, isFilled, withRank, type Layouts, type TracedArray } from '../traced-array.ts';

export type Binary = { a: TracedArray; b: TracedArray };

export function broadcastShape(shapes: readonly (readonly number[])[]): number[] {
  return shapes.reduce<number[]>((a, b) => tf.backend_util.assertAndGetBroadcastShape(a, [...b]), []);
}

/** Brings operands to a common rank and order (the largest one's) and records one node over them. */
export function elementwise(
  layouts: Layouts,
  op: string,
  operands: readonly TracedArray[],
  dtype: DType,
  attributes: Node['attributes'] = {},
): TracedArray {
  const shape = broadcastShape(operands.map((o) => o.shape));
  const inBlocks = operands.some((o) => o.blocked === true)
    ? blockedElementwise(layouts, op, operands, shape, dtype, attributes)
    : undefined;
  if (inBlocks !== undefined) return inBlocks;
  const aligned = operands.map((o) => withRank(o, shape.length));
  const order = commonOrder(aligned);
  // the result has an axis for each of the tensor's, so one operand must
  const full = aligned.some((o) => o.value.shape.length === shape.length);
  const values = aligned.map((o) => (full ? layouts.broadcastable(o, order) : layouts.inOrder(o, order)));
  const physical = broadcastShape(values.map((v) => v.shape));
  return { value: layouts.builder.emit(op, values, dtype, physical, attributes), shape, order };
}

/** The largest operand's; among equals the tensor's own order, which outputs and most other operations want. */
function commonOrder(arrays: readonly TracedArray[]): readonly number[] {
  const straight = (a: TracedArray): boolean => a.order.every((axis, i) => axis === i);
  const rank = (a: TracedArray): number => 2 * sizeOf(a.value.shape) + (straight(a) ? 1 : 0);
  return arrays.reduce((best, a) => (rank(a) > rank(best) ? a : best)).order;
}

/** The same elements under a larger shape of the same rank. */
function broadcastTo(a: TracedArray, shape: readonly number[]): TracedArray {
  return { ...a, shape };
}

/** A filled operand of value `x` that leaves the other operand as it is. */
function neutral(builder: GraphBuilder, operand: TracedArray, x: number): boolean {
  return isFilled(operand) && builder.scalarOf(operand.value) === x;
}

type Fold = (x: number, y: number) => number;

function arithmetic(kernelName: string, op: string, fold: Fold, simplify: (i: Binary, b: GraphBuilder) => TracedArray | undefined): void {
  kernel<Binary>(
    kernelName,
    ({ a, b }, { layouts, builder, refuse }) => {
      if (dtypeOf(a) === 'bool') throw refuse('arithmetic on truth values', { expected: 'float32 or int32' });
      const shape = broadcastShape([a.shape, b.shape]);
      const x = builder.scalarOf(a.value);
      const y = builder.scalarOf(b.value);
      if (x !== undefined && y !== undefined) return filled(builder.scalar(Math.fround(fold(x, y))), shape);
      const simple = dtypeOf(a) === 'float32' ? simplify({ a, b }, builder) : undefined;
      if (simple !== undefined && simple.shape.length === shape.length) return broadcastTo(spread(simple, shape, layouts), shape);
      if (op === 'Pow' && dtypeOf(a) === 'int32') return wholePower(a, b, layouts);
      return elementwise(layouts, op, [a, b], dtypeOf(a));
    },
    { blocked: true },
  );
}

/** ONNX Runtime stops powers of int32 at the largest and the smallest, where TensorFlow.js wraps around: the lower half of the int64 does. */
export function wholePower(a: TracedArray, b: TracedArray, layouts: Layouts): TracedArray {
  const { builder } = layouts;
  const wide = [a, b].map((x) => castArray(builder, x, 'int64'));
  return castArray(builder, elementwise(layouts, 'Pow', wide, 'int64'), 'int32');
}

/** What is blocked cannot be broadcast lazily. */
const spread = (a: TracedArray, shape: readonly number[], layouts: Layouts): TracedArray =>
  a.shape.every((d, i) => d === shape[i]) ? a : layouts.unblocked(a);

arithmetic(
  'Add',
  'Add',
  (x, y) => x + y,
  ({ a, b }, g) => (neutral(g, b, 0) ? a : neutral(g, a, 0) ? b : undefined),
);
arithmetic(
  'Sub',
  'Sub',
  (x, y) => x - y,
  ({ a, b }, g) => (neutral(g, b, 0) ? a : undefined),
);
// x · 0 stays a product: it is NaN where x is NaN or infinite
arithmetic(
  'Multiply',
  'Mul',
  (x, y) => x * y,
  ({ a, b }, g) => (neutral(g, b, 1) ? a : neutral(g, a, 1) ? b : undefined),
);
arithmetic(
  'RealDiv',
  'Div',
  (x, y) => x / y,
  ({ a, b }, g) => (neutral(g, b, 1) ? a : undefined),
);
arithmetic(
  'Pow',
  'Pow',
  (x, y) => x ** y,
  ({ a, b }, g) => (neutral(g, b, 1) ? a : undefined),
);
arithmetic('Maximum', 'Max', Math.max, () => undefined);
arithmetic('Minimum', 'Min', Math.min, () => undefined);

kernel<Binary>(
  'SquaredDifference',
  ({ a, b }, { layouts }) => {
    const d = elementwise(layouts, 'Sub', [a, b], dtypeOf(a));
    return elementwise(layouts, 'Mul', [d, d], dtypeOf(a));
  },
  { blocked: true },
);

kernel<Record<string, TracedArray>>(
  'AddN',
  (inputs, { layouts, builder }) => {
    const terms = Object.values(inputs).filter((t) => !neutral(builder, t, 0));
    const first = terms[0] ?? (Object.values(inputs)[0] as TracedArray);
    // runtimes add two terms into a product, and any number of floats in one pass
    return dtypeOf(first) === 'float32' && terms.length > 1
      ? elementwise(layouts, 'Sum', terms, 'float32')
      : terms.slice(1).reduce((sum, term) => elementwise(layouts, 'Add', [sum, term], dtypeOf(first)), first);
  },
  { blocked: true },
);

kernel<object, { shape: number[]; value: number; dtype?: DType }>('Fill', (_, { attrs, builder, refuse }) => {
  if (typeof attrs.value !== 'number') throw refuse('a fill value that is no number', { got: typeof attrs.value });
  const { dtype = 'float32', shape, value } = attrs;
  // a float32 has not the digits of an int32
  const one = dtype === 'int32' ? number(builder, Math.trunc(value), dtype).value : builder.cast(builder.scalar(value), dtype);
  return filled(one, shape);
});

/** A tensor of no axes that holds `x`. */
export function number(builder: GraphBuilder, x: number, dtype: DType = 'float32'): TracedArray {
  if (dtype === 'float32') return filled(builder.scalar(x), []);
  return filled(builder.constant(dtype === 'bool' ? ndArray('bool', [], Uint8Array.of(x)) : ndArray('int32', [], Int32Array.of(x))), []);
}

export function castArray(builder: GraphBuilder, x: TracedArray, dtype: DType): TracedArray {
  return dtypeOf(x) === dtype ? x : { ...x, value: builder.cast(x.value, dtype) };
}

/** Formulas over float32 arrays and numbers: `f('Mul', x, 2)`. Comparisons give truth values. */
export function formula(layouts: Layouts): (op: string, ...operands: readonly (TracedArray | number)[]) => TracedArray {
  return (op, ...operands) => {
    const arrays = operands.map((x) => (typeof x === 'number' ? number(layouts.builder, x) : x));
    return elementwise(layouts, op, arrays, givesTruth.has(op) ? 'bool' : 'float32');
  };
}
const givesTruth = new Set(['Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual', 'Equal', 'And', 'Or', 'Xor', 'Not', 'IsNaN', 'IsInf']);
