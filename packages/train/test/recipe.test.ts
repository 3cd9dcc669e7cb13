/** What a recipe asks of the loop: several batches an update, averages, rates of their own, early stops, and an end where the loss has left. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeSafetensors, ndArray, type Engine, type NamedArrays, type NdArray } from '@coda-nets/core';
import { readModel } from '@coda-nets/core/node';
import { eagerEngine } from '@coda-nets/engine';
import { expectClose, useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import { evaluate, learningRateAt, syntheticDataset, train, type TrainEvent, type TrainOptions } from '../src/index.ts';
import { averageDecay } from '../src/weight-average.ts';
import { branchedNetwork } from './branched-network.ts';
import { temporaryFolder } from './data/temporary-folder.ts';
import { side, tinyNetwork } from './tiny-network.ts';
import { watchedEngine } from './watched-engine.ts';

const network = tinyNetwork();
const dataset = syntheticDataset({ classes: 4, perClass: 17, testPerClass: 5, size: side });
const engine = eagerEngine({ name: 'cpu', backend: 'cpu', description: 'cpu' });
const sgd = { kind: 'sgd', momentum: 0 } as const;
/** A mean of three means of four float32 losses against one of twelve. */
const ACCUMULATION_TOLERANCE = { atol: 1e-6 } as const;
const AVERAGE_TOLERANCE = { rtol: 1e-5, atol: 1e-6 } as const;

beforeAll(() => useBackend('cpu'));

type Config = TrainOptions['config'];
async function run(config: Config, options: Partial<TrainOptions> = {}) {
  const out = options.out ?? (await temporaryFolder());
  const events: TrainEvent[] = [];
  const result = await train({ network, dataset, engine, config, out, onEvent: (event) => events.push(event), ...options });
  const of = <T extends TrainEvent['type']>(type: T) => events.filter((event) => event.type === type) as Extract<TrainEvent, { type: T }>[];
  return { ...result, out, epochs: of('epoch'), steps: of('step'), notices: of('notice').map(({ message }) => message) };
}

/** An engine whose losses are those of `loss`. */
function engineWithLosses(loss: (step: number) => number): Engine {
  let step = 0;
  return watchedEngine(engine, {
    onRun: (_, output, { carried }) =>
      carried === undefined ? output : { ...output, loss: ndArray('float32', [], Float32Array.of(loss(++step))) },
  });
}

describe('accumulation', () => {
  it.each<[string, NonNullable<Config['optimiser']>]>([
    ['SGD', { kind: 'sgd', momentum: 0.9, nesterov: true }],
    ['Adam', { kind: 'adamw', epsilon: 1e-3 }],
  ])('of three batches is a step of one three times as large, with %s', async (_, optimiser) => {
    const config: Config = {
      epochs: 2,
      batch: 12,
      learningRate: 0.05,
      weightDecay: 0.01,
      optimiser,
      schedule: { kind: 'cosine', end: 0, warmup: 2 },
      clip: { kind: 'norm', max: 0.4 },
    };
    const whole = await run(config);
    const parts = await run({ ...config, batch: 4, accumulate: 3 });
    expect([whole.step, parts.step]).toEqual([10, 30]);
    for (const name of ['fc.weight', 'fc.bias'])
      expectClose(parts.weights[name]?.data as Float32Array, whole.weights[name]?.data as Float32Array, ACCUMULATION_TOLERANCE);
    // the schedule counts updates
    expect(parts.steps.map(({ learningRate }) => learningRate)).toEqual(
      parts.steps.map((__, i) => learningRateAt({ kind: 'cosine', end: 0, warmup: 2 }, 0.05, Math.floor(i / 3), 10)),
    );
    const unclipped = await run({ ...config, clip: { kind: 'norm', max: 1e6 } });
    expect(unclipped.weights['fc.weight']).not.toEqual(whole.weights['fc.weight']);
  });

  it('of more batches than there are is refused', async () => {
    await expect(run({ epochs: 1, batch: 20, accumulate: 4, learningRate: 0.1 })).rejects.toThrow(
      'train: config: accumulate: there are too few training images for one update; expected at most 3 batches of 20, got 4',
    );
  });
});

