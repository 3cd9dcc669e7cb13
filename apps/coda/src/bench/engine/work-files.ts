/** Weights and inputs of a ResNet in files that every contender reads: PyTorch's names and axes, the config in the metadata. */
import { initWeights, Random, type NamedArrays } from '@coda-nets/core';
import { openSafetensors, writeSafetensors } from '@coda-nets/core/node';
import { exportStateDict, loadStateDict, resnet, type Resnet, type ResnetOptions } from '@coda-nets/resnet';
import { join } from 'node:path';
import { readWorkData, writeWorkData, type WorkData } from '../work-data.ts';
import type { EngineNetwork } from './engine-works.ts';

export interface WorkFiles {
  readonly state: string;
  /** See `writeWorkData`. */
  readonly data: string;
}

export async function writeWorkFiles(folder: string, id: string, { config, images }: EngineNetwork, seed: number): Promise<WorkFiles> {
  const network = resnet(config);
  const random = Random.seeded(seed);
  const files = { state: join(folder, `${id}.safetensors`), data: join(folder, `${id}-data.safetensors`) };
  const weights = exportStateDict(initWeights(network, random.split('weights')), network.config as ResnetOptions);
  await writeSafetensors(files.state, weights, { config: JSON.stringify(network.config) });
  await writeWorkData(files.data, network, images, random.split('images'));
  return files;
}

export interface WorkInputs extends WorkData {
  readonly network: Resnet;
  readonly weights: NamedArrays;
}

/** The network with its weights. */
export async function readState(path: string): Promise<Pick<WorkInputs, 'network' | 'weights'>> {
  const file = await openSafetensors(path);
  try {
    const network = resnet(JSON.parse(file.metadata['config'] as string) as ResnetOptions);
    return { network, weights: await loadStateDict(file, network.config as ResnetOptions, { where: path }) };
  } finally {
    await file.close();
  }
}

/** The network with its weights, and the first `batch` images. */
export async function readWorkFiles(files: WorkFiles, batch: number): Promise<WorkInputs> {
  return { ...(await readState(files.state)), ...(await readWorkData(files.data, batch)) };
}
