/** The testkit fails when it should, and says where. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  expectClose,
  expectNoLeak,
  expectOnlyResult,
  finiteDifference,
  hasBackend,
  randomTensor,
  randomValues,
  useBackend,
} from '@coda-nets/tools/testkit';

beforeAll(() => useBackend('cpu'));

describe('expectClose', () => {
  it('accepts what is within the tolerance', () => {
    expectClose([1, 2.01], [1, 2], { rtol: 0.01 });
    expectClose(1e-7, 0, { atol: 1e-6 });
    expectClose([0.01, 100], [0, 100], { rtol: 1e-3, relativeTo: 'largest' });
    expectClose(Infinity, Infinity);
  });

  it('names the worst place and both values', () => {
    const actual = tf.tensor2d([1, 2, 3, 5], [2, 2]);
    expect(() =>
      expectClose(
        actual,
        [
          [1, 2.5],
          [3, 4],
        ],
        { rtol: 1e-3 },
      ),
    ).toThrow(
      'expectClose: 2 of 4 values are not close (rtol 0.001, atol 0)\nworst at [1, 1]: actual 5, expected 4, difference 1.00e+0, relative 2.50e-1',
    );
    actual.dispose();
  });

  it('refuses NaN, an infinity against a number, and other shapes', () => {
    expect(() => expectClose([NaN], [NaN], { atol: 1 })).toThrow('actual NaN, expected NaN');
    expect(() => expectClose([NaN], [0], { atol: 1 })).toThrow('actual NaN, expected 0');
    expect(() => expectClose([1], [Infinity], { rtol: 1 })).toThrow('actual 1, expected Infinity');
    expect(() => expectClose([1, 2], [1], { rtol: 1 })).toThrow('shapes differ: actual [2], expected [1]');
    expect(() => expectClose([[1, 2, 3]], [[1], [2], [3]])).toThrow('shapes differ: actual [1, 3], expected [3, 1]');
    expect(() => expectClose([[1], [2, 3]], [1, 2, 3])).toThrow('ragged array');
  });
});

describe('expectNoLeak', () => {
  it('passes work that cleans up and catches work that does not', async () => {
    const kept: tf.Tensor[] = [];
    expectNoLeak(() => tf.scalar(1).dispose());
    expect(() => expectNoLeak(() => kept.push(tf.scalar(1)))).toThrow('1 tensors left behind');
    await expect(expectNoLeak(async () => kept.push(tf.scalar(2)))).rejects.toThrow('1 tensors left behind');
    expect(() => expectNoLeak(() => tf.dispose(kept))).toThrow('2 tensors disposed that were not made here');
  });
});

describe('expectOnlyResult', () => {
  it('hands on what a call returns, and catches what it left beside that, in a tidy too', () => {
    tf.tidy(() => {
      const x = tf.tensor1d([1, 2]);
      expect(expectOnlyResult(() => [tf.square(x), { y: tf.neg(x), x }, 3])).toHaveLength(3);
      expect(() => expectOnlyResult(() => tf.square(tf.neg(x)))).toThrow('2 more tensors than before, 1 of them in the result');
      expect(() => expectOnlyResult(() => x.dispose())).toThrow('-1 more tensors than before, 0 of them in the result');
    });
  });
});

describe('finiteDifference', () => {
  it('differentiates plain and tensor functions', () => {
    expectClose(
      finiteDifference(([a = 0, b = 0]) => a * a * b, [3, 2]),
      [12, 9],
      { rtol: 1e-8 },
    );
    const x = tf.tensor1d([1, -2]);
    expectNoLeak(() => {
      expectClose(
        finiteDifference((t) => tf.sum(tf.square(t)), x),
        [2, -4],
        { rtol: 1e-3 },
      );
    });
    expect(() => finiteDifference((t) => t, x)).toThrow('must return a scalar, got [2]');
    x.dispose();
  });
});

it('draws the same numbers from the same seed', () => {
  expect(randomValues(3, 7)).toEqual(randomValues(3, 7));
  expect(randomValues(3, 7)).not.toEqual(randomValues(3, 8));
  expect(randomValues(1000, 1, { min: 0, max: 2 }).every((v) => v >= 0 && v < 2)).toBe(true);
  const x = randomTensor([2, 3], 1);
  expect(x.shape).toEqual([2, 3]);
  x.dispose();
});

it('chooses a backend, and says which are here', async () => {
  await useBackend('wasm');
  expect(tf.getBackend()).toBe('wasm');
  await useBackend('cpu');
  expect(tf.getBackend()).toBe('cpu');
  expect([await hasBackend('cpu'), await hasBackend('wasm')]).toEqual([true, true]);
  if (!(await hasBackend('tensorflow'))) {
    await expect(useBackend('tensorflow')).rejects.toThrow('useBackend: backend "tensorflow" did not start');
  }
});
