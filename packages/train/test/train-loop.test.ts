/** What the loop trains on, measures, keeps and refuses: tiny networks on toy images. */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { initWeights, ndArray, Random, type Engine, type NamedArrays, type NdArray } from '@coda-nets/core';
import { readModel, writeModel } from '@coda-nets/core/node';
import { eagerEngine } from '@coda-nets/engine';
import { expectClose, expectNoLeak, useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  BatchSampler,
  imageSplit,
  parseTrainConfig,
  syntheticDataset,
  train,
  type ImageDataset,
  type PixelSplit,
  type TrainEvent,
  type TrainOptions,
} from '../src/index.ts';
import { splits } from '../src/train-start.ts';
import { temporaryFolder } from './data/temporary-folder.ts';
import { side, tinyNetwork } from './tiny-network.ts';
import { watchedEngine } from './watched-engine.ts';

const classes = 4;
const network = tinyNetwork({ classes });
const dataset = syntheticDataset({ classes, perClass: 10, testPerClass: 5, size: side });
const images = dataset.split('train');
const engine = eagerEngine({ name: 'cpu', backend: 'cpu', description: 'cpu' });
const sgd = { kind: 'sgd', momentum: 0 } as const;

beforeAll(() => useBackend('cpu'));

type Config = TrainOptions['config'];
async function run(config: Config, options: Partial<TrainOptions> = {}) {
  const out = await temporaryFolder();
  const events: TrainEvent[] = [];
  const result = await train({
    network,
    dataset,
    engine,
    config,
    out,
    onEvent: (event) => events.push(event),
    ...options,
  });
  const epochs = events.filter((event) => event.type === 'epoch');
  return { ...result, out, events, epochs };
}

/** What images of a split are fed as, one text an image. */
const imagesOfSplit = (split: PixelSplit): string[] =>
  rowsOf(
    ndArray(
      'float32',
      [split.length, side, side, 3],
      Float32Array.from(split.images, (byte) => byte / 255),
    ),
  );
function rowsOf({ data, shape }: NdArray): string[] {
  const size = data.length / (shape[0] as number);
  return Array.from({ length: shape[0] as number }, (_, i) => data.slice(i * size, (i + 1) * size).join());
}
/** Tells training steps from everything else by what they carry. */
function fedTo(): { engine: Engine; trained: string[]; evaluated: string[] } {
  const [trained, evaluated] = [[] as string[], [] as string[]];
  const onRun = (inputs: NamedArrays, output: NamedArrays, { carried }: { carried?: NamedArrays }): NamedArrays => {
    if (inputs['images'] !== undefined) (carried === undefined ? evaluated : trained).push(...rowsOf(inputs['images']));
    return output;
  };
  return { engine: watchedEngine(engine, { onRun }), trained, evaluated };
}

