/** Reductions, over whichever axes of the value hold the reduced ones. */
import * as tf from '@tensorflow/tfjs-core';
import { int, ints } from '../graph.ts';
import type { BlockedLayout } from '../blocked-layout.ts';
import type { StaticValue } from '../graph-builder.ts';
import { kernel, type KernelContext } from '../kernel.ts';
import { dtypeOf, filled, isFilled, isLazy, plain, type Layouts, type TracedArray } from '../traced-array.ts';
import { castArray, elementwise, number, wholePower } from './elementwise.ts';

type Attrs = { axis?: number | number[]; reductionIndices?: number | number[]; keepDims?: boolean };
type Context = KernelContext<Attrs>;

/**
 * At opset 17 only ReduceSum takes its axes as an input. ONNX Runtime stops sums and products of int32 at the largest and the smallest, where TensorFlow.js
 * wraps around: int64 has room for them, and its lower half is what wraps around.
 */
function emitReduction(op: string, x: StaticValue, positions: readonly number[], keepDims: boolean, context: Context): StaticValue {
  const { builder } = context;
  if (x.dtype === 'int32' && (op === 'ReduceSum' || op === 'ReduceProd')) {
    return builder.cast(emitReduction(op, builder.cast(x, 'int64'), positions, keepDims, context), 'int32');
  }
  const shape = x.shape.map((d, p) => (positions.includes(p) ? 1 : d)).filter((_, p) => keepDims || !positions.includes(p));
  const keepdims = int(keepDims ? 1 : 0);
  return op === 'ReduceSum'
    ? builder.emit(op, [x, builder.int64(positions)], x.dtype, shape, { keepdims })
    : builder.emit(op, [x], x.dtype, shape, { axes: ints(positions), keepdims });
}

function reduce(x: TracedArray, op: string, context: Context): TracedArray {
  const { attrs, builder, layouts } = context;
  const axes = tf.util.parseAxisParam((attrs.axis ?? attrs.reductionIndices) as number[], [...x.shape]);
  const keepDims = attrs.keepDims === true;
  const shape = x.shape.map((d, i) => (axes.includes(i) ? 1 : d)).filter((_, i) => keepDims || !axes.includes(i));
  // the same number that many times: a sum multiplies, a product takes the power, a mean, maximum or minimum does nothing
  const copies = axes.filter((axis) => isLazy(x, axis)).reduce((n, axis) => n * (x.shape[axis] as number), 1);
  const repeated = (value: StaticValue): StaticValue => {
    if (copies === 1 || !(op === 'ReduceSum' || op === 'ReduceProd')) return value;
    if (op === 'ReduceProd') return repeatedProduct(plain(value), number(builder, copies, value.dtype), layouts).value;
    const times = number(builder, copies, value.dtype).value;
    const known = builder.scalarOf(value);
    if (known !== undefined) return builder.scalar(Math.fround(known * copies));
    return builder.emit('Mul', [value, times], value.dtype, value.shape);
  };
  if (isFilled(x)) return filled(repeated(x.value), shape);
  const positions = axes.map((axis) => x.order.indexOf(axis)).sort((a, b) => a - b);
  const order = keepDims
    ? x.order
    : x.order.filter((axis) => !axes.includes(axis)).map((axis) => axis - axes.filter((a) => a < axis).length);
  const summed = positions.filter((p) => x.value.shape[p] !== 1);
  const direct = summed.length === positions.length;
  let value = summed.length === 0 ? x.value : emitReduction(op, x.value, summed, keepDims || !direct, context);
  if (!keepDims && !direct)
    value = layouts.builder.reshape(
      value,
      value.shape.filter((_, p) => !positions.includes(p)),
    );
  return { value: repeated(value), shape, order };
}

const repeatedProduct = (x: TracedArray, copies: TracedArray, layouts: Layouts): TracedArray =>
  dtypeOf(x) === 'int32' ? wholePower(x, copies, layouts) : elementwise(layouts, 'Pow', [x, copies], dtypeOf(x));

