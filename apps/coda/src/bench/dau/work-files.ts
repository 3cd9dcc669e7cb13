/** Weights and inputs of the bench's networks, in files that every contender reads: the same numbers for all. */
import { decodeSafetensors, encodeSafetensors, initWeights, ndArray, Random, sizeOf, type NdArray, type Network } from '@coda-nets/core';
import { readFileBytes, writeFileAtomic } from '@coda-nets/core/node';
import { codaNetwork, type CodaConfig } from '@coda-nets/dau';
import { join } from 'node:path';
import type { BenchNetwork } from './dau-works.ts';

const MAX_BYTES = 2 ** 32;

export interface WorkFiles {
  /** Safetensors: the weights; the config as JSON in the metadata. */
  readonly network: string;
  /** Safetensors: images [N, H, W, 3] in [0, 1], labels [N]. */
  readonly data: string;
}

export async function writeWorkFiles(folder: string, id: string, { config, images }: BenchNetwork, seed: number): Promise<WorkFiles> {
  const network = codaNetwork(config);
  const random = Random.seeded(seed);
  const drawn = random.split('images');
  const shape = [images, ...network.inputShape];
  const data = {
    images: ndArray(
      'float32',
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => drawn.uniform()),
    ),
    labels: ndArray(
      'int32',
      [images],
      Int32Array.from({ length: images }, (_, i) => (7 * i) % network.classes),
    ),
  };
  const files = { network: join(folder, `${id}.safetensors`), data: join(folder, `${id}-data.safetensors`) };
  const weights = initWeights(network, random.split('weights'));
  await writeFileAtomic(files.network, encodeSafetensors(weights, { config: JSON.stringify(network.config) }));
  await writeFileAtomic(files.data, encodeSafetensors(data));
  return files;
}

export interface WorkInputs {
  readonly network: Network;
  readonly weights: Readonly<Record<string, NdArray>>;
  readonly images: NdArray<'float32'>;
  readonly labels: NdArray<'int32'>;
}

/** The network with its weights, and the first `batch` images. */
export async function readWorkFiles(files: WorkFiles, batch: number): Promise<WorkInputs> {
  const { tensors: weights, metadata } = decodeSafetensors(await readFileBytes(files.network, { maxBytes: MAX_BYTES }), files.network);
  const { tensors } = decodeSafetensors(await readFileBytes(files.data, { maxBytes: MAX_BYTES }), files.data);
  const images = tensors['images'] as NdArray<'float32'>;
  const labels = tensors['labels'] as NdArray<'int32'>;
  const shape = [batch, ...images.shape.slice(1)];
  return {
    network: codaNetwork(JSON.parse(metadata['config'] as string) as CodaConfig),
    weights,
    images: ndArray('float32', shape, images.data.slice(0, sizeOf(shape))),
    labels: ndArray('int32', [batch], labels.data.slice(0, batch)),
  };
}
