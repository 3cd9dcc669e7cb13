/** Writing and adding at indices that are values. Runtimes add to one row from several threads in ScatterND: ScatterElements adds in order. */
import { ndArray, sizeOf } from '@coda-nets/core';
import { int } from '../graph.ts';
import type { StaticValue } from '../graph-builder.ts';
import { kernel, type KernelContext } from '../kernel.ts';
import { dtypeOf, filled, isFilled, plain, type Layouts, type TracedArray } from '../traced-array.ts';
import { elementwise, number } from './elementwise.ts';

/** Row `rows[k]` of target [R, S] becomes, or is increased by, row k of updates [K, S]. Of several writes to one row the last stays. */
function scatterRows(target: TracedArray, rows: StaticValue, updates: TracedArray, add: boolean, layouts: Layouts): TracedArray {
  const { builder } = layouts;
  const [count, size] = updates.shape as [number, number];
  const indices = layouts.dense({ value: layouts.builder.reshape(rows, [count, 1]), shape: [count, size], order: [0, 1] });
  const operands = [layouts.dense(target), indices, layouts.dense(updates)];
  const attributes = { axis: int(0), ...(add && { reduction: { string: 'add' } }) };
  return plain(builder.emit('ScatterElements', operands, dtypeOf(target), target.shape, attributes));
}

/** Indices [K…, D] into the first D axes of `shape` as numbers of rows. */
function rowsOf(indices: TracedArray, shape: readonly number[], layouts: Layouts): StaticValue {
  const { builder } = layouts;
  const depth = indices.shape.length > 1 ? (indices.shape.at(-1) as number) : 1;
  const count = sizeOf(indices.shape) / depth;
  const flat = layouts.builder.reshape(layouts.dense(indices), [count, depth]);
  if (depth === 1) return flat;
  const strides = Int32Array.from({ length: depth }, (_, axis) => sizeOf(shape.slice(axis + 1, depth)));
  const scaled = builder.emit('Mul', [flat, builder.constant(ndArray('int32', [depth], strides))], 'int32', [count, depth]);
  return builder.emit('ReduceSum', [scaled, builder.int64([1])], 'int32', [count], { keepdims: int(0) });
}

interface Scatter {
  readonly target: TracedArray;
  readonly indices: TracedArray;
  readonly updates: TracedArray;
  readonly add: boolean;
}

function scatter({ target, indices, updates, add }: Scatter, { layouts, refuse }: KernelContext<object>): TracedArray {
  if (add && dtypeOf(target) === 'bool') throw refuse('sums of truth values', { expected: 'float32 or int32' });
  const { shape } = target;
  const depth = indices.shape.length > 1 ? (indices.shape.at(-1) as number) : 1;
  const rows = rowsOf(indices, shape, layouts);
  const [count, size] = [sizeOf(indices.shape) / depth, sizeOf(shape.slice(depth))];
  const flat = layouts.reshape(target, [sizeOf(shape) / size, size]);
  const parts = isFilled(updates) ? filled(updates.value, [count, size]) : layouts.reshape(updates, [count, size]);
  return layouts.reshape(scatterRows(flat, rows, parts, add, layouts), shape);
}

kernel<{ indices: TracedArray; updates: TracedArray }, { shape: number[] }>('ScatterNd', ({ indices, updates }, context) => {
  const target = filled(number(context.builder, 0, dtypeOf(updates)).value, context.attrs.shape);
  return scatter({ target, indices, updates, add: true }, context);
});

kernel<{ tensor: TracedArray; indices: TracedArray; updates: TracedArray }>(
  'TensorScatterUpdate',
  ({ tensor, indices, updates }, context) => scatter({ target: tensor, indices, updates, add: false }, context),
);