describe('a run', () => {
  it('is SGD on softmax regression, as loops over the same batches have it; only what decays decays', async () => {
    const [rate, lambda, batch] = [0.05, 0.1, 8];
    const config = { epochs: 2, batch, learningRate: rate, weightDecay: lambda, optimiser: sgd, seed: 3 };
    let ran: Awaited<ReturnType<typeof run>> | undefined;
    await expectNoLeak(async () => {
      ran = await run(config);
    });
    const drawn = initWeights(network, Random.seeded(3).split('weights'));
    const inputs = side * side * 3;
    const w = Float64Array.from(drawn['fc.weight']?.data as Float32Array);
    const b = Float64Array.from(drawn['fc.bias']?.data as Float32Array);
    const running = [0, 0, 0];
    const sampler = new BatchSampler({ length: images.length, batchSize: batch, seed: 3 });
    const losses: number[] = [];
    for (let step = 0; step < 10; step++) {
      const [dw, db] = [new Float64Array(w.length), new Float64Array(classes)];
      const means = [0, 0, 0];
      let loss = 0;
      for (const n of sampler.next().indices) {
        const x = (i: number): number => (images.images[n * inputs + i] as number) / 255;
        const z = Array.from(b);
        for (let i = 0; i < inputs; i++) {
          means[i % 3]! += x(i) / (batch * side * side);
          for (let c = 0; c < classes; c++) z[c]! += x(i) * w[i * classes + c]!;
        }
        const total = z.reduce((sum, each) => sum + Math.exp(each), 0);
        const label = images.labels[n] as number;
        loss += (Math.log(total) - z[label]!) / batch;
        for (let c = 0; c < classes; c++) {
          const error = (Math.exp(z[c]!) / total - (c === label ? 1 : 0)) / batch;
          db[c]! += error;
          for (let i = 0; i < inputs; i++) dw[i * classes + c]! += error * x(i);
        }
      }
      losses.push(loss);
      for (let k = 0; k < w.length; k++) w[k]! -= rate * (dw[k]! + lambda * w[k]!);
      for (let c = 0; c < classes; c++) b[c]! -= rate * db[c]!;
      for (let c = 0; c < 3; c++) running[c] = 0.9 * running[c]! + 0.1 * means[c]!;
    }
    // ten float32 updates
    const tolerance = { rtol: 1e-5, atol: 2e-6 };
    expectClose(ran?.weights['fc.weight']?.data as Float32Array, w, tolerance);
    expectClose(ran?.weights['fc.bias']?.data as Float32Array, b, tolerance);
    expectClose(ran?.weights['running.mean']?.data as Float32Array, running, tolerance);
    const steps = ran?.events.filter((event) => event.type === 'step') ?? [];
    expectClose(
      steps.map(({ loss }) => loss),
      losses,
      tolerance,
    );
    expectClose(
      ran?.epochs.map(({ trainLoss }) => trainLoss) ?? [],
      [0, 5].map((i) => losses.slice(i, i + 5).reduce((a, c) => a + c) / 5),
      tolerance,
    );
  });

  it('takes a network of one class, whose softmax is always right', async () => {
    const network = tinyNetwork({ classes: 1 });
    const { validation, weights } = await run(
      { epochs: 1, batch: 4, optimiser: sgd, learningRate: 0.1, validation: { kind: 'test' } },
      { network, dataset: syntheticDataset({ classes: 1, perClass: 8, testPerClass: 4, size: side }) },
    );
    expect(validation).toEqual({ loss: 0, top1: 1, top5: 1 });
    expect(weights['fc.weight']).toEqual(initWeights(network, Random.seeded(0).split('weights'))['fc.weight']);
  });

  it('gives the optimiser the rate of its schedule', async () => {
    const schedule = { kind: 'cosine', end: 0, warmup: 2 } as const;
    const { events } = await run({ epochs: 1, batch: 8, learningRate: 0.4, schedule, optimiser: sgd });
    const rates = events.filter((event) => event.type === 'step').map(({ learningRate }) => learningRate);
    const cosine = [1, (2 + Math.SQRT2) / 4, 0.5, (2 - Math.SQRT2) / 4, 0];
    expectClose(
      rates,
      cosine.map((share, i) => 0.4 * share * (i === 0 ? 0.5 : 1)),
      { atol: 1e-12 },
    );
  });

  it('never trains on what it holds out, and measures on nothing else', async () => {
    const fed = fedTo();
    const { events } = await run(
      { epochs: 2, batch: 7, learningRate: 0.01, validation: { kind: 'held-out', count: 12 } },
      { engine: fed.engine },
    );
    expect(events[0]).toMatchObject({ type: 'start', trainImages: 28, validationImages: 12 });
    expect(fed.trained).toHaveLength(2 * 28);
    expect(fed.evaluated).toHaveLength(2 * 12);
    const [trained, evaluated] = [new Set(fed.trained), new Set(fed.evaluated)];
    expect([trained.size, evaluated.size]).toEqual([28, 12]);
    expect(new Set([...trained, ...evaluated])).toEqual(new Set(imagesOfSplit(images)));
  });

  it('trains on so many images as it is limited to, and validates on the test split where told to', async () => {
    const fed = fedTo();
    const config: Config = { epochs: 1, batch: 4, learningRate: 0.01, limit: 12, validation: { kind: 'test' } };
    const { events } = await run(config, { engine: fed.engine });
    expect(events[0]).toMatchObject({ type: 'start', trainImages: 12, validationImages: 20 });
    const all = imagesOfSplit(images);
    const chosen = fed.trained.map((image) => all.indexOf(image)).toSorted((a, b) => a - b);
    // one of each twelfth
    expect(chosen.map((index, i) => index >= Math.floor((i * 40) / 12) && index < Math.floor(((i + 1) * 40) / 12))).toEqual(
      Array.from({ length: 12 }, () => true),
    );
    expect(fed.evaluated).toEqual(imagesOfSplit(dataset.split('test')));
  });

  it('validates on so many images of the test split as it is told to, evenly spread', async () => {
    const fed = fedTo();
    await run({ epochs: 1, batch: 4, learningRate: 0.01, validation: { kind: 'test', limit: 3 } }, { engine: fed.engine });
    const test = imagesOfSplit(dataset.split('test'));
    expect([test.length, fed.evaluated]).toEqual([20, [test[0], test[10], test[14]]]);
  });

  it.each([
    ['sorted by class', (i: number) => Math.floor(i / 40)],
    ['dealt round the classes', (i: number) => i % 3],
  ])('a limit leaves every class in a split that is %s', (_, classOf) => {
    const labels = Uint8Array.from({ length: 120 }, (_unused, i) => classOf(i));
    const split = imageSplit([1, 1, 3], new Uint8Array(360), labels);
    const of3: ImageDataset = { name: 'three', classNames: ['a', 'b', 'c'], inputShape: [1, 1, 3], split: () => split };
    const limited = splits(parseTrainConfig({ network: network.config, epochs: 1, batch: 4, learningRate: 1, limit: 10 }, 'test'), of3);
    for (const c of [0, 1, 2]) expect(Array.from(limited.train.labels).filter((label) => label === c).length).toBeGreaterThan(2);
    expect(limited.train.length).toBe(10);
  });

  it('validates every so many epochs, and after the last', async () => {
    const config: Config = { epochs: 5, batch: 10, learningRate: 0.01, validateEvery: 2, validation: { kind: 'test' } };
    const { epochs } = await run(config);
    expect(epochs.map(({ epoch, validation }) => [epoch, validation !== undefined])).toEqual([
      [1, false],
      [2, true],
      [3, false],
      [4, true],
      [5, true],
    ]);
  });

  it.each<[string, Config['validation']]>([
    ['highest validation accuracy', { kind: 'test' }],
    ['lowest training loss', { kind: 'none' }],
  ])('keeps the epoch of the %s as the best', async (_, validation) => {
    // a rate far too high: up and down it goes
    const config: Config = {
      epochs: 8,
      batch: 10,
      learningRate: 0.3,
      optimiser: sgd,
      validation: validation as NonNullable<Config['validation']>,
      seed: 2,
    };
    const { out, best, epochs } = await run(config);
    const scores = epochs.map((epoch) => epoch.validation?.top1 ?? -epoch.trainLoss);
    const first = scores.indexOf(Math.max(...scores)) + 1;
    // else the first or the last would do as well
    expect(first).toBeGreaterThan(1);
    expect(first).toBeLessThan(8);
    expect(best).toEqual({ epoch: first, score: scores[first - 1] });
    expect(epochs.map(({ isBest }) => isBest)).toEqual(scores.map((score, i) => scores.slice(0, i).every((before) => score > before)));
    const shorter = await run({ ...config, epochs: first });
    expect((await readModel(join(out, 'best.safetensors'))).weights).toEqual(shorter.weights);
    expect((await readModel(join(out, 'last.safetensors'))).weights).not.toEqual(shorter.weights);
  });

  it('starts from the weights it is given, draws the others', async () => {
    const config: Config = { epochs: 1, batch: 40, learningRate: 0, optimiser: sgd, seed: 9 };
    const drawn = initWeights(network, Random.seeded(9).split('weights'));
    const given = initWeights(network, Random.seeded(77));
    expect((await run(config)).weights['fc.weight']).toEqual(drawn['fc.weight']);
    const file = join(await temporaryFolder(), 'model.safetensors');
    const { 'fc.weight': weight, 'fc.bias': bias } = given as Record<string, NdArray>;
    await writeModel(file, {
      config: network.config,
      preprocessing: { size: [side, side], layout: 'rgb', range: [0, 1] },
      classNames: dataset.classNames,
      weights: { 'fc.weight': weight as NdArray, 'another.weight': bias as NdArray },
      provenance: {},
    });
    const fromFile = (await run({ ...config, initFrom: file })).weights;
    expect(fromFile['fc.weight']).toEqual(weight);
    expect(fromFile['fc.bias']).toEqual(drawn['fc.bias']);
    const handedOver = (await run({ ...config, initFrom: file }, { initialWeights: { 'fc.bias': bias as NdArray } })).weights;
    expect(handedOver['fc.weight']).toEqual(drawn['fc.weight']);
    expect(handedOver['fc.bias']).toEqual(bias);
  });

  it('of a head is the same on kept features as on images, mirrored ones included', async () => {
    const frozen = tinyNetwork({ classes, frozen: true });
    const initialWeights = initWeights(frozen, Random.seeded(2));
    const config: Config = {
      epochs: 2,
      batch: 8,
      learningRate: 0.1,
      optimiser: sgd,
      augmentation: { kind: 'flip' },
      validation: { kind: 'held-out', count: 8 },
    };
    const options = { network: frozen, initialWeights };
    const onImages = await run(config, options);
    const onFeatures = await run({ ...config, cacheFeatures: true }, options);
    const unflipped = await run({ ...config, augmentation: { kind: 'none' } }, options);
    const weightOf = ({ weights }: { weights: NamedArrays }) => weights['fc.weight']?.data as Float32Array;
    const tolerance = { atol: 1e-6 };
    expectClose(weightOf(onFeatures), weightOf(onImages), tolerance);
    expect(() => expectClose(weightOf(unflipped), weightOf(onImages), { atol: 1e-4 })).toThrow('not close');
    expect(onFeatures.weights['stem.weight']).toEqual(initialWeights['stem.weight']);
    expect(onFeatures.validation?.top1).toBe(onImages.validation?.top1);
  });
});

