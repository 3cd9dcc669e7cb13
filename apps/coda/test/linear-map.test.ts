/** The linear map where the packages meet: its rows against the explainer's, as a compiled graph, and the alignment of a training run. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linearMap, ndArray, type NamedTensors, type Network } from '@coda-nets/core';
import { contributionsAtTaps } from '@coda-nets/depth';
import { assembleBatch, measureAlignment, parseTrainConfig, train, type TrainConfigInput } from '@coda-nets/train';
import { expectClose, randomTensor, randomValues, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildNetwork } from '../src/index.ts';
import { coda, cpu, dataset, hybrid, metricsOf, onnx, tensorsOf, weightsOf } from './linear-map-networks.ts';

/** Two orders of the same float32 sums. */
const SAME = { rtol: 1e-5, relativeTo: 'largest' } as const;

let folder = '';
beforeAll(async () => {
  await useBackend('cpu');
  folder = await mkdtemp(join(tmpdir(), 'coda-linear-map-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const config: Omit<TrainConfigInput, 'network'> = { epochs: 2, batch: 10, learningRate: 2e-3, alignmentImages: 5 };

describe('alignment', () => {
  it('is measured on the first validation images after an epoch, as on demand with its weights', async () => {
    const engine = await onnx();
    const out = join(folder, 'aligned');
    const { weights } = await train({
      network: coda,
      dataset,
      engine,
      out,
      config: { ...config, validation: { kind: 'test' } },
    });
    const measured = (await metricsOf(out)).filter(({ type }) => type === 'epoch').map(({ alignment }) => alignment);
    expect(measured).toHaveLength(2);
    const split = dataset.split('test');
    const { images } = assembleBatch(split, [0, 1, 2, 3, 4]);
    const now = await measureAlignment({ engine: cpu(), network: coda, weights, images });
    expect(Object.keys(now)).toEqual(['layers.0', 'layers.1', 'layers.2']);
    for (const [name, { norm, cosine }] of Object.entries(now)) {
      const last = (measured.at(-1) as typeof now)[name];
      expectClose(Object.values(last?.norm ?? {}), Object.values(norm), { atol: 1e-5 });
      expectClose(Object.values(last?.cosine ?? {}), Object.values(cosine), { atol: 1e-5 });
      expect(norm.p5).toBeLessThan(norm.p95);
      expect(norm.p95).toBeLessThan(1);
    }
  });

  it('is that of the images where a hybrid is given its features, and silent for a ResNet or for 0 images', async () => {
    const weights = weightsOf(hybrid);
    const images = ndArray('float32', [2, 12, 12, 3], randomValues(2 * 432, 4, { min: 0 }));
    const embedded = tf.tidy(() => hybrid.frozenStem?.embed(tensorsOf(weights), tf.tensor(images.data, [2, 12, 12, 3])) as tf.Tensor4D);
    const features = ndArray('float32', embedded.shape, embedded.dataSync().slice() as Float32Array);
    embedded.dispose();
    const engine = await onnx();
    const ofImages = await measureAlignment({ engine, network: hybrid, weights, images });
    const ofFeatures = await measureAlignment({ engine, network: hybrid, weights, features });
    expect(Object.keys(ofImages)).toEqual(['head.0', 'head.1']);
    for (const [name, { norm, cosine }] of Object.entries(ofImages)) {
      expectClose(Object.values(ofFeatures[name]?.norm ?? {}), Object.values(norm), { atol: 1e-5 });
      expectClose(Object.values(ofFeatures[name]?.cosine ?? {}), Object.values(cosine), { atol: 1e-5 });
    }
    const resnet = buildNetwork({ kind: 'resnet', depth: 8, width: 4, inputShape: [12, 12, 3] }, 'test');
    for (const [network, alignmentImages, out] of [
      [resnet, 5, 'r'],
      [coda, 0, 'c'],
    ] as const) {
      await train({
        network,
        dataset,
        engine,
        out: join(folder, out),
        config: { ...config, alignmentImages, epochs: 1 },
      });
      const lines = await metricsOf(join(folder, out));
      expect(lines.some((line) => 'alignment' in line || 'penalty' in line || 'trainPenalty' in line)).toBe(false);
    }
    expect(parseTrainConfig({ network: { kind: 'coda' }, epochs: 1, learningRate: 1 }).alignmentImages).toBe(16);
  });
});

describe('the linear map in one graph', () => {
  it('has rows, and goes both ways, for any batch size', async () => {
    const network = coda;
    const weights = weightsOf(network);
    const fn = (t: NamedTensors) => {
      const map = linearMap(network, t, t['images'] as tf.Tensor4D);
      const there = map.apply(t['vectors'] as tf.Tensor4D);
      return { rows: map.rows(t['classes'] as tf.Tensor2D), there, back: map.applyTransposed(there) };
    };
    const image = { shape: ['batch', 12, 12, 3], dtype: 'float32' } as const;
    const inputs = {
      images: image,
      vectors: { ...image, shape: ['batch', 12, 12, 6] as const },
      classes: { shape: ['batch', 2] as const, dtype: 'int32' as const },
    };
    const [eager, compiled] = [
      await cpu().compile(fn, { inputs, constants: weights }),
      await (await onnx()).compile(fn, { inputs, constants: weights }),
    ];
    for (const n of [1, 3]) {
      const given = {
        images: ndArray('float32', [n, 12, 12, 3], randomValues(n * 432, n, { min: 0 })),
        vectors: ndArray('float32', [n, 12, 12, 6], randomValues(n * 864, n)),
        classes: ndArray(
          'int32',
          [n, 2],
          Int32Array.from({ length: 2 * n }, (_, i) => i + 3),
        ),
      };
      const [expected, actual] = [await eager.run(given), await compiled.run(given)];
      expect(actual['rows']?.shape).toEqual([n, 2, 12, 12, 6]);
      for (const name of ['rows', 'there', 'back'])
        expectClose(actual[name]?.data as Float32Array, expected[name]?.data as Float32Array, SAME);
    }
    await eager.dispose();
    await compiled.dispose();
  });
});

describe.each<[string, Network]>([
  ['a CoDA network', coda],
  ['a hybrid', hybrid],
])('the maps of contributions of %s', (_, network) => {
  it('are the rows of the linear map times the activation, at every exact tap and for given classes', () => {
    tf.tidy(() => {
      const weights = tensorsOf(weightsOf(network));
      const images = randomTensor<tf.Rank.R4>([2, 12, 12, 3], 6, { min: 0 });
      const classes = tf.tensor2d(
        [
          [4, 0, 9],
          [1, 8, 8],
        ],
        [2, 3],
        'int32',
      );
      const exact = network.taps.filter((tap) => tap.exact).map(({ name }) => name);
      expect(network.dynamicLinear?.taps).toEqual(exact);
      for (const from of exact) {
        const map = linearMap(network, weights, images, { from });
        const rows = map.rows(classes);
        for (const k of [0, 1, 2]) {
          const target = tf.reshape(tf.slice(classes, [0, k], [2, 1]), [2]) as tf.Tensor1D;
          const explained = contributionsAtTaps(network, weights, images, target, [from]).taps[from];
          const row = tf.squeeze(tf.slice(rows, [0, k, 0, 0, 0], [-1, 1, -1, -1, -1]), [1]);
          expectClose(row, explained?.linearMap as tf.Tensor, SAME);
          const contributions = tf.mul(row, map.activations[from] as tf.Tensor);
          expectClose(contributions, explained?.contributions as tf.Tensor, SAME);
          expectClose(tf.sum(contributions, [1, 2, 3]), explained?.sum as tf.Tensor, { rtol: 1e-4 });
        }
      }
    });
  });
});
