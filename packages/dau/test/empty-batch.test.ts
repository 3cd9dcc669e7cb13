import * as tf from '@tensorflow/tfjs-core';
import { layers, sequential } from '@tensorflow/tfjs-layers';
import { expect, it } from 'vitest';
import { withDynamicWeightsHeld } from '@coda-nets/core';
import { expectNoLeak, randomTensor } from '@coda-nets/tools/testkit';
import { dauAlignment, dauConv, dauDense, dauMap, dauMapTransposed, edauConv, edauMap } from '../src/index.ts';
import { contributions, dauConv2d, dauDense as dauDenseLayer, inputTimesGradient, rgb6, sumPoolLogits } from '../src/layers/index.ts';
import { describeOnBackends } from './backends.ts';

const images = [0, 7, 6, 2] as const;
const weights = () => ({
  A: randomTensor([3, 3, 2, 4, 5] as never, 1),
  B: randomTensor([3, 3, 2, 5] as never, 2),
  b: randomTensor([3, 3, 2, 4] as never, 3),
});
const empty = (...shape: number[]): tf.Tensor => tf.tensor([], shape, 'float32');

describeOnBackends('of no images', () => {
  const calls = (['low-rank', 'explicit'] as const).flatMap((form) => [1, 3, Infinity].map((unitsAtOnce) => [form, unitsAtOnce] as const));
  it.each(calls)('dauConv has values and all gradients, held or not (%s, unitsAtOnce %d)', (form, unitsAtOnce) => {
    expectNoLeak(() =>
      tf.tidy(() => {
        const x = empty(...images) as tf.Tensor4D;
        const { A, B, b } = weights();
        const layer = (...[x, A, B, b]: tf.Tensor[]): tf.Tensor =>
          dauConv(
            x as tf.Tensor4D,
            { A: A as tf.Tensor, B: B as tf.Tensor, b: b as tf.Tensor },
            { form, unitsAtOnce, stride: 2, padding: 1 },
          );
        expect(layer(x, A, B, b).shape).toEqual([0, 4, 3, 4]);
        const gradients = tf.grads((...all) => tf.sum(layer(...all)))([x, A, B, b]);
        expect(gradients.map(({ shape }) => shape)).toEqual([images, A.shape, B.shape, b.shape]);
        for (const gradient of gradients) expect([...gradient.dataSync()].every((value) => value === 0)).toBe(true);
        const held = withDynamicWeightsHeld(() => tf.grad((x: tf.Tensor) => tf.sum(layer(x, A, B, b)))(x));
        expect(held.shape).toEqual(images);
      }),
    );
  });

  it('maps, alignments, efficient units and dense ones have the right shapes', () => {
    tf.tidy(() => {
      const x = empty(...images) as tf.Tensor4D;
      const { A, B, b } = weights();
      for (const form of ['low-rank', 'explicit'] as const) {
        expect(dauMap(x, x, { A, B, b }, { form }).shape).toEqual([0, 5, 4, 4]);
        expect(dauMapTransposed(x, empty(0, 5, 4, 4) as tf.Tensor4D, { A, B, b }, { form }).shape).toEqual(images);
        expect(dauAlignment(x, { A, B, b }, { form }).cosine.shape).toEqual([0, 5, 4, 4]);
      }
      expect(edauMap(x, x, { A, B }).shape).toEqual([0, 5, 4, 4]);
      for (const bound of ['frobenius', 'spectral', 'product'] as const) {
        expect(tf.grad((x: tf.Tensor) => tf.sum(edauConv(x as tf.Tensor4D, { A, B }, { bound })))(x).shape).toEqual(images);
      }
      const dense = { A: randomTensor([3, 4, 2], 1), B: randomTensor([3, 2], 2), b: randomTensor([3, 4], 3) };
      expect(dauDense(empty(0, 3) as tf.Tensor2D, dense).shape).toEqual([0, 4]);
    });
  });

  it('models are explained: empty maps of the right shape', () => {
    const maps = sequential({
      layers: [
        rgb6({ inputShape: [8, 8, 3] }),
        dauConv2d({ filters: 6, kernelSize: 3, strides: 2, padding: 'same', rank: 4, name: 'empty_a' }),
        dauConv2d({ filters: 2, kernelSize: 1, rank: 4, name: 'empty_b' }),
        sumPoolLogits({ temperature: 4 }),
      ],
    });
    const vectors = sequential({
      layers: [layers.inputLayer({ inputShape: [5] }), dauDenseLayer({ units: 3, rank: 2, name: 'empty_c' })],
    });
    try {
      expectNoLeak(() =>
        tf.tidy(() => {
          for (const explain of [contributions, inputTimesGradient]) {
            for (const target of [-1, 1, []]) {
              const { logits, selector, expected, taps } = explain(maps, empty(0, 8, 8, 3), { target });
              expect([logits.shape, selector.shape, expected.shape]).toEqual([[0, 2], [0, 2], [0]]);
              const { map, contributions: full, sum, residual } = taps['empty_a'] as (typeof taps)[string];
              expect([map.shape, full.shape, sum.shape, residual.shape]).toEqual([[0, 4, 4], [0, 4, 4, 6], [0], [0]]);
            }
            expect(explain(vectors, empty(0, 5)).taps['input']?.map.shape).toEqual([0, 5]);
          }
        }),
      );
    } finally {
      maps.dispose();
      vectors.dispose();
    }
  });
});
