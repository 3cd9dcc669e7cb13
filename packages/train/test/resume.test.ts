/** The run folder: what is refused, what survives a spoiled disk, and that a resumed run is the undisturbed one to the last bit. */
import { cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeSafetensors, encodeSafetensors, type Engine, type NdArray } from '@coda-nets/core';
import { readModel } from '@coda-nets/core/node';
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import { storedConfig, syntheticDataset, train, type TrainEvent, type TrainOptions, type TrainResult } from '../src/index.ts';
import type { CheckpointState } from '../src/checkpoint.ts';
import { temporaryFolder } from './data/temporary-folder.ts';
import { side, tinyNetwork } from './tiny-network.ts';

type Config = TrainOptions['config'];
const network = tinyNetwork();
const dataset = syntheticDataset({ classes: 4, perClass: 10, size: side });
/** 28 images beside 12 held out, batches of 4: 7 steps an epoch, 21 in all. */
const base: Config = {
  epochs: 3,
  batch: 4,
  learningRate: 0.02,
  weightDecay: 0.01,
  schedule: { kind: 'cosine', end: 0.1, warmup: 4 },
  augmentation: { kind: 'flip-and-crop', pad: 2 },
  validation: { kind: 'held-out', count: 12 },
  logEverySteps: 2,
  checkpointEverySteps: 3,
  seed: 5,
};
const optimisers: readonly [string, NonNullable<Config['optimiser']>][] = [
  ['Adam', { kind: 'adam' }],
  ['SGD with Nesterov', { kind: 'sgd', momentum: 0.9, nesterov: true }],
];

let engine: Engine;
beforeAll(async () => {
  await useBackend('cpu');
  engine = await onnxRuntimeEngine({ threads: 1 });
});

