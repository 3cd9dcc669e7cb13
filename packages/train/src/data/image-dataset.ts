/** What every image data set looks like to the trainer: splits of labelled images, in memory or in files. Not where they come from. */
import { createHash } from 'node:crypto';
import { ndArray, type NdArray, type Random } from '@coda-nets/core';
import type { ImageFile } from './image-file.ts';

export type SplitName = 'train' | 'test';

export interface ImageDataset {
  readonly name: string;
  /** Class c is `classNames[c]`. */
  readonly classNames: readonly string[];
  /** A second name of each class, where there is one: an ImageNet synset. */
  readonly classIds?: readonly string[];
  /** [H, W, C] of every image; undefined where each has its own, and is decoded at the size that is asked for. */
  readonly inputShape: readonly [number, number, number] | undefined;
  /** Reads the split on first use and keeps it. */
  split(name: SplitName): ImageSplit;
}

/** One whose images are in memory. */
export interface PixelDataset extends ImageDataset {
  readonly inputShape: readonly [number, number, number];
  split(name: SplitName): PixelSplit;
}

export type ImageSplit = PixelSplit | FileSplit;

interface LabelledSplit {
  /** N, the number of images. */
  readonly length: number;
  /** [N], each below the number of classes. */
  readonly labels: Uint8Array | Uint16Array;
  /** Hex; the same for the same images and labels in the same order. Of files it is their names and sizes that count. */
  readonly fingerprint: string;
  /** As `fingerprint`, and another one as soon as a file was touched: what was computed from images is kept under this. */
  readonly version: string;
  /** An order for an epoch that suits where the images lie; where not given, any order is as good. */
  order?(random: Random): Uint32Array;
}

/** Images of one size, in memory. */
export interface PixelSplit extends LabelledSplit {
  readonly kind: 'pixels';
  /** [H, W, C] of every image. */
  readonly imageShape: readonly [number, number, number];
  /** [N, H, W, C], C order, 0 … 255. */
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
}

/** Encoded images in files: read and decoded when needed, in any order. */
export interface FileSplit extends LabelledSplit {
  readonly kind: 'files';
  file(index: number): ImageFile;
}

/**
 * A split of arrays that are already there; the fingerprint (SHA-256 of shape, labels and images) is computed when
 * asked for.
 */
export function imageSplit(imageShape: readonly [number, number, number], images: Uint8Array, labels: Uint8Array): PixelSplit {
  ndArray('uint8', [labels.length, ...imageShape], images);
  let fingerprint: string | undefined;
  const computed = (): string =>
    (fingerprint ??= createHash('sha256')
      .update(`${labels.length},${imageShape.join(',')};`)
      .update(labels)
      .update(images)
      .digest('hex'));
  return {
    kind: 'pixels',
    length: labels.length,
    imageShape,
    images,
    labels,
    get fingerprint() {
      return computed();
    },
    get version() {
      return computed();
    },
  };
}

/** A split of files; the hashes are computed when asked for. */
export function fileSplit(files: readonly ImageFile[], labels: Uint16Array, order?: (random: Random) => Uint32Array): FileSplit {
  const hashed = (of: (file: ImageFile) => string): string => {
    const hash = createHash('sha256').update(`${files.length};`).update(labels);
    for (const file of files) hash.update(`${of(file)}\n`);
    return hash.digest('hex');
  };
  let fingerprint: string | undefined;
  let version: string | undefined;
  return {
    kind: 'files',
    length: files.length,
    labels,
    file: (index) => files[index] as ImageFile,
    ...(order !== undefined && { order }),
    get fingerprint() {
      return (fingerprint ??= hashed(({ name, bytes }) => `${JSON.stringify(name)} ${bytes}`));
    },
    get version() {
      return (version ??= hashed(({ name, bytes, touched }) => `${JSON.stringify(name)} ${bytes} ${touched}`));
    },
  };
}

/** The images as one array, not copied. */
export function imagesOf(split: PixelSplit): NdArray<'uint8'> {
  return ndArray('uint8', [split.length, ...split.imageShape], split.images);
}
