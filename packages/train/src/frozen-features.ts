/**
 * A frozen stem's output for every image, computed once: training its head then costs the head alone. With the augmentation `flip` the features of
 * the mirrored images are kept beside, and each draw takes one of the two.
 */
import { CodaError, ndArray, sizeOf, type Engine, type NamedArrays, type NdArray, type Network } from '@coda-nets/core';
import type * as tf from '@tensorflow/tfjs-core';
import { sequentialBatches } from './data/batch-sampler.ts';
import type { ImageSplit } from './data/image-dataset.ts';
import { assembleBatch } from './data/assemble-batch.ts';
import { float16Values, toFloat16 } from './float16.ts';

export interface FeatureOptions {
  readonly engine: Engine;
  readonly network: Network;
  readonly weights: NamedArrays;
  /** Also of the mirrored images. */
  readonly mirrored: boolean;
  readonly precision: 'float16' | 'float32';
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface FrozenFeatures {
  readonly length: number;
  /** [n, H, W, C] of the images `indices`; `mirrored(i)` says whether the i-th is taken mirrored. */
  batch(indices: ArrayLike<number>, mirrored?: (i: number) => boolean): NdArray<'float32'>;
}

/** Images in one call of the engine. */
const BATCH = 100;

export async function computeFeatures(split: ImageSplit, options: FeatureOptions): Promise<FrozenFeatures> {
  const { engine, network, weights, mirrored, precision, onProgress, signal } = options;
  const stem = network.frozenStem;
  if (stem === undefined) {
    throw new CodaError({ kind: 'argument', where: 'computeFeatures', problem: 'the network has no frozen stem' });
  }
  const compiled = await engine.compile(
    (tensors) => ({ features: stem.embed(tensors, tensors['images'] as tf.Tensor4D) }),
    { inputs: { images: { shape: ['batch', ...network.inputShape], dtype: 'float32' } }, constants: weights },
  );
  const size = sizeOf(stem.featureShape);
  const copies = mirrored ? 2 : 1;
  const store = Array.from({ length: copies }, () => featureStore(split.length, size, precision));
  try {
    let done = 0;
    for (const indices of sequentialBatches(split.length, BATCH)) {
      const { images } = assembleBatch(split, indices);
      for (const [copy, kept] of store.entries()) {
        signal?.throwIfAborted();
        const { features } = await compiled.run({ images: copy === 0 ? images : mirror(images) });
        kept.put(indices[0] as number, features?.data as Float32Array);
        done += indices.length;
        onProgress?.(done, split.length * copies);
      }
    }
  } finally {
    await compiled.dispose();
  }
  return {
    length: split.length,
    batch: (indices, isMirrored) => {
      const data = new Float32Array(indices.length * size);
      for (let i = 0; i < indices.length; i++) {
        const copy = store[mirrored && isMirrored?.(i) === true ? 1 : 0];
        copy?.get(indices[i] as number, data, i * size);
      }
      return ndArray('float32', [indices.length, ...stem.featureShape], data);
    },
  };
}

interface FeatureStore {
  put(first: number, features: Float32Array): void;
  get(index: number, into: Float32Array, at: number): void;
}

function featureStore(length: number, size: number, precision: 'float16' | 'float32'): FeatureStore {
  if (precision === 'float32') {
    const values = new Float32Array(length * size);
    return {
      put: (first, features) => values.set(features, first * size),
      get: (index, into, at) => into.set(values.subarray(index * size, (index + 1) * size), at),
    };
  }
  const halves = new Uint16Array(length * size);
  return {
    put: (first, features) => {
      for (let i = 0; i < features.length; i++) halves[first * size + i] = toFloat16(features[i] as number);
    },
    get: (index, into, at) => {
      const from = index * size;
      for (let i = 0; i < size; i++) into[at + i] = float16Values[halves[from + i] as number] as number;
    },
  };
}

/** Left for right: [N, H, W, C]. */
function mirror(images: NdArray<'float32'>): NdArray<'float32'> {
  const [n, h, w, c] = images.shape as [number, number, number, number];
  const data = new Float32Array(images.data.length);
  for (let row = 0; row < n * h; row++) {
    for (let x = 0; x < w; x++) {
      const from = (row * w + x) * c;
      data.set(images.data.subarray(from, from + c), (row * w + (w - 1 - x)) * c);
    }
  }
  return ndArray('float32', images.shape, data);
}
