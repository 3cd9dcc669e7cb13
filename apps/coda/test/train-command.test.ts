/** `coda train` interrupted and taken up again by the line it printed, and what it refuses. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { syntheticDataset, writeCifar10 } from '@coda-nets/train';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { trainPreset } from '../src/train-presets.ts';
import { beginnings, coda, codaInterruptedAt } from './run-coda.ts';

let folder = '';
let data = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coda-train-'));
  data = join(folder, 'data');
  // as many as the hybrid's preset wants: 1000 held out and a batch of 64
  await writeCifar10(data, syntheticDataset({ classes: 10, perClass: 110, testPerClass: 1 }));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** What stands behind `go on with: coda`. */
function printedLine(out: string): string[] {
  const line = /go on with: coda (.*)\n/.exec(out)?.[1];
  expect(line).toBeDefined();
  return (line as string).split(' ');
}

describe('an interrupted training', () => {
  it('prints a line that goes on, with no more than the folder, and takes what agrees with the run', async () => {
    const run = join(folder, 'run');
    const start = ['train', 'resnet20-cifar10', '--data', data, '--out', run];
    const first = await codaInterruptedAt(
      /epoch 1\/2/,
      ...start,
      '--epochs',
      '2',
      '--batch',
      '4',
      '--limit',
      '8',
      '--lr',
      '0.01',
      '--seed',
      '3',
    );
    expect(first.out).toMatch(/\ninterrupted, saved at step 2 of 4 after [^;]+; go on with: coda train --resume --out \S+\n/);
    expect(first.code).toBe(1);
    expect(first.err).toBe(`reading ${data} …\ncompiling the training step …\n`);

    const other = await coda(...start, '--batch', '5', '--resume');
    expect([other.code, other.err]).toEqual([
      2,
      expect.stringMatching(/config\.json: batch: the run to resume has another value; expected 4, got 5/),
    ]);
    const elsewhere = join(folder, 'elsewhere');
    await writeCifar10(elsewhere, syntheticDataset({ classes: 10, perClass: 110, testPerClass: 1, seed: 1 }));
    const images = await coda('train', '--resume', '--out', run, '--data', elsewhere);
    expect([images.code, images.err]).toEqual([2, expect.stringMatching(/the run to resume was trained on other images/)]);
    const hybrid = await coda('train', 'hybrid-cifar10-resnet20', ...start.slice(2), '--resume');
    expect([hybrid.code, hybrid.err]).toEqual([
      2,
      expect.stringMatching(/config\.json: network\.\w+: the run to resume has another value/),
    ]);

    const line = printedLine(first.out);
    expect(line).toEqual(['train', '--resume', '--out', run]);
    const second = await coda(...line);
    expect([second.code, second.err]).toEqual([0, expect.stringMatching(beginnings)]);
    expect(second.out).toContain('finished: step 4 of 4');

    const plain = await coda(...start, '--resume');
    expect([plain.code, plain.err]).toEqual([0, expect.stringMatching(beginnings)]);
    expect(plain.out).toContain('finished: step 4 of 4');

    const longer = await coda('train', '--resume', '--out', run, '--epochs', '3');
    expect([longer.code, longer.err]).toEqual([0, expect.stringMatching(beginnings)]);
    expect(longer.out).toMatch(
      /\nThe run has 3 epochs instead of 2, and its schedule is that of 3: the learning rate is 0\.00\d+ from here\.\n/,
    );
    expect(longer.out).toContain('finished: step 6 of 6');
    const shorter = await coda('train', '--resume', '--out', run, '--epochs', '2');
    expect([shorter.code, shorter.err]).toEqual([
      2,
      expect.stringMatching(/epochs: the run to resume is in epoch 3 already; expected at least 3, got 2/),
    ]);
  });

  it('before its first step has one clean line too', async () => {
    const run = join(folder, 'early');
    const { code, out, err } = await codaInterruptedAt(
      /^stem: /,
      'train',
      'hybrid-cifar10-resnet20',
      '--data',
      data,
      '--out',
      run,
      '--epochs',
      '1',
    );
    expect([code, err]).toEqual([1, `reading ${data} …\ncompiling the training step …\n`]);
    expect(out).toContain(`\ninterrupted, nothing trained yet; go on with: coda train --resume --out ${run}\n`);
    expect(existsSync(join(run, 'last.safetensors'))).toBe(false);
  });
});

