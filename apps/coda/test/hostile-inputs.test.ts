/** Closed pipes, files that lie about their network, half-written lines, options that mean nothing: one error each, or none. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { initWeights, ndArray, Random, type Model, type NamedArrays } from '@coda-nets/core';
import { writeModel } from '@coda-nets/core/node';
import { syntheticDataset, writeCifar10 } from '@coda-nets/train';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildNetwork } from '../src/build-network.ts';
import { readMetrics } from '../src/report/read-metrics.ts';
import { coda } from './run-coda.ts';

const network = buildNetwork({ kind: 'resnet', depth: 8 }, 'test');
const weights = initWeights(network, Random.seeded(1));
const model: Model = {
  config: network.config,
  preprocessing: { size: [32, 32], layout: 'rgb', range: [0, 1] },
  classNames: Array.from({ length: 10 }, (_, c) => `class ${c}`),
  weights,
};

let folder = '';
let data = '';
let image = '';
let good = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coda-hostile-'));
  data = join(folder, 'data');
  image = join(folder, 'grey.png');
  good = join(folder, 'good.safetensors');
  await writeCifar10(data, syntheticDataset({ classes: 10, perClass: 2, testPerClass: 1 }));
  await sharp({ create: { width: 32, height: 32, channels: 3, background: 'grey' } })
    .png()
    .toFile(image);
  await writeModel(good, model);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('a reader that goes away', () => {
  const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));
  const run = (args: readonly string[]): Promise<{ code: number | null; err: string }> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
      child.stdout.destroy();
      let err = '';
      child.stderr.on('data', (chunk) => (err += String(chunk)));
      child.on('close', (code) => resolve({ code, err }));
    });

  it.each([[['--help']], [['info', 'resnet20-cifar10']]])('%s ends without a word', async (args) => {
    expect(await run(args)).toEqual({ code: 0, err: '' });
  });

  it('a training goes on to its end', async () => {
    const out = join(folder, 'unheard');
    const args = ['train', 'resnet20-cifar10', '--data', data, '--out', out, '--epochs', '1', '--batch', '2', '--limit', '2'];
    expect((await run(args)).code).toBe(0);
    expect(existsSync(join(out, 'last.safetensors'))).toBe(true);
  });
});

describe('a model file that lies about its network', () => {
  it.each<[string, Partial<Model>, string]>([
    [
      'too few class names',
      { classNames: ['a', 'b'] },
      `metadata "class_names": not one name for each of the network's classes; expected 10, got 2`,
    ],
    [
      'another size',
      { preprocessing: { ...model.preprocessing, size: [64, 32] } },
      `metadata "preprocessing": not the size of the network's input; expected 32 × 32, got 64 × 32`,
    ],
  ])('with %s is refused where it is opened', async (_, changes, text) => {
    const path = join(folder, 'liar.safetensors');
    await writeModel(path, { ...model, ...changes });
    expect(await coda('predict', path, image)).toEqual({ code: 1, out: '', err: `error: ${path}: ${text}\n` });
  });

  it.each(['predict', 'evaluate'])('with weights that are no numbers: %s names the image', async (command) => {
    const path = join(folder, 'nan.safetensors');
    const spoiled: NamedArrays = Object.fromEntries(
      Object.entries(weights).map(
        ([
          name,
          {
            shape,
            data: { length },
          },
        ]) => [name, ndArray('float32', shape, new Float32Array(length).fill(NaN))],
      ),
    );
    await writeModel(path, { ...model, weights: spoiled });
    const said = await coda(command, path, ...(command === 'predict' ? [image] : ['--data', data]), '--engine', 'cpu');
    const place = command === 'predict' ? 'predict: image grey' : 'evaluate: image 0';
    expect([said.code, said.err]).toEqual([
      1,
      expect.stringContaining(`error: ${place}: the logit of class 0 is NaN. Are the weights of this model finite?\n`),
    ]);
  });
});

describe('an option that means nothing', () => {
  it('--tap without a tap', async () => {
    const { code, err } = await coda('explain', good, image, '--out', join(folder, 'no'), '--tap', ',');
    expect([code, err]).toEqual([2, 'error: explain: --tap: no tap is named; expected names between commas, or all\n']);
  });

  it('--out that is a file', async () => {
    const { code, err } = await coda('explain', good, image, '--out', image, '--engine', 'cpu', '--tap', 'input');
    expect([code, err]).toEqual([
      2,
      expect.stringMatching(/\nerror: explain: --out ".*grey\.png": a file is where the folder should be\n$/),
    ]);
  });
});

it('all mistakes of a config, and of the network in it, are told at once', async () => {
  const path = join(folder, 'mistakes.json');
  const network = { kind: 'resnet', dpth: 8, classes: 'ten' };
  await writeFile(path, JSON.stringify({ epochs: 0, learningRat: 0.1, batch: '64', network }));
  const { code, err } = await coda('train', path, '--data', data, '--out', join(folder, 'none'));
  const lines = err.split('\n');
  expect([code, lines.slice(0, 2)]).toEqual([2, [`reading ${data} …`, `error: ${path}: 5 mistakes`]]);
  expect(lines.slice(2)).toEqual([
    expect.stringMatching(/^ {2}learningRat: unknown key; expected one of network, .*\. Did you mean "learningRate"\?$/),
    '  epochs: invalid value; expected >=1, got 0',
    '  batch: not a valid value; expected number, got "64"',
    expect.stringMatching(/^ {2}network: resnet: config: dpth: unknown key; expected one of kind, .*\. Did you mean "depth"\?$/),
    '  network: resnet: config: classes: not a valid value; expected number, got "ten"',
    '',
  ]);
});

describe('a config whose network is none', () => {
  it.each<[string, object, string]>([
    ['misspelt', { netwrok: { kind: 'resnet', depth: 8 } }, 'netwrok: unknown key; .*Did you mean "network"\\?'],
    ['missing', {}, 'network: missing'],
    ['empty', { network: {} }, 'network\\.kind: missing'],
    ['a list', { network: [] }, 'network: not a valid value; expected an object, got an array'],
    ['null', { network: null }, 'network: not a valid value; expected Object, got null'],
    ['a number', { network: 3 }, 'network: not a valid value; expected Object, got 3'],
  ])('%s is told the key', async (_, keys, text) => {
    const path = join(folder, 'config.json');
    await writeFile(path, JSON.stringify({ epochs: 1, learningRate: 0.1, ...keys }));
    const { code, err } = await coda('train', path, '--data', data, '--out', join(folder, 'none'));
    expect([code, err]).toEqual([2, expect.stringMatching(new RegExp(`\nerror: ${path}: ${text}\\n$`))]);
    expect(existsSync(join(folder, 'none'))).toBe(false);
  });

  it('of too many weights is refused before any is drawn', async () => {
    const path = join(folder, 'huge.json');
    const layer = { kernel: 32, stride: 1, padding: 16, rank: 65_536 };
    const layers = [
      { ...layer, out: 64 },
      { ...layer, out: 10 },
    ];
    const network = { kind: 'coda', inputShape: [32, 32, 3], classes: 10, temperature: 1, layers };
    await writeFile(path, JSON.stringify({ epochs: 1, batch: 4, learningRate: 0.1, network }));
    const { code, err } = await coda('train', path, '--data', data, '--out', join(folder, 'none'));
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(
        /\nerror: initWeights: the network has too many weights; expected at most 1,000,000,000, got 73,418,145,792\n$/,
      ),
    ]);
  });
});

it('readMetrics leaves out a line that a killed run wrote half', async () => {
  await writeFile(join(folder, 'metrics.jsonl'), '{"type":"epoch","epoch":1,"trainLoss":2}\n{"type":"step"}\n{"type":"epoch","epo');
  expect((await readMetrics(folder)).epochs).toEqual([{ type: 'epoch', epoch: 1, trainLoss: 2 }]);
});
