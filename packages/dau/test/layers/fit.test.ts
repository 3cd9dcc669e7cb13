import * as tf from '@tensorflow/tfjs-core';
import { initializers, layers, sequential, type LayersModel } from '@tensorflow/tfjs-layers';
import { expect, it } from 'vitest';
import { expectNoLeak } from '@coda-nets/tools/testkit';
import { dauConv2d, dauDense, rgb6, sumPoolLogits } from '../../src/layers/index.ts';
import { describeOnBackends } from '../backends.ts';
import { toyClasses, toyImages, toySide } from './toy-images.ts';

const inputShape = [toySide, toySide, 3];
/** tfjs-node draws a bar for every epoch otherwise. */
const quiet = { verbose: 0 } as const;

const coda = (): LayersModel =>
  sequential({
    layers: [
      rgb6({ inputShape }),
      dauConv2d({ filters: 8, kernelSize: 3, strides: 2, padding: 'same', rank: 4, seed: 1 }),
      dauConv2d({ filters: toyClasses, kernelSize: 1, rank: 4, seed: 2 }),
      sumPoolLogits({ temperature: 1 }),
    ],
  });

const efficient = (): LayersModel =>
  sequential({
    layers: [
      rgb6({ inputShape }),
      dauConv2d({ filters: 8, kernelSize: 3, strides: 2, padding: 'same', rank: 4, norm: 'spectral', seed: 1 }),
      dauConv2d({ filters: toyClasses, kernelSize: 1, rank: 4, norm: 'frobenius', seed: 2 }),
      sumPoolLogits({ temperature: 1 }),
    ],
  });

const dense = (): LayersModel =>
  sequential({
    layers: [
      rgb6({ inputShape }),
      layers.averagePooling2d({ poolSize: 4 }),
      layers.flatten(),
      dauDense({ units: 8, rank: 4, seed: 1 }),
      dauDense({ units: toyClasses, rank: 4, seed: 2 }),
      sumPoolLogits({ temperature: 0.1 }),
    ],
  });

const hybrid = (): LayersModel =>
  sequential({
    layers: [
      layers.conv2d({
        filters: 6,
        kernelSize: 3,
        strides: 2,
        activation: 'relu',
        kernelInitializer: initializers.heUniform({ seed: 1 }),
        inputShape,
      }),
      dauConv2d({ filters: 8, kernelSize: 3, padding: 'same', rank: 4, seed: 2 }),
      dauConv2d({ filters: toyClasses, kernelSize: 1, rank: 4, seed: 3 }),
      sumPoolLogits({ temperature: 1 }),
    ],
  });

describeOnBackends('fit', (backend) => {
  it.each<[string, () => LayersModel]>([
    ['a CoDA network', coda],
    ['a network of efficient units', efficient],
    ['a network of dense units', dense],
    // tfjs has no filter gradient of its own convolutions on wasm.
    ...(backend === 'wasm' ? [] : ([['a conventional stem below units', hybrid]] as [string, () => LayersModel][])),
  ])('teaches %s what it sees, on images it has not seen', { timeout: 180_000 }, async (_, build) => {
    await expectNoLeak(async () => {
      const model = build();
      model.compile({
        optimizer: tf.train.adam(0.03),
        loss: tf.losses.sigmoidCrossEntropy,
        metrics: ['accuracy'],
      });
      const [train, test] = [toyImages(48, 1), toyImages(60, 2)];
      const { history } = await model.fit(train.images, train.labels, { epochs: 10, batchSize: 16, shuffle: false, ...quiet });
      const [loss, accuracy] = tf.tidy(() =>
        (model.evaluate(test.images, test.labels) as tf.Scalar[]).map((value) => value.dataSync()[0] as number),
      );
      const losses = history['loss'] as number[];
      expect(losses.at(-1)).toBeLessThan(0.5 * (losses[0] as number));
      // Chance is 1/3.
      expect(accuracy).toBeGreaterThan(0.8);
      expect(loss).toBeLessThan(losses[0] as number);
      tf.dispose([train.images, train.labels, test.images, test.labels]);
      model.optimizer.dispose();
      model.dispose();
    });
  });
});
