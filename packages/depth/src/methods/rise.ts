/** RISE: the mean of random masks, each weighted by the score it leaves (Petsiuk et al., arXiv 1806.07421, section 3). */
import { ndArray, Random } from '@coda-nets/core';
import { scores, type ScoreKind } from '../tap-model.ts';
import { positiveInteger, share } from './check-options.ts';
import type { ProbingMethod } from './method.ts';
import { overSamples, rowsOfTargets } from './over-samples.ts';

export interface RiseOptions {
  /** Default 4000. */
  readonly masks?: number;
  /** Cells of a mask along each side, before it is enlarged. Default 7. */
  readonly cells?: number;
  /** Share of cells that stay. Default 0.5. */
  readonly p?: number;
  /** Default 0. */
  readonly seed?: number;
  /** Default probability, as the paper has it. */
  readonly score?: ScoreKind;
}

/**
 *     map = 1/(M p) · Σ_m f(a ⊙ M_m) M_m
 *
 * M_m: cells × cells zeros and ones, enlarged bilinearly to (cells + 1)·(⌈h/cells⌉, ⌈w/cells⌉), cut out at a random shift within one cell.
 * The same masks for every image. Needs no gradient; its error falls as 1/√masks.
 */
export function rise({ masks = 4000, cells = 7, p = 0.5, seed = 0, score = 'probability' }: RiseOptions = {}): ProbingMethod {
  positiveInteger(masks, 'rise: masks');
  positiveInteger(cells, 'rise: cells');
  share(p, 'rise: p');
  return {
    name: 'rise',
    parameters: { masks, cells, p, seed, score, baseline: 'zero' },
    attribute: async (model, activations, targets) => {
      const [images = 0, h = 0, w = 0, channels = 0] = activations.shape;
      const random = Random.seeded(seed);
      const sums = new Float64Array(targets.length * h * w);
      const rows = rowsOfTargets(targets, images);
      await overSamples({
        model,
        activations,
        samples: masks,
        draw: (m) => riseMask({ random: random.split(m), cells, p, height: h, width: w }),
        perturb: (row, mask) => {
          for (let p = 0, i = 0; p < mask.length; p++) {
            const share = mask[p] as number;
            for (let c = 0; c < channels; c++, i++) (row[i] as number) *= share;
          }
        },
        ask: scores,
        output: score,
        visit: (answer, mask, n) => {
          for (const [row, target] of rows[n] ?? []) {
            const value = answer[target] as number;
            for (let i = 0; i < mask.length; i++) (sums[row * h * w + i] as number) += value * (mask[i] as number);
          }
        },
      });
      return ndArray(
        'float32',
        [targets.length, h, w],
        Float32Array.from(sums, (sum) => sum / (masks * p)),
      );
    },
  };
}

interface MaskOptions {
  readonly random: Random;
  readonly cells: number;
  readonly p: number;
  readonly height: number;
  readonly width: number;
}

/** [height·width], in [0, 1]. */
function riseMask({ random, cells, p, height, width }: MaskOptions): Float32Array {
  const kept = Float32Array.from({ length: cells * cells }, () => (random.uniform() < p ? 1 : 0));
  const [cellHeight, cellWidth] = [Math.ceil(height / cells), Math.ceil(width / cells)];
  const [down, across] = [random.below(cellHeight), random.below(cellWidth)];
  const rows = places(height, down, (cells + 1) * cellHeight, cells);
  const columns = places(width, across, (cells + 1) * cellWidth, cells);
  const mask = new Float32Array(height * width);
  const at = (i: number, j: number): number => kept[i * cells + j] as number;
  // Rows of cells enlarged across, then two of them mixed for each row of the mask.
  const line = (i: number, x: number): number => {
    const [left, right, r] = columns[x] as Place;
    return (1 - r) * at(i, left) + r * at(i, right);
  };
  const stretched = Float64Array.from({ length: cells * width }, (_, k) => line(Math.floor(k / width), k % width));
  for (let y = 0; y < height; y++) {
    const [top, bottom, b] = rows[y] as Place;
    for (let x = 0; x < width; x++) {
      mask[y * width + x] = (1 - b) * (stretched[top * width + x] as number) + b * (stretched[bottom * width + x] as number);
    }
  }
  return mask;
}

/** Two cells and the share of the second. */
type Place = readonly [number, number, number];

/** Bilinear with half-pixel centres, for each position. */
function places(length: number, shift: number, enlarged: number, cells: number): Place[] {
  return Array.from({ length }, (_, i) => {
    const position = Math.min(cells - 1, Math.max(0, ((i + shift + 0.5) * cells) / enlarged - 0.5));
    const first = Math.floor(position);
    return [first, Math.min(cells - 1, first + 1), position - first];
  });
}
