/** Whole trainings by name: network, data recipe, optimiser. `coda train NAME` runs one; the weights we ship come from these. */
import { CodaError, nearestName } from '@coda-nets/core';
import { imagenetHybridPresets, type ImagenetHybridName } from '@coda-nets/hybrid';
import type { TrainConfigInput } from '@coda-nets/train';
import { networkPresets } from './build-network.ts';
import { imagenetTraining, type TrainFacts } from './imagenet-training.ts';

export interface TrainPreset {
  readonly config: TrainConfigInput;
  /** The config for these data, of presets that a rule makes. */
  readonly fitted?: (facts: TrainFacts) => TrainConfigInput;
}

/** ResNet-20 trained by `coda train resnet20-cifar10`; see models/README.md for log and figures. */
const stem = { path: 'shipped:resnet20-cifar10.safetensors' };
const longerStem = { path: 'shipped:resnet20-cifar10-40.safetensors' };

type NetworkInput = TrainConfigInput['network'];
const resnet20 = networkPresets['resnet20-cifar10'] as NetworkInput;
const hybrid20 = networkPresets['hybrid-cifar10-resnet20'] as NetworkInput;

/**
 * What the trainings of whole networks on CIFAR-10 have in common: batches of 128, images mirrored and moved by up to 4 pixels. The curve is on the test split; what we ship is the last
 * epoch's model, not the best one's.
 */
const cifar10 = { batch: 128, augmentation: { kind: 'flip-and-crop', pad: 4 }, validation: { kind: 'test' } } as const;

/**
 * Momentum, Nesterov, λ = 5e-4, batch 128, flip and crop: wide ResNets on CIFAR-10 (arXiv 1605.07146, section 3). η = 0.2 for 128 images with Nesterov: ours.
 */
const resnet20Training = {
  ...cifar10,
  network: resnet20,
  optimiser: { kind: 'sgd', momentum: 0.9, nesterov: true },
  learningRate: 0.2,
  weightDecay: 5e-4,
} as const;

/** Of a long training: measured and shipped as an average of its weights, half of which is of the last 350 updates, and ended where it leaves for good. */
const averaged = { ema: { decay: 0.998 }, divergence: { factor: 10, steps: 200 } } as const;

/**
 * Stem and head at once. Head: docs/decisions/0009, whose rate 8e-3 was found for a frozen stem of batch 64; AdamW and clipping at 1 keep the stem near where it starts.
 * Numbers of epochs: ours.
 */
const tunedHybridTraining = {
  ...cifar10,
  ...averaged,
  network: { ...hybrid20, stem: 'trained' },
  optimiser: { kind: 'adamw' },
  learningRate: 4e-3,
  schedule: { kind: 'one-cycle', peak: 0.15, start: 0.04, end: 0 },
  weightDecay: 0.01,
  clip: { kind: 'norm', max: 1 },
} as const;

export const trainPresets: Readonly<Record<string, TrainPreset>> = {
  'resnet20-cifar10': {
    config: { ...resnet20Training, epochs: 24, schedule: { kind: 'one-cycle', peak: 0.15, start: 0.04, end: 0 } },
  },
  /**
   * Longer than the one above. Half a cosine to 0: arXiv 1608.03983, one period; two epochs of warm-up: arXiv 1706.02677, section 2.2; the number of epochs: ours. 91.21 %, 2.7 hours
   * on two cores (models/README.md).
   */
  'resnet20-cifar10-40': {
    config: { ...resnet20Training, ...averaged, epochs: 40, schedule: { kind: 'cosine', end: 0, warmup: 780 } },
  },
  /**
   * The hybrid with the stem of `resnet20-cifar10` (cut after stage 2) trained on at a tenth of the head's rate, as is usual for pre-trained layers (arXiv
   * 1801.06146, section 3.2, has other factors for the same end).
   */
  'hybrid-cifar10-resnet20-tuned': {
    config: { ...tunedHybridTraining, stem, epochs: 30, groups: [{ names: 'stem.*', rate: 0.1 }] },
  },
  /** The same from the stem of `resnet20-cifar10-40`, which may move further: docs/decisions/0009. 90.22 %, 1 h 21 min on two cores (models/README.md). */
  'hybrid-cifar10-resnet20-40': {
    config: { ...tunedHybridTraining, stem: longerStem, epochs: 24, groups: [{ names: 'stem.*', rate: 0.3 }] },
  },
  'hybrid-cifar10-resnet20': {
    config: {
      stem,
      network: hybrid20,
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
