/** The losses of ResNets and of CoDA networks, with the paper's readout and smoothed targets, against PyTorch. Made by tools/goldens/training.py. */
import { readFile } from 'node:fs/promises';
import { oneHot } from '@coda-nets/core';
import { binaryCrossEntropy, defaultLogitBias, sumPoolLogits } from '@coda-nets/dau';
import { resnet } from '@coda-nets/resnet';
import { smoothed } from '@coda-nets/train';
import { expectClose, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

type Golden = Readonly<Record<string, { readonly loss: number; readonly gradient: readonly number[] }>>;

/** Sums of 30 float32 numbers below 10. */
const TOLERANCE = { rtol: 2e-6, atol: 1e-7 } as const;
const labels = [0, 3, 1, 4, 2, 2];

let golden: Golden;
beforeAll(async () => {
  await useBackend('cpu');
  golden = JSON.parse(await readFile(new URL('golden/losses.json', import.meta.url), 'utf8')) as Golden;
});

function expectGolden(name: string, loss: (x: tf.Tensor) => tf.Scalar, x: tf.Tensor, gradientOf = (g: tf.Tensor): tf.Tensor => g): void {
  const { value, grad } = tf.valueAndGrad(loss)(x);
  expect(golden[name]).toBeDefined();
  expectClose(value, [golden[name]?.loss as number], TOLERANCE);
  expectClose(gradientOf(grad), golden[name]?.gradient as number[], TOLERANCE);
}

describe.each([0, 0.1])('with label smoothing %d', (smoothing) => {
  const name = (loss: string): string => `${loss}, smoothing ${smoothing === 0 ? '0.0' : '0.1'}`;
  const logits = (): tf.Tensor2D => randomTensor<tf.Rank.R2>([6, 5], 70, { min: -4, max: 4 });
  const targets = (): tf.Tensor2D => oneHot(tf.tensor1d(labels, 'int32'), 5);

  it('a ResNet’s loss is cross_entropy, smoothed by the network or by the recipe', () => {
    tf.tidy(() => {
      const plain = resnet({ kind: 'resnet', depth: 8, classes: 5 });
      const own = resnet({ kind: 'resnet', depth: 8, classes: 5, labelSmoothing: smoothing });
      expectGolden(name('cross entropy'), (z) => plain.loss(z as tf.Tensor2D, smoothed(targets(), smoothing)), logits());
      expectGolden(name('cross entropy'), (z) => own.loss(z as tf.Tensor2D, targets()), logits());
    });
  });

  it('a CoDA network’s is binary_cross_entropy_with_logits', () => {
    tf.tidy(() => {
      expectGolden(name('binary cross entropy'), (z) => binaryCrossEntropy(z as tf.Tensor2D, smoothed(targets(), smoothing)), logits());
    });
  });
});

it('the paper’s readout, T = 64 and b₀ = ln(0.1 / 0.9), and its loss are PyTorch’s', () => {
  tf.tidy(() => {
    const maps = randomTensor<tf.Rank.R4>([6, 4, 4, 5], 71, { min: -30, max: 30 });
    const targets = oneHot(tf.tensor1d(labels, 'int32'), 5);
    const loss = (x: tf.Tensor): tf.Scalar => binaryCrossEntropy(sumPoolLogits(x as tf.Tensor4D, 64, defaultLogitBias), targets);
    // one position is as good as another
    expectGolden('readout', loss, maps, (g) => tf.slice(g, [0, 0, 0, 0], [6, 1, 1, 5]));
  });
});
