/**
 * What may be done to a training image before the network sees it. Plain data: it belongs into a run's config. Not the
 * doing itself.
 */
import { CodaError } from '@coda-nets/core';

/**
 * - `none`: the image as it is
 * - `flip`: mirrored left to right with probability 1/2
 * - `flip-and-crop`: padded with `pad` zero pixels on every side, a window of the old size cut out at a uniformly
 *   random place, then mirrored with probability 1/2 (He et al., arXiv 1512.03385, section 4.2, with pad 4)
 * - `recipe`: see `AugmentationRecipe`
 */
export type Augmentation = SimpleAugmentation | AugmentationRecipe;

/** Those that draw from the one stream of a batch, image after image. */
export type SimpleAugmentation =
  | { readonly kind: 'none' }
  | { readonly kind: 'flip' }
  | { readonly kind: 'flip-and-crop'; readonly pad: number };

/**
 * Any of these, in this order: crop, flip, policy, erase on each image; mixup or cutmix on the batch; label smoothing. Each image draws from a stream of
 * its own, by seed, epoch and place in it.
 */
export interface AugmentationRecipe {
  readonly kind: 'recipe';
  readonly crop?: CropRecipe | undefined;
  /** Mirrors half of the images. */
  readonly flip?: boolean | undefined;
  readonly policy?: PolicyRecipe | undefined;
  readonly erase?: EraseRecipe | undefined;
  /** α; see `mixImages`. */
  readonly mixup?: number | undefined;
  readonly cutmix?: number | undefined;
  /** ε: targets become (1 − ε)·t + ε / classes (Szegedy et al., arXiv 1512.00567, section 7). */
  readonly labelSmoothing?: number | undefined;
}

/**
 * - `centre`: scaled until the shorter side has `resize` pixels, and the middle
 * - `random`: scaled so, padded with `pad` zero pixels on every side, and a window at a uniformly random place
 * - `random-resized`: see `randomResizedCrop`
 */
export type CropRecipe =
  | { readonly kind: 'centre' }
  | { readonly kind: 'random'; readonly pad: number }
  | { readonly kind: 'random-resized'; readonly scale: readonly [number, number]; readonly ratio: readonly [number, number] };

/** See `policies.ts`. */
export type PolicyRecipe =
  | { readonly kind: 'rand-augment'; readonly operations: number; readonly magnitude: number }
  | { readonly kind: 'trivial-augment' };

/** Random erasing: with probability `probability` a box is painted black or with noise; see `erasedBox`. */
export interface EraseRecipe {
  readonly probability: number;
  readonly area: readonly [number, number];
  readonly ratio: readonly [number, number];
  readonly fill: 'black' | 'noise';
}

/** The image as it is. */
export const noAugmentation: SimpleAugmentation = { kind: 'none' };

/** Mirrors half of the images. */
export const flip: SimpleAugmentation = { kind: 'flip' };

/** Mirrors half of the images and moves each by up to `pad` pixels in each direction, zeros coming in. */
export function flipAndCrop({ pad = 4 }: { readonly pad?: number } = {}): SimpleAugmentation {
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

/** Whether images of a batch are mixed with each other. */
export function mixes(augmentation: Augmentation): augmentation is AugmentationRecipe {
  return augmentation.kind === 'recipe' && ((augmentation.mixup ?? 0) > 0 || (augmentation.cutmix ?? 0) > 0);
}

/** ε of the labels. */
export function smoothingOf(augmentation: Augmentation): number {
  return augmentation.kind === 'recipe' ? (augmentation.labelSmoothing ?? 0) : 0;
}