describe('the average of weights', () => {
  it('is what is measured, written and returned; checkpoints have both', async () => {
    const seen: NamedArrays[] = [];
    const watching: Engine = {
      ...engine,
      compile: async (fn, signature) => {
        const compiled = await engine.compile(fn, signature);
        if (signature.carried === undefined) return compiled;
        seen.push(signature.carried);
        return {
          ...compiled,
          run: async (inputs) => {
            const output = await compiled.run(inputs);
            seen.push(await compiled.carried());
            return output;
          },
        };
      },
    };
    const config: Config = { epochs: 2, batch: 8, learningRate: 0.3, optimiser: sgd, ema: { decay: 0.3 }, validation: { kind: 'test' } };
    const { out, weights, epochs } = await run(config, { engine: watching });
    expect(seen).toHaveLength(17);
    for (const name of ['fc.weight', 'fc.bias', 'running.mean']) {
      const average = Float64Array.from(seen[0]?.[name]?.data as Float32Array);
      for (const [t, values] of seen.entries()) {
        if (t === 0) continue;
        const d = averageDecay({ decay: 0.3 }, t);
        for (let k = 0; k < average.length; k++)
          average[k] = d * (average[k] as number) + (1 - d) * Number((values[name] as NdArray).data[k]);
      }
      expectClose(weights[name]?.data as Float32Array, average, AVERAGE_TOLERANCE);
      expect(weights[name]).not.toEqual(seen.at(-1)?.[name]);
    }
    const model = await readModel(join(out, 'last.safetensors'));
    expect(model.weights).toEqual(weights);
    expect(model.provenance).toMatchObject({ weights: 'exponential moving average, decay 0.3, of 16 updates' });
    const measured = await evaluate({ network, weights, engine, split: dataset.split('test') });
    expect(epochs.at(-1)?.validation?.loss).toBeCloseTo(measured.loss, 6);
    const stored = decodeSafetensors(await readFile(join(out, 'checkpoints/16/weights.safetensors')), 'weights').tensors;
    expect(stored['fc.weight']).toEqual(seen.at(-1)?.['fc.weight']);
    expect((await run({ ...config, ema: { decay: 0.3 } }, { out, resume: true })).weights).toEqual(weights);
  });
});

describe('groups of weights', () => {
  it('learn at a rate of their own, the first that fits counts', async () => {
    const config: Config = { epochs: 1, batch: 68, learningRate: 0.1, optimiser: sgd };
    const start = (await run({ ...config, learningRate: 0 })).weights;
    const moved = async (groups: NonNullable<Config['groups']>, name: string): Promise<number[]> => {
      const { weights } = await run({ ...config, groups });
      return Array.from(weights[name]?.data as Float32Array, (x, k) => x - Number(start[name]?.data[k]));
    };
    for (const [name, share] of [
      ['fc.weight', 0.25],
      ['fc.bias', 1],
    ] as const) {
      const plain = await moved([], name);
      const grouped = await moved(
        [
          { names: '*.weight', rate: 0.25 },
          { names: 'fc.weight', rate: 7 },
        ],
        name,
      );
      expectClose(
        grouped,
        plain.map((x) => share * x),
        { atol: 1e-7 },
      );
      expect(plain.some((x) => Math.abs(x) > 1e-4)).toBe(true);
    }
  });

  it.each<[Partial<Config>, string]>([
    [
      { groups: [{ names: 'fd.*', rate: 2 }] },
      'train: config: groups[0].names: no trained weight has such a name; expected such as fc.*, got "fd.*". Did you mean "fc.*"?',
    ],
    [
      { clip: { kind: 'adaptive', except: ['running.*'] } },
      'train: config: clip.except[0]: no trained weight has such a name; expected such as fc.*, got "running.*"',
    ],
    [
      { stochasticDepth: 0.1 },
      'train: config: stochasticDepth: this network has no trained residual branch that could be left out; expected a ResNet, or a hybrid whose stem is trained, got kind "tiny"',
    ],
    [
      { earlyStop: { patience: 1, metric: 'validationLoss' } },
      'train: config: earlyStop.metric: there is no validation that would measure it; expected "trainLoss" or "trainAccuracy", or a `validation`, got "validationLoss"',
    ],
    [{ bestBy: 'validationTop5' }, 'train: config: bestBy: there is no validation that would measure it'],
    [{ ema: [] } as never, 'train: config: ema: not a valid value; expected an object, got an array'],
    [{ divergence: [] } as never, 'train: config: divergence: not a valid value; expected an object, got an array'],
    [{ earlystop: { patience: 1 } } as never, 'earlystop: unknown key'],
    [{ clip: { kind: 'norm' } } as never, 'train: config: clip.max'],
  ])('are refused where they fit nothing: %j', async (change, text) => {
    await expect(run({ epochs: 1, batch: 4, learningRate: 0.1, ...change })).rejects.toThrow(text);
  });
});

