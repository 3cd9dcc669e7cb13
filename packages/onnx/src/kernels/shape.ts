/** Kernels that move data without changing it: reshape, transpose, slices, padding, concatenation, tiling, gathering. */
import { sizeOf } from '@coda-nets/core';
import * as tf from '@tensorflow/tfjs-core';
import { int } from '../graph.ts';
import type { GraphBuilder, StaticValue } from '../graph-builder.ts';
import { kernel } from '../kernel.ts';
import { dtypeOf, filled, isFilled, isLazy, plain, type Layouts, type TracedArray } from '../traced-array.ts';
import { number } from './elementwise.ts';

type Unary = { x: TracedArray };

kernel<Unary, { shape: number[] }>('Reshape', ({ x }, { attrs, layouts }) => {
  return layouts.reshape(x, tf.util.inferFromImplicitShape(attrs.shape, sizeOf(x.shape)));
});

kernel<{ input: TracedArray }, { dim: number }>('ExpandDims', ({ input }, { attrs: { dim }, layouts }) => {
  const shape = [...input.shape];
  shape.splice(dim < 0 ? dim + shape.length + 1 : dim, 0, 1);
  return layouts.reshape(input, shape);
});

kernel<Unary, { perm: number[] }>('Transpose', ({ x }, { attrs, layouts }) => layouts.transpose(x, attrs.perm));

/** A slice per axis of the tensor, on the axes of the value that hold more than one element. */
export function sliceArray(x: TracedArray, begin: readonly number[], size: readonly number[], builder: GraphBuilder): TracedArray {
  if (isFilled(x)) return filled(x.value, size);
  const cut = x.order
    .map((axis, position) => ({ axis, position, from: begin[axis] as number, count: size[axis] as number }))
    .filter(({ axis, count }) => !isLazy(x, axis) && count !== x.shape[axis]);
  if (cut.length === 0) return { ...x, shape: size };
  const shape = x.value.shape.map((d, position) => cut.find((c) => c.position === position)?.count ?? d);
  const inputs = [
    x.value,
    builder.int64(cut.map((c) => c.from)),
    builder.int64(cut.map((c) => c.from + c.count)),
    builder.int64(cut.map((c) => c.position)),
  ];
  return { value: builder.emit('Slice', inputs, dtypeOf(x), shape), shape: size, order: x.order };
}

kernel<Unary, { begin: number[]; size: number[] }>('Slice', ({ x }, { attrs, builder }) => {
  const [begin, size] = tf.slice_util.parseSliceParams({ shape: [...x.shape] } as tf.TensorInfo, attrs.begin, attrs.size);
  return sliceArray(x, begin as number[], size as number[], builder);
});

interface StridedSliceAttrs {
  begin: number[];
  end: number[];
  strides: number[];
  beginMask: number;
  endMask: number;
  ellipsisMask: number;
  newAxisMask: number;
  shrinkAxisMask: number;
}

kernel<Unary, StridedSliceAttrs>('StridedSlice', ({ x }, { attrs, layouts, builder }) => {
  const { begin, end, strides, finalShape } = tf.slice_util.sliceInfo(
    [...x.shape],
    attrs.begin,
    attrs.end,
    attrs.strides,
    attrs.beginMask,
    attrs.endMask,
    attrs.ellipsisMask,
    attrs.newAxisMask,
    attrs.shrinkAxisMask,
  );
  if (isFilled(x)) return filled(x.value, finalShape);
  const source = layouts.dense(x, x.order);
  // ONNX counts an end below 0 from the back; a reversed axis that reaches its first element ends before it
  const cut = x.order
    .map((axis, position) => ({ axis, position, from: begin[axis] as number, to: end[axis] as number, step: strides[axis] as number }))
    .filter(({ axis, from, to, step }) => from !== 0 || to !== x.shape[axis] || step !== 1)
    .map((c) => ({ ...c, to: c.to < 0 ? -(x.shape[c.axis] as number) - 1 : c.to }));
  if (cut.length === 0) return layouts.reshape(x, finalShape);
  const inputs = [cut.map((c) => c.from), cut.map((c) => c.to), cut.map((c) => c.position), cut.map((c) => c.step)];
  const shape = begin.map((from, axis) => Math.max(0, Math.ceil(((end[axis] as number) - from) / (strides[axis] as number))));
  const physical = x.order.map((axis) => shape[axis] as number);
  const value = builder.emit('Slice', [source, ...inputs.map((numbers) => builder.int64(numbers))], dtypeOf(x), physical);
  return layouts.reshape({ value, shape, order: x.order }, finalShape);
});

kernel<Unary, { numOrSizeSplits: number[] | number; axis: number }>('SplitV', ({ x }, { attrs, builder }) => {
  const [axis] = tf.util.parseAxisParam(attrs.axis, [...x.shape]) as [number];
  const sizes = tf.backend_util.prepareSplitSize({ shape: [...x.shape] } as tf.Tensor, attrs.numOrSizeSplits, axis);
  let offset = 0;
  return sizes.map((count) => {
    const begin = x.shape.map((_, i) => (i === axis ? offset : 0));
    offset += count;
    return sliceArray(
      x,
      begin,
      x.shape.map((d, i) => (i === axis ? count : d)),
      builder,
    );
  });
});

