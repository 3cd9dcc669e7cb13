/** Localisation in a grid of images: which share of a class's positive attribution lies in its own cell (arXiv 2104.00032, section 4.2). */
import { CodaError, ndArray, type NdArray } from '@coda-nets/core';
import { boxMean, checkBoxSide } from '../render/box-mean.ts';
import { mapSize, resizeMap, type Interpolation } from '../render/resize-map.ts';
import { energyPointingGame } from './energy-pointing-game.ts';

/**
 * - `pool`: on the map as it is; its sides must divide by the grid's. The protocol of CoDA and B-cos. The same as enlarging by nearest neighbour.
 * - `upsample`: the map is brought to the grid's pixels first, then clamped; for maps that do not divide. The protocol of Attribution-Evaluation.
 */
export type Scoring = 'pool' | 'upsample';

export interface GridLocalisationOptions {
  /** Cells along each side. */
  readonly n: number;
  /** The class's cell, row by row: 0 … n² − 1. */
  readonly cell: number;
  readonly scoring: Scoring;
  /** [H, W] of the grid in pixels; for `upsample`. */
  readonly gridSize?: readonly [number, number];
  /** For `upsample`. Default bilinear. */
  readonly interpolation?: Interpolation;
  /** Side of a box, in positions of the map that is scored, over which it is averaged before negative parts are dropped. Default 1: not at all. */
  readonly smooth?: number;
}

/** Whether `pool` can score a map of this size. */
export function poolDivides([h, w]: readonly [number, number], n: number): boolean {
  return h % n === 0 && w % n === 0;
}

/**
 *     score_c = Σ_{p in cell(c)} max(0, A_c(p)) / Σ_p max(0, A_c(p)),     0 where the total is 0
 *
 * Unit: a share. Range [0, 1]; higher is better; an oracle scores 1, a uniform map 1/n². Assumes that A_c is one class's map of the whole grid,
 * channels summed before, and that the class is in no other cell. Source of the setting: arXiv 2104.00032; of `upsample`: arXiv 2205.10435.
 */
export function gridLocalisation(map: NdArray<'float32'>, options: GridLocalisationOptions): number {
  const { n, cell, scoring, gridSize, interpolation = 'bilinear', smooth = 1 } = options;
  checkBoxSide(smooth, 'gridLocalisation: smooth');
  const size = mapSize(map, 'gridLocalisation');
  if (!Number.isInteger(n) || n < 1 || !Number.isInteger(cell) || cell < 0 || cell >= n * n) {
    throw argumentError('cell', 'not in the grid', `n from 1, cell from 0 to n² − 1`, `n ${n}, cell ${cell}`);
  }
  if (scoring === 'upsample' && gridSize === undefined) throw argumentError('gridSize', 'upsample needs it', '[H, W] in pixels', 'nothing');
  const target = scoring === 'upsample' ? (gridSize ?? size) : size;
  if (!poolDivides(target, n)) {
    throw argumentError(
      scoring === 'pool' ? 'map' : 'gridSize',
      `does not divide into ${n} × ${n} cells`,
      `multiples of ${n}`,
      `[${target.join(', ')}]`,
    );
  }
  const [height, width] = [target[0] / n, target[1] / n];
  const same = size[0] === target[0] && size[1] === target[1];
  const sized = same ? map : resizeMap(map, target[0], target[1], interpolation);
  const scored = smooth === 1 ? sized : ndArray('float32', target, Float32Array.from(boxMean(sized.data, target[0], target[1], smooth)));
  return energyPointingGame(scored, { top: Math.floor(cell / n) * height, left: (cell % n) * width, height, width });
}

function argumentError(argument: string, problem: string, expected: string, got: string): CodaError {
  return new CodaError({ kind: 'argument', where: `gridLocalisation: ${argument}`, problem, expected, got });
}
