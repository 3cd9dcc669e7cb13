/** What a failed start, a second process and a silent owner do to a run folder. No number is computed here: the engine is a stand-in. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ndArray, zerosArray, type Engine, type NamedArrays, type Network, type WeightSpec } from '@coda-nets/core';
import { describe, expect, it } from 'vitest';
import { evaluate, openCifar10, syntheticDataset, train, writeCifar10, type TrainOptions } from '../src/index.ts';
import { fetchCifar10 } from '../src/data/fetch-cifar10.ts';
import { withFolderLock } from '../src/data/folder-lock.ts';
import { temporaryFolder } from './data/temporary-folder.ts';

const dataset = syntheticDataset({ classes: 2, perClass: 4, size: 8 });

function networkWith(role: WeightSpec['role']): Network {
  const spec: WeightSpec = { shape: [2], role, decay: true, init: () => zerosArray('float32', [2]) };
  return {
    config: { kind: 'stand-in' },
    inputShape: [8, 8, 3],
    classes: 2,
    taps: [],
    weights: { w: spec },
    logitBias: 0,
  } as unknown as Network;
}

/** Whose every loss is `loss`, and whose steps fail with `error` where one is given. */
function engineWith({ loss = 1, error }: { loss?: number; error?: Error } = {}): Engine {
  return {
    name: 'stand-in',
    description: 'no arithmetic',
    compile: async (_: unknown, { carried = {} }: { carried?: NamedArrays }) => ({
      run: async () => {
        if (error !== undefined) throw error;
        return { loss: ndArray('float32', [], Float32Array.of(loss)), correct: ndArray('int32', [], Int32Array.of(1)) };
      },
      carried: async () => carried,
      dispose: async () => undefined,
    }),
  } as unknown as Engine;
}

const config = { epochs: 1, batch: 4, learningRate: 0.1 } as const;

function start(out: string, changes: Partial<TrainOptions> = {}) {
  return train({ network: networkWith('parameter'), dataset, engine: engineWith(), config, out, ...changes });
}

describe('a start that fails', () => {
  it.each<[string, Partial<TrainOptions>, string]>([
    [
      'a forgotten stem',
      { network: networkWith('frozen') },
      'train: initialWeights: frozen weights are never trained and need values: there is none for "w". ' +
        'Start from a trained model that has them, such as `coda import` makes: `--stem FILE` on the command line, `initFrom` in a config. Or train them: "stem": "trained" in the network’s config.',
    ],
    [
      'a file to start from that is not there',
      { config: { ...config, initFrom: '/no/such.safetensors' } },
      '/no/such.safetensors: no such file',
    ],
    [
      'a stem whose weights were not handed over',
      { config: { ...config, stem: { path: 'stem.safetensors' } } },
      'train: config: stem: its weights are not read here, and the run would start without them; ' +
        'expected weights of the stem as `initialWeights`, or no such key, got stem.safetensors',
    ],
    [
      'features of no stem',
      { config: { ...config, cacheFeatures: true } },
      'train: config: cacheFeatures: this network has no frozen stem whose features could be kept; expected a hybrid with a frozen stem, got kind "stand-in"',
    ],
    [
      'Nesterov without a momentum',
      { config: { ...config, optimiser: { kind: 'sgd', momentum: 0, nesterov: true } } },
      'train: config: optimiser.nesterov: Nesterov needs a momentum; expected optimiser.momentum > 0, got momentum 0',
    ],
    ['an engine that cannot train', { engine: engineWith({ error: new Error('no kernel') }) }, 'no kernel'],
    ['a loss that is NaN at once', { engine: engineWith({ loss: NaN }) }, 'step 1: the loss became NaN'],
  ])('with %s leaves no run behind', async (_, changes, text) => {
    const out = join(await temporaryFolder(), 'run');
    await expect(start(out, changes)).rejects.toThrow(text);
    for (const name of ['config.json', 'metrics.jsonl']) expect(existsSync(join(out, name))).toBe(false);
    expect((await start(out)).finished).toBe(true);
  });

  it('names the folder where there can be none', async () => {
    const file = join(await temporaryFolder(), 'file');
    await writeFile(file, '');
    await expect(start(file)).rejects.toThrow(`${file}: could not be written (EEXIST)`);
    // Node's own mkdir would try for ever; elsewhere there is no such folder
    if (process.platform === 'linux') await expect(start('/proc/run')).rejects.toThrow('/proc/run: could not be written (ENOENT)');
    await expect(start(join(file, 'below'))).rejects.toThrow(`${join(file, 'below')}: could not be written (ENOTDIR)`);
  });
});

