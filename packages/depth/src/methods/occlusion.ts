/** Occlusion: how much the score falls when a window is blanked (Zeiler and Fergus, arXiv 1311.2901, section 4.2). */
import { ndArray, type NdArray } from '@coda-nets/core';
import { scores, type ScoreKind } from '../tap-model.ts';
import { positiveInteger } from './check-options.ts';
import type { ProbingMethod } from './method.ts';
import { occlusionParts, type OcclusionPart } from './occlusion-parts.ts';
import { overSamples, rowsOfTargets, type RowsOnDemand } from './over-samples.ts';

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
 * the last one of a row may hang over the edge, so every position is covered as long as stride ≤ window (else uncovered ones are 0). At the exact taps of a
 * dynamic linear network logits are asked of parts of the map alone, which is the same (`occlusion-parts.ts`).
 */
export function occlusion({ window = 8, stride = 2, score = 'logit' }: OcclusionOptions = {}): ProbingMethod {
  positiveInteger(window, 'occlusion: window');
  positiveInteger(stride, 'occlusion: stride');
  return {
    name: 'occlusion',
    parameters: { window, stride, score, baseline: 'zero' },
    attribute: async (model, activations, targets): Promise<NdArray<'float32'>> => {
      const [images = 0, h = 0, w = 0, channels = 0] = activations.shape;
      // a probability is no sum over places
      const locality = score === 'logit' ? model.locality : undefined;
      const [tops, lefts] = [starts(h, window, stride), starts(w, window, stride)];
      const { size, parts } = occlusionParts({ size: [h, w], window, tops, lefts, locality });
      const [height, width] = size;
      const whole = new Float64Array(parts.length * targets.length);
      const sums = new Float64Array(targets.length * h * w);
      const counts = new Float64Array(h * w);
      const rows = rowsOfTargets(targets, images);
      const each = ([top, left]: readonly [number, number], visit: (y: number, x: number) => void): void => {
        for (let y = top; y < Math.min(h, top + window); y++) for (let x = left; x < Math.min(w, left + window); x++) visit(y, x);
      };
      for (const { windows } of parts) for (const place of windows) each(place, (y, x) => ((counts[y * w + x] as number) += 1));
      const partOf = (n: number): OcclusionPart => parts[n % parts.length] as OcclusionPart;
      await overSamples({
        model: height === h && width === w ? model : model.resized(size),
        activations: partsOf(activations, size, parts),
        // sample 0 blanks nothing, as do those for which a part has no window
        samples: 1 + Math.max(...parts.map(({ windows }) => windows.length)),
        draw: (s) => s - 1,
        perturb: (row, i, n) => {
          const { windows, at } = partOf(n);
          const place = windows[i];
          if (place === undefined) return;
          each(place, (y, x) => {
            const p = (y - at[0]) * width + x - at[1];
            row.fill(0, p * channels, (p + 1) * channels);
          });
        },
        ask: scores,
        output: score,
        visit: (answer, i, n) => {
          const place = partOf(n).windows[i];
          for (const [row, target] of rows[Math.floor(n / parts.length)] ?? []) {
            const value = answer[target] as number;
            const at = row * parts.length + (n % parts.length);
            if (i < 0) whole[at] = value;
            else if (place !== undefined) {
              each(place, (y, x) => ((sums[(row * h + y) * w + x] as number) += (whole[at] as number) - value));
            }
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

/** [N, h, w, C] → [N·parts, height, width, C], each cut out when it is asked for: together they are many times the map, each place in many of them. */
function partsOf(
  { shape, data }: NdArray<'float32'>,
  [height, width]: readonly [number, number],
  parts: readonly OcclusionPart[],
): RowsOnDemand {
  const [images = 0, h = 0, w = 0, channels = 0] = shape;
  const line = width * channels;
  return {
    shape: [images * parts.length, height, width, channels],
    write: (row, n) => {
      const [top, left] = (parts[n % parts.length] as OcclusionPart).at;
      const image = Math.floor(n / parts.length);
      for (let y = 0; y < height; y++) {
        const from = ((image * h + top + y) * w + left) * channels;
        row.set(data.subarray(from, from + line), y * line);
      }
    },
  };
}
