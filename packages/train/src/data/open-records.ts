/**
 * The small data sets that are published as files of raw bytes beside CIFAR-10: CIFAR-100 (Krizhevsky, 2009; records of a coarse label, a fine label and
 * 3 × 32 × 32 bytes) and Fashion-MNIST (Xiao et al., arXiv 1708.07747; MNIST's IDX files, gzipped or not). Read whole, on first use.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { CodaError } from '@coda-nets/core';
import { cifar10Shape } from './cifar10-format.ts';
import { imageSplit, type PixelDataset, type PixelSplit, type SplitName } from './image-dataset.ts';
import { linesOf, textOf } from './open-folders.ts';

const pixels = 32 * 32;
const recordBytes = 2 + 3 * pixels;
/** Records of the larger file there is, and what an IDX file of 28 × 28 has at most. */
const maxImages = 60_000;

export const cifar100Files = { train: 'train.bin', test: 'test.bin', names: 'fine_label_names.txt' } as const;

/** The fine labels; their names from `fine_label_names.txt`. */
export async function openCifar100(folder: string): Promise<PixelDataset> {
  const text = await textOf(join(folder, cifar100Files.names));
  const classNames = linesOf(text ?? '');
  if (classNames.length !== 100) {
    throw new CodaError({
      kind: 'malformed',
      where: join(folder, cifar100Files.names),
      problem: 'not the names of the fine labels',
      expected: '100 lines',
      got: text === undefined ? 'no such file' : `${classNames.length}`,
    });
  }
  return inMemory('cifar100', classNames, cifar10Shape, (name) => readCifar100(join(folder, cifar100Files[name])));
}

function readCifar100(path: string): PixelSplit {
  const bytes = readAtMost(path, maxImages * recordBytes);
  const length = bytes.length / recordBytes;
  if (!Number.isInteger(length) || length === 0) {
    throw malformed(path, 'the size is not that of whole records', `a multiple of ${recordBytes} bytes`, `${bytes.length}`);
  }
  const images = new Uint8Array(length * 3 * pixels);
  const labels = new Uint8Array(length);
  for (let n = 0; n < length; n++) {
    const from = n * recordBytes;
    const label = bytes[from + 1] as number;
    if (label >= 100) throw malformed(path, `record ${n} has a label outside of the 100 classes`, '0 to 99', `${label}`);
    labels[n] = label;
    for (let p = 0; p < pixels; p++) {
      for (let c = 0; c < 3; c++) images[(n * pixels + p) * 3 + c] = bytes[from + 2 + c * pixels + p] as number;
    }
  }
  return imageSplit(cifar10Shape, images, labels);
}

const fashionFiles = { train: 'train', test: 't10k' } as const;
const fashionNames = ['T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat', 'Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot'];

/** The path of an IDX file, unpacked or as published; undefined where neither is there. */
export function idxFile(folder: string, split: 'train' | 'test', what: 'images-idx3' | 'labels-idx1'): string | undefined {
  const path = join(folder, `${fashionFiles[split]}-${what}-ubyte`);
  return [path, `${path}.gz`].find((candidate) => statSync(candidate, { throwIfNoEntry: false })?.isFile());
}

/** Grey becomes three equal channels, which is what networks take. */
export function openFashionMnist(folder: string): PixelDataset {
  return inMemory('fashion-mnist', fashionNames, [28, 28, 3], (split) => {
    const grey = readIdx(folder, split, 'images-idx3', [28, 28]);
    const labels = readIdx(folder, split, 'labels-idx1', []);
    if (labels.length * 784 !== grey.length) {
      throw malformed(
        join(folder, fashionFiles[split]),
        'labels and images do not go together',
        `${grey.length / 784} labels`,
        `${labels.length}`,
      );
    }
    const bad = labels.findIndex((label) => label > 9);
    if (bad !== -1)
      throw malformed(join(folder, fashionFiles[split]), `label ${bad} is outside of the 10 classes`, '0 to 9', `${labels[bad]}`);
    const images = new Uint8Array(grey.length * 3);
    for (const [i, value] of grey.entries()) images.fill(value, 3 * i, 3 * i + 3);
    return imageSplit([28, 28, 3], images, labels);
  });
}

/** The contents of an IDX file of bytes: a magic number, big-endian sizes, values. */
function readIdx(folder: string, split: SplitName, what: 'images-idx3' | 'labels-idx1', shape: readonly number[]): Uint8Array {
  const path = idxFile(folder, split, what);
  if (path === undefined)
    throw new CodaError({
      kind: 'unreadable',
      where: join(folder, `${fashionFiles[split]}-${what}-ubyte`),
      problem: 'this file of the data set is missing',
    });
  const size = shape.reduce((product, d) => product * d, 1);
  const most = 16 + maxImages * size;
  let bytes = readAtMost(path, most);
  if (path.endsWith('.gz')) {
    try {
      bytes = gunzipSync(bytes, { maxOutputLength: most });
    } catch (cause) {
      throw new CodaError({ kind: 'malformed', where: path, problem: 'cannot be unpacked', cause });
    }
  }
  const header = 4 * (2 + shape.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fits =
    bytes.length >= header &&
    view.getUint32(0) === 0x0800 + shape.length + 1 &&
    shape.every((d, i) => view.getUint32(8 + 4 * i) === d) &&
    bytes.length === header + view.getUint32(4) * size &&
    view.getUint32(4) > 0;
  if (!fits)
    throw malformed(path, 'not an IDX file of these images', `bytes of [n${shape.map((d) => `, ${d}`).join('')}]`, `${bytes.length} bytes`);
  return new Uint8Array(bytes.subarray(header));
}

/** A data set whose splits are read on first use and kept. */
export function inMemory(
  name: string,
  classNames: readonly string[],
  inputShape: readonly [number, number, number],
  read: (split: SplitName) => PixelSplit,
): PixelDataset {
  const splits = new Map<SplitName, PixelSplit>();
  return {
    name,
    classNames,
    inputShape,
    split(wanted) {
      const split = splits.get(wanted) ?? read(wanted);
      splits.set(wanted, split);
      return split;
    },
  };
}

function readAtMost(path: string, most: number): Uint8Array {
  try {
    const { size } = statSync(path);
    if (size > most) throw malformed(path, 'the file is too large', `at most ${most} bytes`, `${size}`);
    return readFileSync(path);
  } catch (cause) {
    if (CodaError.isInstance(cause)) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    throw new CodaError({
      kind: 'unreadable',
      where: path,
      problem: code === 'ENOENT' ? 'this file of the data set is missing' : `cannot be read (${code ?? String(cause)})`,
      cause,
    });
  }
}

function malformed(where: string, problem: string, expected: string, got: string): CodaError {
  return new CodaError({ kind: 'malformed', where, problem, expected, got });
}
