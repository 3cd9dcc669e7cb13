/** The features of some images of a split, in one copy of each: decoded, augmented or mirrored, and put through the compiled stem. Keeps nothing. */
import { Random, type Compiled, type NdArray, type Network } from '@coda-nets/core';
import { noAugmentation, type Augmentation, type AugmentationRecipe } from './data/augmentation.ts';
import type { BatchMaker } from './data/batch-maker.ts';
import { Ahead, batchTask } from './data/batch-stream.ts';
import type { ImageSplit } from './data/image-dataset.ts';
import { imagesOfBatch, type BadImage } from './data/make-batch.ts';
import type { FeatureChunk } from './feature-cache.ts';

export interface ChunkOptions {
  readonly network: Network;
  readonly split: ImageSplit;
  /** What `copy-0` … are made by, and the seed of their draws. */
  readonly augmentation?: Augmentation;
  readonly seed?: number;
  /** See `BatchTask`. */
  readonly resize?: number | undefined;
  readonly batchSize?: number;
  /** Ends early: the result is then undefined. What the disk cache has by then stays good. */
  readonly signal?: AbortSignal | undefined;
}

export interface ComputedChunk {
  readonly features: Float32Array;
  /** Places are those in the chunk. */
  readonly bad: readonly BadImage[];
}

/** `size`: features of an image. `advance` hears of every batch. */
export async function computeChunk(
  { network, split, augmentation = noAugmentation, seed = 0, resize, batchSize = 100, signal }: ChunkOptions,
  compiled: Compiled,
  maker: BatchMaker,
  { copy, first, count }: FeatureChunk,
  size: number,
  advance: (images: number) => void,
): Promise<ComputedChunk | undefined> {
  const [height, width] = network.inputShape;
  const inputSize = [height, width] as const;
  const drawn = /^copy-(\d+)$/.exec(copy);
  const copyRandom = drawn === null ? undefined : Random.seeded(seed).split('copies').split(Number(drawn[1]));
  const recipe = { size: inputSize, resize, augmentation: drawn === null ? noAugmentation : asRecipe(augmentation) };
  let from = first;
  const batches = new Ahead(maker.workers + 1, () => {
    if (from >= first + count) return undefined;
    const begin = from;
    const indices = Uint32Array.from({ length: Math.min(batchSize, first + count - begin) }, (_, i) => begin + i);
    from += batchSize;
    const streams = copyRandom === undefined ? undefined : Array.from(indices, (index) => copyRandom.split(index).state);
    return maker.make(batchTask(split, indices, recipe, undefined, streams)).then((made) => ({ begin, made }));
  });
  const features = new Float32Array(count * size);
  const bad: BadImage[] = [];
  for (;;) {
    if (signal?.aborted === true) return undefined;
    const batch = await batches.next();
    if (batch === undefined) return { features, bad };
    const { begin, made } = batch;
    const images = imagesOfBatch(made, inputSize);
    if (copy === 'flip') mirror(images);
    const running = compiled.run({ images });
    batches.prepare();
    const result = await running;
    features.set(result['features']?.data as Float32Array, (begin - first) * size);
    for (const image of made.bad) bad.push({ ...image, place: begin - first + image.place });
    advance(made.labels.length);
  }
}

/** The same as a recipe, whose draws are each image's own. */
function asRecipe(augmentation: Augmentation): AugmentationRecipe {
  if (augmentation.kind === 'recipe') return augmentation;
  const flip = augmentation.kind !== 'none';
  return { kind: 'recipe', flip, ...(augmentation.kind === 'flip-and-crop' && { crop: { kind: 'random', pad: augmentation.pad } }) };
}

/** images [N, H, W, C] ← images[n, y, W − 1 − x, c], in place. */
function mirror({ data, shape }: NdArray<'float32'>): void {
  const [n = 0, height = 0, width = 0, channels = 0] = shape;
  for (let row = 0; row < n * height; row++) {
    for (let x = 0; x < width >> 1; x++) {
      const left = (row * width + x) * channels;
      const right = (row * width + width - 1 - x) * channels;
      for (let c = 0; c < channels; c++) {
        const value = data[left + c] as number;
        data[left + c] = data[right + c] as number;
        data[right + c] = value;
      }
    }
  }
}
