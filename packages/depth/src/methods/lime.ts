/** LIME: a weighted linear model of the score in which segments are there (Ribeiro et al., arXiv 1602.04938, section 3.4). */
import { ndArray, Random } from '@coda-nets/core';
import { scores, type ScoreKind } from '../tap-model.ts';
import { positiveInteger } from './check-options.ts';
import type { ProbingMethod } from './method.ts';
import { overSamples, rowsOfTargets } from './over-samples.ts';
import { quickshift } from './quickshift.ts';
import { ridge } from './ridge.ts';

export interface LimeOptions {
  /** Default 1000. */
  readonly samples?: number;
  /** Segments that keep a weight; all of them where left out. */
  readonly features?: number;
  /** Squares along each side that the map is cut into. Default 8. */
  readonly segments?: number;
  /** `superpixels`: the segments of `quickshift` in each activation, as LIME has it for images, in place of squares. Default squares. */
  readonly segmentation?: 'squares' | 'superpixels';
  /** Width of the kernel exp(−d²/width²), d the cosine distance to the whole image. Default 0.25. */
  readonly width?: number;
  /** λ of the ridge regression. Default 1. */
  readonly ridgePenalty?: number;
  /** Default 0. */
  readonly seed?: number;
  /** Default probability. */
  readonly score?: ScoreKind;
}

/**
 *     min_{β, β₀} Σ_s π_s (f(a ⊙ z_s) − β₀ − βᵀz_s)² + λ ‖β‖²         π_s = exp(−d_s²/width²)        map_p = β of p's segment
 *
 * z_s ∈ {0, 1}^segments is uniform, z_0 all ones; of a random stream's first as many as an image has segments. With `features` the largest |β| are kept
 * and fitted again without the others. Squares are the default, for an inner tap has no colours to cut by.
 */
export function lime(options: LimeOptions = {}): ProbingMethod {
  const {
    samples = 1000,
    features,
    segments = 8,
    segmentation = 'squares',
    width = 0.25,
    ridgePenalty = 1,
    seed = 0,
    score = 'probability',
  } = options;
  positiveInteger(samples, 'lime: samples');
  positiveInteger(segments, 'lime: segments');
  if (features !== undefined) positiveInteger(features, 'lime: features');
  return {
    name: 'lime',
    parameters: { samples, features: features ?? 'all', segments, segmentation, width, ridgePenalty, seed, score, baseline: 'zero' },
    attribute: async (model, activations, targets) => {
      const [images = 0, h = 0, w = 0, channels = 0] = activations.shape;
      const size = h * w * channels;
      const cuts = Array.from({ length: images }, (_, n) =>
        segmentation === 'squares'
          ? squares(h, w, segments)
          : quickshift(activations.data.subarray(n * size, (n + 1) * size), [h, w, channels]),
      );
      const most = Math.max(...cuts.map(({ count }) => count));
      const random = Random.seeded(seed);
      const designs: Uint8Array[] = [];
      const answers = Array.from(targets, () => new Float64Array(samples));
      const rows = rowsOfTargets(targets, images);
      await overSamples({
        model,
        activations,
        samples,
        draw: (s) => {
          const stream = random.split(s);
          const z = Uint8Array.from({ length: most }, () => (s === 0 || stream.uniform() < 0.5 ? 1 : 0));
          designs.push(z);
          return { s, z };
        },
        perturb: (row, { z }, n) => {
          const { segments: of } = cuts[n] as Cut;
          for (let p = 0; p < h * w; p++) if (z[of[p] as number] === 0) row.fill(0, p * channels, (p + 1) * channels);
        },
        ask: scores,
        output: score,
        visit: (answer, { s }, n) => {
          for (const [row, target] of rows[n] ?? []) (answers[row] as Float64Array)[s] = answer[target] as number;
        },
      });
      const data = new Float32Array(targets.length * h * w);
      for (const [n, own] of rows.entries()) {
        const { segments: of, count } = cuts[n] as Cut;
        const design = designs.map((z) => z.subarray(0, count));
        const kernel = design.map((z) => Math.exp(-(cosineDistance(z) ** 2) / width ** 2));
        for (const [row] of own) {
          const beta = fitted(design, answers[row] as Float64Array, kernel, ridgePenalty, features);
          for (let p = 0; p < h * w; p++) data[row * h * w + p] = beta[of[p] as number] as number;
        }
      }
      return ndArray('float32', [targets.length, h, w], data);
    },
  };
}

type Cut = ReturnType<typeof quickshift>;

function squares(h: number, w: number, segments: number): Cut {
  const [down, across] = [Math.min(segments, h), Math.min(segments, w)];
  const of = (p: number): number => Math.floor((Math.floor(p / w) * down) / h) * across + Math.floor(((p % w) * across) / w);
  return { segments: Uint32Array.from({ length: h * w }, (_, p) => of(p)), count: down * across };
}

/** 1 − cos ∠(z, 1) = 1 − √(share of ones). */
function cosineDistance(z: Uint8Array): number {
  return 1 - Math.sqrt(z.reduce((sum, x) => sum + x, 0) / z.length);
}

function fitted(
  designs: readonly Uint8Array[],
  y: Float64Array,
  kernel: readonly number[],
  penalty: number,
  features?: number,
): Float64Array {
  const count = designs[0]?.length ?? 0;
  const all = Array.from({ length: count }, (_, i) => i);
  const first = ridge(designs, y, kernel, penalty, all);
  if (features === undefined || features >= count) return first;
  const kept = all.toSorted((i, j) => Math.abs(first[j] as number) - Math.abs(first[i] as number) || i - j).slice(0, features);
  const second = ridge(designs, y, kernel, penalty, kept);
  const beta = new Float64Array(count);
  for (const [k, i] of kept.entries()) beta[i] = second[k] as number;
  return beta;
}