/** With `stopAt` as if Ctrl-C came while that step ran. */
async function run(out: string, change: Partial<Config> = {}, more: Partial<TrainOptions> & { stopAt?: number } = {}) {
  const { stopAt, ...options } = more;
  const stop = new AbortController();
  const events: TrainEvent[] = [];
  const result: TrainResult = await train({
    network,
    dataset,
    engine,
    out,
    config: { ...base, ...change },
    signal: stop.signal,
    onEvent: (event) => {
      events.push(event);
      if (event.type === 'step' && event.step === stopAt) stop.abort();
    },
    ...options,
  });
  return {
    ...result,
    events,
    notices: events.filter((event) => event.type === 'notice').map(({ message }) => message),
  };
}
const checkpointsOf = async (out: string): Promise<number[]> => (await readdir(join(out, 'checkpoints'))).map(Number).sort((a, b) => a - b);
const modelsOf = (out: string) => Promise.all(['last', 'best'].map((name) => readFile(join(out, `${name}.safetensors`))));
/** All that does not depend on the clock. */
async function metricsOf(out: string): Promise<Record<string, unknown>[]> {
  const lines = (await readFile(join(out, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n');
  return lines.map((line) => {
    const { seconds: _, imagesPerSecond: __, waiting: ___, ...rest } = JSON.parse(line) as Record<string, unknown>;
    return rest;
  });
}
async function expectSame(parts: string, whole: string): Promise<void> {
  expect(await modelsOf(parts)).toEqual(await modelsOf(whole));
  expect(await metricsOf(parts)).toEqual(await metricsOf(whole));
}

describe.each(optimisers)('an interrupted run with %s', (_, optimiser) => {
  it('saves where it stops, goes on there, and ends in the same bits', async () => {
    const [whole, parts] = [await temporaryFolder(), await temporaryFolder()];
    const undisturbed = await run(whole, { optimiser });
    expect([undisturbed.finished, undisturbed.step]).toEqual([true, 21]);
    // in the middle of an epoch, of a log interval, between two checkpoints; at an epoch's end, before its validation; again in the middle
    let resume = false;
    for (const stopAt of [5, 7, 17]) {
      const part = await run(parts, { optimiser }, { resume, stopAt });
      expect([part.finished, part.step]).toEqual([false, stopAt]);
      expect((await checkpointsOf(parts)).at(-1)).toBe(stopAt);
      expect((await readModel(join(parts, 'last.safetensors'))).weights).toEqual(part.weights);
      resume = true;
    }
    const resumed = await run(parts, { optimiser }, { resume });
    expect(resumed.events.filter((event) => event.type === 'step').map(({ step }) => step)).toEqual([18, 19, 20, 21]);
    expect(resumed.finished).toBe(true);
    expect(resumed.weights).toEqual(undisturbed.weights);
    expect([resumed.best, resumed.validation]).toEqual([undisturbed.best, undisturbed.validation]);
    await expectSame(parts, whole);
    // a finished run has nothing left to do
    const again = await run(parts, { optimiser }, { resume });
    expect(again.events.map(({ type }) => type)).toEqual(['start']);
    expect(again.weights).toEqual(undisturbed.weights);
  });
});

describe('a spoiled run folder', () => {
  it.each(['weights.safetensors', 'optimiser.safetensors', 'state.json'])(
    'goes on from the checkpoint before, with a notice: %s',
    async (file) => {
      const [whole, parts] = [await temporaryFolder(), await temporaryFolder()];
      await run(whole);
      await run(parts, {}, { stopAt: 17 });
      expect(await checkpointsOf(parts)).toEqual([15, 17]);
      await truncate(join(parts, 'checkpoints/17', file), 20);
      // what a killed process leaves: a line of step 16, which will be done again, and a half-written one
      expect((await metricsOf(parts)).at(-1)).toMatchObject({ type: 'step', step: 16 });
      await writeFile(join(parts, 'metrics.jsonl'), '{"type":"step","st', { flag: 'a' });
      const resumed = await run(parts, {}, { resume: true });
      expect(resumed.events.find((event) => event.type === 'start')).toMatchObject({ step: 15 });
      expect(resumed.notices).toEqual([
        expect.stringMatching(/^The checkpoint of step 17 cannot be read \(.*17.*\)\.$/),
        'Going on at step 15 of 21.',
      ]);
      await expectSame(parts, whole);
      const steps = (await metricsOf(parts)).filter(({ type }) => type === 'step').map(({ step }) => step);
      expect(steps).toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
    },
  );

  it('goes on from the checkpoint before where the last is one of another step', async () => {
    const out = await temporaryFolder();
    await run(out, {}, { stopAt: 17 });
    const path = join(out, 'checkpoints/17/state.json');
    const state = JSON.parse(await readFile(path, 'utf8')) as CheckpointState;
    await writeFile(path, JSON.stringify({ ...state, step: 1 }));
    const { notices, finished } = await run(out, {}, { resume: true });
    expect(notices).toEqual([
      `The checkpoint of step 17 cannot be read (${path}: step: not of the step that the checkpoint is of; expected step 17, got step 1. ` +
        'To go on from the checkpoint before, delete this one.).',
      'Going on at step 15 of 21.',
    ]);
    expect(finished).toBe(true);
  });

  it('is refused where the parts of its checkpoint are not of one moment', async () => {
    const out = await temporaryFolder();
    await run(out, {}, { stopAt: 17 });
    const path = join(out, 'checkpoints/17/state.json');
    const kept = await readFile(path, 'utf8');
    const state = JSON.parse(kept) as CheckpointState;
    await writeFile(path, JSON.stringify({ ...state, sampler: { epoch: 2, position: 4 } }));
    await expect(run(out, {}, { resume: true })).rejects.toThrow(
      `${path}: sampler: not of the step that the checkpoint is of; expected step 17, got step 15. To go on from`,
    );
    await writeFile(path, kept);
    const slots = join(out, 'checkpoints/17/optimiser.safetensors');
    const { tensors } = decodeSafetensors(await readFile(slots), slots);
    const [[first, array], ...rest] = Object.entries(tensors) as [[string, NdArray], ...[string, NdArray][]];
    await writeFile(slots, encodeSafetensors(Object.fromEntries([...rest, ['other', array]])));
    await expect(run(out, {}, { resume: true })).rejects.toThrow(
      `${slots}: missing, unknown or of another shape than this optimiser has: ${first}, other. To go on from`,
    );
  });

  it('loses damaged lines of metrics.jsonl alone, with a notice', async () => {
    const [whole, parts] = [await temporaryFolder(), await temporaryFolder()];
    await run(whole);
    await run(parts, {}, { stopAt: 17 });
    const path = join(parts, 'metrics.jsonl');
    const [first, second, ...rest] = (await readFile(path, 'utf8')).split('\n');
    await writeFile(path, [first, '', second, 'null', '{"type":"st', ...rest].join('\n'));
    const resumed = await run(parts, {}, { resume: true });
    expect(resumed.notices).toEqual(['Going on at step 17 of 21.', `Lines of ${path} that are damaged are left out: 2, 4, 5.`]);
    await expectSame(parts, whole);
  });

  it('is not started anew where every checkpoint is spoiled', async () => {
    const out = await temporaryFolder();
    await run(out, {}, { stopAt: 5 });
    const before = await metricsOf(out);
    for (const step of await checkpointsOf(out)) await truncate(join(out, 'checkpoints', String(step), 'weights.safetensors'), 20);
    await expect(run(out, {}, { resume: true })).rejects.toThrow(/checkpoints\/5\/weights\.safetensors/);
    expect(await metricsOf(out)).toEqual(before);
  });
});

describe('a config.json that was edited', () => {
  it.each<[string, Partial<Config>]>([
    ['batch', { batch: 2 }],
    ['accumulate', { accumulate: 7 }],
    ['optimiser.kind', { optimiser: { kind: 'sgd' } }],
    ['learningRate', { learningRate: 0.01 }],
  ])('is not gone on with where it is not what the run was: %s', async (key, change) => {
    const out = await temporaryFolder();
    await run(out, {}, { stopAt: 5 });
    const path = join(out, 'config.json');
    const stored = JSON.parse(await readFile(path, 'utf8')) as object;
    await writeFile(path, JSON.stringify({ ...stored, ...change }));
    await expect(run(out, change, { resume: true })).rejects.toMatchObject({
      kind: 'argument',
      message: expect.stringContaining(`checkpoints/5/state.json: ${key}: the run to resume has another value`),
    });
  });

  it('may say what may change', async () => {
    const out = await temporaryFolder();
    await run(out, {}, { stopAt: 5 });
    expect((await run(out, { maxBad: 3, checkpointEverySteps: 5 }, { resume: true })).finished).toBe(true);
  });
});

describe('a run folder', () => {
  it('takes one run: no second without resume, no other config, no other images, and no resume of none', async () => {
    const out = await temporaryFolder();
    await expect(run(out, {}, { resume: true })).rejects.toThrow(
      `${out}: there is no run to resume in this folder: it has no config.json. Leave out --resume to start one.`,
    );
    await run(out, {}, { stopAt: 5 });
    const [copy] = [await temporaryFolder()];
    await cp(out, copy, { recursive: true });
    await expect(run(out)).rejects.toThrow(
      `${out}: there is a run in this folder already. Go on with it with --resume, or choose another folder.`,
    );
    const refused = async (change: Partial<Config>, text: string): Promise<void> =>
      expect(run(out, change, { resume: true })).rejects.toThrow(`${join(out, 'config.json')}: ${text}. Resume with the config of the run`);
    const another = 'the run to resume has another value; expected';
    await refused({ learningRate: 0.03 }, `learningRate: ${another} 0.02, got 0.03`);
    await refused({ schedule: { kind: 'cosine', end: 0.1, warmup: 5 } }, `schedule.warmup: ${another} 4, got 5`);
    await refused({ limit: 39 }, `limit: ${another} nothing, got 39`);
    await refused({ optimiser: { kind: 'sgd' } }, `optimiser.kind: ${another} "adam", got "sgd"`);
    await refused({ initFrom: 'other.safetensors' }, `initFrom: ${another} nothing, got "other.safetensors"`);
    const sha256 = '0'.repeat(64);
    await refused({ stem: { path: 'other.safetensors', sha256 } }, `stem.sha256: ${another} nothing, got "${sha256}"`);

    const other = syntheticDataset({ classes: 4, perClass: 10, size: side, seed: 1 });
    await expect(run(out, {}, { resume: true, dataset: other })).rejects.toThrow(
      /checkpoints\/5: the run to resume was trained on other images; expected [0-9a-f]{12}, got [0-9a-f]{12}\. Resume with the data set of the run\./,
    );
    // nothing of all that has touched it
    for (const name of ['config.json', 'metrics.jsonl', 'checkpoints/5/state.json', 'last.safetensors']) {
      expect(await readFile(join(out, name))).toEqual(await readFile(join(copy, name)));
    }
    // what changes neither weights nor measurements may change, and stays changed
    expect((await run(out, { checkpointEverySteps: 2, data: 'elsewhere' }, { resume: true })).finished).toBe(true);
    expect(await storedConfig(out)).toMatchObject({ checkpointEverySteps: 2, data: 'elsewhere', epochs: 3 });
  });

  it('takes none beside checkpoints of another, which would be resumed from', async () => {
    const out = await temporaryFolder();
    await run(out, {}, { stopAt: 12 });
    for (const name of ['config.json', 'metrics.jsonl']) await rm(join(out, name));
    await expect(run(out)).rejects.toMatchObject({
      kind: 'argument',
      message:
        `${join(out, 'checkpoints')}: there is a checkpoint of another run in this folder, of step 12. ` +
        'Choose another folder, or delete this one if that run is not needed any more.',
    });
    expect(await readdir(out)).not.toContain('config.json');
    await rm(join(out, 'checkpoints'), { recursive: true });
    expect((await run(out)).finished).toBe(true);
  });

  it('keeps the checkpoint that was written last, whatever is beside it', async () => {
    const out = await temporaryFolder();
    await run(out, {}, { stopAt: 5 });
    for (const step of ['100', '101']) await mkdir(join(out, 'checkpoints', step));
    await run(out, {}, { resume: true, stopAt: 6 });
    expect(await checkpointsOf(out)).toEqual([6, 101]);
  });

  it('keeps the last two checkpoints and says when another engine goes on', async () => {
    const out = await temporaryFolder();
    const part = await run(out, {}, { stopAt: 10 });
    expect(part.events.filter((event) => event.type === 'checkpoint').map(({ step }) => step)).toEqual([3, 6, 7, 9, 10]);
    expect(await checkpointsOf(out)).toEqual([9, 10]);
    const { notices } = await run(out, {}, { resume: true, engine: { ...engine, name: 'cpu' } });
    expect(notices).toEqual([
      'The run was on engine onnxruntime and goes on with cpu: the last digits will differ.',
      'Going on at step 10 of 21.',
    ]);
  });
});