describe('an early stop', () => {
  it('ends a run that has stopped getting better, for good', async () => {
    // a rate of 0: the first measured epoch stays the best
    const config: Config = {
      epochs: 9,
      batch: 8,
      learningRate: 0,
      optimiser: sgd,
      validation: { kind: 'test' },
      validateEvery: 2,
      earlyStop: { patience: 2, metric: 'validationLoss' },
    };
    const { out, finished, step, epochs, notices } = await run(config);
    expect([finished, step, epochs.length]).toEqual([true, 48, 6]);
    expect(notices).toEqual(['Stopped after epoch 6: validationLoss was best after epoch 2, 2 measured epochs ago.']);
    const again = await run(config, { out, resume: true });
    expect([again.finished, again.step, again.steps.length]).toEqual([true, 48, 0]);
    expect(again.notices).toEqual(['The run was stopped early, after step 48 of 72: there is nothing to go on with.']);
  });

  it('lets a run go on that gets better', async () => {
    const { step, notices } = await run({ epochs: 4, batch: 8, learningRate: 0.02, optimiser: sgd, earlyStop: { patience: 1 } });
    expect([step, notices]).toEqual([32, []]);
  });
});

describe('the best epoch', () => {
  it.each(['validationLoss', 'validationAccuracy', 'validationTop5', 'trainLoss', 'trainAccuracy'] as const)(
    'is that of the best %s',
    async (metric) => {
      // a rate far too high: up and down it goes
      const config: Config = {
        epochs: 6,
        batch: 10,
        learningRate: 0.3,
        optimiser: sgd,
        validation: { kind: 'test' },
        seed: 2,
        bestBy: metric,
      };
      const { best, epochs } = await run(config);
      const figures = epochs.map(({ validation, trainLoss, trainAccuracy }) => ({
        validationLoss: validation?.loss,
        validationAccuracy: validation?.top1,
        validationTop5: validation?.top5,
        trainLoss,
        trainAccuracy,
      }));
      const scores = figures.map((each) => (metric.endsWith('Loss') ? -1 : 1) * Number(each[metric]));
      expect(best).toEqual({ epoch: scores.indexOf(Math.max(...scores)) + 1, score: Math.max(...scores) });
    },
  );
});

describe('a loss that has left', () => {
  it('ends the run, and its batch is there to be looked at', async () => {
    const fed: NdArray[] = [];
    const losses = engineWithLosses((step) => (step <= 10 ? 1 : 25));
    const watching = watchedEngine(losses, {
      onRun: (inputs, output) => {
        fed.push(inputs['images'] as NdArray);
        return output;
      },
    });
    const config: Config = { epochs: 3, batch: 8, learningRate: 0.01, divergence: { factor: 10, steps: 4 }, checkpointEverySteps: 5 };
    const out = await temporaryFolder();
    const path = join(out, 'batch-12.safetensors');
    // (1 + 24/4) = 7 at step 11, (7 + 18/4) = 11.5 at step 12
    await expect(run(config, { out, engine: watching })).rejects.toMatchObject({
      kind: 'numeric',
      message:
        `train: ${out}: step 12: the loss diverges: its mean is 11.50, and was 1.000. The checkpoint of step 10 is good; its batch is in ${path}. ` +
        'Try a lower learning rate, a warm-up or `clip`, in a new folder.',
    });
    const { tensors, metadata } = decodeSafetensors(await readFile(path), path);
    expect(Object.keys(tensors).sort()).toEqual(['images', 'labels']);
    expect(tensors['images']).toEqual(fed[11]);
    expect(metadata).toMatchObject({ step: '12' });
  });

  it('is no single bad batch, nor one after an easy one', async () => {
    const losses = engineWithLosses((step) => (step % 7 === 0 ? 4 : step % 5 === 0 ? 0.01 : 1));
    const { finished } = await run({ epochs: 3, batch: 8, learningRate: 0.01, divergence: { factor: 10, steps: 4 } }, { engine: losses });
    expect(finished).toBe(true);
  });

  it.each([
    [undefined, true],
    [1e-9, false],
  ])('is none beside a loss near 0, from a floor on: %s', async (floor, finishes) => {
    const losses = engineWithLosses((step) => (step <= 10 ? 1e-8 : 0.09));
    const divergence = { factor: 10, steps: 4, ...(floor !== undefined && { floor }) };
    const ends = run({ epochs: 3, batch: 8, learningRate: 0.01, divergence }, { engine: losses });
    if (finishes) expect((await ends).finished).toBe(true);
    else await expect(ends).rejects.toThrow('step 11: the loss diverges: its mean is 0.02250, and was 1.000e-8');
  });
});

