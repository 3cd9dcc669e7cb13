import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { layers, loadLayersModel, models, sequential, type LayersModel } from '@tensorflow/tfjs-layers';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { expectNoLeak, randomTensor } from '@coda-nets/tools/testkit';
import { contributions, dauConv2d, dauDense, rgb6, sumPoolLogits } from '../../src/layers/index.ts';
import { describeOnBackends } from '../backends.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'coda-layers-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Every layer, and every option away from its default. */
function everyLayer(): LayersModel {
  return sequential({
    layers: [
      rgb6({ inputShape: [8, 7, 3], name: 'rgb_encoded' }),
      dauConv2d({
        filters: 4,
        kernelSize: [3, 3],
        strides: [2, 2],
        padding: 'same',
        rank: 3,
        norm: 'l2',
        eps: 1e-6,
        seed: 5,
        name: 'dau_L2',
      }),
      layers.averagePooling2d({ poolSize: 2 }),
      dauConv2d({ filters: 3, kernelSize: 2, padding: 1, rank: 2, norm: 'spectral', trainable: false }),
      dauDense({ units: 2, rank: 2, norm: 'l2', eps: 1e-6, seed: 6 }),
      sumPoolLogits({ temperature: 3, logitBias: -0.5 }),
    ],
  });
}

/** Where tf.layers knows no files (all of Node but tfjs-node): two of them, written and read by hand. */
const files = {
  async save(artifacts: tf.io.ModelArtifacts): Promise<tf.io.SaveResult> {
    const { weightData, ...rest } = artifacts;
    writeFileSync(join(folder, 'model.json'), JSON.stringify(rest));
    writeFileSync(join(folder, 'weights.bin'), Buffer.from(weightData as ArrayBuffer));
    return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
  },
  async load(): Promise<tf.io.ModelArtifacts> {
    const rest = JSON.parse(readFileSync(join(folder, 'model.json'), 'utf8')) as tf.io.ModelArtifacts;
    return { ...rest, weightData: Uint8Array.from(readFileSync(join(folder, 'weights.bin'))).buffer };
  },
} satisfies tf.io.IOHandler;

describeOnBackends('a model of DAU layers, saved and loaded,', (backend) => {
  const handlers: Record<string, () => tf.io.IOHandler | string> = {
    'in memory': () => {
      let kept: tf.io.ModelArtifacts | undefined;
      return {
        save: async (artifacts) => {
          kept = artifacts;
          return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
        },
        load: async () => kept as tf.io.ModelArtifacts,
      };
    },
    'in files': () => files,
  };
  if (backend === 'tensorflow') handlers['in files of tfjs-node'] = () => pathToFileURL(folder).href;

  it.for(Object.keys(handlers))('is the same model (%s)', async (name) => {
    const handler = (handlers[name] as () => tf.io.IOHandler | string)();
    await expectNoLeak(async () => {
      const model = everyLayer();
      // Weights no seed would give.
      tf.tidy(() => model.setWeights(model.getWeights().map((weight, i) => randomTensor(weight.shape as never, i))));
      await model.save(handler as string);
      const again = await loadLayersModel(typeof handler === 'string' ? `${handler}/model.json` : handler);
      expect(again.layers.map((layer) => [layer.getClassName(), layer.getConfig()])).toEqual(
        model.layers.map((layer) => [layer.getClassName(), layer.getConfig()]),
      );
      tf.tidy(() => {
        const x = randomTensor<tf.Rank.R4>([3, 8, 7, 3], 1, { min: 0 });
        expect((again.predict(x) as tf.Tensor).dataSync()).toEqual((model.predict(x) as tf.Tensor).dataSync());
        const [before, after] = [contributions(model, x), contributions(again, x)];
        expect(Object.keys(after.taps)).toEqual(Object.keys(before.taps));
        expect(after.taps['rgb_encoded']?.map.dataSync()).toEqual(before.taps['rgb_encoded']?.map.dataSync());
      });
      expect(again.layers.map(({ trainable }) => trainable)).toEqual(model.layers.map(({ trainable }) => trainable));
      model.dispose();
      again.dispose();
    });
  });

  it('has everything in its config: built from that alone it begins with the same weights', async () => {
    const model = everyLayer();
    const again = await models.modelFromJSON(model.toJSON(null, false) as never);
    expect(again.getWeights().map((weight) => weight.dataSync())).toEqual(model.getWeights().map((weight) => weight.dataSync()));
    model.dispose();
    again.dispose();
  });
});
