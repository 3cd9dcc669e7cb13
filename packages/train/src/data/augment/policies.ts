/**
 * Which operations an image goes through, and how strongly.
 * RandAugment (Cubuk et al., arXiv 1909.13719): n operations drawn with replacement from 16, each at m/30 of its range; the list and the ranges are those
 * of the configuration in arXiv 2109.13004, section 4 (they differ from the paper's in cutout, solarize-add and invert, as widely used).
 * TrivialAugment (Müller and Hutter, arXiv 2103.10158, table 1, "wide"): one of 14, at a strength drawn from 31.
 * Where an operation has a sign, it is drawn.
 */
import type { Random } from '@coda-nets/core';
import { brightness, colour, contrast, sharpness } from './blend-operations.ts';
import type { Pixels } from './pixels.ts';
import { cutout, rotate, shearX, shearY, translateX, translateY } from './shape-operations.ts';
import { autoContrast, equalize, invert, posterize, solarize, solarizeAdd } from './tone-operations.ts';

/** Changes `image` in place, or returns another. `strength` in [0, 1]. */
export type Operation = (image: Pixels, strength: number, random: Random) => Pixels | void;

const signed = (value: number, random: Random): number => (random.uint32() >= 0x8000_0000 ? -value : value);
const between = (strength: number, least: number, most: number): number => least + strength * (most - least);

/** By name. No bit at all would be a black image: at least one stays. */
export const randAugmentOperations: Readonly<Record<string, Operation>> = {
  autoContrast: (image) => autoContrast(image),
  equalize: (image) => equalize(image),
  invert: (image) => invert(image),
  rotate: (image, s, random) => rotate(image, signed(30 * s, random)),
  posterize: (image, s) => posterize(image, Math.max(1, Math.floor(4 * s))),
  solarize: (image, s) => solarize(image, 256 * s),
  solarizeAdd: (image, s) => solarizeAdd(image, Math.floor(110 * s)),
  colour: (image, s) => colour(image, between(s, 0.1, 1.9)),
  contrast: (image, s) => contrast(image, between(s, 0.1, 1.9)),
  brightness: (image, s) => brightness(image, between(s, 0.1, 1.9)),
  sharpness: (image, s) => sharpness(image, between(s, 0.1, 1.9)),
  shearX: (image, s, random) => shearX(image, signed(0.3 * s, random)),
  shearY: (image, s, random) => shearY(image, signed(0.3 * s, random)),
  cutout: (image, s, random) => cutout(image, 40 * s, random.uniform() * image.width, random.uniform() * image.height),
  translateX: (image, s, random) => translateX(image, signed(100 * s, random)),
  translateY: (image, s, random) => translateY(image, signed(100 * s, random)),
};

export const trivialAugmentOperations: Readonly<Record<string, Operation>> = {
  identity: () => undefined,
  autoContrast: (image) => autoContrast(image),
  equalize: (image) => equalize(image),
  rotate: (image, s, random) => rotate(image, signed(135 * s, random)),
  posterize: (image, s) => posterize(image, 8 - Math.round(6 * s)),
  solarize: (image, s) => solarize(image, 255 * (1 - s)),
  colour: (image, s, random) => colour(image, 1 + signed(0.99 * s, random)),
  contrast: (image, s, random) => contrast(image, 1 + signed(0.99 * s, random)),
  brightness: (image, s, random) => brightness(image, 1 + signed(0.99 * s, random)),
  sharpness: (image, s, random) => sharpness(image, 1 + signed(0.99 * s, random)),
  shearX: (image, s, random) => shearX(image, signed(0.99 * s, random)),
  shearY: (image, s, random) => shearY(image, signed(0.99 * s, random)),
  translateX: (image, s, random) => translateX(image, signed(32 * s, random)),
  translateY: (image, s, random) => translateY(image, signed(32 * s, random)),
};

/** Of RandAugment, in whose terms m is given; of TrivialAugment, one less than its strengths. */
const steps = 30;

/** `operations`: n; `magnitude`: m, 0 to 30. */
export function randAugment(image: Pixels, operations: number, magnitude: number, random: Random): Pixels {
  const all = Object.values(randAugmentOperations);
  let result = image;
  for (let n = 0; n < operations; n++) {
    const operation = all[random.below(all.length)] as Operation;
    result = operation(result, magnitude / steps, random) ?? result;
  }
  return result;
}

export function trivialAugment(image: Pixels, random: Random): Pixels {
  const all = Object.values(trivialAugmentOperations);
  const operation = all[random.below(all.length)] as Operation;
  return operation(image, random.below(steps + 1) / steps, random) ?? image;
}
