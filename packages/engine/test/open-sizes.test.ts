/** Functions of images of any size: one graph, run at three sizes that it was not traced with, against eager TensorFlow.js. */
import { ndArray, Random } from '@coda-nets/core';
import { eagerEngine, onnxRuntimeEngine } from '@coda-nets/engine';
import { trace } from '@coda-nets/onnx';
import { expectClose, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

/** Sums of a few hundred float32 products. */
const TOLERANCE = { rtol: 1e-5, atol: 1e-6, relativeTo: 'largest' } as const;

beforeAll(() => useBackend('cpu'));

type Images = (x: tf.Tensor4D) => tf.Tensor;
const filter = (...shape: [number, number, number, number]): tf.Tensor4D => {
  const random = Random.seeded(shape[0]);
  return tf.tensor4d(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
    shape,
  );
};
const height = (x: tf.Tensor): number => x.shape[1] as number;
const width = (x: tf.Tensor): number => x.shape[2] as number;

const cases: Readonly<Record<string, Images>> = {
  'three strided convolutions, "same"': (x) => {
    const y = tf.conv2d(x, filter(3, 3, 3, 4), 2, 'same');
    return tf.conv2d(tf.relu(tf.conv2d(y, filter(5, 2, 4, 4), 2, 'same')), filter(3, 3, 4, 2), [2, 1], 'same');
  },
  'strided convolutions, "valid" and padded by a number': (x) =>
    tf.conv2d(tf.conv2d(x, filter(3, 3, 3, 4), 2, 1), filter(2, 2, 4, 2), 2, 'valid'),
  'stride 3': (x) => tf.conv2d(x, filter(3, 3, 3, 4), 3, 'same'),
  'depthwise and dilated': (x) => tf.conv2d(tf.depthwiseConv2d(x, filter(3, 3, 3, 2), 2, 'same'), filter(3, 3, 6, 2), 1, 'same', 'NHWC', 2),
  'max pool': (x) => tf.maxPool(tf.maxPool(x, 3, 2, 'same'), 2, 2, 'valid'),
  'average pool': (x) => tf.avgPool(tf.avgPool(x, 3, 2, 'same'), 2, 1, 'valid'),
  'mean over space and a dense layer': (x) => tf.matMul(tf.mean(x, [1, 2]) as tf.Tensor2D, tf.ones([3, 2]) as tf.Tensor2D),
  'pixels repeated': (x) =>
    tf.image.resizeNearestNeighbor(tf.maxPool(x, 2, 2, 'same'), [2 * Math.ceil(height(x) / 2), 2 * Math.ceil(width(x) / 2)]),
  'bilinear, twice as large': (x) => tf.image.resizeBilinear(x, [2 * height(x), 2 * width(x)]),
  'bilinear, to the size of another': (x) => tf.add(tf.image.resizeBilinear(tf.avgPool(x, 2, 2, 'valid'), [height(x), width(x)], true), x),
  'bilinear, to a fixed size': (x) => tf.image.resizeBilinear(x, [5, 7]),
  'attention between pixels': (x) => {
    const q = tf.reshape(x, [-1, height(x) * width(x), 3]) as tf.Tensor3D;
    return tf.reshape(tf.matMul(tf.softmax(tf.matMul(q, q, false, true)), q), [-1, height(x), width(x), 3]);
  },
  'channels to space': (x) => tf.depthToSpace(tf.conv2d(x, filter(1, 1, 3, 8), 1, 'same') as tf.Tensor4D, 2),
  cropped: (x) => tf.slice(x, [0, 1, 2, 0], [-1, height(x) - 2, width(x) - 4, 3]),
  padded: (x) =>
    tf.pad(x, [
      [0, 0],
      [1, 0],
      [0, 2],
      [0, 0],
    ]),
  'beside itself': (x) => tf.concat([x, tf.reverse(x, 1)], 1),
  'over channels first': (x) => tf.softmax(tf.transpose(x, [0, 3, 1, 2])),
};

const signature = (h: string, w: string) => ({ inputs: { x: { shape: ['batch', h, w, 3], dtype: 'float32' as const } } });
const image = (...shape: number[]) => {
  const random = Random.seeded(shape[1] as number);
  return ndArray(
    'float32',
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
  );
};

async function expectSame(fn: Images, h: string, w: string, sizes: readonly (readonly number[])[]): Promise<void> {
  const named = (t: Readonly<Record<string, tf.Tensor>>) => ({ y: fn(t['x'] as tf.Tensor4D) });
  const compiled = await (await onnxRuntimeEngine({ threads: 1 })).compile(named, signature(h, w));
  const eager = await eagerEngine({ name: 'cpu', backend: 'cpu', description: '' }).compile(named, signature(h, w));
  for (const size of sizes) {
    const x = image(...size, 3);
    const [actual, expected] = [await compiled.run({ x }), await eager.run({ x })];
    expect(actual['y']?.shape).toEqual(expected['y']?.shape);
    expectClose(actual['y']?.data as Float32Array, expected['y']?.data as Float32Array, TOLERANCE);
  }
  await compiled.dispose();
}

describe('images of any size', () => {
  it.each(Object.entries(cases))('%s', (_, fn) =>
    expectSame(fn, 'height', 'width', [
      [1, 12, 9],
      [2, 7, 16],
      [3, 21, 10],
    ]),
  );

  it('whose sizes are multiples: an hourglass with a skip', () =>
    expectSame(
      (x) => {
        const down = tf.relu(tf.conv2d(x, filter(3, 3, 3, 4), 2, 'same')) as tf.Tensor4D;
        const up = tf.conv2dTranspose(down, filter(2, 2, 3, 4) as tf.Tensor4D, [x.shape[0], height(x), width(x), 3], 2, 'same');
        return tf.concat([x, up], 3);
      },
      '2*height',
      '4*width',
      [
        [1, 6, 8],
        [2, 14, 4],
        [1, 8, 20],
      ],
    ));

  it('and refuses what computes with a size, or with a position', () => {
    const traced = (fn: Images) => () => trace(({ x }) => ({ y: fn(x as tf.Tensor4D) }), signature('height', 'width'));
    expect(traced((x) => tf.div(tf.sum(x, [1, 2]), height(x) * width(x)))).toThrow(
      'a size used as a number does not make a graph for any size',
    );
    expect(traced((x) => tf.mul(x, tf.reshape(tf.range(0, width(x)), [1, 1, -1, 1])))).toThrow('a size used as a number');
    expect(traced((x) => (height(x) > 100 ? tf.relu(x) : x))).toThrow(
      'other operations at another size does not make a graph for any size',
    );
  });

  it.each([4, 5, 6, 7, 9, 10])('of windows that skip, padded as little as they need, at %d', async (side) => {
    const fn: Images = (x) => tf.add(tf.avgPool(x, 3, 3, 'same'), tf.maxPool(x, 4, 3, 'same'));
    const compiled = await (
      await onnxRuntimeEngine({ threads: 1 })
    ).compile(({ x }) => ({ y: fn(x as tf.Tensor4D) }), signature('height', 'width'));
    const x = image(1, side, side + 1, 3);
    const eager = await eagerEngine({ name: 'cpu', backend: 'cpu', description: '' }).compile(
      ({ x: images }) => ({ y: fn(images as tf.Tensor4D) }),
      signature('height', 'width'),
    );
    const [{ y }, { y: expected }] = [await compiled.run({ x }), await eager.run({ x })];
    expect(y?.shape).toEqual(expected?.shape);
    expectClose(y?.data as Float32Array, expected?.data as Float32Array, { rtol: 1e-5, atol: 1e-6 });
    await compiled.dispose();
  });

  const skipping: Readonly<Record<string, Images>> = {
    convolution: (x) => tf.conv2d(x, filter(2, 1, 3, 2), [5, 4], 'same'),
    'depthwise convolution': (x) => tf.depthwiseConv2d(x, filter(2, 2, 3, 2), 3, 'same'),
    'mean, where padding counts for nothing': (x) => tf.avgPool(x, [2, 3], [4, 3], 'same'),
    'largest, of negative numbers': (x) => tf.maxPool(tf.sub(x, 10), [3, 2], [4, 5], 'same'),
    'another size along each axis': (x) => tf.maxPool(tf.sub(x, 10), [5, 2], [2, 3], 'same'),
    // remainders by 5 that do not tell "valid" from "same" occur in all traces
    valid: (x) => tf.conv2d(x, filter(2, 2, 3, 2), 5, 'valid'),
    'padded by a number': (x) => tf.avgPool(x, 2, 5, 1),
    'padded by a number and rounded up': (x) => tf.maxPool(x, 4, 3, 1, 'ceil'),
    'padded by a number and rounded': (x) => tf.conv2d(x, filter(3, 3, 3, 2), 4, 1, 'NHWC', 1, 'round'),
  };
  it.each(Object.entries(skipping))('of windows smaller than their stride at every remainder: %s', (_, fn) =>
    expectSame(
      fn,
      'height',
      'width',
      [6, 7, 8, 9, 10, 11, 12].map((side) => [2, side, side + 3]),
    ),
  );

  it('of one size a call', async () => {
    const compiled = await (
      await onnxRuntimeEngine({ threads: 1 })
    ).compile(({ x }) => ({ y: tf.relu(x as tf.Tensor) }), signature('2*side', '2*side'));
    await expect(compiled.run({ x: image(1, 4, 6, 3) })).rejects.toThrow(
      'run: input "x": another shape or dtype than compiled for; expected float32 [1, 4, 4, 3], got float32 [1, 4, 6, 3]',
    );
    await expect(compiled.run({ x: image(1, 5, 5, 3) })).rejects.toThrow(
      'expected float32 [1, 2*side, 2*side, 3], got float32 [1, 5, 5, 3]',
    );
    await compiled.dispose();
  });
});
