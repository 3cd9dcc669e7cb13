/** Training on images in files: bad ones, resume with workers, recipes, kept features of drawn copies. */
import { readFile, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { initWeights, Random, type Engine } from '@coda-nets/core';
import { readModel } from '@coda-nets/core/node';
import { eagerEngine, onnxRuntimeEngine } from '@coda-nets/engine';
import { useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  computeFeatures,
  evaluate,
  openDataset,
  train,
  type FeatureCopy,
  type FileSplit,
  type TrainEvent,
  type TrainOptions,
} from '../src/index.ts';
import { put, writeTree } from './data/image-tree.ts';
import { temporaryFolder } from './data/temporary-folder.ts';
import { side, tinyNetwork } from './tiny-network.ts';
import { watchedEngine } from './watched-engine.ts';

type Config = TrainOptions['config'];
const classes = ['a', 'b', 'c', 'd'];
const network = tinyNetwork();
/** 4 classes of 6 images, batches of 5: 4 steps an epoch, 8 in all. */
const base: Config = {
  epochs: 2,
  batch: 5,
  learningRate: 0.02,
  resize: 10,
  augmentation: {
    kind: 'recipe',
    crop: { kind: 'random-resized', scale: [0.3, 1] },
    flip: true,
    policy: { kind: 'trivial-augment' },
    mixup: 0.2,
    cutmix: 1,
    labelSmoothing: 0.1,
  },
  validation: { kind: 'test' },
  logEverySteps: 2,
  checkpointEverySteps: 3,
  seed: 5,
};

let engine: Engine;
beforeAll(async () => {
  await useBackend('cpu');
  engine = await onnxRuntimeEngine({ threads: 1 });
});

async function tree(): Promise<string> {
  const root = await temporaryFolder();
  await writeTree(root, 'train', classes, 6);
  await writeTree(root, 'val', classes, 2, 50);
  return root;
}

async function run(root: string, out: string, change: Partial<Config> = {}, more: Partial<TrainOptions> & { stopAt?: number } = {}) {
  const { stopAt, ...options } = more;
  const stop = new AbortController();
  const events: TrainEvent[] = [];
  const result = await train({
    network,
    dataset: await openDataset(root),
    engine,
    out,
    workers: 0,
    config: { ...base, ...change },
    signal: stop.signal,
    onEvent: (event) => {
      events.push(event);
      if (event.type === 'step' && event.step === stopAt) stop.abort();
    },
    ...options,
  });
  return { ...result, events };
}
const lastModel = (out: string): Promise<Buffer> => readFile(join(out, 'last.safetensors'));

describe('training on files', () => {
  it('ends in the same bits with any number of workers, stopped in the middle of an epoch or not', async () => {
    const root = await tree();
    const [whole, threaded, parts] = await Promise.all([temporaryFolder(), temporaryFolder(), temporaryFolder()]);
    await run(root, whole);
    await run(root, threaded, {}, { workers: 3 });
    expect((await lastModel(threaded)).equals(await lastModel(whole))).toBe(true);
    const first = await run(root, parts, {}, { workers: 1, stopAt: 2 });
    expect([first.finished, first.step]).toEqual([false, 2]);
    await run(root, parts, {}, { workers: 0, resume: true, stopAt: 6 });
    await run(root, parts, {}, { workers: 3, resume: true });
    expect((await lastModel(parts)).equals(await lastModel(whole))).toBe(true);
    const { preprocessing, classNames } = await readModel(join(whole, 'last.safetensors'));
    expect([preprocessing, classNames]).toEqual([{ size: [side, side], layout: 'rgb', range: [0, 1], resize: 10 }, classes]);
  }, 300_000);

  it('tells of each image that cannot be read once, goes on without it, and stops at too many', async () => {
    const root = await tree();
    await put(join(root, 'train/a/1.JPEG'), '<html>');
    await put(join(root, 'train/c/2.png'), '');
    await put(join(root, 'val/b/0.png'), 'x');
    const out = await temporaryFolder();
    const { events, bad, finished } = await run(root, out, {}, { stopAt: 5 });
    expect(finished).toBe(false);
    const resumed = await run(root, out, {}, { resume: true });
    expect(resumed.bad.map(([file]) => file).sort()).toEqual(['train/a/1.JPEG', 'train/c/2.png', 'val/b/0.png']);
    const told = [...events, ...resumed.events].filter((event) => event.type === 'bad-image');
    expect(told.map(({ file }) => file).sort()).toEqual(resumed.bad.map(([file]) => file).sort());
    expect(bad.length).toBeGreaterThan(0);
    const lines = (await readFile(join(out, 'metrics.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; file?: string; reason?: string });
    expect(
      lines
        .filter(({ type }) => type === 'bad-image')
        .map(({ file, reason }) => `${file}: ${reason}`)
        .sort(),
    ).toEqual([
      expect.stringMatching(/^train\/a\/1\.JPEG: not an image: 6 bytes/),
      'train/c/2.png: not an image: an empty file',
      expect.stringMatching(/^val\/b\/0\.png: not an image: 1 bytes/),
    ]);
    await expect(run(root, await temporaryFolder(), { maxBad: 2 })).rejects.toThrow(
      /^images: 3 could not be read:\n  train\/\S+: not an image: .*\n  .*\n  .*\n; expected at most 2 such images, got 3\. Repair or remove them, or put up with more: --max-bad, maxBad in a config\.$/,
    );
    const {
      images,
      top1,
      bad: left,
    } = await evaluate({ network, weights: resumed.weights, engine, split: (await openDataset(root)).split('test') });
    expect([images, left.map(({ file, place }) => [file, place])]).toEqual([7, [['val/b/0.png', 2]]]);
    expect(top1 * 7).toBeCloseTo(Math.round(top1 * 7), 9);
  });

  it('trains on the classes that are chosen', async () => {
    const root = await tree();
    const two = tinyNetwork({ classes: 2 });
    const { events } = await run(root, await temporaryFolder(), { classes: ['d', 'b'] }, { network: two });
    expect(events[0]).toMatchObject({ type: 'start', trainImages: 12, validationImages: 4 });
    await expect(run(root, await temporaryFolder(), { classes: 3 }, { network: two })).rejects.toThrow(
      'the network is made for other data; expected 2 classes of images [8, 8, 3], got 3 classes of images of three channels',
    );
  });

  it('refuses unknown keys and impossible values of a recipe with the nearest and the range', async () => {
    const root = await tree();
    const recipe = (more: object): Partial<Config> => ({ augmentation: { kind: 'recipe', ...more } as never });
    const refused = async (more: object): Promise<string> =>
      run(root, 'unused', recipe(more)).then(
        () => '',
        (error: Error) => error.message,
      );
    expect(await refused({ mixUp: 1 })).toMatch(/augmentation\.mixUp: unknown key; .* Did you mean "mixup"\?/);
    expect(await refused({ policy: { kind: 'randaugment' } })).toMatch(/augmentation\.policy\.kind: .*Did you mean "rand-augment"\?/);
    expect(await refused({ crop: { kind: 'random-resized', scale: [1, 0.1] } })).toMatch(
      /augmentation\.crop\.scale: the first is larger than the second/,
    );
    expect(await refused({ labelSmoothing: 1 })).toMatch(/augmentation\.labelSmoothing/);
  });
});

describe('kept features of files', () => {
  const frozen = tinyNetwork({ frozen: true });
  const weights = initWeights(frozen, Random.seeded(5));
  const cpu = eagerEngine({ name: 'cpu', backend: 'cpu', description: 'cpu' });
  const recipe: Config['augmentation'] = {
    kind: 'recipe',
    crop: { kind: 'random-resized', scale: [0.3, 1], ratio: [0.75, 1.3] },
    flip: true,
    mixup: 0,
    cutmix: 0,
    labelSmoothing: 0,
  };
  const copies: readonly FeatureCopy[] = ['copy-0', 'copy-1'];
  let runs = 0;
  const counted = watchedEngine(cpu, {
    onRun: (_, output) => {
      runs++;
      return output;
    },
  });
  const compute = async (root: string, cacheFolder: string, change: object = {}) => {
    runs = 0;
    const split = (await openDataset(root)).split('train') as FileSplit;
    return computeFeatures({
      engine: counted,
      network: frozen,
      weights,
      split,
      copies,
      augmentation: recipe as never,
      seed: 3,
      cacheFolder,
      ...change,
    });
  };

  it('are the same from memory, from the disk and anew, and anew for everything they depend on', async () => {
    const [root, cache] = [await tree(), await temporaryFolder()];
    await put(join(root, 'train/a/3.JPEG'), 'bad');
    const fresh = await compute(root, cache);
    expect(runs).toBe(2);
    expect(fresh.bad.map(({ file, place }) => [file, place])).toEqual([['train/a/3.JPEG', 3]]);
    const indices = [23, 0, 3, 7];
    const chosen = ['copy-1', 'copy-0', 'copy-1', 'copy-0'] as const;
    const expected = (await fresh.batch(indices, chosen)).data;
    // image 3 is bad: the one after it stands in
    expect((await fresh.batch([4], 'copy-1')).data).toEqual((await fresh.batch([3], 'copy-1')).data);
    expect((await fresh.batch([4], 'copy-0')).data).not.toEqual((await fresh.batch([4], 'copy-1')).data);
    for (const maxMemory of [Infinity, 0]) {
      const again = await compute(root, cache, { maxMemory });
      expect([runs, again.bad.length]).toEqual([0, 1]);
      expect((await again.batch(indices, chosen)).data).toEqual(expected);
      await again.close();
    }
    const half = await compute(root, cache, { precision: 'float16', maxMemory: 0 });
    expect(runs).toBe(2);
    const halves = (await half.batch(indices, chosen)).data;
    await half.close();
    expect(halves).toEqual((await (await compute(root, cache, { precision: 'float16', maxMemory: Infinity })).batch(indices, chosen)).data);
    expect(Math.max(...halves.map((x, i) => Math.abs(x - (expected[i] as number))))).toBeLessThan(2 ** -10);
    for (const change of [{ seed: 4 }, { resize: 9 }, { augmentation: { ...(recipe as object), flip: false } }]) {
      await compute(root, cache, change);
      expect(runs).toBe(2);
    }
    await utimes(join(root, 'train/b/0.png'), new Date(5), new Date(5));
    await compute(root, cache);
    expect(runs).toBe(2);
  });

  it('train as often as they are asked to, from drawn copies, and resume', async () => {
    const root = await tree();
    const config: Partial<Config> = { cacheFeatures: true, featureCopies: 3, augmentation: recipe as never };
    const initialWeights = weights;
    const [whole, parts, cache] = await Promise.all([temporaryFolder(), temporaryFolder(), temporaryFolder()]);
    const more = { network: frozen, initialWeights, featureCacheFolder: cache };
    await run(root, whole, config, more);
    await run(root, parts, config, { ...more, stopAt: 3 });
    await run(root, parts, config, { ...more, resume: true });
    expect((await lastModel(parts)).equals(await lastModel(whole))).toBe(true);
    await expect(run(root, await temporaryFolder(), { ...config, featureCopies: 0 }, more)).rejects.toThrow(
      '"none" or "flip" with cacheFeatures, or featureCopies',
    );
    await expect(run(root, await temporaryFolder(), { ...config, augmentation: base.augmentation }, more)).rejects.toThrow(
      'neither mixup nor cutmix with cacheFeatures',
    );
  });
});
