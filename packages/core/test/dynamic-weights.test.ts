import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectOnlyResult, useBackend } from '@coda-nets/tools/testkit';
import { dynamicWeight, holdConstant, withDynamicWeightsHeld } from '../src/index.ts';

beforeAll(() => useBackend('cpu'));

/** The derivative at 3 of fn, a function of a scalar. */
function slope(fn: (x: tf.Tensor) => tf.Tensor): number {
  return tf.tidy(() => {
    const x = tf.scalar(3);
    return expectOnlyResult(() => tf.grad(fn)(x)).dataSync()[0] as number;
  });
}

describe('holdConstant', () => {
  it('is the identity in value, shape and dtype', () => {
    tf.tidy(() => {
      for (const x of [tf.tensor2d([[1, -2.5]]), tf.tensor1d([1, 2], 'int32'), tf.scalar(true)]) {
        const y = holdConstant(x);
        expect([y.shape, y.dtype, y.dataSync()]).toEqual([x.shape, x.dtype, x.dataSync()]);
      }
    });
  });

  it('has no gradient, and lets that of other paths through', () => {
    expect(slope((x) => tf.mul(holdConstant(x), x))).toBe(3);
    expect(slope((x) => tf.mul(x, x))).toBe(6);
    expect(slope((x) => tf.add(holdConstant(tf.exp(x)), tf.mul(x, 2)))).toBe(2);
    expect(slope((x) => holdConstant(x))).toBe(0);
  });
});

describe('withDynamicWeightsHeld', () => {
  // w(x)·x with w(x) = x²: slope 3x² = 27, or x² = 9 with w held.
  const dynamicLinear = (x: tf.Tensor): tf.Tensor => tf.mul(dynamicWeight(tf.square(x)), x);

  it('holds dynamic weights inside the scope alone', () => {
    expect(slope(dynamicLinear)).toBe(27);
    expect(withDynamicWeightsHeld(() => slope(dynamicLinear))).toBe(9);
    expect(slope(dynamicLinear)).toBe(27);
  });

  it('nests, and ends where its function throws', () => {
    const inner = withDynamicWeightsHeld(() => {
      withDynamicWeightsHeld(() => slope(dynamicLinear));
      return slope(dynamicLinear);
    });
    expect(inner).toBe(9);
    expect(() =>
      withDynamicWeightsHeld(() => {
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(slope(dynamicLinear)).toBe(27);
  });

  it('refuses an asynchronous function', () => {
    expect(() => withDynamicWeightsHeld(async () => 1)).toThrow(
      'withDynamicWeightsHeld: fn: the scope ends when fn returns, so an asynchronous fn would leave it; expected a synchronous function, got a promise',
    );
    expect(slope(dynamicLinear)).toBe(27);
  });
});
