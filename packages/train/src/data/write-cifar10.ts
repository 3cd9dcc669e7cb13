/**
 * Writes a data set in CIFAR-10's binary layout, so that everything that reads CIFAR-10 can be tried on something
 * small.
 */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CodaError } from '@coda-nets/core';
import { writeFileAtomic } from '@coda-nets/core/node';
import { cifar10Shape, classNamesText, maxRecordsPerFile, namesFile, packRecords, testFile, trainFiles } from './cifar10-format.ts';
import { writeManifest } from './dataset-manifest.ts';
import type { PixelDataset } from './image-dataset.ts';

/**
 * Writes `dataset` into `folder` (made where it is missing): the training images spread over five files in order, the
 * test images in one, the class names in `batches.meta.txt`.
 *
 * @throws CodaError `argument` unless images are 32 × 32 × 3, classes 1 to 10, training images 5 to 50,000, test
 * images 1 to 10,000.
 */
export async function writeCifar10(folder: string, dataset: PixelDataset): Promise<void> {
  const train = dataset.split('train');
  const test = dataset.split('test');
  const fits =
    dataset.inputShape.every((d, i) => d === cifar10Shape[i]) &&
    dataset.classNames.length >= 1 &&
    dataset.classNames.length <= 10 &&
    train.length >= trainFiles.length &&
    train.length <= trainFiles.length * maxRecordsPerFile &&
    test.length >= 1 &&
    test.length <= maxRecordsPerFile;
  if (!fits) {
    throw new CodaError({
      kind: 'argument',
      where: 'writeCifar10: dataset',
      problem: 'does not fit the layout of CIFAR-10',
      expected: 'images [32, 32, 3], 1 to 10 classes, 5 to 50000 training and 1 to 10000 test images',
      got: `[${dataset.inputShape.join(', ')}], ${dataset.classNames.length} classes, ${train.length} and ${test.length}`,
    });
  }
  await mkdir(folder, { recursive: true });
  const written: { name: string; bytes: number; sha256: string }[] = [];
  const write = async (name: string, data: Uint8Array) => {
    await writeFileAtomic(join(folder, name), data);
    written.push({ name, bytes: data.length, sha256: createHash('sha256').update(data).digest('hex') });
  };
  for (const [i, name] of trainFiles.entries()) {
    const first = Math.floor((i * train.length) / trainFiles.length);
    const end = Math.floor(((i + 1) * train.length) / trainFiles.length);
    await write(name, packRecords(train.images, train.labels, first, end - first));
  }
  await write(testFile, packRecords(test.images, test.labels, 0, test.length));
  await write(namesFile, new TextEncoder().encode(classNamesText(dataset.classNames)));
  await writeManifest(folder, dataset.name, 'written here', written);
}