const reductions = [
  ['Sum', 'ReduceSum'],
  ['Mean', 'ReduceMean'],
  ['Max', 'ReduceMax'],
  ['Min', 'ReduceMin'],
  ['Prod', 'ReduceProd'],
] as const;
for (const [kernelName, op] of reductions) {
  kernel<{ x: TracedArray }, Attrs>(
    kernelName,
    ({ x }, context) => {
      const inBlocks = x.blocked === true ? blockedReduction(x, op, context) : undefined;
      if (inBlocks !== undefined) return inBlocks;
      const array = context.layouts.unblocked(x);
      // ONNX orders truth values from opset 20 on
      if (dtypeOf(array) === 'bool' && (op === 'ReduceMax' || op === 'ReduceMin')) {
        const extreme = reduce(castArray(context.builder, array, 'int32'), op, context);
        return castArray(context.builder, extreme, 'bool');
      }
      // a mean is a float, whatever it is of
      return reduce(kernelName === 'Mean' ? castArray(context.builder, array, 'float32') : array, op, context);
    },
    { blocked: true },
  );
}

/** Sums and means over images, or over the positions of each image: by way of each image's mean. */
function blockedReduction(x: TracedArray, op: string, { attrs, layouts, builder }: Context): TracedArray | undefined {
  const [n, height, width, channels] = x.shape as [number, number, number, number];
  const axes = tf.util.parseAxisParam((attrs.axis ?? attrs.reductionIndices) as number[], [...x.shape]).toSorted((a, b) => a - b);
  const overAll = axes.join() === '0,1,2';
  if (!(overAll || axes.join() === '1,2') || !(op === 'ReduceSum' || op === 'ReduceMean') || dtypeOf(x) !== 'float32') return undefined;
  const means = (layouts.blocks as BlockedLayout).meanOfImages(x.value);
  const mean = overAll ? builder.emit('ReduceMean', [means], 'float32', [channels], { axes: ints([0]), keepdims: int(0) }) : means;
  const count = (overAll ? n : 1) * height * width;
  const value = op === 'ReduceMean' ? mean : builder.emit('Mul', [mean, builder.scalar(count)], 'float32', mean.shape);
  const kept = overAll ? [1, 1, 1, channels] : [n, 1, 1, channels];
  return plain(attrs.keepDims === true ? layouts.builder.reshape(value, kept) : value);
}

/** Logical reductions have no ONNX operator: the maximum and the minimum of 0 and 1. */
for (const [kernelName, op] of [
  ['Any', 'ReduceMax'],
  ['All', 'ReduceMin'],
] as const) {
  kernel<{ x: TracedArray }, Attrs>(kernelName, ({ x }, context) => {
    const { builder } = context;
    const numbers = reduce({ ...x, value: builder.cast(x.value, 'int32') }, op, context);
    return { ...numbers, value: builder.cast(numbers.value, 'bool') };
  });
}

for (const [kernelName, op] of [
  ['ArgMax', 'ArgMax'],
  ['ArgMin', 'ArgMin'],
] as const) {
  kernel<{ x: TracedArray }, { axis: number }>(kernelName, ({ x }, { attrs, layouts, builder }) => {
    const [axis] = tf.util.parseAxisParam(attrs.axis, [...x.shape]) as [number];
    const source = layouts.dense(x, x.order);
    const position = x.order.indexOf(axis);
    const shape = source.shape.filter((_, p) => p !== position);
    const index = builder.emit(op, [source], 'int64', shape, { axis: int(position), keepdims: int(0) });
    const order = x.order.filter((a) => a !== axis).map((a) => (a > axis ? a - 1 : a));
    return { value: builder.cast(index, 'int32'), shape: x.shape.filter((_, a) => a !== axis), order };
  });
}

/** Along the last axis, as tfjs has it. */
kernel<{ logits: TracedArray }, { dim: number }>('Softmax', ({ logits }, { attrs: { dim }, layouts, builder }) => {
  const axis = dim < 0 ? dim + logits.shape.length : dim;
  const source = layouts.dense(logits, logits.order);
  const value = builder.emit('Softmax', [source], dtypeOf(logits), source.shape, { axis: int(logits.order.indexOf(axis)) });
  return { ...logits, value };
});
