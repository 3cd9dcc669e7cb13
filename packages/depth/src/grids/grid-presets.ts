/** How protocols draw and score their grids, to go with `methodPresets`. */
import type { PresetName } from '../methods/attribution-methods.ts';
import type { Scoring } from '../metrics/grid-localisation.ts';
import type { Interpolation } from '../render/resize-map.ts';

export interface GridPreset {
  readonly n: number;
  readonly count: number;
  /** Of the class's probability: sigmoid in the first two, softmax of all networks compared in the last. */
  readonly threshold: number;
  /** The one its figures are of. Every result has both. */
  readonly scoring: Scoring;
  /** How maps smaller than their image (Grad-CAM's) are enlarged where they are drawn; scored with `nearest` they are `pool`, with `bilinear` `upsample`. */
  readonly interpolation: Interpolation;
  /** Maps of images of at least `from` pixels are averaged over a box of `side` pixels before they are scored. */
  readonly smoothing: { readonly side: number; readonly from: number } | undefined;
  /** Images for pixel removal. */
  readonly removal: number;
}

const coda2021: GridPreset = {
  n: 3,
  count: 500,
  threshold: 0.5,
  scoring: 'pool',
  interpolation: 'nearest',
  smoothing: undefined,
  removal: 1024,
};

export const gridPresets: Readonly<Record<Exclude<PresetName, 'original'>, GridPreset>> = {
  coda2021,
  // CIFAR's maps are not smoothed, ImageNet's are.
  bcos2: { ...coda2021, smoothing: { side: 15, from: 224 } },
  'attr-eval': { ...coda2021, threshold: 0.99, scoring: 'upsample', interpolation: 'bilinear' },
};

/** Side of the preset's box in pixels for images [H, W]: 1 is no smoothing. */
export function smoothingOf({ smoothing }: GridPreset, [height, width]: readonly [number, number]): number {
  return smoothing !== undefined && Math.min(height, width) >= smoothing.from ? smoothing.side : 1;
}
