import * as tf from '@tensorflow/tfjs-core';
import { loadLayersModel, sequential } from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkWeights, inferenceContext, trainingContext, type Network } from '@coda-nets/core';
import { networkLayer, registerNetwork, type NetworkLayer } from '@coda-nets/core/layers';
import { codaNetwork } from '@coda-nets/dau';
import { resnet } from '@coda-nets/resnet';
import { expectClose, expectNoLeak, randomTensor, useBackend } from '@coda-nets/tools/testkit';
import { hybrid, type HybridOptions } from '../src/index.ts';
import { randomWeights, tensorsOf } from './random-weights.ts';

/** The same ops in the same order; the step is added by the optimiser's own kernel. */
const float32Tolerance = { rtol: 1e-5, atol: 1e-6 } as const;

const tiny: HybridOptions = {
  kind: 'hybrid',
  backbone: { kind: 'resnet', depth: 8, width: 2, inputShape: [10, 9, 3] },
  cut: 'layer2.0',
  head: { temperature: 7, layers: [{ out: 3, kernel: 3, stride: 2, rank: 2 }] },
  classes: 3,
};

const networks: readonly (readonly [string, Network])[] = [
  ['a ResNet with batch norm', resnet({ kind: 'resnet', depth: 8, width: 2, classes: 3, inputShape: [10, 9, 3] })],
  ['a hybrid with a frozen stem', hybrid(tiny)],
  ['a hybrid with a trained stem', hybrid({ ...tiny, stem: 'trained' })],
  [
    'a CoDA network',
    codaNetwork({ kind: 'coda', inputShape: [6, 5, 3], layers: [{ out: 3, kernel: 3, rank: 2 }], temperature: 4, classes: 3 }),
  ],
];

beforeAll(async () => {
  await useBackend('cpu');
  registerNetwork('resnet', resnet);
  registerNetwork('hybrid', hybrid);
  registerNetwork('coda', codaNetwork);
});

describe.each(networks)('%s as a layer of tf.layers', (_, network) => {
  const images = (): tf.Tensor4D => randomTensor<tf.Rank.R4>([4, ...network.inputShape], 1, { min: 0 });

  it('takes one step of fit as one by hand, running statistics included, and leaves what is frozen', async () => {
    await expectNoLeak(async () => {
      const rate = 0.1;
      const initial = randomWeights(network, 5);
      const layer = networkLayer(network, { initial });
      const model = sequential({ layers: [layer] });
      const optimizer = tf.train.sgd(rate);
      model.compile({ optimizer, loss: (targets, logits) => network.loss(logits as tf.Tensor2D, targets as tf.Tensor2D) });
      const x = images();
      const targets = tf.tensor2d([
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
        [1, 0, 0],
      ]);
      const expected = tf.tidy(() => {
        const before = tensorsOf(initial);
        expectClose(model.predict(x) as tf.Tensor, network.forward(before, x, inferenceContext).logits, float32Tolerance);
        const names = Object.keys(network.weights).filter((name) => network.weights[name]?.role === 'parameter');
        const gradients = tf.grads((...parameters: tf.Tensor[]) => {
          const changed = Object.fromEntries(names.map((name, i) => [name, parameters[i] as tf.Tensor]));
          return network.loss(network.forward({ ...before, ...changed }, x, trainingContext).logits, targets);
        })(names.map((name) => before[name] as tf.Tensor));
        const stepped = names.map((name, i) => [name, tf.sub(before[name] as tf.Tensor, tf.mul(gradients[i] as tf.Tensor, rate))] as const);
        const after = { ...before, ...Object.fromEntries(stepped), ...network.forward(before, x, trainingContext).statistics };
        return Object.fromEntries(Object.entries(after).map(([name, value]) => [name, value.dataSync()]));
      });
      await model.fit(x, targets, { epochs: 1, batchSize: 4 });
      const after = await layer.weightArrays();
      checkWeights(network, after, 'after fit');
      for (const [name, { role }] of Object.entries(network.weights)) {
        const got = after[name]?.data as Float32Array;
        expectClose(got, expected[name] as Float32Array, float32Tolerance);
        expect(
          got.every((value, i) => value === initial[name]?.data[i]),
          name,
        ).toBe(role === 'frozen');
      }
      tf.dispose([x, targets]);
      optimizer.dispose();
      model.dispose();
    });
  });

  it('is the same network after save and load', async () => {
    await expectNoLeak(async () => {
      const model = sequential({ layers: [networkLayer(network, { initial: randomWeights(network, 6) })] });
      let saved: tf.io.ModelArtifacts | undefined;
      await model.save(
        tf.io.withSaveHandler(async (artifacts) => {
          saved = artifacts;
          return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
        }),
      );
      const again = await loadLayersModel(tf.io.fromMemory(saved as tf.io.ModelArtifacts));
      expect((again.layers.at(-1) as NetworkLayer).network.config).toEqual(network.config);
      tf.tidy(() => {
        const x = images();
        expect((again.predict(x) as tf.Tensor).dataSync()).toEqual((model.predict(x) as tf.Tensor).dataSync());
      });
      model.dispose();
      again.dispose();
    });
  });
});
