/** The network of `coda bench depth`, untrained (costs do not depend on what it learned), and its images, in files that both sides read. */
import { encodeSafetensors, initWeights, ndArray, Random, sizeOf, type NamedArrays, type NdArray, type Network } from '@coda-nets/core';
import { writeFileAtomic } from '@coda-nets/core/node';
import { tileGrid, type Grid } from '@coda-nets/depth';
import { hybrid, hybridPreset } from '@coda-nets/hybrid';
import { join } from 'node:path';
import { CELLS } from './depth-works.ts';
import type { DepthWorkFiles } from './depth-twins.ts';

export interface DepthInputs {
  readonly network: Network;
  readonly weights: NamedArrays;
  readonly images: NdArray<'float32'>;
  readonly grid: Grid;
  readonly files: DepthWorkFiles;
}

/** The CIFAR preset with one more 3×3 layer: twelve taps. */
function benchNetwork(): Network {
  const preset = hybridPreset('cifar10-resnet20');
  const { head } = preset;
  const [first, ...rest] = head.layers;
  const layers = [first, { out: 64, kernel: 3, stride: 1, rank: 8, padding: 1 }, ...rest] as typeof head.layers;
  return hybrid({ ...preset, head: { ...head, layers } });
}

export async function writeDepthInputs(folder: string, seed: number): Promise<DepthInputs> {
  const network = benchNetwork();
  const random = Random.seeded(seed);
  const weights = initWeights(network, random.split('weights'));
  const shape = [CELLS ** 2, ...network.inputShape];
  const drawn = random.split('images');
  const images = ndArray(
    'float32',
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => drawn.uniform()),
  );
  const order = Array.from({ length: CELLS ** 2 }, (_, i) => i);
  const grid: Grid = { images: order, classes: order };
  const tiled = tileGrid(images, grid);
  const files = { network: join(folder, 'network.safetensors'), data: join(folder, 'data.safetensors') };
  await writeFileAtomic(files.network, encodeSafetensors(weights, { config: JSON.stringify(network.config) }));
  await writeFileAtomic(
    files.data,
    encodeSafetensors({
      grids: ndArray('float32', [1, ...tiled.shape], tiled.data),
      classes: ndArray('int32', [1, CELLS ** 2], Int32Array.from(order)),
      images: oneImage(images),
      labels: ndArray('int32', [1], Int32Array.of(0)),
    }),
  );
  return { network, weights, images, grid, files };
}

/** The first. */
export function oneImage({ shape, data }: NdArray<'float32'>): NdArray<'float32'> {
  return ndArray('float32', [1, ...shape.slice(1)], data.slice(0, sizeOf(shape.slice(1))));
}
