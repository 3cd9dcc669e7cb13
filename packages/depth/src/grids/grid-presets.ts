/** How protocols draw and score their grids, to go with `methodPresets`. */
import type { PresetName } from '../methods/attribution-methods.ts';
import type { Scoring } from '../metrics/grid-localisation.ts';

export interface GridPreset {
  readonly n: number;
  readonly count: number;
  /** Of the class's probability: sigmoid in the first two, softmax of all networks compared in the last. */
  readonly threshold: number;
  readonly scoring: Scoring;
}

/** `bcos2` smooths ImageNet maps by a mean over 15 × 15 pixels before scoring, which is not part of this. */
export const gridPresets: Readonly<Record<Exclude<PresetName, 'original'>, GridPreset>> = {
  coda2021: { n: 3, count: 500, threshold: 0.5, scoring: 'pool' },
  bcos2: { n: 3, count: 500, threshold: 0.5, scoring: 'pool' },
  'attr-eval': { n: 3, count: 500, threshold: 0.99, scoring: 'upsample' },
};
