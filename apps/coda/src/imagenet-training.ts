/**
 * The trainings of the hybrids for ImageNet, by one rule. None has been run on ImageNet here.
 *
 * | constant | value | source |
 * | --- | --- | --- |
 * | epochs, batch | 60, 64 | L-CoDA, arXiv 2109.13004 |
 * | optimiser | Adam | L-CoDA |
 * | rate | up to 2.5e-4 | S-CoDA, whose temperatures begin below ours of 1 a position of the last map; L-CoDA's 1e-3 belongs to one of 250, and diverged here (docs/crash-run.md) |
 * | schedule | warm-up over the first quarter of the run, halved at 1/3 and 2/3 | L-CoDA: 15 of 60 epochs, halved at 20 and 40; our warm-up begins at 0 |
 * | augmentation | resized to 8/7 of the network's size, random crop, flip, RandAugment(2, 10) | L-CoDA: 256, crop 240, flip, RandAugment(2, 10); 256 for 224 is everybody's |
 * | stem | frozen | ours; its weights come by `--stem` |
 * | validation | the test split | ImageNet's validation images are what everybody reports |
 */
import type { JsonObject } from '@coda-nets/core';
import { imagenetHybrid, type ImagenetHybridName } from '@coda-nets/hybrid';
import type { TrainConfigInput } from '@coda-nets/train';

/** What a training's constants depend on. */
export interface TrainFacts {
  readonly classes: number;
  readonly trainImages: number;
  /** Sides of the network's images. */
  readonly size?: number | undefined;
  readonly epochs?: number | undefined;
  readonly batch?: number | undefined;
  /** Processes that train together, each with `batch` images a step; default 1. */
  readonly ranks?: number | undefined;
}

/** ILSVRC 2012. */
const imagenet: TrainFacts = { classes: 1000, trainImages: 1_281_167 };

export function imagenetTraining(
  name: ImagenetHybridName,
  { classes, trainImages, size = 224, epochs = 60, batch = 64, ranks = 1 }: TrainFacts = imagenet,
): TrainConfigInput {
  const steps = epochs * Math.floor(trainImages / (batch * ranks));
  return {
    network: imagenetHybrid(name, { classes, size }) as unknown as JsonObject & { kind: string },
    epochs,
    batch,
    optimiser: { kind: 'adam' },
    learningRate: 2.5e-4,
    schedule: { kind: 'step', milestones: [1 / 3, 2 / 3], factor: 0.5, warmup: Math.round(steps / 4) },
    augmentation: { kind: 'recipe', crop: { kind: 'random' }, flip: true, policy: { kind: 'rand-augment', operations: 2, magnitude: 10 } },
    resize: Math.round((size * 8) / 7),
    validation: { kind: 'test' },
  };
}
