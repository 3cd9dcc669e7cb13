/** Reductions, running sums, order. */
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { oneOf, operation, shapeAndAxis, shapes, type Operation } from './operation.ts';

type Reduction = (x: tf.Tensor, axes: number[], keepDims: boolean) => tf.Tensor;

const shapeAndAxes = shapes(1, 4).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    axes: fc.subarray(
      shape.map((_, i) => i),
      { minLength: 1 },
    ),
    keepDims: fc.boolean(),
  }),
);

const reductions: readonly (readonly [string, Reduction, boolean])[] = [
  ['sum', tf.sum, true],
  ['mean', tf.mean, true],
  ['max', tf.max, true],
  ['min', tf.min, true],
  ['prod', tf.prod, false],
  ['logSumExp', tf.logSumExp, true],
  ['euclideanNorm', (x, axes, keepDims) => tf.sqrt(tf.sum(tf.square(x), axes, keepDims)), true],
  ['variance', (x, axes, keepDims) => tf.moments(x, axes, keepDims).variance, true],
];

export const reductionOperations: readonly Operation[] = [
  ...reductions.map(([name, fn, gradient]) =>
    operation(
      name,
      shapeAndAxes,
      ({ shape }) => ({ x: { shape } }),
      ({ x }, { axes, keepDims }) => fn(x, axes, keepDims),
      gradient,
    ),
  ),
  ...reductions.slice(0, 5).map(([name, fn]) =>
    operation(
      `${name} of whole numbers`,
      shapeAndAxes,
      ({ shape }) => ({ x: { shape, dtype: 'int32', from: -2, to: 3 } }),
      ({ x }, { axes, keepDims }) => fn(x, axes, keepDims),
      false,
    ),
  ),
  operation(
    'any and all',
    shapeAndAxes,
    ({ shape }) => ({ x: { shape, dtype: 'bool' } }),
    ({ x }, { axes, keepDims }) => [tf.any(x, axes, keepDims), tf.all(x, axes, keepDims)],
    false,
  ),
  operation(
    'argMax and argMin',
    fc.record({ at: shapeAndAxis(1, 4), dtype: oneOf('float32' as const, 'int32' as const) }),
    ({ at, dtype }) => ({ x: { shape: at.shape, dtype } }),
    ({ x }, { at }) => [tf.argMax(x, at.axis), tf.argMin(x, at.axis)],
    false,
  ),
  ...(
    [
      ['cumsum', tf.cumsum],
      ['cumprod', tf.cumprod],
    ] as const
  ).map(([name, fn]) =>
    operation(
      name,
      fc.record({
        at: shapeAndAxis(1, 4),
        exclusive: fc.boolean(),
        reverse: fc.boolean(),
        dtype: oneOf('float32' as const, 'int32' as const),
      }),
      ({ at, dtype }) => ({ x: { shape: at.shape, dtype } }),
      ({ x }, { at, exclusive, reverse }) => fn(x as tf.Tensor, at.axis < 0 ? at.axis + at.shape.length : at.axis, exclusive, reverse),
      // TensorFlow.js transposes the gradient of another axis than the last one twice
      ({ dtype, at }) => name === 'cumsum' && dtype === 'float32' && (at.axis === -1 || at.axis === at.shape.length - 1),
    ),
  ),
  operation(
    'topk',
    fc.record({
      shape: shapes(1, 4),
      part: fc.double({ min: 0, max: 1, noNaN: true }),
      dtype: oneOf('float32' as const, 'int32' as const),
    }),
    ({ shape, dtype }) => ({ x: { shape, dtype } }),
    ({ x }, { shape, part }) => {
      const { values, indices } = tf.topk(x, 1 + Math.floor(part * ((shape.at(-1) as number) - 1)), true);
      return [values, indices];
    },
    false,
  ),
  operation(
    'searchSorted',
    fc.record({
      rows: fc.integer({ min: 1, max: 3 }),
      n: fc.integer({ min: 1, max: 5 }),
      m: fc.integer({ min: 1, max: 4 }),
      side: oneOf('left' as const, 'right' as const),
    }),
    ({ rows, n, m }) => ({
      steps: { shape: [rows, n], dtype: 'int32', from: 0, to: 3 },
      values: { shape: [rows, m], dtype: 'int32', from: -1, to: 9 },
    }),
    ({ steps, values }, { side }) => tf.searchSorted(tf.cumsum(steps, 1), values, side),
    false,
  ),
  ...(
    [
      ['softmax', tf.softmax],
      ['logSoftmax', tf.logSoftmax],
    ] as const
  ).map(([name, fn]) =>
    operation(
      name,
      fc.record({ shape: shapes(1, 4) }),
      ({ shape }) => ({ x: { shape } }),
      ({ x }) => fn(x as tf.Tensor),
    ),
  ),
  operation(
    'bincount',
    fc.record({ n: fc.integer({ min: 1, max: 6 }), size: fc.integer({ min: 1, max: 5 }), weighted: fc.boolean() }),
    ({ n }) => ({ x: { shape: [n], dtype: 'int32', from: 0, to: 7 }, w: { shape: [n] } }),
    ({ x, w }, { size, weighted }) => tf.bincount(x, weighted ? w : tf.tensor1d([], 'float32'), size),
    false,
  ),
  operation(
    'denseBincount',
    fc.record({ shape: shapes(1, 2), size: fc.integer({ min: 1, max: 5 }), weighted: fc.boolean(), once: fc.boolean() }),
    ({ shape }) => ({ x: { shape, dtype: 'int32', from: 0, to: 7 }, w: { shape } }),
    ({ x, w }, { size, weighted, once, shape }) =>
      tf.denseBincount(
        x,
        weighted && !once ? w : tf.tensor(shape.length === 1 ? [] : [[]], undefined, 'float32'),
        size,
        once && shape.length === 2,
      ),
    false,
  ),
];
