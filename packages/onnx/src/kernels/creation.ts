/** Tensors made of numbers that are known while tracing: ranges, one-hot codes, diagonals. */
import { ndArray, sizeOf, type DType } from '@coda-nets/core';
import { kernel } from '../kernel.ts';
import { dtypeOf, identityOrder, plain, type TracedArray } from '../traced-array.ts';
import { castArray, elementwise, number } from './elementwise.ts';

kernel<{ indices: TracedArray }, { depth: number; onValue: number; offValue: number; dtype: DType }>(
  'OneHot',
  ({ indices }, { attrs: { depth, onValue, offValue, dtype }, layouts, builder }) => {
    const shape = [...indices.shape, depth];
    const column = layouts.dense(layouts.reshape(indices, [...indices.shape, 1]), identityOrder(shape.length));
    const classes = builder.constant(
      ndArray(
        'int32',
        [depth],
        Int32Array.from({ length: depth }, (_, i) => i),
      ),
    );
    const hit = builder.cast(builder.emit('Equal', [column, classes], 'bool', shape), 'float32');
    const scaled = onValue - offValue === 1 ? hit : builder.emit('Mul', [hit, builder.scalar(onValue - offValue)], 'float32', shape);
    const value = offValue === 0 ? scaled : builder.emit('Add', [scaled, builder.scalar(offValue)], 'float32', shape);
    return plain(builder.cast(value, dtype ?? 'int32'));
  },
);

kernel<object, { start: number; stop: number; step: number; dtype: DType }>('Range', (_, { attrs, builder }) => {
  const { start, stop, step, dtype } = attrs;
  const length = Math.max(0, Math.ceil((stop - start) / step));
  const numbers = Array.from({ length }, (_n, i) => start + i * step);
  return plain(
    builder.constant(
      dtype === 'int32' ? ndArray('int32', [length], Int32Array.from(numbers)) : ndArray('float32', [length], Float32Array.from(numbers)),
    ),
  );
});

/** Each number is the last one and a step, rounded to 32 bits, as TensorFlow.js adds them. */
kernel<object, { start: number; stop: number; num: number }>('LinSpace', (_, { attrs: { start, stop, num }, builder }) => {
  const numbers = new Float32Array(num).fill(start);
  const step = (stop - start) / (num - 1);
  for (let i = 1; i < num; i++) numbers[i] = (numbers[i - 1] as number) + step;
  return plain(builder.constant(ndArray('float32', [num], numbers)));
});

/** [n, m] → [n, m, n, m], zero where the two halves of the index differ. */
kernel('Diag', ({ x }, { layouts, builder }) => {
  const size = sizeOf(x.shape);
  const diagonal = Uint8Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
  const mask = plain(builder.constant(ndArray('bool', [size, size], diagonal)));
  const dtype = dtypeOf(x) === 'bool' ? 'uint8' : dtypeOf(x);
  const row = castArray(builder, layouts.reshape(x, [size]), dtype);
  const zero = castArray(builder, number(builder, 0), dtype);
  const square = elementwise(layouts, 'Where', [mask, row, zero], dtype);
  return layouts.reshape(castArray(builder, square, dtypeOf(x)), [...x.shape, ...x.shape]);
});
