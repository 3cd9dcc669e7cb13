/** The first kernel that ONNX Runtime computes otherwise than eager TensorFlow.js, found where one is made to. */
import { ndArray, Random, type TensorFunction } from '@coda-nets/core';
import { eagerEngine, onnxRuntimeEngine } from '@coda-nets/engine';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, expect, it, vi } from 'vitest';
import { describeStep } from '../src/deviation.ts';
import { firstStepDifference } from '../src/first-step.ts';

await useBackend('cpu');
afterEach(() => vi.restoreAllMocks());

const reference = eagerEngine({ name: 'cpu', backend: 'cpu', description: 'cpu' });
const kernel = tf.tensor4d(
  Float32Array.from({ length: 54 }, (_, i) => Math.sin(i)),
  [3, 3, 3, 2],
);
const fn: TensorFunction = ({ image }) => {
  const y = tf.sigmoid(tf.conv2d(image as tf.Tensor4D, kernel, 1, 'same'));
  return { y: tf.mean(tf.tanh(y), [1, 2]) };
};
const shape = [2, 5, 4, 3];
const signature = { inputs: { image: { shape, dtype: 'float32' as const } } };
const random = Random.seeded(1);
const image = ndArray(
  'float32',
  shape,
  Float32Array.from({ length: 120 }, () => random.uniform()),
);
const options = { reference, tolerance: 1e-5, trace: { names: new Map([[kernel as tf.Tensor, 'stem/kernel']]) } };

it('says nothing where every kernel agrees', async () => {
  expect(await firstStepDifference(fn, signature, { image }, options)).toBeUndefined();
});

it.each<[string, string, number, RegExp]>([
  [
    'Conv2D',
    'Conv2D',
    1,
    /^The first tensor that differs is the result \[2, 5, 4, 2\] of Conv2D, as Transpose, Conv, that reads stem\/kernel: kernel 1 of 4, called at \S*first-step\.test\.ts:\d+:\d+, by \d/,
  ],
  ['a function of one number', 'Tanh', 3, /of Tanh, as Tanh,: kernel 3 of 4/],
])('names %s where that is wrong', async (_, name, step, text) => {
  // eager, the kernel gives one number that is not what it should be
  const config = tf.getKernel(name, 'cpu') as tf.KernelConfig;
  tf.unregisterKernel(name, 'cpu');
  tf.registerKernel({
    ...config,
    kernelFunc: (params) => {
      const result = config.kernelFunc(params) as tf.TensorInfo;
      const values = (params.backend as tf.KernelBackend).readSync(result.dataId) as Float32Array;
      values[1] = (values[1] as number) + 0.5;
      return result;
    },
  });
  try {
    const first = await firstStepDifference(fn, signature, { image }, options);
    expect(first).toMatchObject({ kernel: name, step });
    expect(describeStep(first as NonNullable<typeof first>)).toMatch(text);
  } finally {
    tf.unregisterKernel(name, 'cpu');
    tf.registerKernel(config);
  }
});

it.each([
  ['compiles', await onnxRuntimeEngine({ threads: 1 }), 'onnxruntime'],
  [
    'keeps its values on a GPU',
    eagerEngine({ name: 'tfjs-webgpu', backend: 'cpu', description: '', readsBetweenKernels: false }),
    'tfjs-webgpu',
  ],
])('refuses a reference that %s', async (_, engine, name) => {
  await expect(firstStepDifference(fn, signature, { image }, { ...options, reference: engine })).rejects.toThrow(
    `eagerSteps: engine: values cannot be read between its kernels; expected wasm, cpu or tensorflow, got ${name}`,
  );
});
