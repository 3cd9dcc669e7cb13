/** Finds a data set by its name, its folder or a pattern of archives: what `--data` takes. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CodaError, nearestName } from '@coda-nets/core';
import { pngOf } from './cifar10-archives.ts';
import { trainFiles } from './cifar10-format.ts';
import { folderNames } from './class-folders.ts';
import { dataFolder } from './data-cache.ts';
import type { ImageDataset } from './image-dataset.ts';
import { openCifar10 } from './open-cifar10.ts';
import { openCifar10Png } from './open-cifar10-png.ts';
import { hasTrainingFolders, openFolders } from './open-folders.ts';
import { cifar100Files, idxFile, openCifar100, openFashionMnist } from './open-records.ts';
import { isShardPattern, openShardFolder, openShardPattern } from './open-shards.ts';

/** Data sets known by name, each in its folder of the cache (see `dataFolder`). */
export const datasetNames: readonly string[] = ['cifar10', 'cifar100', 'fashion-mnist', 'tiny-imagenet-200', 'imagenet'];
/** Those that `coda data fetch` gets; the others are put there, or named by their folder. */
export const fetchableNames: readonly string[] = ['cifar10'];

/**
 * Opens a data set by name, or a folder: CIFAR-10 (its binary files, or the PNGs of its mirror), CIFAR-100, Fashion-MNIST, TinyImageNet-200, ImageNet,
 * any tree with a folder for each class, tar shards; or shards by a pattern (`shards/train-{000..146}.tar`). What a folder holds shows in its names.
 *
 * @throws CodaError `argument` for what is none of these; what reading one throws.
 */
export async function openDataset(nameOrPath: string): Promise<ImageDataset> {
  if (datasetNames.includes(nameOrPath)) {
    const folder = dataFolder(nameOrPath);
    if (await isFolder(folder)) return openFolder(folder);
    throw new CodaError({
      kind: 'unavailable',
      where: `openDataset: ${nameOrPath}`,
      problem: `${fetchableNames.includes(nameOrPath) ? 'not fetched yet' : 'not on this machine'}: there is no ${folder}`,
      hint: fetchableNames.includes(nameOrPath) ? `Run \`coda data fetch ${nameOrPath}\`.` : 'Put it there, or give its folder.',
    });
  }
  if (await isFolder(nameOrPath)) return openFolder(nameOrPath);
  if (isShardPattern(nameOrPath)) return openShardPattern(nameOrPath);
  const nearest = nearestName(nameOrPath, datasetNames);
  throw new CodaError({
    kind: 'argument',
    where: 'openDataset',
    problem: 'no such data set',
    expected: `${datasetNames.join(', ')}, a folder, or a pattern of .tar files`,
    got: JSON.stringify(nameOrPath),
    hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
  });
}

async function openFolder(folder: string): Promise<ImageDataset> {
  const names = new Set(await readdir(folder));
  if (trainFiles.some((file) => names.has(pngOf(file)))) return openCifar10Png(folder);
  if (names.has(cifar100Files.names)) return openCifar100(folder);
  if (idxFile(folder, 'train', 'images-idx3') !== undefined) return openFashionMnist(folder);
  // the layout of ImageNet's own archives, three folders down
  const inner = join(folder, 'ILSVRC', 'Data', 'CLS-LOC');
  if (names.has('ILSVRC') && (await isFolder(inner))) return openFolders(inner, folder);
  // the archive that folders came from may lie beside them
  if ([...names].some((name) => name.endsWith('.tar')) && !(await hasTrainingFolders(folder))) return openShardFolder(folder);
  const isCifar10 = trainFiles.some((file) => names.has(file)) || (await folderNames(folder)).length === 0;
  return isCifar10 ? openCifar10(folder) : openFolders(folder);
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