describe('numbers that are no longer finite', () => {
  it('end the run where the loss is one, and the checkpoint before stays', async () => {
    const out = await temporaryFolder();
    let steps = 0;
    const onRun = (_: NamedArrays, output: NamedArrays): NamedArrays =>
      ++steps === 3 ? { ...output, loss: ndArray('float32', [], Float32Array.of(NaN)) } : output;
    const config: Config = { epochs: 2, batch: 10, learningRate: 0.01, checkpointEverySteps: 1 };
    await expect(run(config, { out, engine: watchedEngine(engine, { onRun }) })).rejects.toMatchObject({
      kind: 'numeric',
      message: `train: ${out}: step 3: the loss became NaN. The checkpoint of step 2 is good; its batch is in ${join(out, 'batch-3.safetensors')}. Try a lower learning rate, a warm-up or \`clip\`, in a new folder.`,
    });
    expect((await readdir(join(out, 'checkpoints'))).sort()).toEqual(['1', '2']);
    expect(existsSync(join(out, 'last.safetensors'))).toBe(false);
  });

  /** Each is a number of float32; their product is none. */
  const tooFast = { learningRate: 1e38, groups: [{ names: '*', rate: 100 }], optimiser: sgd };

  it.each<[string, Config]>([
    ['a checkpoint', { epochs: 1, batch: 10, ...tooFast, checkpointEverySteps: 1 }],
    ['the end of an epoch', { epochs: 1, batch: 40, ...tooFast }],
  ])('are not saved where weights are some: at %s', async (_, config) => {
    const out = await temporaryFolder();
    // the loss of step 1 is of the weights before: still good
    await expect(run(config, { out })).rejects.toThrow(
      `train: ${out}: step 1: "fc.weight" is no longer finite. There is no checkpoint before it; its batch is in ${join(out, 'batch-1.safetensors')}. Try a lower learning rate`,
    );
    expect((await readdir(out)).filter((name) => /checkpoints|safetensors/.test(name))).toEqual(['batch-1.safetensors']);
  });
});
