/** Weights and inputs of a ResNet in files that every contender reads: PyTorch's names and axes, the config in the metadata. */
import {
  initWeights,
  ndArray,
  Random,
  sizeOf,
  decodeSafetensors,
  encodeSafetensors,
  type NdArray,
  type NamedArrays,
} from '@coda-nets/core';
import { openSafetensors, readFileBytes, writeFileAtomic, writeSafetensors } from '@coda-nets/core/node';
import { exportStateDict, loadStateDict, resnet, type Resnet, type ResnetOptions } from '@coda-nets/resnet';
import { join } from 'node:path';
import type { EngineNetwork } from './engine-works.ts';

const MAX_BYTES = 2 ** 32;

export interface WorkFiles {
  readonly state: string;
  /** Safetensors: images [N, H, W, 3] in [0, 1], labels [N]. */
  readonly data: string;
}

export async function writeWorkFiles(folder: string, id: string, { config, images }: EngineNetwork, seed: number): Promise<WorkFiles> {
  const network = resnet(config);
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
  const files = { state: join(folder, `${id}.safetensors`), data: join(folder, `${id}-data.safetensors`) };
  const weights = exportStateDict(initWeights(network, random.split('weights')), network.config as ResnetOptions);
  await writeSafetensors(files.state, weights, { config: JSON.stringify(network.config) });
  await writeFileAtomic(files.data, encodeSafetensors(data));
  return files;
}

export interface WorkInputs {
  readonly network: Resnet;
  readonly weights: NamedArrays;
  readonly images: NdArray<'float32'>;
  readonly labels: NdArray<'int32'>;
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
  const { tensors } = decodeSafetensors(await readFileBytes(files.data, { maxBytes: MAX_BYTES }), files.data);
  const images = tensors['images'] as NdArray<'float32'>;
  const labels = tensors['labels'] as NdArray<'int32'>;
  const shape = [batch, ...images.shape.slice(1)];
  return {
    ...(await readState(files.state)),
    images: ndArray('float32', shape, images.data.slice(0, sizeOf(shape))),
    labels: ndArray('int32', [batch], labels.data.slice(0, batch)),
  };
}
