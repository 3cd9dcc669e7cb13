/**
 * What may be done to a training image before the network sees it. Plain data: it belongs into a run's config. Not the
 * copying itself.
 */
import { CodaError } from '@coda-nets/core';

/**
 * - `none`: the image as it is
 * - `flip`: mirrored left to right with probability 1/2
 * - `flip-and-crop`: padded with `pad` zero pixels on every side, a window of the old size cut out at a uniformly
 *   random place, then mirrored with probability 1/2 (He et al., arXiv 1512.03385, section 4.2, with pad 4)
 */
export type Augmentation = { readonly kind: 'none' } | { readonly kind: 'flip' } | { readonly kind: 'flip-and-crop'; readonly pad: number };

/** The image as it is. */
export const noAugmentation: Augmentation = { kind: 'none' };

/** Mirrors half of the images. */
export const flip: Augmentation = { kind: 'flip' };

/** Mirrors half of the images and moves each by up to `pad` pixels in each direction, zeros coming in. */
export function flipAndCrop({ pad = 4 }: { readonly pad?: number } = {}): Augmentation {
  if (!Number.isInteger(pad) || pad < 0 || pad > 1024) {
    throw new CodaError({
      kind: 'argument',
      where: 'flipAndCrop: pad',
      problem: 'not a number of pixels',
      expected: 'an integer from 0 to 1024',
      got: String(pad),
    });
  }
  return { kind: 'flip-and-crop', pad };
}
