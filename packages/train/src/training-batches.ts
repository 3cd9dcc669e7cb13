/** The batches a step is fed with, from images or from kept features, in the sampler's order. Not the order itself: `data/batch-sampler.ts`. */
import { CodaError, type NamedArrays } from '@coda-nets/core';
import { assembleBatch } from './data/assemble-batch.ts';
import type { Augmentation } from './data/augmentation.ts';
import type { BatchSampler, BatchSamplerState } from './data/batch-sampler.ts';
import type { ImageSplit } from './data/image-dataset.ts';
import { labelsOf } from './evaluation.ts';
import type { FeatureCopy, Features } from './frozen-features.ts';

export interface TrainingBatch {
  /** From 0. */
  readonly epoch: number;
  readonly endsEpoch: boolean;
  /** Where the sampler stands after this batch. */
  readonly samplerAfter: BatchSamplerState;
  /** `images` or `features`, and `labels`. */
  readonly inputs: NamedArrays;
}

/** The copies of each image that an augmentation chooses from. Throws a CodaError for one that has no finite number of them. */
export function copiesOf(augmentation: Augmentation): readonly FeatureCopy[] {
  if (augmentation.kind === 'none') return ['none'];
  if (augmentation.kind === 'flip') return ['none', 'flip'];
  throw new CodaError({
    kind: 'argument',
    where: 'train: config: augmentation',
    problem: `features cannot be kept for "${augmentation.kind}": every crop has its own`,
    expected: '"none" or "flip" with cacheFeatures',
    got: JSON.stringify(augmentation.kind),
  });
}

/** The next batch. With features an image takes the same draw as without, so that both ways see the same images in the same order. */
export function nextBatch(
  sampler: BatchSampler,
  split: ImageSplit,
  augmentation: Augmentation,
  features: Features | undefined,
): TrainingBatch {
  const { epoch, endsEpoch, indices, random } = sampler.next();
  const samplerAfter = sampler.state;
  if (features === undefined) {
    const { images, labels } = assembleBatch(split, indices, augmentation, random);
    return { epoch, endsEpoch, samplerAfter, inputs: { images, labels } };
  }
  const copies: readonly FeatureCopy[] | FeatureCopy =
    augmentation.kind === 'flip'
      ? Array.from(indices, () => (random.uint32() >= 0x8000_0000 ? 'flip' : 'none'))
      : 'none';
  return { epoch, endsEpoch, samplerAfter, inputs: { features: features.batch(indices, copies), labels: labelsOf(split, indices) } };
}
