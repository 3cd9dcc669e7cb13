/** A run that goes on with other epochs than it was begun with: how long it is, at which rates it learns, and what stays written of it. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Engine } from '@coda-nets/core';
import { readModel } from '@coda-nets/core/node';
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, expect, it } from 'vitest';
import { learningRateAt, storedConfig, syntheticDataset, type TrainOptions } from '../src/index.ts';
import { temporaryFolder } from './data/temporary-folder.ts';
import { side, tinyNetwork } from './tiny-network.ts';
import { trainStoppedAt } from './train-stopped-at.ts';

type Config = TrainOptions['config'];
/** 10 steps an epoch. */
const dataset = syntheticDataset({ classes: 4, perClass: 10, size: side });
const cosine = { kind: 'cosine', end: 0, warmup: 3 } as const;
const base: Config = { epochs: 2, batch: 4, learningRate: 0.02, schedule: cosine, logEverySteps: 1, checkpointEverySteps: 4 };

let engine: Engine;
beforeAll(async () => {
  await useBackend('cpu');
  engine = await onnxRuntimeEngine({ threads: 1 });
});

const run = (out: string, change: Partial<Config>, resume = false, stopAt = NaN) =>
  trainStoppedAt(stopAt, { network: tinyNetwork(), dataset, engine, out, resume, config: { ...base, ...change } });

async function ratesOf(out: string): Promise<number[]> {
  const lines = (await readFile(join(out, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line)).flatMap(({ type, learningRate }) => (type === 'step' ? [learningRate] : []));
}

it('a finished run goes on with more epochs, at the rates of a run of that length from there', async () => {
  const out = await temporaryFolder();
  expect((await run(out, {})).finished).toBe(true);
  const longer = await run(out, { epochs: 4 }, true);
  expect([longer.finished, longer.step, longer.totalSteps]).toEqual([true, 40, 40]);
  const rate = (step: number, of: number): number => learningRateAt(cosine, 0.02, step, of);
  expect(await ratesOf(out)).toEqual(Array.from({ length: 40 }, (_, step) => rate(step, step < 20 ? 20 : 40)));
  expect(longer.notices).toEqual([
    'Going on at step 20 of 40.',
    `The run has 4 epochs instead of 2, and its schedule is that of 4: the learning rate is ${rate(20, 40).toPrecision(3)} from here.`,
  ]);
  expect((await storedConfig(out))?.epochs).toBe(4);
  const { provenance } = await readModel(join(out, 'last.safetensors'));
  expect(provenance).toMatchObject({ epochsBefore: [{ step: 20, epochs: 2 }], recipe: { epochs: 4 } });
});

it('where no rate depends on the length, it ends in the weights of a run that was as long from the start', async () => {
  const [extended, whole] = [await temporaryFolder(), await temporaryFolder()];
  await run(extended, { schedule: { kind: 'constant' } });
  const longer = await run(extended, { schedule: { kind: 'constant' }, epochs: 3 }, true);
  expect(longer.weights).toEqual((await run(whole, { schedule: { kind: 'constant' }, epochs: 3 })).weights);
});

it('an extended run is interrupted and resumed to the same bytes, and tells of its length once', async () => {
  const [whole, parts] = [await temporaryFolder(), await temporaryFolder()];
  for (const out of [whole, parts]) await run(out, {}, false, 13);
  const undisturbed = await run(whole, { epochs: 3 }, true);
  expect(undisturbed.notices.at(-1)).toMatch(
    /^The run has 3 epochs instead of 2, .*: the learning rate is 0\.0\d+ instead of 0\.00\d+ from here\.$/,
  );
  await run(parts, { epochs: 3 }, true, 22);
  // its own config has them by now
  const resumed = await run(parts, { epochs: (await storedConfig(parts))?.epochs ?? 0 }, true);
  expect(resumed.notices).toEqual(['Going on at step 22 of 30.']);
  for (const name of ['last', 'best']) {
    const path = `${name}.safetensors`;
    expect(await readFile(join(parts, path))).toEqual(await readFile(join(whole, path)));
  }
});

it('fewer epochs end it earlier, but not before where it is', async () => {
  const out = await temporaryFolder();
  await run(out, { epochs: 4 }, false, 13);
  await expect(run(out, { epochs: 1 }, true)).rejects.toMatchObject({
    kind: 'argument',
    message: 'train: config: epochs: the run to resume is in epoch 2 already; expected at least 2, got 1',
  });
  expect((await storedConfig(out))?.epochs).toBe(4);
  const shorter = await run(out, { epochs: 2 }, true);
  expect([shorter.finished, shorter.step]).toEqual([true, 20]);
});

it('what may change is kept also where nothing is left to do', async () => {
  const out = await temporaryFolder();
  await run(out, { epochs: 4 }, false, 21);
  // as if it had been killed between the end of the epoch and that step
  await rm(join(out, 'checkpoints/21'), { recursive: true });
  const done = await run(out, { epochs: 2, maxBad: 7 }, true);
  expect([done.finished, done.step]).toEqual([true, 20]);
  expect(await storedConfig(out)).toMatchObject({ epochs: 2, maxBad: 7 });
});
