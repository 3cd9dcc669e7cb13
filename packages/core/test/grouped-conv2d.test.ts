/** Grouped convolution against the formula with loops; compiled, it is held by the conformance suite of packages/engine. */
import { expectClose, finiteDifference, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { groupedConv2d } from '../src/index.ts';

/** float32 sums of a few dozen products, in another order. */
const float32Tolerance = { rtol: 1e-5, relativeTo: 'largest' } as const;

beforeAll(() => useBackend('cpu'));

describe('groupedConv2d', () => {
  it.each([
    [1, 1],
    [2, 0],
    [2, 1],
  ] as const)('is the formula, and its gradients are its differences, at stride %i with %i zeros around', (stride, border) => {
    const [height, width, channels, groups, out] = [5, 4, 4, 2, 6];
    const x = randomTensor<tf.Rank.R4>([1, height, width, channels], 1);
    const kernel = randomTensor<tf.Rank.R4>([3, 3, channels / groups, out], 2);
    const [rows, columns] = [height, width].map((side) => Math.floor((side + 2 * border - 3) / stride) + 1) as [number, number];
    const twin = (values: ArrayLike<number>, kernels: ArrayLike<number>): number[] => {
      const y: number[] = [];
      for (let r = 0; r < rows; r++)
        for (let q = 0; q < columns; q++)
          for (let o = 0; o < out; o++) {
            let sum = 0;
            const group = Math.floor(o / (out / groups));
            for (let i = 0; i < 3; i++)
              for (let j = 0; j < 3; j++)
                for (let c = 0; c < channels / groups; c++) {
                  const [row, column] = [r * stride + i - border, q * stride + j - border];
                  if (row < 0 || row >= height || column < 0 || column >= width) continue;
                  const at = (row * width + column) * channels + group * (channels / groups) + c;
                  sum += values[at]! * kernels[((i * 3 + j) * (channels / groups) + c) * out + o]!;
                }
            y.push(sum);
          }
      return y;
    };
    const squares = (y: number[]): number => y.reduce((sum, v) => sum + v * v, 0);
    tf.tidy(() => {
      expectClose(
        groupedConv2d(x, kernel, { groups, strides: stride, pad: border }),
        tf.tensor(twin(x.dataSync(), kernel.dataSync()), [1, rows, columns, out]),
        float32Tolerance,
      );
      const [dx, dk] = tf.grads((a, b) =>
        tf.sum(tf.square(groupedConv2d(a as tf.Tensor4D, b as tf.Tensor4D, { groups, strides: stride, pad: border }))),
      )([x, kernel]);
      expectClose(
        dx!.dataSync(),
        finiteDifference((v) => squares(twin(v, kernel.dataSync())), Array.from(x.dataSync())),
        { rtol: 1e-4, relativeTo: 'largest' },
      );
      expectClose(
        dk!.dataSync(),
        finiteDifference((v) => squares(twin(x.dataSync(), v)), Array.from(kernel.dataSync())),
        { rtol: 1e-4, relativeTo: 'largest' },
      );
    });
    tf.dispose([x, kernel]);
  });

  it.each([
    [4, 2, 3, 6, 'x [1, 5, 5, 4], filter [3, 3, 3, 6]'],
    [4, 2, 2, 5, 'filter [3, 3, 2, 5]'],
    [4, 0, 2, 4, 'into 0 equal groups'],
    [4, 1.5, 2, 4, 'into 1.5 equal groups'],
    [4, Number.NaN, 2, 4, 'into NaN equal groups'],
  ])('refuses %i channels in %d groups of %i to %i', (channels, groups, inputs, outputs, message) => {
    tf.tidy(() => {
      const call = () => groupedConv2d(tf.zeros([1, 5, 5, channels]), tf.zeros([3, 3, inputs, outputs]), { groups });
      expect(call).toThrow('groupedConv2d: the channels do not go into');
      expect(call).toThrow(message);
    });
  });

  it.each([
    [{ strides: 0 }, 'groupedConv2d: strides: not a whole number; expected at least 1, got 0'],
    [{ strides: Number.NaN }, 'groupedConv2d: strides'],
    [{ pad: -1 }, 'groupedConv2d: pad: not a whole number; expected at least 0, got -1'],
    [{ pad: 0.5 }, 'groupedConv2d: pad'],
  ])('refuses %j', (options, message) => {
    tf.tidy(() => {
      expect(() => groupedConv2d(tf.zeros([1, 5, 5, 4]), tf.zeros([3, 3, 2, 4]), { groups: 2, ...options })).toThrow(message);
      expect(() => groupedConv2d(tf.zeros([1, 5, 5, 4]), tf.zeros([3, 1, 2, 4]), { groups: 2 })).toThrow('filter [3, 1, 2, 4]');
    });
  });
});
