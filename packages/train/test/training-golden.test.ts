/** Optimisers, schedules, clipping and averages against PyTorch. Made by tools/goldens/training.py. */
import { readFile } from 'node:fs/promises';
import type { NamedTensors } from '@coda-nets/core';
import { expectClose, randomValues, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { clipGradients } from '../src/clip-gradients.ts';
import { initialSlots, learningRateAt, optimiser, slotName, type OptimiserConfig, type ScheduleConfig } from '../src/index.ts';
import { averageDecay, averaged, averageSlot } from '../src/weight-average.ts';

interface Golden {
  readonly optimisers: Readonly<Record<string, readonly Readonly<Record<string, number[]>>[]>>;
  readonly schedules: Readonly<Record<string, readonly number[]>>;
  readonly clipped: Readonly<Record<string, { readonly norm: number; readonly gradients: Readonly<Record<string, number[]>> }>>;
  readonly averages: readonly (readonly number[])[];
}

/** Six updates, each a few float32 roundings. */
const TOLERANCE = { rtol: 3e-6, atol: 1e-6 } as const;
/** Both in float64. */
const RATE_TOLERANCE = { rtol: 1e-12, atol: 1e-12 } as const;

const shapes: Readonly<Record<string, readonly number[]>> = { 'conv.weight': [3, 2], 'norm.gamma': [2], 'fc.bias': [4] };
const names = Object.keys(shapes);
const rates = [0.1, 0.05, 0.2, 0.1, 0.01, 0.3];
const betas = { beta1: 0.8, beta2: 0.95, epsilon: 1e-2 } as const;
const drawn = (seed: number): Record<string, tf.Tensor> =>
  Object.fromEntries(
    names.map((name, i) => {
      const shape = shapes[name] as number[];
      return [
        name,
        tf.tensor(
          randomValues(
            shape.reduce((a, b) => a * b),
            seed + i,
          ),
          [...shape],
        ),
      ];
    }),
  );

let golden: Golden;
beforeAll(async () => {
  await useBackend('cpu');
  golden = JSON.parse(await readFile(new URL('golden/training.json', import.meta.url), 'utf8')) as Golden;
});

describe('an optimiser', () => {
  it.each<[string, OptimiserConfig]>([
    ['Adam with L2', { kind: 'adam', ...betas, decay: 'coupled' }],
    ['AdamW', { kind: 'adamw', ...betas }],
    ['SGD with momentum and L2', { kind: 'sgd', momentum: 0.9, nesterov: false }],
    ['SGD with Nesterov and L2', { kind: 'sgd', momentum: 0.9, nesterov: true }],
  ])('%s is PyTorch’s, with decay and rate of its own for each weight', (name, config) => {
    const optimise = optimiser(config, {
      weightDecay: 0.3,
      decays: (weight) => weight === 'conv.weight',
      rateOf: (weight) => (weight === 'norm.gamma' ? 0.1 : 1),
    });
    tf.tidy(() => {
      let parameters: NamedTensors = drawn(10);
      const specs = Object.fromEntries(names.map((each) => [each, { shape: shapes[each] as number[], role: 'parameter' as const }]));
      let slots: NamedTensors = Object.fromEntries(
        Object.entries(initialSlots(optimise, specs)).map(([each, { shape }]) => [each, tf.zeros([...shape])]),
      );
      for (const [i, learningRate] of rates.entries()) {
        const scalars = Object.entries(optimise.scalars({ learningRate, step: i + 1 })).map(([each, x]) => [each, tf.scalar(x)]);
        ({ parameters, slots } = optimise.apply(parameters, drawn(10 * (i + 2)), slots, Object.fromEntries(scalars) as NamedTensors));
        for (const each of names) expectClose(parameters[each] as tf.Tensor, golden.optimisers[name]?.[i]?.[each] as number[], TOLERANCE);
      }
      for (const each of names) for (const slot of optimise.slotNames) expect(slots[slotName(each, slot)]).toBeDefined();
    });
  });
});

describe('a schedule', () => {
  it.each<[string, ScheduleConfig]>([
    ['cosine', { kind: 'cosine', end: 0.1, warmup: 0 }],
    ['linear', { kind: 'linear', end: 0.2, warmup: 0 }],
    ['step', { kind: 'step', milestones: [0.5, 0.75], factor: 0.1, warmup: 0 }],
    ['one-cycle', { kind: 'one-cycle', peak: 0.2, start: 0.04, end: 0.01, warmup: 0 }],
    ['warm-up', { kind: 'constant', warmup: 10 }],
  ])('%s has PyTorch’s rates', (name, schedule) => {
    const expected = golden.schedules[name] as number[];
    expectClose(
      expected.map((_, update) => learningRateAt(schedule, 1, update, expected.length)),
      expected,
      RATE_TOLERANCE,
    );
  });
});

describe('clipping by the norm', () => {
  it.each([0.5, 100])('is clip_grad_norm_ at %d', (max) => {
    tf.tidy(() => {
      const { norm, gradients } = golden.clipped[max === 100 ? '100.0' : '0.5'] as Golden['clipped'][string];
      expect(norm > max).toBe(max === 0.5);
      const clipped = clipGradients({ kind: 'norm', max }, drawn(10), drawn(20), {});
      for (const name of names) expectClose(clipped[name] as tf.Tensor, gradients[name] as number[], TOLERANCE);
    });
  });
});

describe('an average of weights', () => {
  it('is AveragedModel’s with the cap on its decay', () => {
    const decays = rates.map((_, i) => averageDecay({ decay: 0.35 }, i + 1));
    expect(decays.map((d) => Number(d.toFixed(4)))).toEqual([0.1818, 0.25, 0.3077, 0.35, 0.35, 0.35]);
    tf.tidy(() => {
      let averages: NamedTensors = { [averageSlot('w')]: drawn(10)['conv.weight'] as tf.Tensor };
      for (const [i, decay] of decays.entries()) {
        const w = tf.tensor(golden.optimisers['AdamW']?.[i]?.['conv.weight'] as number[], [3, 2]);
        averages = averaged({ w }, averages, tf.scalar(decay));
        expectClose(averages[averageSlot('w')] as tf.Tensor, golden.averages[i] as number[], TOLERANCE);
      }
    });
  });
});
