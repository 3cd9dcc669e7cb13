import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { expectClose, expectOnlyResult, useBackend } from '@coda-nets/tools/testkit';
import { withGradientRules } from '../src/gradient-rules.ts';

beforeAll(() => useBackend('cpu'));

const x = [-2, -0.5, 0.25, 3];
const gradientOf = (fn: (x: tf.Tensor) => tf.Tensor): number[] =>
  tf.tidy(() => {
    const at = tf.tensor1d(x);
    return Array.from(expectOnlyResult(() => tf.grad((t: tf.Tensor) => tf.sum(fn(t)))(at)).dataSync());
  });

test('inside the scope the rule is the gradient, outside the true one; the forward pass stays', () => {
  const inside = withGradientRules({ Relu: (dy, { x, y }) => tf.add(tf.mul(dy, x), tf.mul(10, y)) }, () => {
    expect([...tf.tidy(() => tf.relu(tf.tensor1d(x)).dataSync())]).toEqual([0, 0, 0.25, 3]);
    return gradientOf(tf.relu);
  });
  expectClose(
    inside,
    x.map((v) => v + 10 * Math.max(0, v)),
    { atol: 1e-6 },
  );
  expect(gradientOf(tf.relu)).toEqual([0, 0, 1, 1]);
});

test('`plain` is the true gradient, of kernels that save their input and of those that save their output', () => {
  for (const [kernel, fn] of [
    ['Relu', tf.relu],
    ['Sigmoid', tf.sigmoid],
    ['Softplus', tf.softplus],
    ['Tanh', tf.tanh],
  ] as const) {
    expectClose(
      withGradientRules({ [kernel]: (dy, { plain }) => plain(dy) }, () => gradientOf(fn)),
      gradientOf(fn),
      { atol: 1e-7 },
    );
  }
});

test('scopes nest, and end when the function throws', () => {
  const twice = (outer: number, inner: number): number[][] =>
    withGradientRules({ Relu: (dy) => tf.mul(dy, outer) }, () => [
      withGradientRules({ Relu: (dy) => tf.mul(dy, inner) }, () => gradientOf(tf.relu)),
      gradientOf(tf.relu),
    ]);
  expect(twice(2, 3)).toEqual([
    [3, 3, 3, 3],
    [2, 2, 2, 2],
  ]);
  expect(() =>
    withGradientRules({ Relu: (dy) => dy }, () => {
      throw new Error('mine');
    }),
  ).toThrow('mine');
  expect(gradientOf(tf.relu)).toEqual([0, 0, 1, 1]);
});

test('a wrong call is told what was expected', () => {
  expect(() => withGradientRules({ Relo: (dy) => dy }, () => 0)).toThrow(
    'withGradientRules: Relo: no kernel of that name has a gradient; expected a kernel of TensorFlow.js with one input x, such as Relu or Sigmoid',
  );
  expect(() => withGradientRules({ Relu: (dy) => dy }, async () => 0)).toThrow('withGradientRules: fn: the scope ends when fn returns');
});
