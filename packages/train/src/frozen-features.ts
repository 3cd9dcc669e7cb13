/**
 * The output of a frozen stem for every image of a split, computed once and kept: training a head then costs the head only. Each augmented
 * copy is kept apart: a mirrored image has features of its own. In float32 they are exact, as computed.
 */
import type * as tf from '@tensorflow/tfjs-core';
import { totalmem } from 'node:os';
import {
  CodaError,
  ndArray,
  Random,
  type Compiled,
  type Engine,
  type JsonObject,
  type NamedArrays,
  type NdArray,
  type Network,
} from '@coda-nets/core';
import { noAugmentation, type Augmentation, type AugmentationRecipe } from './data/augmentation.ts';
import { batchMaker, type BatchMaker } from './data/batch-maker.ts';
import { Ahead, batchTask } from './data/batch-stream.ts';
import type { ImageSplit } from './data/image-dataset.ts';
import { imagesOfBatch, type BadImage } from './data/make-batch.ts';
import { featureCache, type FeatureCache, type FeatureChunk } from './feature-cache.ts';
import { fileStore, memoryStore, type FeatureStore } from './feature-store.ts';

/** `flip`: mirrored left to right; `copy-0` …: augmented, each by draws of its own. */
export type FeatureCopy = 'none' | 'flip' | `copy-${number}`;

export interface Features {
  /** [H′, W′, C] */
  readonly shape: readonly [number, number, number];
  readonly length: number;
  readonly copies: readonly FeatureCopy[];
  /** Images that could not be read; a batch has the next one's features in their place. Places are those in the split. */
  readonly bad: readonly BadImage[];
  /** The image whose features stand for image `index`: another one where it is bad. */
  standIn(index: number): number;
  /** [n, H′, W′, C] of the images `indices`; `copy`: one for all, or one for each. */
  batch(indices: ArrayLike<number>, copy: FeatureCopy | readonly FeatureCopy[]): Promise<NdArray<'float32'>>;
  /** Closes the files they are read from; those in memory go by themselves. */
  close(): Promise<void>;
}

export interface ComputeFeaturesOptions {
  readonly engine: Engine;
  readonly network: Network;
  /** All weights of the network; the stem's are those of role `frozen`. */
  readonly weights: NamedArrays;
  readonly split: ImageSplit;
  readonly copies?: readonly FeatureCopy[];
  /** What `copy-0` … are made by, and the seed of their draws. */
  readonly augmentation?: Augmentation;
  readonly seed?: number;
  /** See `BatchTask`. */
  readonly resize?: number | undefined;
  /** `float16`: half the memory, each feature rounded by up to 2⁻¹¹ of itself. Default `float32`. */
  readonly precision?: 'float32' | 'float16';
  readonly batchSize?: number;
  /** Where images are decoded; default on this thread. */
  readonly maker?: BatchMaker;
  /** Features are kept there too, under a key made of everything they depend on; without it in memory only. */
  readonly cacheFolder?: string;
  /** Beyond so many bytes they are read from the cache batch by batch, and not held in memory; default a quarter of what this machine has. */
  readonly maxMemory?: number;
  readonly onProgress?: (done: number, total: number) => void;
  /** Ends early: the result is then undefined. What the disk cache has by then stays good. */
  readonly signal?: AbortSignal;
}

/** Of one file of the disk cache: 164 MB of 16 × 16 × 32 features … */
const mostImagesPerChunk = 5000;
/** … and no more than this of larger ones. */
const mostChunkBytes = 2 ** 28;

/**
 * Needs 4·H′·W′·C bytes of memory for each image and copy (3.3 GB for 50,000 images, two copies and 16 × 16 × 32 features), or with a cache folder those
 * of one of its files.
 *
 * @throws CodaError `argument` for a network without a frozen stem, `unavailable` where the memory is not there.
 */
