/** Sets images of a split aside, for validation. */
import { CodaError, type Random } from '@coda-nets/core';
import { fileSplit, imageSplit, type FileSplit, type ImageSplit, type PixelSplit } from './image-dataset.ts';

/** The images `indices` of `split`, those in memory copied, in that order. `labels`: others for them. */
export function subset(split: PixelSplit, indices: ArrayLike<number>, labels?: ArrayLike<number>): PixelSplit;
export function subset(split: ImageSplit, indices: ArrayLike<number>, labels?: ArrayLike<number>): ImageSplit;
export function subset(split: ImageSplit, indices: ArrayLike<number>, labels?: ArrayLike<number>): ImageSplit {
  checkIndices(split.length, indices);
  const labelOf = (_: unknown, i: number): number => (labels?.[i] ?? split.labels[indices[i] as number]) as number;
  if (split.kind === 'files') return fileSubset(split, indices, Uint16Array.from(indices, labelOf));
  const bytes = split.imageShape.reduce((product, d) => product * d, 1);
  const images = new Uint8Array(indices.length * bytes);
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i] as number;
    images.set(split.images.subarray(index * bytes, (index + 1) * bytes), i * bytes);
  }
  return imageSplit(split.imageShape, images, Uint8Array.from(indices, labelOf));
}

/** An order that suits the whole split suits a part of it. */
function fileSubset(split: FileSplit, indices: ArrayLike<number>, labels: Uint16Array): FileSplit {
  const files = Array.from(indices, (index) => split.file(index));
  if (split.order === undefined) return fileSplit(files, labels);
  return fileSplit(files, labels, (random) => {
    const places = new Map(Array.from(indices, (index, i) => [index, i]));
    const ordered = split.order?.(random) ?? [];
    return Uint32Array.from(Array.from(ordered).flatMap((index) => places.get(index) ?? []));
  });
}

function checkIndices(length: number, indices: ArrayLike<number>): void {
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i] as number;
    if (!Number.isInteger(index) || index < 0 || index >= length) {
      throw new CodaError({
        kind: 'argument',
        where: `subset: indices[${i}]`,
        problem: 'no image of the split',
        expected: `an integer from 0 to ${length - 1}`,
        got: String(index),
      });
    }
  }
}

/**
 * Divides `split` at random: `held` gets `count` images, `rest` the others. Both keep the order of `split`, so that
 * only the choice is random; nothing is balanced between classes.
 *
 * @throws CodaError `argument` unless 0 < count < split.length.
 */
export function holdOut(split: PixelSplit, count: number, random: Random): { rest: PixelSplit; held: PixelSplit };
export function holdOut(split: ImageSplit, count: number, random: Random): { rest: ImageSplit; held: ImageSplit };
export function holdOut(split: ImageSplit, count: number, random: Random): { rest: ImageSplit; held: ImageSplit } {
  if (!Number.isInteger(count) || count < 1 || count >= split.length) {
    throw new CodaError({
      kind: 'argument',
      where: 'holdOut: count',
      problem: 'not a part of the split',
      expected: `an integer from 1 to ${split.length - 1}`,
      got: String(count),
    });
  }
  const order = random.permutation(split.length);
  return { held: subset(split, order.slice(0, count).sort()), rest: subset(split, order.slice(count).sort()) };
}
