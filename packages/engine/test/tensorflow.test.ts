/** TensorFlow, where it is set up: the kernels that are put in the place of tfjs-node's, against plain JavaScript and the formula step by step. */
import { resolveEngine } from '@coda-nets/engine';
import { expectClose, expectNoLeak, hasBackend, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

/** float32, other orders of summation. */
const TOLERANCE = { rtol: 1e-5, atol: 1e-5 };

const here = await hasBackend('tensorflow');

describe.skipIf(!here)(`TensorFlow${here ? '' : ' (SKIPPED: not set up here, `coda setup tensorflow`)'}`, () => {
  beforeAll(() => useBackend('cpu'));

  it('tells its version and device, and leaves the chosen backend as it is', async () => {
    await tf.setBackend('cpu');
    const { engine } = await resolveEngine('tensorflow');
    expect(engine.description).toMatch(/^TensorFlow \d+\.\d+\.\d+ through @tensorflow\/tfjs-node(-gpu)? 4\.22\.0, (CPU; .+|GPU .+)$/);
    expect(tf.getBackend()).toBe('cpu');
  });

  /** The same on two backends. */
  async function expectSameOnBoth(fn: () => tf.Tensor[]): Promise<void> {
    const results: Float32Array[][] = [];
    for (const backend of ['cpu', 'tensorflow'] as const) {
      await tf.setBackend(backend);
      const tensors = fn();
      results.push(await Promise.all(tensors.map(async (tensor) => (await tensor.data()).slice() as Float32Array)));
      tf.dispose(tensors);
    }
    await tf.setBackend('cpu');
    const [expected, got] = results as [Float32Array[], Float32Array[]];
    for (const [i, one] of expected.entries()) expectClose(got[i] as Float32Array, one, TOLERANCE);
  }

  it.each([
    { size: [2, 8, 8, 3], kernel: 3, stride: 1, pad: 1 },
    { size: [2, 8, 8, 3], kernel: 3, stride: 2, pad: 1 },
    { size: [1, 9, 7, 2], kernel: 7, stride: 2, pad: 3 },
    { size: [2, 5, 5, 2], kernel: 1, stride: 2, pad: 0 },
    { size: [1, 6, 7, 2], kernel: 5, stride: 3, pad: 2 },
    { size: [1, 6, 6, 2], kernel: 2, stride: 1, pad: 1 },
    // of which the last row and column are not seen: oneDNN's filter gradient by itself is wrong
    { size: [1, 8, 8, 4], kernel: 1, stride: 2, pad: 0 },
    { size: [4, 8, 8, 2], kernel: 1, stride: 2, pad: 0 },
  ] as const)('convolves and differentiates with padding as a number: %j', async ({ size, kernel, stride, pad }) => {
    await expectSameOnBoth(() => {
      const [x, filter] = [randomTensor([...size], 1) as tf.Tensor4D, randomTensor([kernel, kernel, size[3], 4], 2) as tf.Tensor4D];
      const { value, grads } = tf.valueAndGrads((a: tf.Tensor, k: tf.Tensor) =>
        tf.sum(tf.square(tf.conv2d(a as tf.Tensor4D, k as tf.Tensor4D, stride, pad))),
      )([x, filter]);
      return [value, ...grads];
    });
  });

  it('differentiates by a pointwise filter where the padding is a list of zeros', async () => {
    await expectSameOnBoth(() => {
      const [x, filter] = [randomTensor([1, 8, 8, 4], 1) as tf.Tensor4D, randomTensor([1, 1, 4, 4], 2) as tf.Tensor4D];
      const none: [number, number] = [0, 0];
      return [tf.grad((k: tf.Tensor) => tf.sum(tf.square(tf.conv2d(x, k as tf.Tensor4D, 2, [none, none, none, none]))))(filter)];
    });
  });

  it.each([
    { kernel: 3, stride: 2, pad: 1 },
    { kernel: 2, stride: 2, pad: 0 },
    { kernel: 3, stride: 1, pad: 1 },
  ])('pools and differentiates with padding as a number: %j', async ({ kernel, stride, pad }) => {
    await expectSameOnBoth(() => {
      const x = randomTensor([2, 7, 8, 3], 3) as tf.Tensor4D;
      const { value, grad } = tf.valueAndGrad((a: tf.Tensor) => tf.sum(tf.square(tf.maxPool(a as tf.Tensor4D, kernel, stride, pad))))(x);
      return [value, grad];
    });
  });

  it('differentiates rectifiers, twice', async () => {
    await expectSameOnBoth(() => {
      const [x, dy] = [randomTensor([3, 5, 2], 4), randomTensor([3, 5, 2], 5)];
      const once = tf.grad((a: tf.Tensor) => tf.relu(a));
      const twice = tf.grad((a: tf.Tensor) => tf.sum(tf.mul(dy, tf.square(once(a, dy)))));
      return [
        once(x, dy),
        twice(x),
        tf.grad((d: tf.Tensor) => tf.sum(tf.square(once(x, d))))(dy),
        tf.grad((a: tf.Tensor) => tf.relu(a))(tf.tensor1d([-1, 0, 2])),
      ];
    });
  });

  it('leaves no tensor behind', async () => {
    await tf.setBackend('tensorflow');
    expectNoLeak(() => {
      const [x, filter] = [randomTensor([1, 8, 8, 2], 1) as tf.Tensor4D, randomTensor([3, 3, 2, 2], 2) as tf.Tensor4D];
      const grad = tf.grad((a: tf.Tensor) => tf.sum(tf.relu(tf.conv2d(a as tf.Tensor4D, filter, 2, 1))))(x);
      tf.dispose([x, filter, grad]);
    });
    await tf.setBackend('cpu');
  });
});
