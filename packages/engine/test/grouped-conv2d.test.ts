/** Gradients of an image's gradient through a grouped convolution, compiled, against eager TensorFlow.js, which has each group apart. Its first gradients: conformance. */
import { groupedConv2d, ndArray, type NamedTensors } from '@coda-nets/core';
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { expectClose, randomValues, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, it } from 'vitest';

/** Products of three float32 sums, in another order. */
const TOLERANCE = { rtol: 1e-4, relativeTo: 'largest' } as const;

beforeAll(() => useBackend('cpu'));

it.each([1, 2])('at stride %i', async (strides) => {
  const shapes = { x: [2, 5, 6, 4], k: [3, 3, 2, 6] };
  const inputs = Object.fromEntries(
    Object.entries(shapes).map(([name, shape], i) => [
      name,
      ndArray(
        'float32',
        shape,
        randomValues(
          shape.reduce((a, b) => a * b),
          i + 1,
        ),
      ),
    ]),
  );
  const lengths = ({ x, k }: NamedTensors): NamedTensors => {
    const conv = (a: tf.Tensor, b: tf.Tensor): tf.Tensor =>
      tf.sum(tf.square(groupedConv2d(a as tf.Tensor4D, b as tf.Tensor4D, { groups: 2, strides, pad: 1 })));
    // of Σ (dL/dx)²: TensorFlow.js has no gradient of a filter's gradient
    const [dx, dk] = tf.grads((a: tf.Tensor, b: tf.Tensor) => tf.sum(tf.square(tf.grad((image: tf.Tensor) => conv(image, b))(a))))([
      x as tf.Tensor,
      k as tf.Tensor,
    ]);
    return { dx: dx as tf.Tensor, dk: dk as tf.Tensor };
  };
  const specs = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { shape, dtype: 'float32' as const }]));
  const compiled = await (await onnxRuntimeEngine({ threads: 1 })).compile(lengths, { inputs: specs });
  const actual = await compiled.run(inputs);
  await compiled.dispose();
  tf.tidy(() => {
    const expected = lengths(
      Object.fromEntries(Object.entries(inputs).map(([name, { data, shape }]) => [name, tf.tensor(data as Float32Array, [...shape])])),
    );
    for (const name of ['dx', 'dk']) expectClose(actual[name]?.data as Float32Array, expected[name]?.dataSync() as Float32Array, TOLERANCE);
  });
});