it('a config file says on which data, whatever the case of its ending; --data says otherwise', async () => {
  const config = join(folder, 'named.JSON');
  const { config: preset } = trainPreset('resnet20-cifar10');
  await writeFile(config, JSON.stringify({ ...preset, data }));
  // what is wrong is told once the images are read
  const call = ['train', config, '--out', join(folder, 'named'), '--limit', '4'];
  const named = await coda(...call);
  expect([named.code, named.err]).toEqual([2, expect.stringContaining(`reading ${data} …\nerror: train: --limit: too few images`)]);
  const other = await coda(...call, '--data', 'cifr10');
  expect([other.code, other.err]).toEqual([2, expect.stringContaining('got "cifr10"')]);
});

describe('a wrong call', () => {
  it.each([
    [
      ['hybrid-cifar10-resnet20', '--limit', '400'],
      /^reading \S+ …\nerror: train: --limit: too few images for a batch of 64 beside the 1000 held out for validation; expected at least 1064, got 400\n$/,
    ],
    [['hybrid'], /"hybrid" is neither a config file \(\.json\) nor a preset; .*Did you mean hybrid-cifar10-resnet20\?/],
  ])('%s is answered with what works', async (args, message) => {
    const { code, err } = await coda('train', ...args, '--data', data, '--out', join(folder, 'no'));
    expect([code, err]).toEqual([2, expect.stringMatching(message)]);
    expect(existsSync(join(folder, 'no'))).toBe(false);
  });

  it.each([
    [['--out', 'x'], /^error: train: what to train is missing; expected a preset or a config file \(\.json\)\n$/],
    [
      ['resnet20-cifar10', '--out', 'x'],
      /^error: train: --data: is missing; expected a data set: cifar10, .*, a folder, or a pattern of \.tar files\n$/,
    ],
    [
      ['--resume', '--out', 'x'],
      /^error: x: there is no run to resume in this folder: it has no config\.json\. Leave out --resume to start one\.\n$/,
    ],
  ])('%j is told what is missing', async (args, message) => {
    const { code, err } = await coda('train', ...args);
    expect([code, err]).toEqual([2, expect.stringMatching(message)]);
  });

  it.each([[['resnet20-cifar10']], [['hybrid-cifar10-resnet20', '--no-cache-features']]])(
    '%j keeps no features in a cache',
    async (args) => {
      const { code, err } = await coda(
        'train',
        ...args,
        '--data',
        data,
        '--out',
        join(folder, 'no'),
        '--feature-cache',
        join(folder, 'kept'),
      );
      expect([code, err]).toEqual([
        2,
        `reading ${data} …\nerror: train: --feature-cache: this training keeps no features; ` +
          'expected a config with "cacheFeatures": true, of a hybrid with a frozen stem, got cacheFeatures false\n',
      ]);
      expect(existsSync(join(folder, 'no'))).toBe(false);
    },
  );

  it('a limit on a validation that is not of the test split is refused', async () => {
    const call = ['train', 'hybrid-cifar10-resnet20', '--data', data, '--out', join(folder, 'no'), '--validation-limit', '5'];
    const { code, err } = await coda(...call);
    expect([code, err]).toEqual([
      2,
      `reading ${data} …\nerror: train: --validation-limit: this training holds out images for validation, by their number; ` +
        'expected a training whose validation is "test"; in a config file, validation.count, got validation "held-out"\n',
    ]);
  });

  it('a misspelt data set too', async () => {
    const { code, err } = await coda('train', 'resnet20-cifar10', '--data', 'cifr10', '--out', join(folder, 'no'));
    expect([code, err]).toEqual([2, expect.stringMatching(/no such data set; .*got "cifr10"\. Did you mean cifar10\?/)]);
  });
});
