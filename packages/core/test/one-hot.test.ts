import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { describe, expect, it } from 'vitest';
import { oneHot } from '../src/index.ts';

describe('oneHot', () => {
  it('is what tf.oneHot gives, where that takes the number of classes', () => {
    const labels = tf.tensor1d([2, 0, -1, 3, 1], 'int32');
    const [ours, theirs] = [oneHot(labels, 3), tf.oneHot(labels, 3, 1, 0, 'float32')];
    expect(ours.dtype).toBe('float32');
    expect(ours.arraySync()).toEqual(theirs.arraySync());
  });

  it('takes one class', () => {
    expect(oneHot(tf.tensor1d([0, 1], 'int32'), 1).arraySync()).toEqual([[1], [0]]);
  });
});
