/**
 * What the conformance suite does not come upon by itself: values that simplify, sizes at which convolutions become products, and several operations in a
 * row where data lies in NCHW. The compiled engine against eager TensorFlow.js on the cpu backend, gradients included.
 */
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, it } from 'vitest';
import { expectCompiledEqualsEager, type Case } from './equals-eager.ts';

beforeAll(() => useBackend('cpu'));

const image = { x: [2, 5, 6, 3] };
const x = (t: Record<string, tf.Tensor>): tf.Tensor => t['x'] as tf.Tensor;
const conv = (strides: number | [number, number], pad: 'same' | 'valid', dilations = 1) => ({
  fn: (t: Record<string, tf.Tensor>) => tf.conv2d(t['x'] as tf.Tensor4D, t['w'] as tf.Tensor4D, strides, pad, 'NHWC', dilations),
});
/** A convolution first, so that what follows works on values that lie in NCHW. */
const afterConv = (
  then: (y: tf.Tensor4D, t: Record<string, tf.Tensor>) => tf.Tensor | Record<string, tf.Tensor>,
  more: Case['shapes'] = {},
): Case => ({
  fn: (t) => then(tf.conv2d(t['x'] as tf.Tensor4D, t['w'] as tf.Tensor4D, 1, 'same'), t),
  shapes: { x: [2, 5, 6, 3], w: [3, 3, 3, 4], ...more },
});

