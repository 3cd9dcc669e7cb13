/** Deletion and insertion: the area under the score as the most important positions go, or come (Petsiuk et al., arXiv 1806.07421, section 4.1). */
import { positiveInteger } from '../methods/check-options.ts';
import type { ScoreKind } from '../tap-model.ts';
import { meanCurve, removalCurves, type RemovalCurveOptions } from './removal-curve.ts';
import { summaryOf, type Summary } from './summary.ts';

export interface DeletionInsertionOptions extends Pick<RemovalCurveOptions, 'model' | 'activations' | 'targets' | 'maps'> {
  /** Steps from nothing to everything. Default 100. */
  readonly steps?: number;
  /** Default probability. */
  readonly score?: ScoreKind;
}

/** JSON-able. */
export type AreaUnderCurves = {
  readonly score: ScoreKind;
  /** Share of positions changed at each of the steps + 1 points, from 0 to 1. */
  readonly changed: readonly number[];
  /** [N][steps + 1] */
  readonly curves: readonly (readonly number[])[];
  /** [steps + 1]: over the images. */
  readonly mean: readonly number[];
  /** By image, by the trapezoid rule over `changed`. */
  readonly area: Summary;
};

/**
 * Area under the score while the most attributed positions are set to 0, first to last.
 * Unit: probability (or logit) × share. Range [0, 1]; lower is better. Assumes that a blanked image is no evidence; source: RISE.
 */
export function deletion(options: DeletionInsertionOptions): Promise<AreaUnderCurves> {
  return areas(options, 'remove');
}

/**
 * Area under the score while the most attributed positions appear on an empty activation.
 * Unit: probability (or logit) × share. Range [0, 1]; higher is better. Starts from 0 and not from a blurred image as RISE does: an inner tap has none.
 */
export function insertion(options: DeletionInsertionOptions): Promise<AreaUnderCurves> {
  return areas(options, 'insert');
}

async function areas(
  { steps = 100, score = 'probability', ...rest }: DeletionInsertionOptions,
  change: 'remove' | 'insert',
): Promise<AreaUnderCurves> {
  positiveInteger(steps, 'deletionInsertion: steps');
  const places = (rest.activations.shape[1] ?? 0) * (rest.activations.shape[2] ?? 0);
  const counts = Array.from({ length: steps + 1 }, (_, i) => Math.round((i / steps) * places));
  const curves = await removalCurves({ ...rest, order: 'most', counts, change, score });
  const changed = counts.map((count) => count / places);
  return { score, changed, curves, mean: meanCurve(curves), area: summaryOf(curves.map((curve) => areaUnder(changed, curve))) };
}

/** Σ (x_{i+1} − x_i)·(y_i + y_{i+1})/2 */
export function areaUnder(x: readonly number[], y: readonly number[]): number {
  let area = 0;
  for (let i = 1; i < x.length; i++) {
    area += (((x[i] as number) - (x[i - 1] as number)) * ((y[i] as number) + (y[i - 1] as number))) / 2;
  }
  return area;
}
