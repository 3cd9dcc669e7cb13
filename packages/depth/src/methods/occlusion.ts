/** Occlusion: how much the score falls when a window is blanked (Zeiler and Fergus, arXiv 1311.2901, section 4.2). */
import { ndArray, type NdArray } from '@coda-nets/core';
import { scores, type ScoreKind } from '../tap-model.ts';
import { positiveInteger } from './check-options.ts';
import type { ProbingMethod } from './method.ts';
import { overSamples, rowsOfTargets } from './over-samples.ts';

export interface OcclusionOptions {
  /** Side of the window in positions of the tap. Default 8. */
  readonly window?: number;
  /** Positions between windows. Default 2. */
  readonly stride?: number;
  /** Default logit. */
  readonly score?: ScoreKind;
}

/**
 * map_p = mean over the windows that cover p of f(a) − f(a with the window set to 0, all channels). Windows start at 0, stride, 2·stride, …;
 * the last one of a row may hang over the edge, so every position is covered as long as stride ≤ window (else uncovered ones are 0).
 */
export function occlusion({ window = 8, stride = 2, score = 'logit' }: OcclusionOptions = {}): ProbingMethod {
  positiveInteger(window, 'occlusion: window');
  positiveInteger(stride, 'occlusion: stride');
  return {
    name: 'occlusion',
    parameters: { window, stride, score, baseline: 'zero' },
    attribute: async (model, activations, targets): Promise<NdArray<'float32'>> => {
      const [images = 0, h = 0, w = 0, channels = 0] = activations.shape;
      const [tops, lefts] = [starts(h, window, stride), starts(w, window, stride)];
      // Sample 0 blanks nothing: f(a).
      const places = [undefined, ...tops.flatMap((top) => lefts.map((left) => [top, left] as const))];
      const whole = new Float64Array(targets.length);
      const sums = new Float64Array(targets.length * h * w);
      const rows = rowsOfTargets(targets, images);
      const counts = new Float64Array(h * w);
      const each = ([top, left]: readonly [number, number], visit: (p: number) => void): void => {
        for (let y = top; y < Math.min(h, top + window); y++) for (let x = left; x < Math.min(w, left + window); x++) visit(y * w + x);
      };
      for (const place of places) if (place !== undefined) each(place, (p) => ((counts[p] as number) += 1));
      await overSamples({
        model,
        activations,
        samples: places.length,
        draw: (s) => places[s],
        perturb: (row, place) => {
          if (place !== undefined) each(place, (p) => row.fill(0, p * channels, (p + 1) * channels));
        },
        ask: scores,
        output: score,
        visit: (answer, place, n) => {
          for (const [row, target] of rows[n] ?? []) {
            const value = answer[target] as number;
            if (place === undefined) whole[row] = value;
            else each(place, (p) => ((sums[row * h * w + p] as number) += (whole[row] as number) - value));
          }
        },
      });
      const data = Float32Array.from(sums, (sum, i) => sum / Math.max(1, counts[i % (h * w)] as number));
      return ndArray('float32', [targets.length, h, w], data);
    },
  };
}

function starts(length: number, window: number, stride: number): number[] {
  const count = Math.max(1, Math.ceil((length - window) / stride) + 1);
  return Array.from({ length: count }, (_, i) => i * stride);
}
