/** What every image data set looks like to the trainer: splits of 8-bit images in memory. Not where they come from. */
import { createHash } from 'node:crypto';
import { ndArray, type NdArray } from '@coda-nets/core';

export type SplitName = 'train' | 'test';

export interface ImageDataset {
  readonly name: string;
  /** Class c is `classNames[c]`. */
  readonly classNames: readonly string[];
  /** [H, W, C] of every image. */
  readonly inputShape: readonly [number, number, number];
  /** Reads the split on first use and keeps it. */
  split(name: SplitName): ImageSplit;
}

export interface ImageSplit {
  /** N, the number of images. */
  readonly length: number;
  /** [H, W, C] of every image. */
  readonly imageShape: readonly [number, number, number];
  /** [N, H, W, C], C order, 0 … 255. */
  readonly images: Uint8Array;
  /** [N], each below the number of classes. */
  readonly labels: Uint8Array;
  /**
   * Hex; the same for the same images and labels in the same order, so that what was computed from them can be kept.
   */
  readonly fingerprint: string;
}

/**
 * A split of arrays that are already there; the fingerprint (SHA-256 of shape, labels and images) is computed when
 * asked for.
 */
export function imageSplit(imageShape: readonly [number, number, number], images: Uint8Array, labels: Uint8Array): ImageSplit {
  ndArray('uint8', [labels.length, ...imageShape], images);
  let fingerprint: string | undefined;
  return {
    length: labels.length,
    imageShape,
    images,
    labels,
    get fingerprint() {
      fingerprint ??= createHash('sha256')
        .update(`${labels.length},${imageShape.join(',')};`)
        .update(labels)
        .update(images)
        .digest('hex');
      return fingerprint;
    },
  };
}

/** The images as one array, not copied. */
export function imagesOf(split: ImageSplit): NdArray<'uint8'> {
  return ndArray('uint8', [split.length, ...split.imageShape], split.images);
}