describe('two trainings in one folder', () => {
  it('are one, whose config is the one there', async () => {
    const out = join(await temporaryFolder(), 'run');
    const rates = [0.1, 0.2];
    const ends = await Promise.allSettled(rates.map((learningRate) => start(out, { config: { ...config, learningRate } })));
    const winner = ends.findIndex(({ status }) => status === 'fulfilled');
    const loser = ends[1 - winner] as PromiseRejectedResult;
    expect(loser.status).toBe('rejected');
    expect((loser.reason as Error).message).toMatch(/another process is training in this folder|there is a run in this folder already/);
    const stored = JSON.parse(await readFile(join(out, 'config.json'), 'utf8')) as { learningRate: number };
    expect(stored.learningRate).toBe(rates[winner]);
  });
});

describe('the lock of a folder', () => {
  const lockedBy = async (owner: object): Promise<{ folder: string; got: string }> => {
    const folder = join(await temporaryFolder(), 'locked');
    await mkdir(folder);
    const path = join(folder, '.lock');
    await writeFile(path, JSON.stringify(owner));
    const long = new Date(Date.now() - 3_600_000);
    await utimes(path, long, long);
    const onWait = (): never => {
      throw new Error('waits');
    };
    return { folder, got: await withFolderLock(folder, async () => 'got it', { onWait }).catch((error: Error) => error.message) };
  };

  it('stays with a living process of this machine, however long it is silent', async () => {
    expect((await lockedBy({ pid: process.ppid, host: hostname() })).got).toBe('waits');
  });

  it('goes on from a dead process, from a silent other machine, and from an earlier process with this number', async () => {
    expect((await lockedBy({ pid: 2 ** 30, host: hostname() })).got).toBe('got it');
    expect((await lockedBy({ pid: process.ppid, host: `not-${hostname()}` })).got).toBe('got it');
    expect((await lockedBy({ pid: process.pid, host: hostname() })).got).toBe('got it');
  });
});

describe('a data folder of somebody else', () => {
  it('is not fetched into, and no hint says that it could be', async () => {
    const folder = await temporaryFolder();
    await writeCifar10(folder, syntheticDataset({ classes: 2, perClass: 4 }));
    const file = join(folder, 'data_batch_1.bin');
    const before = await readFile(file);
    await rm(join(folder, 'test_batch.bin'));
    const missing = `${join(folder, 'test_batch.bin')}: this file of the data set is missing`;
    await expect(openCifar10(folder)).rejects.toThrow(new RegExp(`^${missing}$`));
    // and without its manifest, where nothing says whose it is
    await rm(join(folder, 'coda-dataset.json'));
    await expect(openCifar10(folder)).rejects.toThrow(new RegExp(`^${missing}$`));
    await expect(fetchCifar10({ to: folder, sources: [] })).rejects.toThrow(
      `fetchCifar10: ${file}: this file is not of CIFAR-10 and would be overwritten. Choose another folder, or delete the file.`,
    );
    expect(await readFile(file)).toEqual(before);
  });
});

describe('evaluate', () => {
  it.each([NaN, Infinity])('names the image whose logit is %s', async (value) => {
    const split = dataset.split('train');
    let first = 0;
    const engine = {
      compile: async () => ({
        run: async ({ images }: NamedArrays) => {
          const n = images?.shape[0] ?? 0;
          const data = new Float32Array(n * 2);
          // image 5, class 1
          if (first <= 5 && 5 < first + n) data[(5 - first) * 2 + 1] = value;
          first += n;
          return { logits: ndArray('float32', [n, 2], data), loss: ndArray('float32', [], Float32Array.of(1)) };
        },
        dispose: async () => undefined,
      }),
    } as unknown as Engine;
    await expect(evaluate({ network: networkWith('parameter'), weights: {}, engine, split, batchSize: 3 })).rejects.toThrow(
      `evaluate: image 5: the logit of class 1 is ${value}. Are the weights of this model finite?`,
    );
  });

  it.each([NaN, Infinity])('names the images whose loss is %s although their logits are finite', async (loss) => {
    const engine = {
      compile: async () => ({
        run: async ({ images }: NamedArrays) => {
          const n = images?.shape[0] ?? 0;
          return { logits: zerosArray('float32', [n, 2]), loss: ndArray('float32', [], Float32Array.of(loss)) };
        },
        dispose: async () => undefined,
      }),
    } as unknown as Engine;
    const split = dataset.split('train');
    await expect(evaluate({ network: networkWith('parameter'), weights: {}, engine, split, batchSize: 3 })).rejects.toMatchObject({
      kind: 'numeric',
      message: `evaluate: images 0 to 2: their mean loss is ${loss}. Are the weights of this model finite?`,
    });
  });
});