kernel<{ value: TracedArray }, { axis: number }>('Unpack', ({ value: x }, { attrs, layouts, builder }) => {
  const axis = attrs.axis < 0 ? attrs.axis + x.shape.length : attrs.axis;
  const without = x.shape.filter((_, i) => i !== axis);
  return Array.from({ length: x.shape[axis] as number }, (_, index) => {
    const begin = x.shape.map((_d, i) => (i === axis ? index : 0));
    return layouts.reshape(
      sliceArray(
        x,
        begin,
        x.shape.map((d, i) => (i === axis ? 1 : d)),
        builder,
      ),
      without,
    );
  });
});

kernel<Unary, { paddings: [number, number][]; constantValue: number }>('PadV2', ({ x }, { attrs, layouts }) => {
  return padArray(x, attrs.paddings, attrs.constantValue, layouts);
});

/** By axes of the tensor. */
export function padArray(
  x: TracedArray,
  paddings: readonly (readonly [number, number])[],
  constant: number,
  layouts: Layouts,
): TracedArray {
  if (paddings.every(([before, after]) => before === 0 && after === 0)) return x;
  const padding = (axis: number) => paddings[axis] as readonly [number, number];
  const shape = x.shape.map((d, i) => d + padding(i)[0] + padding(i)[1]);
  const value = padValue(layouts.dense(x, x.order), x.order.map(padding), constant, layouts.builder);
  return { value, shape, order: x.order };
}

/** Constant padding of each axis of a value; a negative count cuts. */
export function padValue(
  x: StaticValue,
  pads: readonly (readonly [number, number])[],
  constant: number,
  builder: GraphBuilder,
): StaticValue {
  const shape = x.shape.map((d, p) => d + (pads[p]?.[0] as number) + (pads[p]?.[1] as number));
  const counts = builder.int64([...pads.map(([before]) => before), ...pads.map(([, after]) => after)]);
  const one = (): StaticValue =>
    x.dtype === 'int32' ? number(builder, Math.trunc(constant), 'int32').value : builder.cast(builder.scalar(constant), x.dtype);
  const fill = constant === 0 ? [] : [one()];
  return builder.emit('Pad', [x, counts, ...fill], x.dtype, shape);
}

function concatenate(arrays: readonly TracedArray[], axis: number, layouts: Layouts): TracedArray {
  const largest = arrays.reduce((best, a) => (sizeOf(a.value.shape) > sizeOf(best.value.shape) ? a : best));
  const { order } = largest;
  const shape = largest.shape.map((d, i) => (i === axis ? arrays.reduce((sum, a) => sum + (a.shape[axis] as number), 0) : d));
  if (arrays.length === 1) return largest;
  const values = arrays.map((a) => layouts.dense(a, order));
  const position = order.indexOf(axis);
  const physical = order.map((a) => shape[a] as number);
  return { value: layouts.builder.emit('Concat', values, dtypeOf(largest), physical, { axis: int(position) }), shape, order };
}

kernel<Record<string, TracedArray>, { axis: number }>('Concat', (inputs, { attrs, layouts }) => {
  const all = Object.values(inputs);
  const some = all.filter((a) => sizeOf(a.shape) > 0);
  const arrays = some.length > 0 ? some : all;
  const [axis] = tf.util.parseAxisParam(attrs.axis, [...(arrays[0] as TracedArray).shape]) as [number];
  return concatenate(arrays, axis, layouts);
});

kernel<Record<string, TracedArray>, { axis: number }>('Pack', (inputs, { attrs, layouts }) => {
  const arrays = Object.values(inputs);
  const rank = (arrays[0] as TracedArray).shape.length + 1;
  const axis = attrs.axis < 0 ? attrs.axis + rank : attrs.axis;
  const expanded = arrays.map((a) => layouts.reshape(a, [...a.shape.slice(0, axis), 1, ...a.shape.slice(axis)]));
  return concatenate(expanded, axis, layouts);
});

kernel<Unary, { reps: number[] }>('Tile', ({ x }, { attrs: { reps }, layouts, builder }) => {
  const shape = x.shape.map((d, i) => d * (reps[i] as number));
  if (isFilled(x)) return filled(x.value, shape);
  // repeating an axis of size 1, or one that is broadcast already, is a broadcast
  if (reps.every((n, i) => n === 1 || x.shape[i] === 1 || isLazy(x, i))) return { ...x, shape };
  const source = layouts.dense(x);
  return plain(builder.emit('Tile', [source, builder.int64(reps)], dtypeOf(x), shape));
});

kernel<Unary, { dims: number | number[] }>('Reverse', ({ x }, { attrs, layouts }) => reversed(x, attrs.dims, layouts));
kernel<{ image: TracedArray }>('FlipLeftRight', ({ image }, { layouts }) => reversed(image, [2], layouts));

function reversed(x: TracedArray, dims: number | number[], layouts: Layouts): TracedArray {
  const positions = tf.util.parseAxisParam(dims, [...x.shape]).map((axis) => x.order.indexOf(axis));
  return { ...x, value: reverseValue(layouts.dense(x, x.order), positions, layouts.builder) };
}

/** The elements of a value backwards along `positions`. */
export function reverseValue(x: StaticValue, positions: readonly number[], builder: GraphBuilder): StaticValue {
  const starts = builder.int64(positions.map(() => -1));
  const ends = builder.int64(positions.map(() => -2_147_483_647));
  return builder.emit('Slice', [x, starts, ends, builder.int64(positions), starts], x.dtype, x.shape);
}
