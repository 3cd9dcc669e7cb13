/** Every training preset, on a network of its kind that is small enough for the cpu backend: the same losses on every engine. */
import { initWeights, Random, type Engine, type JsonObject } from '@coda-nets/core';
import { resolveEngine } from '@coda-nets/engine';
import { syntheticDataset, train, type TrainConfigInput } from '@coda-nets/train';
import { useBackend } from '@coda-nets/tools/testkit';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildNetwork } from '../src/index.ts';
import { trainPresets } from '../src/train-presets.ts';

/** Fifty updates, each of which hands its float32 roundings on to the next. */
const TOLERANCE = 1e-3;
const steps = 50;
const [batch, side, classes] = [4, 8, 10];
const images = 20;
const dataset = syntheticDataset({ classes, perClass: images / classes, size: side });
const backbone = { kind: 'resnet', depth: 8, width: 2, inputShape: [side, side, 3] } as const;
const head = { temperature: 8, layers: [{ out: classes, kernel: 3, rank: 3 }] };

/** ONNX Runtime and cpu are everywhere, TensorFlow where it is installed. */
let engines: readonly Engine[] = [];
beforeAll(async () => {
  await useBackend('cpu');
  const open = async (name: string): Promise<Engine> => (await resolveEngine(name, { threads: 1 })).engine;
  const tensorflow = await open('tensorflow').catch(() => undefined);
  engines = [await open('onnxruntime'), await open('cpu'), ...(tensorflow === undefined ? [] : [tensorflow])];
});

/** A network of the preset's kind, its stem as there. */
function smallNetwork({ kind, stem }: JsonObject): JsonObject {
  if (kind === 'resnet') return { ...backbone, classes };
  return { kind: 'hybrid', backbone, cut: 'layer2.0', classes, head, stem: stem ?? 'frozen' } as unknown as JsonObject;
}

/** The preset's recipe for fifty steps of a few images; the rate in proportion to the batch (arXiv 1706.02677), or roundings grow without bound. */
function smallRecipe(config: TrainConfigInput): TrainConfigInput {
  const { schedule, accumulate = 1 } = config;
  const updatesAnEpoch = Math.floor(images / (batch * accumulate));
  return {
    ...config,
    batch,
    learningRate: (config.learningRate * batch) / (config.batch ?? batch),
    epochs: Math.ceil(steps / (updatesAnEpoch * accumulate)),
    ...(schedule?.warmup !== undefined && { schedule: { ...schedule, warmup: 5 } }),
    validation: { kind: 'none' },
    alignmentImages: 0,
  };
}

/** What presets have not, on top of one that is trained whole. */
const everything: Partial<TrainConfigInput> = {
  optimiser: { kind: 'lamb' },
  learningRate: 0.01,
  clip: { kind: 'adaptive', factor: 0.1 },
  groups: [{ names: 'layer1.*', rate: 0.5 }],
  accumulate: 2,
  ema: { decay: 0.95 },
  stochasticDepth: 0.2,
  augmentation: { kind: 'recipe', flip: true, mixup: 0.2, labelSmoothing: 0.1 },
};

/** Of those that one rule makes, one: they differ in the network, which is another here. */
const isOfRule = (name: string): boolean => /^hybrid-resnet\d+-layer/.test(name);
const presets = Object.entries(trainPresets)
  .filter(([name]) => !isOfRule(name) || name === 'hybrid-resnet50-layer3-coda4')
  .map(([name, { config }]) => [name, config] as const);
const [, first] = presets.find(([, { network }]) => network.kind === 'resnet') as (typeof presets)[0];

describe.each<readonly [string, TrainConfigInput]>([...presets, ['all that no preset has', { ...first, ...everything }]])(
  '%s',
  (_, config) => {
    it('trains with the same losses on every engine', async () => {
      const network = buildNetwork(smallNetwork(config.network as JsonObject), 'test');
      // a frozen stem has to come from somewhere
      const initialWeights = initWeights(network, Random.seeded(3));
      const losses: number[][] = [];
      for (const engine of engines) {
        const out = await mkdtemp(join(tmpdir(), 'coda-engines-'));
        const own: number[] = [];
        try {
          const { weights } = await train({
            network,
            dataset,
            engine,
            config: { ...smallRecipe(config), network: network.config },
            out,
            initialWeights,
            onEvent: (event) => event.type === 'step' && own.push(event.loss),
          });
          // equal losses of weights that stay where they are would say little
          for (const [name, { role }] of Object.entries(network.weights))
            if (role === 'parameter') expect([name, weights[name]?.data]).not.toEqual([name, initialWeights[name]?.data]);
        } finally {
          await rm(out, { recursive: true, force: true });
        }
        losses.push(own);
      }
      const [one, ...others] = losses as [number[], ...number[][]];
      expect(one.length).toBeGreaterThanOrEqual(steps);
      const distances = others.map((other) => Math.max(...one.map((loss, i) => Math.abs(loss - (other[i] as number)))));
      for (const distance of distances) expect(distance).toBeLessThan(TOLERANCE);
    }, 300_000);
  },
);
