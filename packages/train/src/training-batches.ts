/** The batches a step is fed with, from images or from kept features, in the sampler's order. Not the order itself: `data/batch-sampler.ts`. */
import { CodaError, ndArray, type NamedArrays, type NdArray, type Random } from '@coda-nets/core';
import { assembleBatch } from './data/assemble-batch.ts';
import type { Augmentation } from './data/augmentation.ts';
import type { BatchSampler, BatchSamplerState } from './data/batch-sampler.ts';
import type { ImageSplit } from './data/image-dataset.ts';
import { labelsOf } from './evaluation.ts';
import type { FeatureCopy, Features } from './frozen-features.ts';
import { penaltyInput } from './training-step.ts';

export interface TrainingBatch {
  /** From 0. */
  readonly epoch: number;
  readonly endsEpoch: boolean;
  /** Where the sampler stands after this batch. */
  readonly samplerAfter: BatchSamplerState;
  /** `images` or `features`, `labels`, and with a penalty the classes under `penaltyInput`. */
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

export interface BatchSource {
  readonly sampler: BatchSampler;
  readonly split: ImageSplit;
  readonly augmentation: Augmentation;
  /** In the place of images. */
  readonly features: Features | undefined;
  /** `perImage` of `of` classes are penalised for each image. */
  readonly penalty: { readonly perImage: number; readonly of: number } | undefined;
}

/** The next batch. With features an image takes the same draw as without, so that both ways see the same images in the same order. */
export function nextBatch({ sampler, split, augmentation, features, penalty }: BatchSource): TrainingBatch {
  const { epoch, endsEpoch, indices, random } = sampler.next();
  const samplerAfter = sampler.state;
  // a stream of its own: the images stay the same with a penalty and without
  const extra: NamedArrays =
    penalty === undefined
      ? {}
      : { [penaltyInput]: penalisedClasses(labelsOf(split, indices).data, penalty.perImage, penalty.of, random.split('classes')) };
  if (features === undefined) {
    const { images, labels } = assembleBatch(split, indices, augmentation, random);
    return { epoch, endsEpoch, samplerAfter, inputs: { images, labels, ...extra } };
  }
  const copies: readonly FeatureCopy[] | FeatureCopy =
    augmentation.kind === 'flip' ? Array.from(indices, () => (random.uint32() >= 0x8000_0000 ? 'flip' : 'none')) : 'none';
  const inputs = { features: features.batch(indices, copies), labels: labelsOf(split, indices), ...extra };
  return { epoch, endsEpoch, samplerAfter, inputs };
}

/** [n, perImage]: for each image its label, then distinct other classes, every set of them equally likely (Fisher and Yates, cut short). */
export function penalisedClasses(labels: Int32Array, perImage: number, classes: number, random: Random): NdArray<'int32'> {
  const chosen = new Int32Array(labels.length * perImage);
  for (const [i, label] of labels.entries()) {
    chosen[i * perImage] = label;
    const others = Int32Array.from({ length: classes - 1 }, (_, c) => (c < label ? c : c + 1));
    for (let k = 0; k < perImage - 1; k++) {
      const at = k + random.below(others.length - k);
      chosen[i * perImage + k + 1] = others[at] as number;
      others[at] = others[k] as number;
    }
  }
  return ndArray('int32', [labels.length, perImage], chosen);
}
