/** Whole numbers that leave their 32 bits wrap around as in TensorFlow.js, and NaN stays NaN, or does not, as there. */
import { eagerEngine, onnxRuntimeEngine } from '@coda-nets/engine';
import type { NdArray, TensorFunction } from '@coda-nets/core';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(() => useBackend('cpu'));

const MOST = 2 ** 31 - 1;
const LEAST = -(2 ** 31);

async function both(fn: TensorFunction, x: NdArray): Promise<readonly [NdArray, NdArray]> {
  const signature = { inputs: { x: { shape: [...x.shape], dtype: x.dtype as 'int32' } } };
  const compiled = await (await onnxRuntimeEngine({ threads: 1 })).compile(fn, signature);
  const eager = await eagerEngine({ name: 'cpu', backend: 'cpu', description: '' }).compile(fn, signature);
  const [actual, expected] = [await compiled.run({ x }), await eager.run({ x })];
  await compiled.dispose();
  return [actual['y'] as NdArray, expected['y'] as NdArray];
}

const whole = (x: tf.Tensor | undefined): tf.Tensor => x as tf.Tensor;
const large: NdArray = { dtype: 'int32', shape: [2, 3], data: Int32Array.of(MOST, 5, MOST, LEAST, -3, -2_000_000_000) };
/** Their products stay below 2⁵³, beyond which TensorFlow.js rounds them before they wrap around. */
const factors: NdArray = { dtype: 'int32', shape: [2, 3], data: Int32Array.of(1 << 20, 1 << 9, 1 << 8, -70_000, 70_000, 3) };

const cases: Readonly<Record<string, readonly [TensorFunction, NdArray]>> = {
  'a sum': [({ x }) => ({ y: tf.sum(whole(x), 1) }), large],
  'a sum of all': [({ x }) => ({ y: tf.sum(tf.tile(whole(x), [4, 1])) }), large],
  'a sum of one number repeated': [({ x }) => ({ y: tf.sum(tf.tile(tf.slice(whole(x), [0, 0], [1, 1]), [3, 7])) }), large],
  'a running sum': [({ x }) => ({ y: tf.cumsum(whole(x), 1) }), large],
  'a sum of several': [({ x }) => ({ y: tf.addN([whole(x), whole(x), whole(x)]) }), large],
  'a product over an axis': [({ x }) => ({ y: tf.prod(whole(x), 1) }), factors],
  'a product of one number repeated': [({ x }) => ({ y: tf.prod(tf.tile(tf.reshape(whole(x), [2, 3, 1]), [1, 1, 2]), 2) }), factors],
  'a power': [({ x }) => ({ y: tf.pow(whole(x), tf.scalar(2, 'int32')) }), factors],
  'a power with a negative exponent': [({ x }) => ({ y: tf.pow(whole(x), tf.scalar(-1, 'int32')) }), factors],
  // beyond 2²⁴ TensorFlow.js rounds it
  'an absolute value': [({ x }) => ({ y: tf.abs(whole(x)) }), factors],
  'a negative': [({ x }) => ({ y: tf.neg(whole(x)) }), large],
  'a matrix product': [({ x }) => ({ y: tf.matMul(whole(x) as tf.Tensor2D, whole(x) as tf.Tensor2D, false, true) }), factors],
  'a matrix product with a bias': [
    ({ x }) => ({
      y: tf.fused.matMul({
        a: whole(x) as tf.Tensor2D,
        b: tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2], 'int32'),
        bias: tf.tensor1d([MOST, 1], 'int32'),
      }),
    }),
    factors,
  ],
  'matrix products': [
    ({ x }) => {
      const matrices = tf.tile(tf.reshape(whole(x), [1, 2, 3]), [2, 1, 1]);
      return { y: tf.matMul(matrices, matrices, true, false) };
    },
    factors,
  ],
};

describe('whole numbers wrap around as in TensorFlow.js', () => {
  it.each(Object.entries(cases))('%s', async (_, [fn, x]) => {
    const [actual, expected] = await both(fn, x);
    expect(actual.dtype).toBe(expected.dtype);
    expect(actual.shape).toEqual(expected.shape);
    expect(actual.data).toEqual(expected.data);
  });

  it('sums beyond 2³² too, which float64 holds and int32 does not', async () => {
    const x: NdArray = { dtype: 'int32', shape: [100_000], data: Int32Array.from({ length: 100_000 }, (_, i) => MOST - i) };
    const [actual, expected] = await both(({ x: n }) => ({ y: tf.sum(n as tf.Tensor) }), x);
    expect(actual.data).toEqual(expected.data);
  });
});

describe('what is not a number', () => {
  const x: NdArray = {
    dtype: 'float32',
    shape: [11],
    data: Float32Array.of(NaN, 5, 0, Infinity, -Infinity, -0, 1e-45, -1e-45, NaN, -2, NaN),
  };
  const functions: Readonly<Record<string, (a: tf.Tensor) => tf.Tensor>> = {
    step: (a) => tf.step(a),
    'step with a slope': (a) => tf.step(a, 0.25),
    sign: (a) => tf.sign(a),
    relu: (a) => tf.relu(a),
    'the gradient of relu': (a) => tf.grad((b) => tf.relu(b))(a),
    'the gradient of abs': (a) => tf.grad((b) => tf.abs(b))(a),
    maximum: (a) => tf.maximum(a, 1),
    clipByValue: (a) => tf.clipByValue(a, -1, 1),
    sqrt: (a) => tf.sqrt(a),
    isNaN: (a) => tf.cast(tf.isNaN(a), 'float32'),
  };
  it.each(Object.entries(functions))('in %s', async (_, fn) => {
    const [actual, expected] = await both(({ x: a }) => ({ y: fn(a as tf.Tensor) }), x);
    // 0 and −0 are the same number
    expect(Array.from(actual.data as Float32Array, (v) => v + 0)).toEqual(Array.from(expected.data as Float32Array, (v) => v + 0));
  });
});