it('a recipe is trained on branches that are left out: another loss than with all of them', async () => {
  const config: Config = { epochs: 1, batch: 68, learningRate: 0, optimiser: sgd };
  const branched = { network: branchedNetwork() };
  const [all, some, same] = [
    await run(config, branched),
    await run({ ...config, stochasticDepth: 0.5 }, branched),
    await run({ ...config, stochasticDepth: 0.5 }, branched),
  ];
  expect(some.steps[0]?.loss).not.toBe(all.steps[0]?.loss);
  expect(some.steps[0]?.loss).toBe(same.steps[0]?.loss);
});

it('tells of a warm-up that is as long as the run', async () => {
  const config: Config = { epochs: 1, batch: 8, accumulate: 2, learningRate: 0.01, optimiser: sgd };
  const message =
    'The warm-up of 4 updates is as long as the run, which has 4: the learning rate does not stay at its peak, or does not reach it.';
  expect((await run({ ...config, schedule: { kind: 'cosine', warmup: 4 } })).notices).toEqual([message]);
  expect((await run({ ...config, schedule: { kind: 'cosine', warmup: 3 } })).notices).toEqual([]);
});

it('says where it goes on, and that it begins anew where nothing was saved', async () => {
  const config: Config = { epochs: 1, batch: 8, learningRate: 0.01, optimiser: sgd, checkpointEverySteps: 3 };
  const stop = new AbortController();
  const { out } = await run(config, { signal: stop.signal, onEvent: (event) => event.type === 'step' && event.step === 3 && stop.abort() });
  const onward = await run(config, { out, resume: true });
  expect(onward.notices).toEqual(['Going on at step 3 of 8.']);
  expect((await run(config, { out, resume: true })).notices).toEqual([]);
  await rm(join(out, 'checkpoints'), { recursive: true });
  expect((await run(config, { out, resume: true })).notices).toEqual([
    `There is no checkpoint in ${out} yet: starting from the beginning.`,
  ]);
});

it('a validation that is not finite ends the run with its batch, its checkpoint and what may be the cause', async () => {
  const config: Config = { epochs: 2, batch: 8, learningRate: 0.01, optimiser: sgd, validation: { kind: 'test' }, checkpointEverySteps: 3 };
  const bad = watchedEngine(engine, {
    onRun: (_, output) => {
      const { logits } = output;
      return logits === undefined
        ? output
        : {
            ...output,
            logits: ndArray(
              'float32',
              logits.shape,
              (logits.data as Float32Array).map(() => NaN),
            ),
          };
    },
  });
  const out = await temporaryFolder();
  const error = await run(config, { out, engine: bad }).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ kind: 'numeric' });
  const { message } = error as Error;
  expect(message).toMatch(/step 8: what was measured after the step is not finite: evaluate: image 0: the logit of class 0 is NaN/);
  expect(message).toContain(`The checkpoint of step 6 is good; its batch is in ${join(out, 'batch-8.safetensors')}.`);
  expect(message).toMatch(/running statistics of batch norm.* can be the cause: .*, in a new folder\.$/);
});
