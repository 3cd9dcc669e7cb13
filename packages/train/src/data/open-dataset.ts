/** Finds a data set by its name or its folder: what `--data` takes. */
import { stat } from 'node:fs/promises';
import { CodaError, nearestName } from '@coda-nets/core';
import { dataFolder } from './data-cache.ts';
import type { ImageDataset } from './image-dataset.ts';
import { openCifar10 } from './open-cifar10.ts';

/** Data sets known by name. */
export const datasetNames: readonly string[] = ['cifar10'];

/**
 * Opens `cifar10` from the cache (see `dataFolder`), or a folder in CIFAR-10's binary layout.
 *
 * @throws CodaError `argument` for what is neither; what `openCifar10` throws.
 */
export async function openDataset(nameOrFolder: string): Promise<ImageDataset> {
  if (nameOrFolder === 'cifar10') {
    const folder = dataFolder('cifar10');
    if (await isFolder(folder)) return openCifar10(folder);
    throw new CodaError({
      kind: 'unavailable',
      where: 'openDataset: cifar10',
      problem: `not fetched yet: there is no ${folder}`,
      hint: 'Run `coda data fetch cifar10`.',
    });
  }
  if (await isFolder(nameOrFolder)) return openCifar10(nameOrFolder);
  const nearest = nearestName(nameOrFolder, datasetNames);
  throw new CodaError({
    kind: 'argument',
    where: 'openDataset',
    problem: 'no such data set',
    expected: `${datasetNames.join(', ')} or a folder`,
    got: JSON.stringify(nameOrFolder),
    hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
  });
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
