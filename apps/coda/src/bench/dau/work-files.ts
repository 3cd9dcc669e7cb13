/** Weights and inputs of the bench's networks, in files that every contender reads. */
import { decodeSafetensors, encodeSafetensors, initWeights, Random, type NamedArrays, type Network } from '@coda-nets/core';
import { readFileBytes, writeFileAtomic } from '@coda-nets/core/node';
import { codaNetwork, type CodaConfig } from '@coda-nets/dau';
import { join } from 'node:path';
import { readWorkData, writeWorkData, type WorkData } from '../work-data.ts';
import type { BenchNetwork } from './dau-works.ts';

const MAX_BYTES = 2 ** 32;

export interface WorkFiles {
  /** Safetensors: the weights; the config as JSON in the metadata. */
  readonly network: string;
  /** See `writeWorkData`. */
  readonly data: string;
}

export async function writeWorkFiles(folder: string, id: string, { config, images }: BenchNetwork, seed: number): Promise<WorkFiles> {
  const network = codaNetwork(config);
  const random = Random.seeded(seed);
  const files = { network: join(folder, `${id}.safetensors`), data: join(folder, `${id}-data.safetensors`) };
  const weights = initWeights(network, random.split('weights'));
  await writeFileAtomic(files.network, encodeSafetensors(weights, { config: JSON.stringify(network.config) }));
  await writeWorkData(files.data, network, images, random.split('images'));
  return files;
}

export interface WorkInputs extends WorkData {
  readonly network: Network;
  readonly weights: NamedArrays;
}

/** The network with its weights, and the first `batch` images. */
export async function readWorkFiles(files: WorkFiles, batch: number): Promise<WorkInputs> {
  const { tensors: weights, metadata } = decodeSafetensors(await readFileBytes(files.network, { maxBytes: MAX_BYTES }), files.network);
  const network = codaNetwork(JSON.parse(metadata['config'] as string) as CodaConfig);
  return { network, weights, ...(await readWorkData(files.data, batch)) };
}
