/**
 * Opens a folder in CIFAR-10's binary layout: the official data set, or one of at most ten classes written the same
 * way.
 */
import { readFileSync, statSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CodaError } from '@coda-nets/core';
import {
  bytesPerImage,
  bytesPerRecord,
  cifar10Shape,
  maxRecordsPerFile,
  namesFile,
  testFile,
  trainFiles,
  unpackRecords,
} from './cifar10-format.ts';
import { dataFolder } from './data-cache.ts';
import { imageSplit, type PixelDataset, type PixelSplit, type SplitName } from './image-dataset.ts';
import { readManifest } from './dataset-manifest.ts';

/** Ten names of any sensible length; the official file has 61 bytes. */
const maxNamesBytes = 4096;

/**
 * Opens `folder`, which holds `data_batch_1.bin` … `data_batch_5.bin`, `test_batch.bin` and `batches.meta.txt`. Sizes
 * are checked here, labels when a split is read on first use.
 *
 * @throws CodaError `unreadable` for a file that is missing, `malformed` for a wrong size or label; each names the
 * file.
 */
export async function openCifar10(folder: string): Promise<PixelDataset> {
  const manifest = await readManifest(folder);
  const hint = manifest?.dataset === 'cifar10' ? repairHint(folder) : undefined;
  for (const file of [...trainFiles, testFile]) {
    const { size } = await stat(join(folder, file)).catch((cause: unknown) => {
      throw missing(folder, file, hint, cause);
    });
    const listed = manifest?.files.find((entry) => entry.name === file);
    if (listed !== undefined && listed.bytes !== size) {
      throw new CodaError({
        kind: 'malformed',
        where: join(folder, file),
        problem: 'the size is not the one recorded when it was written',
        expected: `${listed.bytes} bytes`,
        got: `${size}`,
        hint,
      });
    }
    if (size === 0 || size % bytesPerRecord !== 0 || size > maxRecordsPerFile * bytesPerRecord) {
      throw new CodaError({
        kind: 'malformed',
        where: join(folder, file),
        problem: `the size is not that of 1 to ${maxRecordsPerFile} records of ${bytesPerRecord} bytes`,
        expected: `${maxRecordsPerFile * bytesPerRecord} bytes for CIFAR-10`,
        got: `${size}`,
        hint,
      });
    }
  }
  const classNames = await readClassNames(folder, hint);
  const splits = new Map<SplitName, PixelSplit>();
  return {
    name: 'cifar10',
    classNames,
    inputShape: cifar10Shape,
    split(name) {
      let split = splits.get(name);
      if (split === undefined) {
        split = readSplit(folder, name === 'test' ? [testFile] : trainFiles, classNames.length, hint);
        splits.set(name, split);
      }
      return split;
    },
  };
}

async function readClassNames(folder: string, hint: string | undefined): Promise<readonly string[]> {
  const where = join(folder, namesFile);
  const text = await stat(where)
    .then(({ size }) => (size > maxNamesBytes ? undefined : readFile(where, 'utf8')))
    .catch((cause: unknown) => {
      throw missing(folder, namesFile, hint, cause);
    });
  const names = (text ?? '').split(/\r?\n/).filter((line) => line.trim() !== '');
  if (names.length === 0 || names.length > 10) {
    throw new CodaError({
      kind: 'malformed',
      where,
      problem: 'not a list of class names',
      expected: '1 to 10 lines with a name each',
      got: text === undefined ? `more than ${maxNamesBytes} bytes` : `${names.length} names`,
      hint,
    });
  }
  return names;
}

function readSplit(folder: string, files: readonly string[], classes: number, hint: string | undefined): PixelSplit {
  const counts = files.map((file) => {
    try {
      return Math.floor(statSync(join(folder, file)).size / bytesPerRecord);
    } catch (cause) {
      throw missing(folder, file, hint, cause);
    }
  });
  const length = counts.reduce((sum, n) => sum + n, 0);
  const images = new Uint8Array(length * bytesPerImage);
  const labels = new Uint8Array(length);
  let first = 0;
  files.forEach((file, i) => {
    const count = counts[i] as number;
    unpackRecords(readRecords(folder, file, count, hint), count, images, labels, first);
    for (let n = 0; n < count; n++) {
      const label = labels[first + n] as number;
      if (label >= classes) {
        throw new CodaError({
          kind: 'malformed',
          where: join(folder, file),
          problem: `record ${n} has a label outside of the ${classes} classes`,
          expected: `0 to ${classes - 1}`,
          got: `${label}`,
          hint,
        });
      }
    }
    first += count;
  });
  return imageSplit(cifar10Shape, images, labels);
}

function readRecords(folder: string, file: string, count: number, hint: string | undefined): Uint8Array {
  let records: Uint8Array;
  try {
    records = readFileSync(join(folder, file));
  } catch (cause) {
    throw missing(folder, file, hint, cause);
  }
  if (records.length === count * bytesPerRecord) return records;
  throw new CodaError({
    kind: 'unreadable',
    where: join(folder, file),
    problem: 'the file changed while it was read',
    expected: `${count * bytesPerRecord} bytes`,
    got: `${records.length}`,
  });
}

function missing(folder: string, file: string, hint: string | undefined, cause: unknown): CodaError {
  const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
  return new CodaError({
    kind: 'unreadable',
    where: join(folder, file),
    problem: code === 'ENOENT' ? 'this file of the data set is missing' : `cannot be read (${code})`,
    hint,
    cause,
  });
}

/** For a folder of CIFAR-10 only: what another data set lacks is not to be had there, and the fetch refuses its folder. */
function repairHint(folder: string): string {
  const to = folder === dataFolder('cifar10') ? '' : ` --to ${folder}`;
  return `\`coda data fetch cifar10${to}\` repairs it.`;
}
