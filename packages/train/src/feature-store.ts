/** Where kept features stay while a run uses them: in memory, or in the files of the cache where they are too many for it. */
import { CodaError, decodeFloat16, encodeFloat16 } from '@coda-nets/core';
import type { FeatureRows } from './feature-cache.ts';

/** The features of every image, in one copy; `image` counts from 0. */
export interface FeatureStore {
  get(image: number, into: Float32Array): Promise<void>;
}

export interface MemoryStore extends FeatureStore {
  /** Of the images from `image` on. */
  put(image: number, features: Float32Array): void;
  /** Where so many images are kept, as they are kept: what other processes exchange. */
  bytes(image: number, count: number): Uint8Array;
}

/** `length` images of `size` numbers. Throws a CodaError of kind `unavailable` where the memory is not there. */
export function memoryStore(length: number, size: number, precision: 'float32' | 'float16'): MemoryStore {
  if (precision === 'float32') {
    const values = allocated(length * size, 4, (n) => new Float32Array(n));
    return {
      put: (image, features) => values.set(features, image * size),
      get: async (image, into) => into.set(values.subarray(image * size, image * size + into.length)),
      bytes: (image, count) => new Uint8Array(values.buffer, 4 * image * size, 4 * count * size),
    };
  }
  const halves = allocated(length * size, 2, (n) => new Uint16Array(n));
  return {
    put: (image, features) => encodeFloat16(features, halves.subarray(image * size, image * size + features.length)),
    get: async (image, into) => decodeFloat16(halves.subarray(image * size, image * size + into.length), into),
    bytes: (image, count) => new Uint8Array(halves.buffer, 2 * image * size, 2 * count * size),
  };
}

/** Rows are read from `chunks`, each of which begins `imagesPerChunk` images after the one before it. */
export function fileStore(chunks: readonly FeatureRows[], imagesPerChunk: number): FeatureStore {
  return {
    get: (image, into) => (chunks[Math.floor(image / imagesPerChunk)] as FeatureRows).read(image % imagesPerChunk, into),
  };
}

function allocated<T>(length: number, bytes: number, make: (length: number) => T): T {
  try {
    return make(length);
  } catch (cause) {
    throw new CodaError({
      kind: 'unavailable',
      where: 'computeFeatures',
      problem: `there is no memory for ${((length * bytes) / 1e9).toFixed(1)} GB of features`,
      hint: 'Keep them on disk (--feature-cache), train without cacheFeatures, on fewer images (limit), or with featurePrecision "float16".',
      cause,
    });
  }
}
