/** Whole trainings by name: network, data recipe, optimiser. `coda train NAME` runs one; the weights we ship come from these. */
import { CodaError, nearestName, type JsonObject } from '@coda-nets/core';
import { imagenetHybridPresets, type ImagenetHybridName } from '@coda-nets/hybrid';
import type { TrainConfigInput } from '@coda-nets/train';
import { fileURLToPath } from 'node:url';
import { networkPresets } from './build-network.ts';
import { imagenetTraining, type TrainFacts } from './imagenet-training.ts';

export interface TrainPreset {
  readonly config: TrainConfigInput;
  /** The model file a hybrid's stem is taken from. */
  readonly stem?: string;
  /** The config for these data, of presets that a rule makes. */
  readonly fitted?: (facts: TrainFacts) => TrainConfigInput;
}

/** ResNet-20 trained by `coda train resnet20-cifar10`; see models/README.md for log and figures. */
const shippedStem = fileURLToPath(new URL('../models/resnet20-cifar10.safetensors', import.meta.url));

export const trainPresets: Readonly<Record<string, TrainPreset>> = {
  'resnet20-cifar10': {
    config: {
      network: networkPresets['resnet20-cifar10'] as JsonObject & { kind: string },
      epochs: 24,
      batch: 128,
      optimiser: { kind: 'sgd', momentum: 0.9, nesterov: true },
      learningRate: 0.2,
      schedule: { kind: 'one-cycle', peak: 0.15, start: 0.04, end: 0 },
      weightDecay: 5e-4,
      augmentation: { kind: 'flip-and-crop', pad: 4 },
      // the curve is on the test split; what we ship is the last epoch's model, not the best one's
      validation: { kind: 'test' },
    },
  },
  'hybrid-cifar10-resnet20': {
    stem: shippedStem,
    config: {
      network: networkPresets['hybrid-cifar10-resnet20'] as JsonObject & { kind: string },
      epochs: 2,
      batch: 64,
      optimiser: { kind: 'adam' },
      learningRate: 8e-3,
      schedule: { kind: 'one-cycle', peak: 0.25, start: 0.04, end: 0 },
      augmentation: { kind: 'flip' },
      validation: { kind: 'held-out', count: 1000 },
      cacheFeatures: true,
    },
  },
  ...Object.fromEntries(
    (Object.keys(imagenetHybridPresets) as ImagenetHybridName[]).map((name) => [
      `hybrid-${name}`,
      { config: imagenetTraining(name), fitted: (facts: TrainFacts) => imagenetTraining(name, facts) },
    ]),
  ),
};

export function trainPreset(name: string): TrainPreset {
  const preset = Object.hasOwn(trainPresets, name) ? trainPresets[name] : undefined;
  if (preset !== undefined) return preset;
  const names = Object.keys(trainPresets);
  const nearest = nearestName(name, names);
  throw new CodaError({
    kind: 'argument',
    where: 'train',
    problem: `"${name}" is neither a config file (.json) nor a preset`,
    expected: names.join(', '),
    hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
  });
}
