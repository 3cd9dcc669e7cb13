/**
 * Features of a frozen stem on disk, in safetensors files of a thousand images at most. The folder's name is a hash of everything they depend on (stem
 * weights, network config, preprocessing, images, engine), so a stale one is never found; files are written atomically and checked when opened, and what
 * does not fit is computed again.
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { CodaError, decodeFloat16, ndArray, type JsonObject, type NamedArrays, type Network } from '@coda-nets/core';
import { openSafetensors, writeSafetensors } from '@coda-nets/core/node';
import type { ImageSplit } from './data/image-dataset.ts';
import type { BadImage } from './data/make-batch.ts';
import { makeFolder } from './make-folder.ts';

/** A chunk in a file: a row of features for each image. */
export interface FeatureRows {
  /** Places are those in the chunk. */
  readonly bad: readonly BadImage[];
  /** The rows from `first` on, as many as `into` has room for. */
  read(first: number, into: Float32Array): Promise<void>;
  close(): Promise<void>;
}

export interface FeatureChunk {
  readonly copy: string;
  /** The image it begins with. */
  readonly first: number;
  readonly count: number;
}

export interface FeatureCache {
  /** Undefined where it is not there, or is not what it should be. */
  open(chunk: FeatureChunk): Promise<FeatureRows | undefined>;
  write(chunk: FeatureChunk, features: Float32Array, bad: readonly BadImage[]): Promise<void>;
}

export interface FeatureCacheOptions {
  readonly folder: string;
  readonly network: Pick<Network, 'config'>;
  readonly stemWeights: NamedArrays;
  readonly split: Pick<ImageSplit, 'version'>;
  readonly engine: { readonly name: string; readonly description: string };
  /** Features of an image. */
  readonly size: number;
  readonly precision: 'float32' | 'float16';
  /** Whatever else they depend on: how images are decoded and augmented. */
  readonly preprocessing: JsonObject;
}

export function featureCache(options: FeatureCacheOptions): FeatureCache {
  const { folder, size, precision } = options;
  const key = keyOf(options);
  const place = join(folder, key.slice(0, 32));
  const pathOf = ({ copy, first }: FeatureChunk): string => join(place, `${copy}-${first}.safetensors`);
  const dtype = precision === 'float16' ? 'F16' : 'F32';
  const bytes = precision === 'float16' ? 2 : 4;
  return {
    async open(chunk) {
      const path = pathOf(chunk);
      try {
        const header = await openSafetensors(path);
        await header.close();
        const features = header.tensors['features'];
        const fits = features?.dtype === dtype && features.shape.join() === `${chunk.count},${size}`;
        if (header.metadata['key'] !== key || !fits) return undefined;
        const bad = JSON.parse(header.metadata['bad'] ?? '[]') as BadImage[];
        const file = await open(path, 'r');
        // the one tensor of the file stands at its end
        const start = (await file.stat()).size - chunk.count * size * bytes;
        return {
          bad,
          read: async (first, into) => {
            const raw = precision === 'float16' ? new Uint16Array(into.length) : into;
            const { bytesRead } = await file.read(raw, 0, raw.byteLength, start + first * size * bytes);
            if (bytesRead !== raw.byteLength) {
              throw new CodaError({ kind: 'unreadable', where: path, problem: 'the file of features became shorter while it was used' });
            }
            if (raw instanceof Uint16Array) decodeFloat16(raw, into);
          },
          close: () => file.close(),
        };
      } catch (error) {
        if (CodaError.isInstance(error) || error instanceof SyntaxError) return undefined;
        throw error;
      }
    },
    async write(chunk, features, bad) {
      await makeFolder(place);
      const tensors = { features: ndArray('float32', [chunk.count, size], features) };
      const metadata = { key, bad: JSON.stringify(bad) };
      await writeSafetensors(pathOf(chunk), tensors, metadata, precision === 'float16' ? { features: 'F16' } : {});
    },
  };
}

function keyOf({ network, stemWeights, split, engine, precision, preprocessing }: FeatureCacheOptions): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify(['features 2', network.config, split.version, engine.name, engine.description, precision, preprocessing]));
  for (const name of Object.keys(stemWeights).sort()) {
    const { dtype, shape, data } = stemWeights[name] as NamedArrays[string];
    hash.update(JSON.stringify([name, dtype, shape]));
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}