export async function computeFeatures(options: ComputeFeaturesOptions & { readonly signal?: never }): Promise<Features>;
export async function computeFeatures(options: ComputeFeaturesOptions): Promise<Features | undefined>;
export async function computeFeatures(options: ComputeFeaturesOptions): Promise<Features | undefined> {
  const { engine, network, weights, split, copies = ['none'], precision = 'float32', maker = batchMaker(0) } = options;
  const { cacheFolder, onProgress, signal, maxMemory = totalmem() / 4 } = options;
  const { frozenStem } = network;
  if (frozenStem === undefined) {
    throw new CodaError({
      kind: 'argument',
      where: 'computeFeatures: network',
      problem: 'this network has no frozen stem whose features could be kept',
      got: `kind ${JSON.stringify(network.config.kind)}`,
    });
  }
  const shape = frozenStem.featureShape;
  const size = shape[0] * shape[1] * shape[2];
  const total = split.length * copies.length;
  const stemWeights = Object.fromEntries(Object.entries(weights).filter(([name]) => network.weights[name]?.role === 'frozen'));
  const cache =
    cacheFolder === undefined
      ? undefined
      : featureCache({
          folder: cacheFolder,
          network,
          stemWeights,
          split,
          engine,
          size,
          precision,
          preprocessing: preprocessingOf(options),
        });
  const onDisk = cache !== undefined && total * size * (precision === 'float16' ? 2 : 4) > maxMemory;
  const imagesPerChunk = Math.max(1, Math.min(mostImagesPerChunk, Math.floor(mostChunkBytes / (4 * size))));

  const compiled = await engine.compile((tensors) => ({ features: frozenStem.embed(tensors, tensors['images'] as tf.Tensor4D) }), {
    inputs: { images: { shape: ['batch', ...network.inputShape], dtype: 'float32' } },
    constants: stemWeights,
  });
  const stores = new Map<FeatureCopy, FeatureStore>();
  const bad = new Map<number, BadImage>();
  const close = async (): Promise<void> => {
    for (const store of stores.values()) await store.close();
  };
  let whole = false;
  try {
    let done = 0;
    const advance = (images: number): void => onProgress?.((done += images), total);
    for (const copy of copies) {
      const store = onDisk ? undefined : memoryStore(split.length, size, precision);
      if (store !== undefined) stores.set(copy, store);
      const rows = [];
      for (let first = 0; first < split.length; first += imagesPerChunk) {
        const chunk = { copy, first, count: Math.min(imagesPerChunk, split.length - first) };
        let found = await cache?.open(chunk);
        let features: Float32Array | undefined;
        let badHere = found?.bad ?? [];
        if (found === undefined) {
          const computed = await computeChunk(options, compiled, maker, chunk, size, advance);
          if (computed === undefined) return undefined;
          ({ features, bad: badHere } = computed);
          await cache?.write(chunk, features, badHere);
          if (onDisk) found = await freshlyWritten(cache, chunk);
        } else advance(chunk.count);
        for (const image of badHere) bad.set(first + image.place, { ...image, place: first + image.place });
        if (store === undefined) {
          rows.push(found as NonNullable<typeof found>);
          continue;
        }
        const values = features ?? new Float32Array(chunk.count * size);
        if (features === undefined) await found?.read(0, values);
        await found?.close();
        store.put(first, values);
      }
      if (store === undefined) stores.set(copy, fileStore(rows, imagesPerChunk));
    }
    whole = signal?.aborted !== true;
    if (!whole) return undefined;
  } finally {
    await compiled.dispose();
    if (!whole) await close();
  }
  if (bad.size === split.length) {
    const [first] = bad.values();
    throw new CodaError({
      kind: 'malformed',
      where: first?.file ?? '',
      problem: `no image of the split could be read; of this one: ${first?.reason}`,
    });
  }
  const standIn = (index: number): number => {
    let at = index;
    while (bad.has(at)) at = (at + 1) % split.length;
    return at;
  };
  return {
    shape,
    length: split.length,
    copies,
    bad: [...bad.values()],
    standIn,
    async batch(indices, copy) {
      const data = new Float32Array(indices.length * size);
      await Promise.all(
        Array.from(indices, (index, i) => {
          const wanted = typeof copy === 'string' ? copy : (copy[i] as FeatureCopy);
          const store = stores.get(wanted);
          if (store === undefined) throw noCopy(wanted, copies);
          return store.get(standIn(index), data.subarray(i * size, (i + 1) * size));
        }),
      );
      return ndArray('float32', [indices.length, ...shape], data);
    },
    close,
  };
}

async function computeChunk(
  { network, split, augmentation = noAugmentation, seed = 0, resize, batchSize = 100, signal }: ComputeFeaturesOptions,
  compiled: Compiled,
  maker: BatchMaker,
  { copy, first, count }: FeatureChunk,
  size: number,
  advance: (images: number) => void,
): Promise<{ features: Float32Array; bad: readonly BadImage[] } | undefined> {
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

/** All that a feature depends on beside weights and images; what is not there is the same as in every run. */
function preprocessingOf({ augmentation, seed, resize, copies = [], network }: ComputeFeaturesOptions): JsonObject {
  const drawn = copies.some((copy) => copy.startsWith('copy-'));
  const how = { size: network.inputShape, resize, ...(drawn && { augmentation, seed }) };
  return JSON.parse(JSON.stringify(how)) as JsonObject;
}

async function freshlyWritten(cache: FeatureCache | undefined, chunk: FeatureChunk) {
  const found = await cache?.open(chunk);
  if (found !== undefined) return found;
  throw new CodaError({
    kind: 'unreadable',
    where: 'computeFeatures: cacheFolder',
    problem: 'features that were just written cannot be read',
  });
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

function noCopy(wanted: FeatureCopy, copies: readonly FeatureCopy[]): CodaError {
  return new CodaError({
    kind: 'argument',
    where: 'Features.batch: copy',
    problem: 'this copy was not computed',
    expected: copies.join(', '),
    got: wanted,
  });
}
