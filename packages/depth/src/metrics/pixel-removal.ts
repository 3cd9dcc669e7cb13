/** Pixel removal: does the class stay recognisable while what its map calls least (or most) important goes? (arXiv 2104.00032, section 4.2) */
import { share as checkShare, positiveInteger } from '../methods/check-options.ts';
import type { ScoreKind } from '../tap-model.ts';
import { meanCurve, removalCurves, type RemovalCurveOptions } from './removal-curve.ts';

export interface PixelRemovalOptions extends Pick<RemovalCurveOptions, 'model' | 'activations' | 'targets' | 'maps' | 'order'> {
  /** Of all positions, removed at the last point. Default 0.25. */
  readonly share?: number;
  /** Points of the curve, the first with nothing removed. Default 129. */
  readonly points?: number;
  /** Default probability. */
  readonly score?: ScoreKind;
}

/** JSON-able. */
export type PixelRemoval = {
  readonly order: 'least' | 'most';
  readonly score: ScoreKind;
  /** Share of positions removed at each point. */
  readonly removed: readonly number[];
  /** [N][points] */
  readonly values: readonly (readonly number[])[];
  /** [points]: over the images. */
  readonly mean: readonly number[];
  /** Mean over images and points. */
  readonly meanOfCurve: number;
};

/**
 * The target's score f at point i, with round(i/(points − 1)·share·h·w) positions set to 0, all channels, least or most attributed first.
 *
 * Unit: probability (or logit). Range [0, 1]; least first: higher is better; most first: lower is better. The first point is the plain score.
 * Assumes that 0 means "nothing there" at the tap, which holds for the six-channel encoding of CoDA networks better than for an RGB image.
 */
export async function pixelRemoval({
  share = 0.25,
  points = 129,
  score = 'probability',
  ...rest
}: PixelRemovalOptions): Promise<PixelRemoval> {
  checkShare(share, 'pixelRemoval: share');
  positiveInteger(points - 1, 'pixelRemoval: points − 1');
  const places = (rest.activations.shape[1] ?? 0) * (rest.activations.shape[2] ?? 0);
  const counts = Array.from({ length: points }, (_, i) => Math.round((i / (points - 1)) * share * places));
  const values = await removalCurves({ ...rest, counts, change: 'remove', score });
  const mean = meanCurve(values);
  return {
    order: rest.order,
    score,
    removed: counts.map((count) => count / places),
    values,
    mean,
    meanOfCurve: mean.reduce((sum, x) => sum + x, 0) / mean.length,
  };
}
