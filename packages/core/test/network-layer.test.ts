import * as tf from '@tensorflow/tfjs-core';
import { loadLayersModel, sequential } from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectClose, expectNoLeak, randomTensor, useBackend, type TestBackend } from '@coda-nets/tools/testkit';
import {
  checkWeights,
  inferenceContext,
  initWeights,
  ndArray,
  Random,
  trainingContext,
  zerosArray,
  type JsonObject,
  type NamedTensors,
  type Network,
} from '../src/index.ts';
import { networkLayer, registerNetwork } from '../src/layers/index.ts';

/** Two roundings of float32, in another order. */
const float32Tolerance = { rtol: 1e-6, atol: 1e-7 } as const;

/** The mean of the pixels, less the running mean of the batches (or the batch's own, when training), times a matrix, plus a frozen offset. */
function toy(config: JsonObject & { readonly classes: number }): Network {
  const { classes } = config;
  return {
    config: { kind: 'toy', ...config },
    inputShape: [2, 3, 4],
    classes,
    taps: [],
    weights: {
      'mix.weight': {
        shape: [4, classes],
        role: 'parameter',
        decay: true,
        init: (random) =>
          ndArray(
            'float32',
            [4, classes],
            Float32Array.from({ length: 4 * classes }, () => random.normal()),
          ),
      },
      'mix.running_mean': { shape: [4], role: 'statistic', decay: false, init: () => zerosArray('float32', [4]) },
      'mix.offset': {
        shape: [classes],
        role: 'frozen',
        decay: false,
        init: () => ndArray('float32', [classes], new Float32Array(classes).fill(0.5)),
      },
    },
    logitBias: 0,
    forward: (weights, images, { training }) => {
      const pooled = tf.mean(images, [1, 2]);
      const running = weights['mix.running_mean'] as tf.Tensor;
      const mean = tf.mean(pooled, 0);
      const centred = tf.sub(pooled, training ? mean : running);
      const logits = tf.add(tf.matMul(centred as tf.Tensor2D, weights['mix.weight'] as tf.Tensor2D), weights['mix.offset'] as tf.Tensor);
      const statistics: NamedTensors = training ? { 'mix.running_mean': tf.add(tf.mul(running, 0.9), tf.mul(mean, 0.1)) } : {};
      return { logits: logits as tf.Tensor2D, statistics };
    },
    loss: (logits, targets) => tf.mean(tf.square(tf.sub(logits, targets))),
    probabilities: (logits) => tf.sigmoid(logits),
  };
}
const network = toy({ classes: 2 });
const compiled = {
  optimizer: 'sgd',
  loss: (targets: tf.Tensor, logits: tf.Tensor) => network.loss(logits as tf.Tensor2D, targets as tf.Tensor2D),
} as const;

describe.each<TestBackend>(['cpu', 'wasm'])('networkLayer on %s', (backend) => {
  beforeAll(() => useBackend(backend));

  it('runs the network on the weights of its seed', () => {
    expectNoLeak(() => {
      const model = sequential({ layers: [networkLayer(network, { seed: 3 })] });
      tf.tidy(() => {
        const weights = initWeights(network, Random.seeded(3));
        const tensors = Object.fromEntries(
          Object.entries(weights).map(([name, { data, shape }]) => [name, tf.tensor(data as Float32Array, [...shape])]),
        );
        const images = randomTensor<tf.Rank.R4>([5, 2, 3, 4], 1);
        expectClose(model.predict(images) as tf.Tensor, network.forward(tensors, images, inferenceContext).logits, float32Tolerance);
      });
      model.dispose();
    });
  });

  it('is trained by fit as by hand: parameters by their gradient, statistics by the forward pass, frozen weights not at all', async () => {
    await expectNoLeak(async () => {
      const rate = 0.3;
      const layer = networkLayer(network, { seed: 3 });
      const model = sequential({ layers: [layer] });
      const optimizer = tf.train.sgd(rate);
      model.compile({ ...compiled, optimizer });
      const [images, targets] = [randomTensor<tf.Rank.R4>([6, 2, 3, 4], 1), randomTensor<tf.Rank.R2>([6, 2], 2)];
      const expected = tf.tidy(() => {
        const before = Object.fromEntries(Object.entries(layer.namedWeights()).map(([name, x]) => [name, tf.clone(x)]));
        const weight = before['mix.weight'] as tf.Tensor;
        const gradient = tf.grad((w: tf.Tensor) =>
          network.loss(network.forward({ ...before, 'mix.weight': w }, images, trainingContext).logits, targets),
        )(weight);
        return {
          weight: tf.sub(weight, tf.mul(gradient, rate)).dataSync(),
          mean: network.forward(before, images, trainingContext).statistics['mix.running_mean']?.dataSync(),
        };
      });
      await model.fit(images, targets, { epochs: 1, batchSize: 6 });
      const after = await layer.weightArrays();
      checkWeights(network, after, 'after');
      expectClose(after['mix.weight']?.data as Float32Array, expected.weight, float32Tolerance);
      expectClose(after['mix.running_mean']?.data as Float32Array, expected.mean as Float32Array, float32Tolerance);
      expect(after['mix.offset']?.data).toEqual(new Float32Array([0.5, 0.5]));
      tf.dispose([images, targets]);
      optimizer.dispose();
      model.dispose();
    });
  });
});