const cases: Readonly<Record<string, Case>> = {
  'mul by one and zero': { fn: (t) => tf.mul(tf.mul(x(t), tf.onesLike(x(t))), tf.add(tf.zerosLike(x(t)), 2)), shapes: image },
  'log1p of little': { fn: (t) => tf.mul(tf.log1p(tf.mul(x(t), 1e-6)), 1e6), shapes: image },
  'expm1 of little': { fn: (t) => tf.mul(tf.expm1(tf.mul(x(t), 1e-6)), 1e6), shapes: image },
  'where against a number': { fn: (t) => tf.where(tf.greater(x(t), 0), x(t), tf.scalar(-1)), shapes: image, gradient: false },
  'sum of ones': { fn: (t) => tf.mul(x(t), tf.sum(tf.onesLike(x(t)), [1], true)), shapes: { x: [4, 3] } },
  'expandDims and squeeze': { fn: (t) => tf.squeeze(tf.expandDims(tf.expandDims(x(t), 0), -1), [0]), shapes: image },
  'transpose twice': { fn: (t) => tf.mul(tf.transpose(tf.transpose(x(t), [0, 3, 1, 2]), [0, 2, 3, 1]), x(t)), shapes: image },
  'transpose then reshape': { fn: (t) => tf.reshape(tf.transpose(x(t), [1, 0, 2, 3]), [5, 36]), shapes: image },
  'after a convolution: stridedSlice': {
    ...afterConv((y) => tf.stridedSlice(y, [0, 0, 1, 0], [2, 5, 6, 4], [1, 2, 2, 3])),
    gradient: false,
  },
  'stridedSlice of ones': {
    fn: (t) => tf.add(x(t), tf.stridedSlice(tf.onesLike(x(t)), [0, 0, 0, 0], [2, 5, 6, 3], [1, 1, 1, 3])),
    shapes: image,
    gradient: false,
  },
  'tile an axis of one, then reshape': { fn: (t) => tf.reshape(tf.tile(x(t), [1, 5, 1]), [10, 3]), shapes: { x: [2, 1, 3] } },
  'matMul of transposes': {
    fn: (t) => tf.matMul(tf.transpose(t['a'] as tf.Tensor2D), tf.transpose(t['b'] as tf.Tensor2D), false, true),
    shapes: { a: [5, 4], b: [5, 3] },
  },
  'addN of a product and another': {
    fn: (t) => tf.addN([tf.matMul(t['a'] as tf.Tensor2D, t['b'] as tf.Tensor2D), t['c'] as tf.Tensor]),
    shapes: { a: [4, 5], b: [5, 3], c: [4, 3] },
  },
  'after a convolution: addN': afterConv((y, t) => tf.addN([y, t['c'] as tf.Tensor, tf.ones([2, 5, 6, 4]), y]), { c: [2, 5, 6, 4] }),
  'conv2d 2×4 same': { ...conv(1, 'same'), shapes: { x: [2, 5, 6, 3], w: [2, 4, 3, 2] } },
  'conv2d few to many channels': { ...conv(1, 'same'), shapes: { x: [2, 5, 6, 1], w: [3, 3, 1, 12] } },
  'conv2d many to few channels': { ...conv(1, 'same'), shapes: { x: [2, 5, 6, 12], w: [3, 3, 12, 1] } },
  'conv2d as a product': { ...conv(1, 'same'), shapes: { x: [2, 5, 6, 3], w: [3, 3, 3, 256] }, from: -0.5, to: 0.5 },
  'conv2d as a product, valid': { ...conv(1, 'valid'), shapes: { x: [2, 5, 6, 3], w: [2, 3, 3, 256] }, from: -0.5, to: 0.5 },
  'conv2d as a product, stride 2': { ...conv(2, 'valid'), shapes: { x: [2, 7, 8, 3], w: [3, 3, 3, 256] }, from: -0.5, to: 0.5 },
  'conv2d as a product, 1×1': { ...conv(1, 'valid'), shapes: { x: [2, 5, 6, 3], w: [1, 1, 3, 256] }, from: -0.5, to: 0.5 },
  'conv2d summed over the whole batch': { ...conv(1, 'valid'), shapes: { x: [2, 3, 3, 20], w: [3, 3, 20, 30] } },
  'gradient of a gradient, products': {
    fn: (t) => {
      const energy = (x: tf.Tensor): tf.Tensor => tf.sum(tf.square(tf.tanh(tf.matMul(x as tf.Tensor2D, t['w'] as tf.Tensor2D))));
      return tf.grad(energy)(t['x'] as tf.Tensor);
    },
    shapes: { x: [4, 5], w: [5, 3] },
    from: -1,
    to: 1,
  },
  'gradient of a gradient, convolutions': {
    fn: (t) => {
      const energy = (x: tf.Tensor): tf.Tensor =>
        tf.sum(tf.square(tf.sigmoid(tf.conv2d(x as tf.Tensor4D, t['w'] as tf.Tensor4D, 1, 'same'))));
      return tf.mul(tf.grad(energy)(t['x'] as tf.Tensor), t['x'] as tf.Tensor);
    },
    shapes: { x: [2, 5, 6, 3], w: [3, 3, 3, 4] },
    from: -1,
    to: 1,
  },
  // ONNX Runtime would make the zeros padding, which counts as −∞
  'maxPool of an image with zeros around it': {
    fn: (t) => {
      const padded = tf.pad(tf.neg(tf.square(t['x'] as tf.Tensor4D)), [
        [0, 0],
        [1, 0],
        [0, 2],
        [0, 0],
      ]);
      return tf.maxPool(padded as tf.Tensor4D, 3, 1, 'valid');
    },
    shapes: { x: [1, 5, 6, 2] },
    gradient: false,
  },
  'maxPool of a convolution with zeros around it': {
    fn: (t) => {
      const y = tf.neg(tf.square(tf.conv2d(t['x'] as tf.Tensor4D, t['w'] as tf.Tensor4D, 1, 'valid')));
      return tf.maxPool(
        tf.pad(y, [
          [0, 0],
          [1, 1],
          [1, 1],
          [0, 0],
        ]) as tf.Tensor4D,
        3,
        2,
        'valid',
      );
    },
    shapes: { x: [2, 7, 8, 3], w: [3, 3, 3, 4] },
    gradient: false,
  },
  'maxPool 2×2': { fn: (t) => tf.maxPool(t['x'] as tf.Tensor4D, 2, 2, 'valid'), shapes: { x: [2, 7, 6, 3] } },
  'maxPool 3×3 stride 2 with padding': { fn: (t) => tf.maxPool(t['x'] as tf.Tensor4D, 3, 2, 1), shapes: { x: [2, 7, 8, 3] } },
  'maxPool 3×2 same': { fn: (t) => tf.maxPool(t['x'] as tf.Tensor4D, [3, 2], [2, 1], 'same'), shapes: { x: [2, 7, 8, 3] } },
  'maxPool 2×2 stride 3, rows no window sees': { fn: (t) => tf.maxPool(t['x'] as tf.Tensor4D, 2, 3, 'valid'), shapes: { x: [1, 9, 7, 2] } },
  // tfjs forgets the rounding on the way back
  'maxPool rounded up': { fn: (t) => tf.maxPool(t['x'] as tf.Tensor4D, 2, 2, 0, 'ceil'), shapes: { x: [1, 5, 7, 2] }, gradient: false },
  'maxPool with ties': { fn: (t) => tf.maxPool(tf.round(t['x'] as tf.Tensor4D), 3, 2, 1), shapes: { x: [2, 7, 8, 3] }, gradient: false },
  'gradient of maxPool with ties': {
    fn: (t) => tf.grad((y) => tf.sum(tf.mul(tf.maxPool(y as tf.Tensor4D, 3, 2, 1), t['w'] as tf.Tensor)))(tf.round(t['x'] as tf.Tensor)),
    shapes: { x: [2, 7, 8, 3], w: [2, 4, 4, 3] },
    gradient: false,
  },
  'after a convolution: maxPool': afterConv((y) => tf.maxPool(tf.relu(y), 3, 2, 1)),
  'after a convolution: channel vectors': afterConv((y, t) => tf.mul(tf.add(y, t['c'] as tf.Tensor), t['c'] as tf.Tensor), { c: [4] }),
  'after a convolution: per-position maps': afterConv((y, t) => tf.mul(y, t['c'] as tf.Tensor), { c: [5, 6, 1] }),
  'after a convolution: sums': afterConv((y) => ({
    a: tf.sum(y, [0, 1, 2]),
    b: tf.mean(y, [1, 2]),
    c: tf.max(y, 3),
    d: tf.sum(y, 3, true),
  })),
  'after a convolution: channels split in two axes': afterConv((y) => tf.sum(tf.reshape(y, [2, 5, 6, 2, 2]), 4)),
  'after a convolution: positions merged': afterConv((y) => tf.matMul(tf.reshape(y, [60, 4]), tf.reshape(y, [60, 4]), true)),
  'after a convolution: slices, concat and pad': afterConv((y) =>
    tf.pad(tf.concat([tf.slice(y, [0, 0, 1, 1], [2, 5, 4, 2]), tf.slice(y, [0, 0, 0, 0], [2, 5, 4, 1])], 3), [
      [0, 0],
      [1, 0],
      [0, 2],
      [0, 0],
    ]),
  ),
  'after a convolution: another one': afterConv((y, t) => tf.relu(tf.conv2d(tf.relu(y), t['v'] as tf.Tensor4D, 2, 'same')), {
    v: [3, 3, 4, 2],
  }),
  'after a convolution: with a tensor that lies NHWC': afterConv((y, t) => tf.add(tf.mul(y, t['c'] as tf.Tensor), y), { c: [2, 5, 6, 4] }),
};

describe('the compiled engine equals eager tfjs', () => {
  it.each(Object.entries(cases))('%s', (name, test) => expectCompiledEqualsEager(name, test));
});
