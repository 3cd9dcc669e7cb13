/** Sets images of a split aside, for validation. */
import { CodaError, type Random } from '@coda-nets/core';
import { imageSplit, type ImageSplit } from './image-dataset.ts';

/** The images `indices` of `split`, copied, in that order. */
export function subset(split: ImageSplit, indices: ArrayLike<number>): ImageSplit {
  const bytes = split.imageShape.reduce((product, d) => product * d, 1);
  const images = new Uint8Array(indices.length * bytes);
  const labels = new Uint8Array(indices.length);
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i] as number;
    if (!Number.isInteger(index) || index < 0 || index >= split.length) {
      throw new CodaError({
        kind: 'argument',
        where: `subset: indices[${i}]`,
        problem: 'no image of the split',
        expected: `an integer from 0 to ${split.length - 1}`,
        got: String(index),
      });
    }
    images.set(split.images.subarray(index * bytes, (index + 1) * bytes), i * bytes);
    labels[i] = split.labels[index] as number;
  }
  return imageSplit(split.imageShape, images, labels);
}

/**
 * Divides `split` at random: `held` gets `count` images, `rest` the others. Both keep the order of `split`, so that
 * only the choice is random; nothing is balanced between classes.
 *
 * @throws CodaError `argument` unless 0 < count < split.length.
 */
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
