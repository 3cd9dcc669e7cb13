/** The penalty of the linear map in training: one compiled step against tfjs's own gradient, and whole runs. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linearMapAt, linearMapPenalty, ndArray, recordTaps, trainingContext, type Engine, type Network } from '@coda-nets/core';
import {
  initialSlots,
  optimiser,
  penaltyInput,
  train,
  trainingStep,
  type TrainConfigInput,
  type TrainEvent,
  type TrainResult,
} from '@coda-nets/train';
import { expectClose, randomValues, useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildNetwork } from '../src/index.ts';
import { coda, codaOf, cpu, dataset, hybridOf, metricsOf, onnx, tensorsOf, weightsOf } from './linear-map-networks.ts';

/** Two orders of the same float32 sums. */
const SAME = { rtol: 1e-5, relativeTo: 'largest' } as const;
/** The same through a gradient of two layers that choose each other's weights. */
const SAME_GRADIENT = { rtol: 1e-4, relativeTo: 'largest' } as const;

let folder = '';
beforeAll(async () => {
  await useBackend('cpu');
  folder = await mkdtemp(join(tmpdir(), 'coda-penalty-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each<[string, Network, 'images' | 'features', readonly number[]]>([
  ['a CoDA network', codaOf(12), 'images', [3, 12, 12, 3]],
  ['a hybrid', hybridOf(8), 'images', [3, 8, 8, 3]],
  ['a hybrid on its features', hybridOf(8), 'features', [3, 4, 4, 8]],
])('the training step of %s with a penalty', (_, network, input, shape) => {
  const lambda = 20;
  const rate = 0.5;
  const optimise = optimiser({ kind: 'sgd', momentum: 0, nesterov: false });
  const labels = Int32Array.of(3, 0, 7);
  const classes = Int32Array.of(3, 1, 9, 0, 4, 2, 7, 8, 3);
  const batch = randomValues(
    shape.reduce((a, b) => a * b, 1),
    4,
    { min: 0 },
  );
  const step = trainingStep({
    network,
    optimiser: optimise,
    batchSize: 3,
    input,
    linearMapPenalty: { weight: lambda, classes: 3 },
  });
  const inputs = {
    [input]: ndArray('float32', shape, batch),
    labels: ndArray('int32', [3], labels),
    [penaltyInput]: ndArray('int32', [3, 3], classes),
    ...step.scalars({ learningRate: rate, step: 1 }),
  };

  it('moves every weight by −η·∇(loss + λ·mean |W|), compiled and eagerly', async () => {
    const weights = weightsOf(network);
    const trained = Object.keys(network.weights).filter((name) => network.weights[name]?.role === 'parameter');
    const expected = tf.tidy(() => {
      const tensors = tensorsOf(weights);
      const beside: Record<string, number> = {};
      const objective = (...values: tf.Tensor[]): tf.Tensor => {
        const given = { ...tensors, ...Object.fromEntries(trained.map((name, i) => [name, values[i] as tf.Tensor])) };
        const { context, activations } = recordTaps(trainingContext);
        const x = tf.tensor<tf.Rank.R4>(batch, [...shape] as [number, number, number, number]);
        const result = input === 'images' ? network.forward(given, x, context) : network.frozenStem?.forwardHead(given, x, context);
        const targets = tf.oneHot(tf.tensor1d(labels, 'int32'), 10, 1, 0, 'float32') as tf.Tensor2D;
        const loss = network.loss(result?.logits as tf.Tensor2D, targets);
        const penalty = linearMapPenalty(linearMapAt(network, given, activations), tf.tensor2d(classes, [3, 3], 'int32'));
        beside['loss'] = loss.dataSync()[0] as number;
        beside['penalty'] = penalty.dataSync()[0] as number;
        return tf.add(loss, tf.mul(penalty, lambda));
      };
      const gradients = tf
        .grads(objective)(trained.map((name) => tensors[name] as tf.Tensor))
        .map((g) => g.dataSync().slice());
      return { ...beside, gradients } as { loss: number; penalty: number; gradients: Float32Array[] };
    });
    expect(expected.penalty).toBeGreaterThan(0);
    for (const engine of [cpu(), await onnx()]) {
      const before = tf.memory().numTensors;
      const compiled = await engine.compile(step.fn, step.signature(weights, initialSlots(optimise, network.weights)));
      const output = await compiled.run(inputs);
      const after = await compiled.carried();
      await compiled.dispose();
      expect(tf.memory().numTensors).toBe(before);
      expectClose(output['loss']?.data as Float32Array, [expected.loss], SAME);
      expectClose(output['penalty']?.data as Float32Array, [expected.penalty], SAME);
      for (const [i, name] of trained.entries()) {
        const moved = (after[name]?.data as Float32Array).map((w, j) => ((weights[name]?.data[j] as number) - w) / rate);
        // a weight of size 1 in float32 moves in steps of 6e-8
        expectClose(moved, expected.gradients[i] as Float32Array, { ...SAME_GRADIENT, atol: 1e-6 });
      }
    }
  });
});

const config: Omit<TrainConfigInput, 'network'> = {
  epochs: 2,
  batch: 10,
  learningRate: 2e-3,
  logEverySteps: 2,
  alignmentImages: 5,
  validation: { kind: 'held-out', count: 10 },
  linearMapPenalty: { weight: 100, classes: 3 },
};

describe('a run with a penalty', () => {
  const seen: TrainEvent[] = [];
  let engine: Engine;
  let whole: TrainResult;
  beforeAll(async () => {
    engine = await onnx();
    const out = join(folder, 'whole');
    whole = await train({ network: coda, dataset, engine, config, out, onEvent: (event) => seen.push(event) });
  });

  it('lowers mean |W| below that of a run without, and writes it down', async () => {
    const steps = seen.filter((event) => event.type === 'step');
    expect(steps).toHaveLength(10);
    const lines = await metricsOf(join(folder, 'whole'));
    const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
    const penalties = steps.map(({ penalty }) => penalty as number);
    expect(lines.filter(({ type }) => type === 'step').map(({ penalty }) => penalty as number)).toEqual(
      [0, 2, 4, 6, 8].map((i) => expect.closeTo(mean(penalties.slice(i, i + 2)), 12)),
    );
    expect(lines.filter(({ type }) => type === 'epoch').map(({ trainPenalty }) => trainPenalty as number)).toEqual(
      [0, 5].map((i) => expect.closeTo(mean(penalties.slice(i, i + 5)), 12)),
    );
    // the control: λ next to nothing
    const small: number[] = [];
    await train({
      network: coda,
      dataset,
      engine,
      config: { ...config, alignmentImages: 0, linearMapPenalty: { weight: 1e-30, classes: 3 } },
      out: join(folder, 'without'),
      onEvent: (event) => event.type === 'step' && small.push(event.penalty as number),
    });
    expect(small[0]).toBe(penalties[0]);
    expect(penalties.at(-1)).toBeLessThan(0.9 * (small.at(-1) as number));
  });

  it('goes on after an interruption with the same classes, to the same bits', async () => {
    const stop = new AbortController();
    const out = join(folder, 'parts');
    const first = await train({
      network: coda,
      dataset,
      engine,
      config,
      out,
      signal: stop.signal,
      onEvent: (event) => {
        if (event.type === 'step' && event.step === 7) stop.abort();
      },
    });
    expect([first.finished, first.step]).toEqual([false, 7]);
    const second = await train({ network: coda, dataset, engine, config, out, resume: true });
    expect(second.finished).toBe(true);
    expect(second.weights).toEqual(whole.weights);
    const untimed = async (run: string) =>
      (await metricsOf(join(folder, run))).map((line) => ({ ...line, seconds: 0, imagesPerSecond: 0, waiting: 0 }));
    expect(await untimed('parts')).toEqual(await untimed('whole'));
  });

  it('is refused where the network has no linear map, or not so many classes', async () => {
    const resnet = buildNetwork({ kind: 'resnet', depth: 8, width: 4, inputShape: [12, 12, 3] }, 'test');
    const run = (network: Network, change: object, out: string) =>
      train({ network, dataset, engine, config: { ...config, ...change }, out: join(folder, out) });
    await expect(run(resnet, {}, 'no1')).rejects.toThrow(
      'train: config: linearMapPenalty: this network has no dynamic linear part whose map could be penalised; expected a CoDA network or a hybrid, got kind "resnet"',
    );
    await expect(run(coda, { linearMapPenalty: { weight: 1, classes: 11 } }, 'no2')).rejects.toThrow(
      'train: config: linearMapPenalty.classes: the network has not so many classes; expected at most 10, got 11',
    );
    await expect(run(coda, { linearMapPenalty: { weight: 0, classes: 2 } }, 'no3')).rejects.toThrow(
      'train: config: linearMapPenalty.weight: invalid value; expected >0, got 0',
    );
    await expect(run(coda, { linearMapPenalty: { lambda: 1, classes: 2 } }, 'no4')).rejects.toThrow(
      'train: config: 2 mistakes\n  linearMapPenalty.lambda: unknown key; expected one of weight, classes\n  linearMapPenalty.weight: missing',
    );
  });
});
