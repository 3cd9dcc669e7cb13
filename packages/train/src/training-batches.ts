/** The batches a step is fed with, from images or from kept features, in the sampler's order. Not the order itself: `data/batch-sampler.ts`. */
import { CodaError, ndArray, type NamedArrays, type NdArray, type Random } from '@coda-nets/core';
import { mixes, type Augmentation } from './data/augmentation.ts';
import type { BatchMaker } from './data/batch-maker.ts';
import type { BatchSampler, BatchSamplerState } from './data/batch-sampler.ts';
import { Ahead, batchTask, type BatchRecipe } from './data/batch-stream.ts';
import type { ImageSplit } from './data/image-dataset.ts';
import { imagesOfBatch, type BadImage } from './data/make-batch.ts';
import { labelsOf } from './evaluation.ts';
import type { FeatureCopy, Features } from './features.ts';
import { depthInput, depthMask } from './stochastic-depth.ts';
import { mixedInputs, penaltyInput } from './training-gradient.ts';

export interface TrainingBatch {
  /** From 0. */
  readonly epoch: number;
  readonly endsEpoch: boolean;
  /** Where the sampler stands after this batch. */
  readonly samplerAfter: BatchSamplerState;
  /** `images` or `features`, `labels`, with mixed images the others under `mixedInputs`, and with a penalty the classes under `penaltyInput`; with stochastic depth what is kept under `depthInput`. */
  readonly inputs: NamedArrays;
  readonly labels: Int32Array;
  readonly bad: readonly BadImage[];
}

/**
 * The copies of each image that features are kept of: those an augmentation chooses from, or where it has no finite number of them `copies` drawn ones.
 * Throws a CodaError where that is none.
 */
export function copiesOf(augmentation: Augmentation, copies: number): readonly FeatureCopy[] {
  if (augmentation.kind === 'none') return ['none'];
  if (augmentation.kind === 'flip' && copies === 0) return ['none', 'flip'];
  if (mixes(augmentation)) {
    throw new CodaError({
      kind: 'argument',
      where: 'train: config: augmentation',
      problem: 'features cannot be kept of images that are mixed with others of their batch',
      expected: 'neither mixup nor cutmix with cacheFeatures',
    });
  }
  if (copies > 0) return Array.from({ length: copies }, (_, k) => `copy-${k}` as const);
  throw new CodaError({
    kind: 'argument',
    where: 'train: config: augmentation',
    problem: `features cannot be kept for "${augmentation.kind}": every crop has its own`,
    expected: '"none" or "flip" with cacheFeatures, or featureCopies',
    got: JSON.stringify(augmentation.kind),
  });
}

export interface BatchSource {
  readonly sampler: BatchSampler;
  readonly split: ImageSplit;
  readonly recipe: BatchRecipe & { readonly augmentation: Augmentation };
  readonly maker: BatchMaker;
  /** In the place of images. */
  readonly features: Features | undefined;
  /** So many residual branches are left out at random, the last of them with the probability `drop`. */
  readonly depth: { readonly branches: number; readonly drop: number } | undefined;
  /** `perImage` of `of` classes are penalised for each image. */
  readonly penalty: { readonly perImage: number; readonly of: number } | undefined;
  /** Of the equal parts that ranks take of each batch, the one of this number; default the whole. */
  readonly part?: { readonly rank: number; readonly size: number };
}

/** The next `count` batches, made ahead: as many at a time as there are worker threads, and one more. */
export function trainingBatches(source: BatchSource, count: number): Ahead<TrainingBatch> {
  let left = count;
  return new Ahead(source.maker.workers + 1, () => (left-- > 0 ? nextBatch(source) : undefined));
}

/** The sampler is asked at once, so that calls in a row get batches in a row. */
async function nextBatch({ sampler, split, recipe, maker, features, penalty, depth, part }: BatchSource): Promise<TrainingBatch> {
  const { epoch, endsEpoch, indices: all, random } = sampler.next();
  const place = { epoch, endsEpoch, samplerAfter: sampler.state };
  const { rank, size } = part ?? { rank: 0, size: 1 };
  // what is drawn is drawn for the whole batch, so that an image becomes the same whoever takes it
  const count = all.length / size;
  const first = rank * count;
  const indices = all.subarray(first, first + count);
  // a stream of its own: the images stay the same with a penalty and without
  const penalised = (labels: Int32Array): NamedArrays => {
    if (penalty === undefined) return {};
    const ofAll = Int32Array.from(all, (index) => split.labels[index] as number);
    ofAll.set(labels, first);
    return { [penaltyInput]: rowsOf(penalisedClasses(ofAll, penalty.perImage, penalty.of, random.split('classes')), first, count) };
  };
  const kept: NamedArrays =
    depth === undefined
      ? {}
      : { [depthInput]: rowsOf(depthMask(random.split('depth'), all.length, depth.branches, depth.drop), first, count) };
  if (features !== undefined) {
    const labels = labelsOf(
      split,
      indices.map((index) => features.standIn(index)),
    );
    const batch = await features.batch(indices, partOf(copiesFor(features.copies, all, random), first, count));
    return { ...place, labels: labels.data, bad: [], inputs: { features: batch, labels, ...penalised(labels.data) } };
  }
  const made = await maker.make(batchTask(split, indices, recipe, random, undefined, first));
  const n = made.labels.length;
  const mixed: NamedArrays =
    made.mixed === undefined
      ? {}
      : {
          [mixedInputs.labels]: ndArray('int32', [n], made.mixed.labels),
          [mixedInputs.weights]: ndArray('float32', [n], made.mixed.weights),
        };
  const labels = ndArray('int32', [n], made.labels);
  const inputs = { images: imagesOfBatch(made, recipe.size), labels, ...mixed, ...penalised(made.labels), ...kept };
  return { ...place, labels: made.labels, bad: made.bad, inputs };
}

function partOf<T>(values: T | readonly T[], first: number, count: number): T | readonly T[] {
  return Array.isArray(values) ? (values as readonly T[]).slice(first, first + count) : values;
}

/** array[first … first + count − 1, …] */
function rowsOf<D extends 'int32' | 'float32'>({ dtype, shape, data }: NdArray<D>, first: number, count: number): NdArray<D> {
  const row = data.length / (shape[0] as number);
  return ndArray(dtype, [count, ...shape.slice(1)], data.slice(first * row, (first + count) * row) as typeof data);
}

/** An image takes the same draw for its mirrored copy as for being mirrored, so that both ways see the same images in the same order. */
function copiesFor(copies: readonly FeatureCopy[], indices: Uint32Array, random: Random): FeatureCopy | readonly FeatureCopy[] {
  if (copies.length === 1) return copies[0] as FeatureCopy;
  if (copies.includes('flip')) return Array.from(indices, () => (random.uint32() >= 0x8000_0000 ? 'flip' : 'none'));
  return Array.from(indices, () => copies[random.below(copies.length)] as FeatureCopy);
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
