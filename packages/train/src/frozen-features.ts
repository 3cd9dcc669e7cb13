/**
 * The output of a frozen stem for every image of a split, computed once and kept: training a head then costs the head only. Each augmented
 * copy is kept apart: a mirrored image has features of its own. In float32 they are exact, as computed.
 */
import type * as tf from '@tensorflow/tfjs-core';
import {
  CodaError,
  decodeFloat16,
  encodeFloat16,
  ndArray,
  type Engine,
  type NamedArrays,
  type NdArray,
  type Network,
} from '@coda-nets/core';
import { assembleBatch } from './data/assemble-batch.ts';
import type { ImageSplit } from './data/image-dataset.ts';
import { featureCache } from './feature-cache.ts';

/** `flip`: mirrored left to right. */
export type FeatureCopy = 'none' | 'flip';

export interface Features {
  /** [H′, W′, C] */
  readonly shape: readonly [number, number, number];
  readonly length: number;
  readonly copies: readonly FeatureCopy[];
  /** [n, H′, W′, C] of the images `indices`; `copy`: one for all, or one for each. */
  batch(indices: ArrayLike<number>, copy: FeatureCopy | readonly FeatureCopy[]): NdArray<'float32'>;
}

export interface ComputeFeaturesOptions {
  readonly engine: Engine;
  readonly network: Network;
  /** All weights of the network; the stem's are those of role `frozen`. */
  readonly weights: NamedArrays;
  readonly split: ImageSplit;
  readonly copies?: readonly FeatureCopy[];
  /** `float16`: half the memory, each feature rounded by up to 2⁻¹¹ of itself. Default `float32`. */
  readonly precision?: 'float32' | 'float16';
  readonly batchSize?: number;
  /** Features are kept there too, under a key made of everything they depend on; without it in memory only. */
  readonly cacheFolder?: string;
  readonly onProgress?: (done: number, total: number) => void;
  /** Ends early: the result is then undefined. What the disk cache has by then stays good. */
  readonly signal?: AbortSignal;
}

/** Images of one file of the disk cache: 164 MB of 16 × 16 × 32 features. */
const imagesPerChunk = 5000;

/**
 * Needs 4·H′·W′·C bytes of memory for each image and copy: 3.3 GB for 50,000 images, two copies and 16 × 16 × 32 features.
 *
 * @throws CodaError `argument` for a network without a frozen stem, `unavailable` where the memory is not there.
 */
export async function computeFeatures(options: ComputeFeaturesOptions & { readonly signal?: never }): Promise<Features>;
export async function computeFeatures(options: ComputeFeaturesOptions): Promise<Features | undefined>;
export async function computeFeatures(options: ComputeFeaturesOptions): Promise<Features | undefined> {
  const { engine, network, weights, split, copies = ['none'], precision = 'float32', batchSize = 100 } = options;
  const { cacheFolder, onProgress, signal } = options;
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
  const stores = new Map(copies.map((copy) => [copy, featureStore(split.length * size, precision)]));
  const stemWeights = Object.fromEntries(Object.entries(weights).filter(([name]) => network.weights[name]?.role === 'frozen'));
  const cache = cacheFolder === undefined ? undefined : featureCache({ folder: cacheFolder, network, stemWeights, split, engine });

  const compiled = await engine.compile((tensors) => ({ features: frozenStem.embed(tensors, tensors['images'] as tf.Tensor4D) }), {
    inputs: { images: { shape: ['batch', ...network.inputShape], dtype: 'float32' } },
    constants: stemWeights,
  });
  try {
    const total = split.length * copies.length;
    let done = 0;
    for (const [copy, store] of stores) {
      for (let first = 0; first < split.length; first += imagesPerChunk) {
        const end = Math.min(first + imagesPerChunk, split.length);
        const chunk = new Float32Array((end - first) * size);
        if (await cache?.read(copy, first, chunk)) {
          store.put(first * size, chunk);
          done += end - first;
          onProgress?.(done, total);
          continue;
        }
        for (let from = first; from < end; from += batchSize) {
          if (signal?.aborted === true) return undefined;
          const indices = Uint32Array.from({ length: Math.min(batchSize, end - from) }, (_, i) => from + i);
          const { images } = assembleBatch(split, indices);
          if (copy === 'flip') mirror(images);
          const result = await compiled.run({ images });
          chunk.set(result['features']?.data as Float32Array, (from - first) * size);
          done += indices.length;
          onProgress?.(done, total);
        }
        store.put(first * size, chunk);
        await cache?.write(copy, first, chunk);
      }
    }
  } finally {
    await compiled.dispose();
  }
  return {
    shape,
    length: split.length,
    copies,
    batch(indices, copy) {
      const data = new Float32Array(indices.length * size);
      for (let i = 0; i < indices.length; i++) {
        const wanted = typeof copy === 'string' ? copy : (copy[i] as FeatureCopy);
        const store = stores.get(wanted);
        if (store === undefined) throw noCopy(wanted, copies);
        store.get((indices[i] as number) * size, data.subarray(i * size, (i + 1) * size));
      }
      return ndArray('float32', [indices.length, ...shape], data);
    },
  };
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

interface FeatureStore {
  put(at: number, features: Float32Array): void;
  get(at: number, into: Float32Array): void;
}

function featureStore(length: number, precision: 'float32' | 'float16'): FeatureStore {
  if (precision === 'float32') {
    const values = allocated(length, 4, () => new Float32Array(length));
    return {
      put: (at, features) => values.set(features, at),
      get: (at, into) => into.set(values.subarray(at, at + into.length)),
    };
  }
  const halves = allocated(length, 2, () => new Uint16Array(length));
  return {
    put: (at, features) => encodeFloat16(features, halves.subarray(at, at + features.length)),
    get: (at, into) => decodeFloat16(halves.subarray(at, at + into.length), into),
  };
}

function allocated<T>(length: number, bytes: number, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new CodaError({
      kind: 'unavailable',
      where: 'computeFeatures',
      problem: `there is no memory for ${((length * bytes) / 1e9).toFixed(1)} GB of features`,
      hint: 'Train without cacheFeatures, on fewer images (limit), or with featurePrecision "float16".',
      cause,
    });
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