describe('networkLayer', () => {
  beforeAll(() => useBackend('cpu'));

  it('comes back from save with the weights it had and a config of which no letter changed', async () => {
    registerNetwork('toy', toy as never);
    // tf.layers would write camelCase as snake_case, and lower all else.
    const odd = toy({ classes: 2, note: 'Layer2.0_CamelCase snake_case', Upper_Key: ['aB_c', 1.5, null] });
    const initial = { ...initWeights(odd, Random.seeded(9)), 'mix.running_mean': ndArray('float32', [4], new Float32Array([1, 2, 3, 4])) };
    let saved: tf.io.ModelArtifacts | undefined;
    const model = sequential({ layers: [networkLayer(odd, { initial, name: 'Net_1' })] });
    await model.save(
      tf.io.withSaveHandler(async (artifacts) => {
        saved = artifacts;
        return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
      }),
    );
    const topology = JSON.parse(JSON.stringify(saved?.modelTopology)) as object;
    const again = await loadLayersModel(tf.io.fromMemory({ ...saved, modelTopology: topology } as tf.io.ModelArtifacts));
    const layer = again.layers.at(-1) as ReturnType<typeof networkLayer>;
    expect(layer.network.config).toEqual(odd.config);
    expect(layer.name).toBe('Net_1');
    expect(await layer.weightArrays()).toEqual(initial);
    const images = randomTensor<tf.Rank.R4>([5, 2, 3, 4], 1);
    expect((again.predict(images) as tf.Tensor).dataSync()).toEqual((model.predict(images) as tf.Tensor).dataSync());
    await expect(
      loadLayersModel(
        tf.io.fromMemory({
          ...saved,
          modelTopology: JSON.parse(JSON.stringify(saved?.modelTopology).replace('\\"toy\\"', '\\"toi\\"')) as object,
        } as tf.io.ModelArtifacts),
      ),
    ).rejects.toThrow(
      'tf.loadLayersModel: CodaNetwork: no builder is registered for networks of kind "toi"; expected one of toy. Call registerNetwork("toi", …) of @coda-nets/core/layers before loading.',
    );
  });

  it('keeps its statistics where it is not trainable', async () => {
    const layer = networkLayer(network, { trainable: false });
    const train = (): void => tf.tidy(() => void layer.apply(randomTensor([5, 2, 3, 4], 1), { training: true }));
    const runningMean = async (): Promise<unknown> => (await layer.weightArrays())['mix.running_mean']?.data;
    train();
    expect(await runningMean()).toEqual(new Float32Array(4));
    layer.trainable = true;
    train();
    expect(await runningMean()).not.toEqual(new Float32Array(4));
  });

  it('knows its shapes, and shows itself in summary', () => {
    const model = sequential({ layers: [networkLayer(network, { inputShape: [null, null, 4], name: 'net' })] });
    expect(model.outputShape).toEqual([null, 2]);
    const lines: string[] = [];
    model.summary(undefined, undefined, (line: string) => lines.push(line.replaceAll(/ +/g, ' ').trim()));
    expect(lines).toContain('net (CodaNetwork) [[null,null,null,4]] [null,2] 14');
    expect(lines.slice(-4, -1)).toEqual(['Total params: 14', 'Trainable params: 8', 'Non-trainable params: 6']);
  });

  it('answers with one clear error', () => {
    expect(() => networkLayer(network, { name: 'net', initial: { 'mix.wieght': zerosArray('float32', [4, 2]) } })).toThrow(
      'networkLayer "net": initial: the weights are not this network\'s: missing mix.weight, mix.running_mean, mix.offset; unexpected mix.wieght. "mix.wieght" may be meant for "mix.weight".',
    );
    expect(() => networkLayer(network, { name: 'net' }).apply(tf.ones([1, 2, 3, 5]))).toThrow(
      'networkLayer "net": input: not images of this network; expected [N, H, W, 4], got [1, 2, 3, 5]',
    );
    expect(() => networkLayer(network, { name: 'net', seed: -1 }).apply(tf.ones([1, 2, 3, 4]))).toThrow(
      'Random.seeded: seed: not a seed; expected an integer from 0 to 4294967295, got -1',
    );
  });
});
