/** Elementwise kernels: unary, binary with broadcasting, comparison, selection. All work in whatever order their operands lie in. */
import { CodaError, ndArray, sizeOf, type DType } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import type { GraphBuilder, StaticValue } from '../graph-builder.ts';
import { kernel } from '../kernel.ts';
import { dtypeOf, filled, int, isFilled, withRank, type Layouts, type TracedArray } from '../traced-array.ts';

/** ONNX's TensorProto.DataType numbers, as Cast's attribute wants them. */
const onnxDType: Record<DType, number> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float64: 11,
  uint32: 12,
  uint64: 13,
};

type Binary = { a: TracedArray; b: TracedArray };
type Unary = { x: TracedArray };

export function broadcastShape(shapes: readonly (readonly number[])[]): number[] {
  return shapes.reduce<number[]>((a, b) => tf.backend_util.assertAndGetBroadcastShape(a, [...b]), []);
}

/** Brings operands to a common rank and order (the largest one's) and records one node over them. */
export function elementwise(layouts: Layouts, op: string, operands: readonly TracedArray[], dtype: DType): TracedArray {
  const shape = broadcastShape(operands.map((o) => o.shape));
  const aligned = operands.map((o) => withRank(o, shape.length));
  const order = commonOrder(aligned);
  // the result has an axis for each of the tensor's, so one operand must
  const full = aligned.some((o) => o.value.shape.length === shape.length);
  const values = aligned.map((o) => (full ? layouts.broadcastable(o, order) : layouts.inOrder(o, order)));
  const physical = broadcastShape(values.map((v) => v.shape));
  return { value: layouts.builder.emit(op, values, dtype, physical), shape, order };
}

/** The largest operand's; among equals the tensor's own order, which outputs and most other operations want. */
function commonOrder(arrays: readonly TracedArray[]): readonly number[] {
  const straight = (a: TracedArray): boolean => a.order.every((axis, i) => axis === i);
  const rank = (a: TracedArray): number => 2 * sizeOf(a.value.shape) + (straight(a) ? 1 : 0);
  return arrays.reduce((best, a) => (rank(a) > rank(best) ? a : best)).order;
}

/** The same elements under a larger shape of the same rank. */
function broadcastTo(a: TracedArray, shape: readonly number[]): TracedArray {
  return { value: a.value, shape, order: a.order };
}

/** A filled operand of value `x` that leaves the other operand as it is. */
function neutral(builder: GraphBuilder, operand: TracedArray, x: number): boolean {
  return isFilled(operand) && builder.scalarOf(operand.value) === x;
}

type Fold = (x: number, y: number) => number;