kernel<{ sparseIndices: TracedArray; sparseValues: TracedArray; defaultValue: TracedArray }, { outputShape: number[] }>(
  'SparseToDense',
  ({ sparseIndices, sparseValues, defaultValue }, context) => {
    const single = context.layouts.builder.reshape(context.layouts.dense(defaultValue), []);
    const target = filled(single, context.attrs.outputShape);
    return scatter({ target, indices: sparseIndices, updates: sparseValues, add: false }, context);
  },
);

/** The indices with those outside of 0 … count − 1 replaced by `count`, for a row that is cut off afterwards. */
function bounded(indices: TracedArray, count: number, { layouts, builder }: KernelContext<object>): TracedArray {
  const [zero, limit] = [number(builder, 0, 'int32'), number(builder, count, 'int32')];
  const below = elementwise(layouts, 'Less', [indices, zero], 'bool');
  const above = elementwise(layouts, 'GreaterOrEqual', [indices, limit], 'bool');
  return elementwise(layouts, 'Where', [elementwise(layouts, 'Or', [below, above], 'bool'), limit, indices], 'int32');
}

const firstRows = (x: TracedArray, axis: number, count: number, { builder }: KernelContext<object>): TracedArray => {
  const shape = x.shape.map((d, i) => (i === axis ? count : d));
  const operands = [x.value, builder.int64([0]), builder.int64([count]), builder.int64([axis])];
  return plain(builder.emit('Slice', operands, dtypeOf(x), shape));
};

/** Rows with an index outside of 0 … numSegments − 1 belong nowhere. */
kernel<{ x: TracedArray; segmentIds: TracedArray }, { numSegments: number }>('UnsortedSegmentSum', ({ x, segmentIds }, context) => {
  const { attrs, layouts, builder, refuse } = context;
  if (segmentIds.shape.length !== 1) throw refuse('segments of more than one axis');
  if (dtypeOf(x) === 'bool') throw refuse('sums of truth values', { expected: 'float32 or int32' });
  const size = sizeOf(x.shape.slice(1));
  const target = filled(number(builder, 0, dtypeOf(x)).value, [attrs.numSegments + 1, size]);
  const rows = layouts.dense(bounded(segmentIds, attrs.numSegments, context));
  const sums = scatterRows(target, rows, layouts.reshape(x, [x.shape[0] as number, size]), true, layouts);
  return layouts.reshape(firstRows(sums, 0, attrs.numSegments, context), [attrs.numSegments, ...x.shape.slice(1)]);
});

/** How often each number occurs, in all or in each row; numbers from `size` on are not counted. */
function count(x: TracedArray, weights: TracedArray, size: number, once: boolean, context: KernelContext<object>): TracedArray {
  const { layouts, builder } = context;
  const rows = layouts.reshape(x, x.shape.length === 1 ? [1, ...x.shape] : x.shape);
  const [height, width] = rows.shape as [number, number];
  const dtype = dtypeOf(weights);
  const indices = layouts.dense(bounded(rows, size, context));
  const one = number(builder, 1, dtype).value;
  const updates = sizeOf(weights.shape) === 0 || once ? filled(one, [height, width]) : layouts.reshape(weights, [height, width]);
  const target = filled(number(builder, 0, dtype).value, [height, size + 1]);
  const attributes = { axis: int(1), ...(!once && { reduction: { string: 'add' } }) };
  const operands = [layouts.dense(target), indices, layouts.dense(updates)];
  const sums = plain(builder.emit('ScatterElements', operands, dtype, target.shape, attributes));
  return layouts.reshape(firstRows(sums, 1, size, context), [...x.shape.slice(0, -1), size]);
}

type CountInputs = { x: TracedArray; weights: TracedArray };
kernel<CountInputs, { size: number }>('Bincount', ({ x, weights }, context) => count(x, weights, context.attrs.size, false, context));
kernel<CountInputs, { size: number; binaryOutput: boolean }>('DenseBincount', ({ x, weights }, context) =>
  count(x, weights, context.attrs.size, context.attrs.binaryOutput && x.shape.length === 2, context),
);
