/**
 * Features of a frozen stem on disk. The folder's name is a hash of everything they depend on (stem weights, network config, images, engine),
 * so a stale one is never found; files are written atomically and checked when read, and what does not fit is computed again.
 */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CodaError, decodeSafetensors, encodeSafetensors, ndArray, type Engine, type NamedArrays, type Network } from '@coda-nets/core';
import { readFileBytes, writeFileAtomic } from '@coda-nets/core/node';
import type { ImageSplit } from './data/image-dataset.ts';

export interface FeatureCache {
  /** Fills `into` with the features of the images from `first` on; false where they are not there. */
  read(copy: string, first: number, into: Float32Array): Promise<boolean>;
  write(copy: string, first: number, features: Float32Array): Promise<void>;
}

export interface FeatureCacheOptions {
  readonly folder: string;
  readonly network: Pick<Network, 'config'>;
  readonly stemWeights: NamedArrays;
  readonly split: Pick<ImageSplit, 'fingerprint'>;
  readonly engine: Pick<Engine, 'name' | 'description'>;
}

export function featureCache({ folder, network, stemWeights, split, engine }: FeatureCacheOptions): FeatureCache {
  const hash = createHash('sha256');
  hash.update(JSON.stringify(['features 1', network.config, split.fingerprint, engine.name, engine.description]));
  for (const name of Object.keys(stemWeights).sort()) {
    const { dtype, shape, data } = stemWeights[name] as NamedArrays[string];
    hash.update(JSON.stringify([name, dtype, shape]));
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  const key = hash.digest('hex');
  const place = join(folder, key.slice(0, 32));
  const pathOf = (copy: string, first: number): string => join(place, `${copy}-${first}.safetensors`);
  return {
    async read(copy, first, into) {
      const path = pathOf(copy, first);
      try {
        // room for the header beside the data
        const bytes = await readFileBytes(path, { maxBytes: into.byteLength + 4096 });
        const { tensors, metadata } = decodeSafetensors(bytes, path);
        const features = tensors['features'];
        if (metadata['key'] !== key || features?.dtype !== 'float32' || features.data.length !== into.length) return false;
        into.set(features.data as Float32Array);
        return true;
      } catch (error) {
        if (CodaError.isInstance(error)) return false;
        throw error;
      }
    },
    async write(copy, first, features) {
      await mkdir(place, { recursive: true });
      const tensors = { features: ndArray('float32', [features.length], features) };
      await writeFileAtomic(pathOf(copy, first), encodeSafetensors(tensors, { key }));
    },
  };
}
