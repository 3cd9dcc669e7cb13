/**
 * Gradients in which the graph differs from TensorFlow.js's cpu backend on purpose. Each operation is linear, so its gradient is its transpose: column i of the
 * matrix is the result of the i-th unit vector, computed eagerly.
 */
import { ndArray, Random, type NdArray } from '@coda-nets/core';
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { expectClose, useReference } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';

/** Sums of a few float32 products. */
const TOLERANCE = { rtol: 1e-5, atol: 1e-6 } as const;

beforeAll(() => useReference());

type Linear = (x: tf.Tensor) => tf.Tensor;
const as4d = (x: tf.Tensor): tf.Tensor4D => x as tf.Tensor4D;

const cases: readonly (readonly [string, number[], Linear])[] = [
  ['average pooling, same', [1, 5, 4, 2], (x) => tf.avgPool(as4d(x), 3, 2, 'same')],
  ['average pooling, same, stride 1', [1, 4, 3, 1], (x) => tf.avgPool(as4d(x), [3, 2], 1, 'same')],
  ['average pooling, padded by one', [1, 5, 5, 1], (x) => tf.avgPool(as4d(x), 3, 2, 1)],
  ['average pooling of volumes, same', [1, 3, 4, 3, 1], (x) => tf.avgPool3d(x as tf.Tensor5D, 2, 2, 'same')],
  ['bilinear resizing of an image that is not square', [1, 3, 5, 2], (x) => tf.image.resizeBilinear(as4d(x), [4, 2])],
  ['bilinear resizing, half pixel centres', [1, 3, 4, 1], (x) => tf.image.resizeBilinear(as4d(x), [5, 7], false, true)],
  ['bilinear resizing to less, half pixel centres', [1, 6, 5, 1], (x) => tf.image.resizeBilinear(as4d(x), [3, 2], false, true)],
  ['nearest resizing of two images', [2, 2, 3, 1], (x) => tf.image.resizeNearestNeighbor(as4d(x), [3, 5])],
  ['nearest resizing, half pixel centres', [1, 3, 4, 1], (x) => tf.image.resizeNearestNeighbor(as4d(x), [5, 3], false, true)],
];

it.each(cases)('%s', async (_, shape, linear) => {
  const size = shape.reduce((a, b) => a * b, 1);
  const columns = Array.from({ length: size }, (_c, i) =>
    tf.tidy(() => {
      const unit = new Float32Array(size);
      unit[i] = 1;
      return linear(tf.tensor(unit, shape)).dataSync() as Float32Array;
    }),
  );
  const outShape = tf.tidy(() => linear(tf.zeros(shape)).shape);
  const random = Random.seeded(5);
  const dy = Float32Array.from({ length: (columns[0] as Float32Array).length }, () => random.uniform() - 0.5);
  const expected = columns.map((column) => column.reduce((sum, a, k) => sum + a * (dy[k] as number), 0));

  const specs = { x: { shape, dtype: 'float32' as const }, dy: { shape: outShape, dtype: 'float32' as const } };
  const gradient = await (
    await onnxRuntimeEngine({ threads: 1 })
  ).compile((t) => ({ dx: tf.grad((x) => tf.sum(tf.mul(linear(x), t['dy'] as tf.Tensor)))(t['x'] as tf.Tensor) }), { inputs: specs });
  const { dx } = await gradient.run({ x: ndArray('float32', shape, new Float32Array(size)), dy: ndArray('float32', outShape, dy) });
  expect((dx as NdArray).shape).toEqual(shape);
  expectClose((dx as NdArray).data as Float32Array, expected, TOLERANCE);
  await gradient.dispose();
});
