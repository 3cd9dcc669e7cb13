/** A run with all that a recipe can have, interrupted anywhere, in the middle of an update too: the same bits as the undisturbed one. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Random, type Engine } from '@coda-nets/core';
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import { syntheticDataset, type TrainOptions } from '../src/index.ts';
import { branchedNetwork } from './branched-network.ts';
import { temporaryFolder } from './data/temporary-folder.ts';
import { side } from './tiny-network.ts';
import { trainStoppedAt } from './train-stopped-at.ts';

type Config = TrainOptions['config'];
const network = branchedNetwork();
const dataset = syntheticDataset({ classes: 4, perClass: 20, size: side });
const accumulate = 3;
/** 68 images beside 12 held out, 17 batches of 4, of which 15 are three each: 45 steps, 15 updates. */
const base: Config = {
  epochs: 3,
  batch: 4,
  learningRate: 0.02,
  weightDecay: 0.01,
  schedule: { kind: 'one-cycle', warmup: 2 },
  augmentation: {
    kind: 'recipe',
    crop: { kind: 'random', pad: 2 },
    flip: true,
    erase: { probability: 0.5 },
    mixup: 0.2,
    cutmix: 1,
    labelSmoothing: 0.1,
  },
  clip: { kind: 'norm', max: 0.5 },
  groups: [{ names: '*.bias', rate: 0.5 }],
  accumulate,
  ema: { decay: 0.9 },
  stochasticDepth: 0.5,
  validation: { kind: 'held-out', count: 12 },
  bestBy: 'validationLoss',
  earlyStop: { patience: 100 },
  divergence: { factor: 50, steps: 5 },
  logEverySteps: 2,
  checkpointEverySteps: 7,
  seed: 5,
};
const totalSteps = 45;

let engine: Engine;
beforeAll(async () => {
  await useBackend('cpu');
  engine = await onnxRuntimeEngine({ threads: 1 });
});

const run = (out: string, change: Partial<Config>, { resume = false, stopAt = NaN } = {}) =>
  trainStoppedAt(stopAt, { network, dataset, engine, out, resume, config: { ...base, ...change } });

/** All that a run leaves, but for the clock's figures. */
async function filesOf(out: string): Promise<unknown[]> {
  const clock = new Set(['seconds', 'imagesPerSecond', 'waiting']);
  const withoutClock = (text: string): unknown =>
    JSON.parse(text, (key, value: unknown) => (clock.has(key) ? undefined : value)) as unknown;
  const read = (name: string): Promise<Buffer> => readFile(join(out, name));
  const lines = (await read('metrics.jsonl')).toString().trimEnd().split('\n');
  const last = `checkpoints/${totalSteps}`;
  return [
    ...(await Promise.all(
      ['last.safetensors', 'best.safetensors', `${last}/weights.safetensors`, `${last}/optimiser.safetensors`].map(read),
    )),
    withoutClock((await read(`${last}/state.json`)).toString()),
    ...lines.map(withoutClock),
  ];
}

describe.each<[string, NonNullable<Config['optimiser']>, number]>([
  ['AdamW', { kind: 'adamw' }, 1],
  ['LAMB', { kind: 'lamb' }, 2],
  ['SGD with Nesterov', { kind: 'sgd', momentum: 0.9, nesterov: true }, 3],
])('a run of everything with %s', (_, optimiser, seed) => {
  it('interrupted at random steps, ends in the same bits', async () => {
    const [whole, parts] = [await temporaryFolder(), await temporaryFolder()];
    const undisturbed = await run(whole, { optimiser });
    expect([undisturbed.finished, undisturbed.step]).toEqual([true, totalSteps]);
    const random = Random.seeded(seed);
    const stops = [...new Set(Array.from({ length: 5 }, () => 1 + random.below(totalSteps - 1)))].sort((a, b) => a - b);
    // else no sum of gradients is taken over
    expect(stops.some((step) => step % accumulate !== 0)).toBe(true);
    for (const [i, stopAt] of stops.entries()) {
      const part = await run(parts, { optimiser }, { resume: i > 0, stopAt });
      expect([part.finished, part.step]).toEqual([false, stopAt]);
    }
    const resumed = await run(parts, { optimiser }, { resume: true });
    expect(resumed.weights).toEqual(undisturbed.weights);
    expect(await filesOf(parts)).toEqual(await filesOf(whole));
  });
});
