/**
 * The smallest dynamic linear networks that fulfil core's contract: two layers of 3×3 gates, out = σ(x∗G) ⊙ (x∗A), where the gate is the
 * dynamic weight. `stem` puts a conventional layer, relu(x∗S + 0.3), below them, so that `input` and `stem` become inexact.
 */
import * as tf from '@tensorflow/tfjs-core';
import { dynamicWeight, ndArray } from '@coda-nets/core';
import type { Compiled, Engine, NamedArrays, NamedTensors, NdArray, Network } from '@coda-nets/core';
import { randomValues } from '@coda-nets/tools/testkit';

export interface ToyOptions {
  readonly stem?: boolean;
  /** No gates: the network is linear. */
  readonly linear?: boolean;
  readonly temperature?: number;
  readonly classes?: number;
}

export const TOY_SIZE = [5, 7] as const;
export const TOY_CLASSES = 4;
export const TOY_BIAS = Math.log(0.1 / 0.9);
const TOY_STEM_BIAS = 0.3;

export function toyNetwork({ stem = false, linear = false, temperature = 8, classes = TOY_CLASSES }: ToyOptions = {}): Network {
  const conv = (x: tf.Tensor4D, w: tf.Tensor): tf.Tensor4D => tf.conv2d(x, w as tf.Tensor4D, 1, 'same');
  const layer = (x: tf.Tensor4D, weights: NamedTensors, i: number): tf.Tensor4D => {
    const value = conv(x, weights[`a${i}`] as tf.Tensor);
    return linear ? value : tf.mul(dynamicWeight(tf.sigmoid(conv(x, weights[`g${i}`] as tf.Tensor))), value);
  };
  const spec = { role: 'parameter', decay: true } as const;
  const shapes: Record<string, readonly number[]> = {
    ...(stem ? { s: [3, 3, 6, 6] } : {}),
    a0: [3, 3, 6, 5],
    g0: [3, 3, 6, 5],
    a1: [3, 3, 5, classes],
    g1: [3, 3, 5, classes],
  };
  return {
    config: { kind: 'toy' },
    inputShape: [...TOY_SIZE, 3],
    classes,
    taps: [
      { name: 'input', channels: 6, stride: 1, exact: !stem },
      ...(stem ? [{ name: 'stem', channels: 6, stride: 1, exact: true }] : []),
      { name: 'layer1', channels: 5, stride: 1, exact: true },
      { name: 'layer2', channels: classes, stride: 1, exact: true },
    ],
    weights: Object.fromEntries(
      Object.entries(shapes).map(([name, shape], i) => [
        name,
        {
          ...spec,
          shape,
          init: () =>
            ndArray(
              'float32',
              shape,
              randomValues(
                shape.reduce((p, d) => p * d),
                40 + i,
              ),
            ),
        },
      ]),
    ),
    logitBias: TOY_BIAS,
    forward: (weights, images, context) => {
      let x = context.tap('input', tf.concat([images, tf.sub(1, images)], 3) as tf.Tensor4D);
      if (stem) x = context.tap('stem', tf.relu(tf.add(conv(x, weights['s'] as tf.Tensor), TOY_STEM_BIAS)) as tf.Tensor4D);
      x = context.tap('layer1', layer(x, weights, 0));
      x = context.tap('layer2', layer(x, weights, 1));
      const logits = tf.add(tf.div(tf.sum(x, [1, 2]), temperature), TOY_BIAS) as tf.Tensor2D;
      return { logits, statistics: {} };
    },
    loss: (logits, targets) => tf.mean(tf.square(tf.sub(logits, targets))) as tf.Scalar,
    probabilities: (logits) => tf.sigmoid(logits),
  };
}

export function toyWeights(network: Network): Record<string, NdArray<'float32'>> {
  return Object.fromEntries(Object.entries(network.weights).map(([name, spec]) => [name, spec.init(undefined as never)]));
}

export function toyImages(count: number, seed = 1): NdArray<'float32'> {
  const shape = [count, ...TOY_SIZE, 3];
  return ndArray(
    'float32',
    shape,
    randomValues(
      shape.reduce((p, d) => p * d),
      seed,
      { min: 0, max: 1 },
    ),
  );
}

export function toTensor<T extends tf.Tensor = tf.Tensor>(array: NdArray): T {
  const dtype = array.dtype === 'float32' ? 'float32' : 'int32';
  return tf.tensor(array.data as Float32Array, array.shape as number[], dtype) as unknown as T;
}

export function toTensors(arrays: NamedArrays): Record<string, tf.Tensor> {
  return Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, toTensor(array)]));
}

/** core's Engine contract on the tfjs backend of the test. Counts the images of each call, and the numbers of all first inputs. */
export const eagerEngine: Engine & { readonly batches: number[]; numbers: number } = {
  name: 'cpu',
  description: 'tfjs cpu, in tests',
  batches: [],
  numbers: 0,
  compile: async (fn, { constants = {} }): Promise<Compiled> => ({
    run: async (inputs) => {
      eagerEngine.batches.push(Object.values(inputs)[0]?.shape[0] ?? 0);
      eagerEngine.numbers += Object.values(inputs)[0]?.data.length ?? 0;
      const outputs = tf.tidy(() => fn(toTensors({ ...constants, ...inputs })));
      return Object.fromEntries(
        Object.entries(outputs).map(([name, x]) => {
          const array = ndArray('float32', x.shape, Float32Array.from(x.dataSync()));
          x.dispose();
          return [name, array];
        }),
      );
    },
    carried: async () => ({}),
    dispose: async () => {},
  }),
};
