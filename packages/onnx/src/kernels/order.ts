/** The order of elements along an axis: running sums and products, the largest, and where a number belongs. */
import * as tf from '@tensorflow/tfjs-core';
import { int } from '../graph.ts';
import { kernel } from '../kernel.ts';
import { dtypeOf, type TracedArray } from '../traced-array.ts';
import { castArray, elementwise } from './elementwise.ts';
import { padValue } from './shape.ts';

type Unary = { x: TracedArray };
interface ScanAttrs {
  readonly axis: number;
  readonly exclusive: boolean;
  readonly reverse: boolean;
}

const positionOf = (x: TracedArray, axis: number): number => x.order.indexOf((tf.util.parseAxisParam(axis, [...x.shape]) as [number])[0]);

kernel<Unary, ScanAttrs>('Cumsum', ({ x }, { attrs, layouts, builder }) => {
  const numbers = dtypeOf(x) === 'bool' ? castArray(builder, x, 'int32') : x;
  const source = layouts.dense(numbers, x.order);
  const value = builder.emit('CumSum', [source, builder.int64([positionOf(x, attrs.axis)])], source.dtype, source.shape, {
    exclusive: int(attrs.exclusive ? 1 : 0),
    reverse: int(attrs.reverse ? 1 : 0),
  });
  return { ...x, value };
});

/** ONNX has no running product. After the step with distance k each element is the product of the last 2k: log₂(n) steps. */
kernel<Unary, ScanAttrs>('Cumprod', ({ x }, { attrs: { axis, exclusive, reverse }, layouts, builder }) => {
  const numbers = dtypeOf(x) === 'bool' ? castArray(builder, x, 'int32') : x;
  const position = positionOf(x, axis);
  let value = layouts.dense(numbers, x.order);
  const length = value.shape[position] as number;
  const shifted = (distance: number) => {
    const pads = value.shape.map((_, p) => {
      if (p !== position) return [0, 0] as const;
      return reverse ? ([-distance, distance] as const) : ([distance, -distance] as const);
    });
    return padValue(value, pads, 1, builder);
  };
  if (exclusive) value = shifted(1);
  for (let distance = 1; distance < length; distance *= 2)
    value = builder.emit('Mul', [value, shifted(distance)], value.dtype, value.shape);
  return { ...x, value };
});

/** Along the last axis, the largest first, of equals the one with the lower index; sorted always. */
kernel<Unary, { k: number; sorted: boolean }>('TopK', ({ x }, { attrs: { k }, layouts, builder, refuse }) => {
  if (dtypeOf(x) === 'bool') throw refuse('the largest of truth values', { expected: 'float32 or int32' });
  const source = layouts.dense(x, x.order);
  const axis = positionOf(x, x.shape.length - 1);
  const physical = source.shape.map((d, p) => (p === axis ? k : d));
  const indices = builder.emit('TopK', [source, builder.int64([k])], 'int64', physical, { axis: int(axis) }, { outputIndex: 1 });
  const values = builder.emit('GatherElements', [source, indices], source.dtype, physical, { axis: int(axis) });
  const shape = [...x.shape.slice(0, -1), k];
  return [
    { value: values, shape, order: x.order },
    { value: builder.cast(indices, 'int32'), shape, order: x.order },
  ];
});

/** How many of the sorted row are less than the value (left), or not greater (right): [rows, n] and [rows, m] give [rows, m]. */
kernel<{ sortedSequence: TracedArray; values: TracedArray }, { side: 'left' | 'right' }>(
  'SearchSorted',
  ({ sortedSequence, values }, { attrs, layouts, builder }) => {
    const [rows, n] = sortedSequence.shape as [number, number];
    const m = values.shape[1] as number;
    const sequence = layouts.reshape(sortedSequence, [rows, 1, n]);
    const column = layouts.reshape(values, [rows, m, 1]);
    const before = elementwise(layouts, attrs.side === 'left' ? 'Less' : 'LessOrEqual', [sequence, column], 'bool');
    const counts = layouts.dense(castArray(builder, before, 'int32'));
    const sum = builder.emit('ReduceSum', [counts, builder.int64([2])], 'int32', [rows, m], { keepdims: int(0) });
    return { value: sum, shape: [rows, m], order: [0, 1] };
  },
);
