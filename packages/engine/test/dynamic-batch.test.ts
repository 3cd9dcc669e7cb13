/** Functions of a batch of any size: one graph, run at two sizes that it was not traced with, against eager TensorFlow.js. */
import { ndArray, Random } from '@coda-nets/core';
import { onnxRuntimeEngine, eagerEngine } from '@coda-nets/engine';
import { expectClose, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { trace } from '@coda-nets/onnx';
import { beforeAll, expect, it } from 'vitest';

/** Sums of a few float32 products. */
const TOLERANCE = { rtol: 1e-5, atol: 1e-6, relativeTo: 'largest' } as const;

beforeAll(() => useBackend('cpu'));

type Images = (x: tf.Tensor4D) => tf.Tensor;
const ones = (...shape: number[]): tf.Tensor4D => tf.mul(tf.ones(shape), 0.5);

const cases: Readonly<Record<string, Images>> = {
  depthwiseConv2d: (x) => tf.depthwiseConv2d(x, ones(3, 3, 3, 2), 2, 'same'),
  'depthwise, then plain': (x) => tf.conv2d(tf.relu(tf.depthwiseConv2d(x, ones(2, 2, 3, 1), 1, 'valid')), ones(1, 1, 3, 2), 1, 'same'),
  avgPool: (x) => tf.avgPool(x, 2, 2, 'valid'),
  batchNorm: (x) => tf.batchNorm(x, tf.tensor1d([0, 1, 2]), tf.tensor1d([1, 2, 3]), tf.tensor1d([3, 0, 1]), tf.tensor1d([1, -1, 2])),
  resizeBilinear: (x) => tf.image.resizeBilinear(x, [7, 7]),
  // to the same size: TensorFlow.js has the gradient of one image only otherwise
  resizeNearestNeighbor: (x) => tf.image.resizeNearestNeighbor(x, [4, 4], true),
  'softmax of attention': (x) => {
    const q = tf.reshape(x, [-1, 16, 3]) as tf.Tensor3D;
    return tf.matMul(tf.softmax(tf.matMul(q, q, false, true)), q);
  },
  cumsum: (x) => tf.cumsum(x, 3),
  mirrorPad: (x) =>
    tf.slice(
      tf.mirrorPad(
        x,
        [
          [0, 0],
          [1, 1],
          [2, 0],
          [0, 0],
        ],
        'reflect',
      ),
      [0, 0, 0, 0],
      [-1, 5, 5, 3],
    ),
  'clip, leakyRelu': (x) => tf.leakyRelu(tf.clipByValue(x, -1, 0.5)),
};

it.each(Object.entries(cases))('%s', async (_, fn) => {
  const both = (t: Readonly<Record<string, tf.Tensor>>) => {
    const x = t['x'] as tf.Tensor4D;
    return { y: fn(x), dx: tf.grad((a) => tf.sum(tf.square(fn(a as tf.Tensor4D))))(x) };
  };
  const inputs = { x: { shape: ['batch' as const, 4, 4, 3], dtype: 'float32' as const } };
  const compiled = await (await onnxRuntimeEngine({ threads: 1 })).compile(both, { inputs });
  for (const batch of [1, 3]) {
    const random = Random.seeded(batch);
    const x = ndArray(
      'float32',
      [batch, 4, 4, 3],
      Float32Array.from({ length: batch * 48 }, () => random.normal()),
    );
    const eager = await eagerEngine({ name: 'cpu', backend: 'cpu', description: '' }).compile(both, { inputs });
    const [actual, expected] = [await compiled.run({ x }), await eager.run({ x })];
    for (const name of ['y', 'dx']) {
      expect(actual[name]?.shape).toEqual(expected[name]?.shape);
      expectClose(actual[name]?.data as Float32Array, expected[name]?.data as Float32Array, TOLERANCE);
    }
  }
  await compiled.dispose();
});

const some = (n: number, x: tf.Tensor): boolean => (x.shape[0] as number) > n;

it.each<[string, (x: tf.Tensor) => tf.Tensor, string]>([
  ['does otherwise for many', (x) => (some(50, x) ? tf.relu(x) : x), 'other operations at another size does not make a graph'],
  ['does otherwise for a few', (x) => (some(8, x) ? tf.relu(x) : x), 'other operations at another size does not make a graph'],
  ['computes otherwise for a few', (x) => tf.mul(x, some(8, x) ? 2 : 3), 'trace: Mul: a size used as a number does not make a graph'],
  [
    'does otherwise for one',
    (x) => (some(1, x) ? tf.sigmoid(tf.relu(x)) : tf.relu(x)),
    'trace: the end: other operations for a batch of one do not make a graph for any size; expected Sigmoid, got the end. Name the axes in tf.squeeze',
  ],
  [
    'squeezes every axis of one',
    (x) => tf.squeeze(tf.sum(x, [1, 2], true)),
    'trace: result "y": another rank for a batch of one does not make a graph for any size; expected 2 axes, got 1 axes',
  ],
])('a function that %s is refused', (_, fn, text) => {
  expect(() => trace(({ x }) => ({ y: fn(x as tf.Tensor) }), { inputs: { x: { shape: ['batch', 2, 2, 3], dtype: 'float32' } } })).toThrow(
    text,
  );
});

it('a function whose gradient sums over the batch is the same for one', () => {
  const bias = (x: tf.Tensor): tf.Tensor => tf.grad((b) => tf.sum(tf.square(tf.add(x, b))))(tf.ones([1, 3]));
  expect(() => trace(({ x }) => ({ y: bias(x as tf.Tensor) }), { inputs: { x: { shape: ['batch', 3], dtype: 'float32' } } })).not.toThrow();
});