function arithmetic(kernelName: string, op: string, fold: Fold, simplify: (i: Binary, b: GraphBuilder) => TracedArray | undefined): void {
  kernel<Binary>(kernelName, ({ a, b }, { layouts, builder }) => {
    const shape = broadcastShape([a.shape, b.shape]);
    const x = builder.scalarOf(a.value);
    const y = builder.scalarOf(b.value);
    if (x !== undefined && y !== undefined) return filled(builder.scalar(Math.fround(fold(x, y))), shape);
    const simple = dtypeOf(a) === 'float32' ? simplify({ a, b }, builder) : undefined;
    if (simple !== undefined && simple.shape.length === shape.length) return broadcastTo(simple, shape);
    return elementwise(layouts, op, [a, b], dtypeOf(a));
  });
}

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
arithmetic(
  'Multiply',
  'Mul',
  (x, y) => x * y,
  ({ a, b }, g) => {
    if (neutral(g, b, 1)) return a;
    if (neutral(g, a, 1)) return b;
    if (neutral(g, b, 0)) return filled(b.value, broadcastShape([a.shape, b.shape]));
    return neutral(g, a, 0) ? filled(a.value, broadcastShape([a.shape, b.shape])) : undefined;
  },
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

kernel<Binary>('SquaredDifference', ({ a, b }, { layouts }) => {
  const d = elementwise(layouts, 'Sub', [a, b], dtypeOf(a));
  return elementwise(layouts, 'Mul', [d, d], dtypeOf(a));
});

kernel<Record<string, TracedArray>>('AddN', (inputs, { layouts, builder }) => {
  const terms = Object.values(inputs).filter((t) => !neutral(builder, t, 0));
  const first = terms[0] ?? (Object.values(inputs)[0] as TracedArray);
  // runtimes add two terms into a product, and any number in one pass
  return terms.length < 2 ? first : elementwise(layouts, 'Sum', terms, dtypeOf(first));
});

const comparisons = [
  ['Greater', 'Greater'],
  ['GreaterEqual', 'GreaterOrEqual'],
  ['Less', 'Less'],
  ['LessEqual', 'LessOrEqual'],
  ['Equal', 'Equal'],
  ['LogicalAnd', 'And'],
  ['LogicalOr', 'Or'],
] as const;
for (const [kernelName, op] of comparisons) {
  kernel<Binary>(kernelName, ({ a, b }, { layouts }) => elementwise(layouts, op, [a, b], 'bool'));
}
kernel<Binary>('NotEqual', ({ a, b }, { layouts }) => {
  return elementwise(layouts, 'Not', [elementwise(layouts, 'Equal', [a, b], 'bool')], 'bool');
});

const unary = [
  ['Abs', 'Abs'],
  ['Ceil', 'Ceil'],
  ['Elu', 'Elu'],
  ['Erf', 'Erf'],
  ['Exp', 'Exp'],
  ['Floor', 'Floor'],
  ['Log', 'Log'],
  ['LogicalNot', 'Not'],
  ['Neg', 'Neg'],
  ['Reciprocal', 'Reciprocal'],
  ['Relu', 'Relu'],
  ['Round', 'Round'],
  ['Selu', 'Selu'],
  ['Sigmoid', 'Sigmoid'],
  ['Sign', 'Sign'],
  ['Softplus', 'Softplus'],
  ['Sqrt', 'Sqrt'],
  ['Tanh', 'Tanh'],
] as const;
for (const [kernelName, op] of unary) {
  kernel<Unary>(kernelName, ({ x }, { layouts }) => elementwise(layouts, op, [x], dtypeOf(x)));
}

kernel<Unary>('Identity', ({ x }) => x);
kernel<Unary>('StopGradient', ({ x }) => x);
kernel<Unary>('ZerosLike', ({ x }, { builder }) => filled(zero(builder, dtypeOf(x)), x.shape));
kernel<Unary>('OnesLike', ({ x }, { builder }) => filled(cast(builder, builder.scalar(1), dtypeOf(x)), x.shape));
kernel<Unary>('Square', ({ x }, { layouts }) => elementwise(layouts, 'Mul', [x, x], dtypeOf(x)));
kernel<Unary>('Rsqrt', ({ x }, { layouts }) => {
  return elementwise(layouts, 'Reciprocal', [elementwise(layouts, 'Sqrt', [x], 'float32')], 'float32');
});
/** log(1 + x) = 2 artanh(x / (2 + x)), which keeps its digits where x is small; ONNX has no Log1p. */
kernel<Unary>('Log1p', ({ x }, { layouts, builder }) => {
  const two = filled(builder.scalar(2), []);
  const ratio = elementwise(layouts, 'Div', [x, elementwise(layouts, 'Add', [x, two], 'float32')], 'float32');
  const small = elementwise(layouts, 'Mul', [elementwise(layouts, 'Atanh', [ratio], 'float32'), two], 'float32');
  const large = elementwise(layouts, 'Log', [elementwise(layouts, 'Add', [x, filled(builder.scalar(1), [])], 'float32')], 'float32');
  return elementwise(layouts, 'Where', [isSmall(x, layouts, builder), small, large], 'float32');
});
/** eˣ − 1 = tanh(x/2) · (eˣ + 1), which keeps its digits where x is small; ONNX has no Expm1. */
kernel<Unary>('Expm1', ({ x }, { layouts, builder }) => {
  const one = filled(builder.scalar(1), []);
  const exp = elementwise(layouts, 'Exp', [x], 'float32');
  const half = elementwise(layouts, 'Mul', [x, filled(builder.scalar(0.5), [])], 'float32');
  const small = elementwise(
    layouts,
    'Mul',
    [elementwise(layouts, 'Tanh', [half], 'float32'), elementwise(layouts, 'Add', [exp, one], 'float32')],
    'float32',
  );
  return elementwise(
    layouts,
    'Where',
    [isSmall(x, layouts, builder), small, elementwise(layouts, 'Sub', [exp, one], 'float32')],
    'float32',
  );
});

/** |x| < ½ */
function isSmall(x: TracedArray, layouts: Layouts, builder: GraphBuilder): TracedArray {
  return elementwise(layouts, 'Less', [elementwise(layouts, 'Abs', [x], 'float32'), filled(builder.scalar(0.5), [])], 'bool');
}

kernel<Unary>('Relu6', ({ x }, { layouts, builder }) => {
  return elementwise(layouts, 'Min', [elementwise(layouts, 'Relu', [x], 'float32'), filled(builder.scalar(6), [])], 'float32');
});

/** 1 where x > 0, alpha elsewhere. Greater and Cast take half the time of Sign. */
kernel<Unary, { alpha: number }>('Step', ({ x }, { attrs: { alpha }, layouts, builder }) => {
  const positive = elementwise(layouts, 'Greater', [x, filled(builder.scalar(0), [])], 'bool');
  const step = { ...positive, value: cast(builder, positive.value, 'float32') };
  if (!alpha) return step;
  const scaled = elementwise(layouts, 'Mul', [step, filled(builder.scalar(1 - alpha), [])], 'float32');
  return elementwise(layouts, 'Add', [scaled, filled(builder.scalar(alpha), [])], 'float32');
});

kernel<Unary, { dtype: DType }>('Cast', ({ x }, { attrs: { dtype }, builder }) => {
  return { ...x, value: cast(builder, x.value, dtype) };
});

kernel<{ condition: TracedArray; t: TracedArray; e: TracedArray }>('Select', ({ condition, t, e }, { layouts }) => {
  // a condition of rank 1 selects along the first axis
  const rank = t.shape.length;
  const mask =
    condition.shape.length === rank
      ? condition
      : layouts.reshape(condition, [...condition.shape, ...Array<number>(rank - condition.shape.length).fill(1)]);
  return elementwise(layouts, 'Where', [mask, t, e], dtypeOf(t));
});

kernel<object, { shape: number[]; value: number; dtype?: DType }>('Fill', (_, { attrs, builder }) => {
  if (typeof attrs.value !== 'number') {
    throw new CodaError({ kind: 'unsupported', where: 'trace: Fill', problem: 'a fill value that is no number' });
  }
  return filled(cast(builder, builder.scalar(attrs.value), attrs.dtype ?? 'float32'), attrs.shape);
});

export function cast(builder: GraphBuilder, value: StaticValue, dtype: DType): StaticValue {
  if (value.dtype === dtype) return value;
  return builder.emit('Cast', [value], dtype, value.shape, { to: int(onnxDType[dtype]) });
}

function zero(builder: GraphBuilder, dtype: DType): StaticValue {
  if (dtype === 'float32') return builder.scalar(0);
  return builder.constant(dtype === 'bool' ? ndArray('bool', [], Uint8Array.of(0)) : ndArray('int32', [], Int32Array.of(0)));
}
